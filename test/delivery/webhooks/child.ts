/** A process that delivers webhooks until it is killed: `node child.ts <database url> [sole]`. Says `ready` when it has begun. */
import { codec } from '../../../schemas/index.ts';
import { CommandDoor, IdAllocator, Idempotency, WebhookCommands } from '../../../src/commands/index.ts';
import { postingThread, startWebhooks } from '../../../src/delivery/index.ts';
import { openTailFeed } from '../../../src/feed/tail.ts';
import { openPostgresLog } from '../../../src/log/postgres.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { Sealer } from '../../../src/platform/crypto.ts';
import { outboundGuard } from '../../../src/platform/outbound-guard.ts';
import { openPool } from '../../../src/platform/postgres.ts';
import { readPool, startProjector } from '../../../src/readside/index.ts';
import { testDialect } from './events.ts';

const [url = '', sole = ''] = process.argv.slice(2);
const silent = { info() {}, warn() {}, error() {} };
const log = await openPostgresLog({ url, codec });
const feed = openTailFeed(log, silent);
const projector = await startProjector({ url, feed, history: log, logger: silent });
const pool = openPool({ url, name: 'child', maxConnections: 8 });
const door = new CommandDoor({ log, clock: systemClock });
await door.start();
const allowCidrs = ['127.0.0.0/8'];
const guard = outboundGuard({ allowCidrs });
const ids = new IdAllocator(pool, async () => 0);
const sealer = new Sealer([Buffer.alloc(32, 3)]);
const idempotency = new Idempotency({ door, nameKey: Buffer.alloc(32, 1) });
const webhooks = startWebhooks({
  feed,
  history: log,
  readEvent: async (stream, revision) => (await log.read(stream, revision)).events[0] ?? null,
  read: readPool(url),
  work: pool,
  projected: projector,
  commands: new WebhookCommands({ door, ids, idempotency, sealer, guard, eventNames: new Set(['message.created']) }),
  dialect: testDialect,
  poster: (attemptTimeoutMs) => postingThread({ allowCidrs, proxy: null, attemptTimeoutMs }),
  clock: systemClock,
  logger: silent,
  sole: sole === 'sole',
  leaseMs: 2_500,
  lookMs: 100,
});
await webhooks.ready;
console.log('ready');
