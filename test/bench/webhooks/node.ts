/**
 * Parley's side, a process of its own: a log, a projector and the delivery of webhooks, on the database that it is given.
 * Forked with its address; says `{ready}`. Told
 * - `{hook: url}` it makes a webhook that is switched off, and says `{hooked}`;
 * - `{post: n}` it appends n messages, and says `{posted}`;
 * - `{perSecond, seconds}` it appends messages one by one at that rate, and says `{posted}`;
 * - `{on: boolean}` it switches the webhook, and says `{switched: {cpuMs}}`: what it used so far;
 * - `{recorded: n}` it waits until n deliveries stand in the rows, and says `{recorded: {cpuMs, appends}}`.
 */
import { codec } from '../../../schemas/index.ts';
import { CommandDoor, IdAllocator, WebhookCommands } from '../../../src/commands/index.ts';
import { startWebhooks } from '../../../src/delivery/index.ts';
import { openTailFeed } from '../../../src/feed/tail.ts';
import { openPostgresLog } from '../../../src/log/postgres.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { Sealer } from '../../../src/platform/crypto.ts';
import { outboundGuard } from '../../../src/platform/outbound-guard.ts';
import { openPool } from '../../../src/platform/postgres.ts';
import { readPool, startProjector } from '../../../src/readside/index.ts';
import { postMessages, testDialect } from '../../delivery/webhooks/events.ts';

const url = process.argv[2] as string;
const silent = { info() {}, warn: console.warn, error: console.error };
const log = await openPostgresLog({ url, codec });
const feed = openTailFeed(log, silent);
const projector = await startProjector({ url, feed, history: log, logger: silent });
await projector.ready;
const read = readPool(url);
const pool = openPool({ url, name: 'bench', maxConnections: 8 });
const door = new CommandDoor({ log, clock: systemClock });
await door.start();
const guard = outboundGuard({ allowCidrs: ['127.0.0.0/8'] });
const ids = new IdAllocator(pool, async () => 0);
const commands = new WebhookCommands({
  door,
  ids,
  sealer: new Sealer([Buffer.alloc(32, 3)]),
  guard,
  eventNames: new Set(['message.created']),
});
const webhooks = startWebhooks({
  feed,
  history: log,
  readEvent: async (stream, revision) => (await log.read(stream, revision)).events[0] ?? null,
  read,
  work: pool,
  projected: projector,
  commands,
  dialect: testDialect,
  guard,
  clock: systemClock,
  logger: silent,
  sole: true,
});
await webhooks.ready;

const actor = { workspace: 7, account: 0 };
const place = { workspace: 7, room: 1, text: 'Hello' };
let webhook = 0;
let message = 0;

async function delivered(): Promise<number> {
  const { rows } = await read.query<{ delivered: number }>({
    text: 'SELECT sum(delivered)::int AS delivered FROM webhooks',
  });
  return rows[0]?.delivered ?? 0;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

interface Told {
  readonly hook?: string;
  readonly post?: number;
  readonly perSecond?: number;
  readonly seconds?: number;
  readonly on?: boolean;
  readonly recorded?: number;
}

async function postAt(perSecond: number, seconds: number): Promise<void> {
  const began = performance.now();
  const under = new Set<Promise<void>>();
  for (let i = 0; i < perSecond * seconds; i++) {
    const waitMs = began + (i * 1_000) / perSecond - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const one = postMessages(door, [++message], place).finally(() => under.delete(one));
    under.add(one);
  }
  await Promise.all(under);
}

process.on('message', async (told: Told) => {
  if (told.hook !== undefined) {
    const input = {
      url: told.hook,
      events: ['message.created'],
      secret: null,
      customHeaders: {},
      roomFilters: [],
      meta: null,
    };
    ({ webhook } = await commands.createWebhook(actor, 7, input));
    await commands.changeWebhook(actor, 7, webhook, { isActive: false });
    process.send?.({ hooked: true });
  } else if (told.post !== undefined) {
    const numbers = Array.from({ length: told.post }, () => ++message);
    await postMessages(door, numbers, place);
    process.send?.({ posted: true });
  } else if (told.perSecond !== undefined) {
    await postAt(told.perSecond, told.seconds ?? 1);
    process.send?.({ posted: true });
  } else if (told.on !== undefined) {
    process.send?.({ switched: { cpuMs: cpuMs() } });
    await commands.changeWebhook(actor, 7, webhook, { isActive: told.on });
  } else if (told.recorded !== undefined) {
    while ((await delivered()) < told.recorded) await new Promise((resolve) => setTimeout(resolve, 20));
    const { rows } = await pool.query<{ count: string }>(
      `SELECT count(*) FROM log.events WHERE stream LIKE 'deliveries-%'`,
    );
    process.send?.({ recorded: { cpuMs: cpuMs(), appends: Number(rows[0]?.count) } });
  }
});
process.on('disconnect', () => process.exit(0));
// An orderly end, so that a profile is written.
process.on('SIGTERM', () => process.exit(0));
process.send?.({ ready: true });
