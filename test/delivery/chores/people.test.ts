/** Erasing messages, rooms, accounts and devices (design, promise 12). */
import t, { type Test } from 'tap';
import { type EventType, event } from '../../../schemas/index.ts';
import {
  type Actor,
  ChatAccountCommands,
  ClientCommands,
  ErasureCommands,
  IdAllocator,
  Idempotency,
  MessageCommands,
  messagesErased,
  RoomCommands,
  streams,
} from '../../../src/commands/index.ts';
import { device } from '../../../src/domain/device.ts';
import { workspace as workspaceRules } from '../../../src/domain/workspace.ts';
import { PasswordHasher } from '../../../src/platform/crypto.ts';
import { IdSpeller } from '../../../src/platform/ids.ts';
import { openPool } from '../../../src/platform/postgres.ts';
import { compareWithRebuild } from '../../../src/readside/index.ts';
import { until } from '../../support/until.ts';
import { deliveryWorld, type World } from '../world.ts';
import { crashAt } from './crash.ts';

const secret = (filler: number) => Buffer.alloc(32, filler);

/** Commands on the world's first node, a client, and three users in two rooms. */
async function chat(t: Test, world: World) {
  const { door } = world.node;
  const pool = openPool({ url: world.url, name: 'test-ids', maxConnections: 4 });
  t.teardown(() => pool.end());
  const ids = new IdAllocator(pool, async (_, kind) => (kind === 'workspace' ? 2 : 0));
  const nameKey = secret(1);
  const speller = new IdSpeller(secret(2));
  const idempotency = new Idempotency({ door, nameKey });
  const passwords = new PasswordHasher();
  const clients = new ClientCommands({ door, ids, speller });
  const people = new ChatAccountCommands({ door, ids, idempotency, passwords, speller, nameKey });
  const rooms = new RoomCommands({ door, ids, idempotency, nameKey });
  const messages = new MessageCommands({ door, ids, rooms, idempotency });
  const { workspace } = await clients.createClient({ name: 'Shop', description: null });
  const master: Actor = { workspace, account: 0 };
  const user = async (name: string): Promise<Actor> => {
    const input = { email: `${name}@example.com`, username: name, fullName: name, keyLifeMs: null };
    return { workspace, account: (await people.createUser(master, input)).account };
  };
  const [ada, bob] = [await user('ada'), await user('bob')] as const;
  const room = async () => {
    const members = [{ account: ada.account, roles: ['owner'] as const }, { account: bob.account }];
    return (await rooms.create(ada, { kind: 'group', joinPolicy: 'open', name: 'Lounge', members })).room;
  };
  const say = async (actor: Actor, where: number, text: string) =>
    (await messages.post(actor, { room: where, body: { kind: 'text', text } })).message;
  return { workspace, master, ada, bob, room, say, people, rooms, messages, door };
}

type Chat = Awaited<ReturnType<typeof chat>>;

const count = (world: World, type: EventType) => world.journal.events.filter((e) => e.type === type).length;

/** True while the log says this anywhere. */
async function logSays(world: World, text: string): Promise<boolean> {
  return (await world.ask('SELECT FROM log.events WHERE strpos(data, $1) > 0 LIMIT 1', [text])).length > 0;
}

/** Resolves when the log has nothing of these streams left; the group's checkpoint tells when it has been there. */
async function untilErased(world: World, names: readonly string[]): Promise<void> {
  const left = 'SELECT FROM log.events WHERE data IS NOT NULL AND stream = ANY ($1) LIMIT 1';
  await until(async () => (await world.ask(left, [[...names]])).length === 0);
}

async function sameAsRebuilt(t: Test, world: World): Promise<void> {
  await world.projected();
  for (const { projection, differences } of await compareWithRebuild(world.url, world.node.log))
    t.same(differences, [], `${projection} as rebuilt`);
}

const messageStreams = ({ workspace }: Chat, ids: readonly number[]) => ids.map((id) => streams.message(workspace, id));

t.test('a deleted message leaves a tombstone; what others said stays', async (t) => {
  const world = await deliveryWorld(t);
  const c = await chat(t, world);
  const room = await c.room();
  const gone = await c.say(c.ada, room, 'a whisper');
  const kept = await c.say(c.bob, room, 'an answer');
  const hidden = await c.say(c.bob, room, 'hidden from one');
  await c.messages.edit(c.ada, gone, { text: 'a larger whisper' });
  await c.messages.delete(c.bob, hidden, 'account');
  await c.messages.recordReceipt(c.bob, gone, 'read');
  world.node.deliver();
  await c.messages.delete(c.ada, gone);
  await untilErased(world, messageStreams(c, [gone]));
  t.notOk(await logSays(world, 'whisper'));
  t.ok(await logSays(world, 'an answer'));
  t.ok(await logSays(world, 'hidden from one'), 'what one account does not see the others do');
  const [row] = await world.ask<{ content: string | null; deleted: boolean; erased: boolean }>(
    'SELECT content, deleted, erased FROM read.messages WHERE workspace = $1 AND message = $2',
    [c.workspace, gone],
  );
  await world.projected();
  t.match(row, { content: null, deleted: true });
  t.equal((await c.messages.readable(c.ada, kept)).state.body?.text, 'an answer');
  await t.rejects(c.messages.readable(c.ada, gone), { code: 'not-found' });
  await sameAsRebuilt(t, world);
});

t.test('a deleted room goes with all that was said in it, in pages', async (t) => {
  const world = await deliveryWorld(t);
  const c = await chat(t, world);
  const [room, other] = [await c.room(), await c.room()];
  const said = await Promise.all(Array.from({ length: 1_100 }, (_, i) => c.say(c.ada, room, `whisper ${i}`)));
  const kept = await c.say(c.ada, other, 'elsewhere');
  await c.rooms.delete(c.ada, room, { erase: true });
  await world.projected();
  world.node.deliver();
  await untilErased(world, [...messageStreams(c, said), streams.room(c.workspace, room)]);
  t.notOk(await logSays(world, 'whisper'));
  t.ok((await c.messages.readable(c.ada, kept)).state.exists);
  const pages = world.journal.events.flatMap((e) => (e.type === 'MessagesErased' ? [e.data.items.length] : []));
  t.ok(pages.length <= 8, 'hundreds at once');
  const types = world.journal.events.map(({ type }) => type);
  t.ok(types.lastIndexOf('MessagesErased') < types.indexOf('RoomErased'), 'the room after its messages');

  // As a node posts that has not heard of it: its look at the room was before.
  const late = { message: 5_000, body: { kind: 'text', text: 'late whisper' } } as const;
  const posted = event('MessagePosted', {
    workspace: c.workspace,
    room,
    ...late,
    sender: c.ada.account,
    profileRevision: 1,
    senderName: null,
    device: null,
    meta: null,
    replyTo: null,
    forwardedFrom: null,
    audience: null,
  });
  const stream = streams.message(c.workspace, late.message);
  await world.node.log.append([
    { commitId: crypto.randomUUID(), stream, expected: -1, at: Date.now(), events: [posted] },
  ]);
  await untilErased(world, [stream]);
  t.notOk(await logSays(world, 'late whisper'), 'what came too late is erased too');
  await sameAsRebuilt(t, world);
});

t.test('a room that is kept, closed, is not erased', async (t) => {
  const world = await deliveryWorld(t);
  const c = await chat(t, world);
  const room = await c.room();
  await c.say(c.ada, room, 'kept');
  world.node.deliver();
  await c.rooms.delete(c.ada, room, { erase: false });
  const gone = await c.say(c.ada, await c.room(), 'gone');
  await c.messages.delete(c.ada, gone);
  await untilErased(world, messageStreams(c, [gone]));
  t.ok(await logSays(world, 'kept'));
  t.equal(count(world, 'RoomErased'), 0);
});

t.test('a deleted account: its profile goes, what it said stays or goes too', async (t) => {
  const world = await deliveryWorld(t);
  const c = await chat(t, world);
  const room = await c.room();
  const kept = await c.say(c.ada, room, 'said by the first');
  const erased = await Promise.all(Array.from({ length: 20 }, (_, i) => c.say(c.bob, room, `said by the second ${i}`)));
  const phone = streams.device(c.workspace, 1);
  const registered = {
    workspace: c.workspace,
    device: 1,
    account: c.bob.account,
    identifier: 'imei-1',
    claim: 'device-1',
  };
  await c.door.execute(device, phone, { command: 'RegisterDevice', ...registered, details: {} }, c.bob, {
    isNew: true,
  });
  world.node.deliver();
  await c.people.deleteUser(c.master, c.ada.account);
  await untilErased(world, [streams.account(c.workspace, c.ada.account)]);
  t.notOk(await logSays(world, 'ada@example.com'));
  t.ok(await logSays(world, 'said by the first'));
  t.equal((await c.messages.readable(c.bob, kept)).state.sender, c.ada.account);

  await c.people.deleteUser(c.bob, c.bob.account, { messages: 'erase' });
  await untilErased(world, [streams.account(c.workspace, c.bob.account), phone, ...messageStreams(c, erased)]);
  for (const text of ['said by the second', 'bob@example.com', 'imei-1']) t.notOk(await logSays(world, text), text);
  t.ok(await logSays(world, 'said by the first'));
  t.same(
    world.journal.events.flatMap((e) => (e.type === 'AccountErased' ? [[e.data.messages, e.data.devices]] : [])),
    [
      ['keep', []],
      ['erase', [1]],
    ],
  );
  await sameAsRebuilt(t, world);
});

t.test('a deleted client goes with everything', async (t) => {
  const world = await deliveryWorld(t);
  const c = await chat(t, world);
  const other = await chat(t, world);
  const room = await c.room();
  const said = await Promise.all(Array.from({ length: 30 }, (_, i) => c.say(c.ada, room, `whisper ${i}`)));
  const living = await other.say(other.ada, await other.room(), 'of another client');
  world.node.deliver();
  const { workspace } = c;
  const home = streams.workspace(workspace);
  await c.door.execute(workspaceRules, home, { command: 'DeleteWorkspace', workspace }, c.master);
  const accounts = [c.ada, c.bob].map(({ account }) => streams.account(workspace, account));
  await untilErased(world, [home, ...accounts, streams.room(workspace, room), ...messageStreams(c, said)]);
  t.notOk(await logSays(world, 'whisper'));
  t.ok((await other.messages.readable(other.ada, living)).state.exists);
  const types = world.journal.events.map(({ type }) => type);
  t.equal(types.at(-1), 'WorkspaceErased', 'itself last');
  await sameAsRebuilt(t, world);
});

for (const failsAt of [1, 2, 4]) {
  t.test(`a crash after ${failsAt - 1} erased streams`, async (t) => {
    const world = await deliveryWorld(t);
    const c = await chat(t, world);
    const room = await c.room();
    const said = await Promise.all(Array.from({ length: 6 }, (_, i) => c.say(c.ada, room, `whisper ${i}`)));
    await c.rooms.delete(c.ada, room, { erase: true });
    await crashAt(world, failsAt);
    await untilErased(world, [...messageStreams(c, said), streams.room(c.workspace, room)]);
    t.notOk(await logSays(world, 'whisper'));
    await sameAsRebuilt(t, world);
  });
}

t.test('nothing that lives is erased', async (t) => {
  const world = await deliveryWorld(t);
  const c = await chat(t, world);
  const { workspace } = c;
  const room = await c.room();
  const id = await c.say(c.ada, room, 'hello');
  const erasures = new ErasureCommands(world.node);
  const item = {
    message: id,
    sender: c.ada.account,
    profileRevision: 1,
    device: null,
    kind: 'text' as const,
    label: null,
    replyTo: null,
    forwardedFrom: null,
    audience: null,
    edits: 0,
    editedAt: null,
    postedAt: 1,
    deletedBy: 0,
    deletedAt: 1,
  };
  const { account } = c.ada;
  const all = [
    event('MessagesErased', { workspace, room, items: [item] }),
    event('RoomErased', { workspace, room, kind: 'group', createdAt: 1 }),
    event('AccountErased', { workspace, account, kind: 'person', openedAt: 1, messages: 'keep', devices: [] }),
  ];
  for (const erased of all) await t.rejects(erasures.append([erased]), /not deleted/, erased.type);
  t.equal(await erasures.roomIsGone(workspace, room), false);
  t.equal(await erasures.roomIsGone(workspace, 99), false, 'nor what nobody knows');
  await c.rooms.delete(c.ada, room, { erase: false });
  t.equal(await erasures.roomIsGone(workspace, room), false, 'a closed one stays');
  await c.rooms.delete(c.ada, room, { erase: true });
  t.equal(await erasures.roomIsGone(workspace, room), true);
});

t.test('pages are of one room, and no larger than an event may be', (t) => {
  const item = (message: number, receivers: number) => ({
    workspace: 1,
    room: message < 600 ? 1 : 2,
    item: {
      message,
      sender: 1,
      profileRevision: 1,
      device: null,
      kind: 'text' as const,
      label: null,
      replyTo: null,
      forwardedFrom: null,
      audience: { receivers: Array.from({ length: receivers }, (_, i) => 1_000_000 + i), total: receivers },
      edits: 0,
      editedAt: null,
      postedAt: 1,
      deletedBy: 1,
      deletedAt: 1,
    },
  });
  const small = messagesErased(Array.from({ length: 700 }, (_, i) => item(i + 1, 0)));
  t.same(
    small.map(({ data }) => [data.room, data.items.length]),
    [
      [1, 500],
      [1, 99],
      [2, 101],
    ],
  );
  const large = messagesErased(Array.from({ length: 10 }, (_, i) => item(i + 1, 10_000)));
  t.same(
    large.map(({ data }) => data.items.length),
    [2, 2, 2, 2, 2],
  );
  for (const page of large) t.ok(JSON.stringify(page.data).length < 256 * 1024);
  const alone = [1, 2, 3, 4].map((message) => {
    const { item: of, ...place } = item(message, 0);
    return { ...place, item: message === 4 || message === 1 ? of : { ...of, deletedPosition: String(message) } };
  });
  t.same(
    messagesErased(alone).map(({ data }) => data.items.map(({ message }) => message)),
    [[1], [2], [3], [4]],
    'one that was deleted by itself is told by itself',
  );
  t.end();
});
