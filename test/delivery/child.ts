/** A process that delivers until it is killed: `node child.ts <database url> <sandbox url>`. Says `ready` when it has begun. */
import { codec } from '../../schemas/index.ts';
import { CommandDoor, DispatchRecords, IdAllocator, Idempotency, WorkspaceCommands } from '../../src/commands/index.ts';
import { providers } from '../../src/delivery/connectors/index.ts';
import { endLeases, startDeliveryWork } from '../../src/delivery/index.ts';
import { openTailFeed } from '../../src/feed/tail.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { Sealer } from '../../src/platform/crypto.ts';
import { IdSpeller } from '../../src/platform/ids.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { projectorGroup, readPool, startProjector } from '../../src/readside/index.ts';
import { fastSchedule, noPace, silent } from './world.ts';

const [url = '', sandboxUrl = '', sole = ''] = process.argv.slice(2);
const secret = (filler: number) => Buffer.alloc(32, filler);
const log = await openPostgresLog({ url, codec });
const feed = openTailFeed(log, silent);
const projector = await startProjector({ url, feed, history: log, logger: silent });
const pool = openPool({ url, name: 'child', maxConnections: 8 });
const door = new CommandDoor({ log, clock: systemClock });
await door.start();
const nameKey = secret(1);
const sealer = new Sealer([secret(3)]);
const ids = new IdAllocator(pool, async () => 0);
if (sole === 'sole') await endLeases(pool);
const delivery = startDeliveryWork({
  feed,
  read: readPool(url),
  work: pool,
  projected: projector,
  projectorGroup,
  head: () => log.head(),
  erase: (streams) => log.erase(streams),
  workspaces: new WorkspaceCommands({
    door,
    ids,
    idempotency: new Idempotency({ door, nameKey }),
    sealer,
    speller: new IdSpeller(secret(2)),
    nameKey,
  }),
  commands: new DispatchRecords({ door, idKey: secret(4) }),
  door,
  url,
  providers: providers({
    whatsapp: { baseUrl: `${sandboxUrl}/whatsapp`, connections: 16 },
    telegram: { baseUrl: `${sandboxUrl}/telegram/bot`, connections: 16 },
    twilio: { baseUrl: `${sandboxUrl}/twilio`, connections: 16 },
  }),
  clock: systemClock,
  logger: silent,
  sole: sole === 'sole',
  schedule: fastSchedule,
  pace: noPace,
  leaseMs: 3_000,
});
await delivery.ready;
console.log('ready');
