/** Which rooms have become inactive, written down (ChatAPI sheet, section 8). */
import t from 'tap';
import type { EventType } from '../../../schemas/index.ts';
import {
  type Actor,
  ClientCommands,
  IdAllocator,
  Idempotency,
  MessageCommands,
  RoomCommands,
} from '../../../src/commands/index.ts';
import { RoomSweep } from '../../../src/delivery/chores/room-sweep.ts';
import { IdSpeller } from '../../../src/platform/ids.ts';
import { openPool } from '../../../src/platform/postgres.ts';
import { deliveryWorld, silent } from '../world.ts';

const dayMs = 86_400_000;

t.test('a sweep writes each room down once, whoever sweeps, and a message revives it', async (t) => {
  const world = await deliveryWorld(t);
  const { door, options } = world.node;
  const pool = openPool({ url: world.url, name: 'test', maxConnections: 4 });
  t.teardown(() => pool.end());
  const ids = new IdAllocator(pool, async (_, kind) => (kind === 'workspace' ? 2 : 0));
  const idempotency = new Idempotency({ door, nameKey: Buffer.alloc(32, 1) });
  const rooms = new RoomCommands({ door, ids, idempotency, nameKey: Buffer.alloc(32, 1) });
  const messages = new MessageCommands({ door, ids, rooms, idempotency });
  const clients = new ClientCommands({ door, ids, speller: new IdSpeller(Buffer.alloc(32, 2)) });
  const { workspace } = await clients.createClient({ name: 'Shop', description: null });
  const master: Actor = { workspace, account: 0 };
  const make = async (kind: 'group' | 'channel') =>
    (await rooms.create(master, { kind, joinPolicy: 'open', members: [] })).room;
  const groups = await Promise.all(Array.from({ length: 230 }, () => make('group')));
  await make('channel');
  const [decided, deleted] = [groups[0] as number, groups[1] as number];
  await rooms.deactivate(master, decided, 'a decision');
  await rooms.delete(master, deleted, { erase: false });

  const inDays = (days: number) =>
    new RoomSweep({
      read: world.read,
      pool,
      clock: { ...options.clock, now: () => Date.now() + days * dayMs },
      logger: silent,
      rooms,
      inactiveAfterMs: { private: 90 * dayMs, group: 30 * dayMs, channel: 180 * dayMs, support: 7 * dayMs },
    });
  const caughtUp = async () => {
    const head = await world.log.head();
    await world.projected();
    await world.journal.until((events) => (events.at(-1)?.position ?? 0n) >= head);
  };
  const of = (type: EventType) => world.journal.events.filter((event) => event.type === type);

  await caughtUp();
  await inDays(29).sweep();
  await caughtUp();
  t.equal(of('RoomDeactivated').length, 1, 'nothing is due yet');
  await Promise.all([inDays(31).sweep(), inDays(31).sweep()]);
  await caughtUp();
  await inDays(31).sweep();
  await caughtUp();
  const written = of('RoomDeactivated').filter(({ data }) => 'reason' in data && data.reason === 'auto_inactive');
  t.equal(written.length, 228);
  t.equal(new Set(written.map(({ stream }) => stream)).size, 228);

  const revived = groups[2] as number;
  await messages.post(master, { room: revived, body: { kind: 'text', text: 'hello' } });
  await caughtUp();
  t.equal(of('RoomActivated').length, 1);
  await inDays(29).sweep();
  await inDays(61).sweep();
  await caughtUp();
  t.equal(of('RoomDeactivated').length, 230, 'and it becomes so again');
});
