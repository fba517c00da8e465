/** Messages: posting, reading, editing, deleting, receipts, and the keys that make a post happen once. */
import t from 'tap';
import { AUTO_INACTIVE } from '../../schemas/index.ts';
import { type Actor, streams } from '../../src/commands/index.ts';
import { room as roomRules } from '../../src/domain/room.ts';
import { makeClient, text } from './chat.ts';
import { refusal, times, world } from './world.ts';

t.test('posting and who may', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { messages, rooms, people } = node;
  const client = await makeClient(node);
  const [ada, bob, eve] = [await client.user('ada'), await client.user('bob'), await client.user('eve')] as const;
  const room = await client.group(ada, bob);
  const first = await messages.post(ada, text(room, 'Hello', { meta: { mood: 'good' } }));
  t.match(first, {
    message: 1,
    state: {
      exists: true,
      message: 1,
      room,
      sender: ada.account,
      body: { kind: 'text', text: 'Hello' },
      meta: { mood: 'good' },
      profileRevision: 4,
    },
    sender: { displayName: 'ADA' },
    room: { room },
  });
  t.same(node.acknowledged.at(-1), { workspace: client.workspace, account: ada.account, position: first.position });
  const [posted] = (await w.events()).filter(({ type }) => type === 'MessagePosted');
  t.match(posted, {
    stream: `message-${client.workspace}-1`,
    at: first.state.postedAt,
    meta: { actor: [client.workspace, ada.account] },
  });

  await people.changeUser(ada, ada.account, { profile: { displayName: 'Ada L' } });
  t.equal((await messages.post(ada, text(room, 'renamed'))).state.profileRevision, 5, 'the name of now');

  for (const [what, code] of [
    [() => messages.post(eve, text(room, 'x')), 'not-a-member'],
    [() => messages.post(ada, text(99, 'x')), 'not-found'],
    [() => messages.post(ada, text(room, '   ')), 'content-empty'],
    [() => messages.post(ada, text(room, 'four', { maxTextCharacters: 3 })), 'content-too-long'],
    [() => messages.post(ada, text(room, 'x', { sender: bob.account })), 'access-denied'],
    [() => messages.post(ada, text(room, 'x', { senderName: 'Root' })), 'access-denied'],
    [() => messages.post(client.master, text(room, 'x', { sender: 99 })), 'not-found'],
    [() => messages.post(ada, text(room, 'x', { replyTo: 99 })), 'reply-not-found'],
    [() => messages.post(ada, text(room, 'x', { forwardedFrom: 99 })), 'not-found'],
    [() => messages.post(ada, text(room, 'ä'.repeat(200_000))), 'too-large'],
  ] as const)
    t.equal(await refusal(what), code);
  const foreign = await makeClient(node);
  t.equal(await refusal(async () => messages.post(await foreign.user('ada'), text(room, 'x'))), 'not-found');

  const third = await messages.post(client.master, text(room, 'from the shop', { senderName: 'Shop' }));
  t.match(
    third,
    { message: 3, sender: null, state: { sender: 0, senderName: 'Shop', profileRevision: 0 } },
    'refusals use no number',
  );
  const inName = await messages.post(client.master, text(room, 'hi', { sender: bob.account, replyTo: 1 }));
  t.match(inName.state, { sender: bob.account, replyTo: { message: 1, edit: 0 } });
  const other = await client.group(ada, eve);
  t.equal(
    await refusal(() => messages.post(ada, text(other, 'x', { replyTo: 1 }))),
    'reply-not-found',
    'of another room',
  );
  t.match((await messages.post(ada, text(other, 'x', { replyTo: 1, replyAcrossRooms: true }))).state.replyTo, {
    message: 1,
  });
  t.equal(
    await refusal(() => messages.post(eve, text(other, 'x', { replyTo: 1, replyAcrossRooms: true }))),
    'reply-not-found',
  );
  t.equal(
    await refusal(() => messages.post(eve, text(other, 'x', { forwardedFrom: 1 }))),
    'not-a-member',
    'a copy of what is not shown',
  );

  const frozen = await messages.post(
    ada,
    text(room, 'to those of now', {
      audience: ({ members }) => ({ receivers: members.map((m) => m.account), total: members.length }),
    }),
  );
  t.same(frozen.state.audience, { receivers: [ada.account, bob.account], total: 2 });
  await rooms.join(eve, room);
  t.equal(await refusal(() => messages.readable(eve, frozen.message)), 'not-found', 'who came later is not among them');
  t.ok((await messages.readable(eve, 1)).state.exists);
});

t.test('rooms that are switched off', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { messages, rooms } = node;
  const client = await makeClient(node);
  const ada = await client.user('ada');
  const room = await client.group(ada);
  await rooms.deactivate(ada, room, 'closed for now');
  t.equal(await refusal(() => messages.post(ada, text(room, 'x'))), 'room-inactive');
  await rooms.activate(ada, room);
  const sweep = { command: 'DeactivateRoom', workspace: client.workspace, room, by: 0, reason: AUTO_INACTIVE } as const;
  await node.door.execute(roomRules, streams.room(client.workspace, room), sweep, client.master);
  const { position } = await messages.post(ada, text(room, 'awake'));
  const types = (await w.events()).slice(-2).map(({ type }) => type);
  t.same(types, ['RoomActivated', 'MessagePosted'], 'the room first');
  t.equal((await rooms.readable(ada, room)).inactive, null);
  await rooms.delete(ada, room, { erase: false });
  t.equal(await refusal(() => messages.post(ada, text(room, 'x'))), 'room-deleted');
  t.type(position, 'bigint');
});

t.test('reading, editing, deleting', async (t) => {
  const w = await world(t);
  const [node, other] = [await w.node(), await w.node()] as const;
  const { messages } = node;
  const client = await makeClient(node);
  const [ada, bob, eve] = [await client.user('ada'), await client.user('bob'), await client.user('eve')] as const;
  const room = await client.group(ada, bob);
  const { message } = await messages.post(ada, text(room, 'draft'));
  t.equal(await refusal(() => messages.readable(eve, message)), 'not-a-member');
  t.equal(await refusal(() => messages.readable(ada, 99)), 'not-found');
  t.equal(await refusal(() => messages.edit(bob, message, { text: 'mine' })), 'not-the-sender');
  t.equal(await refusal(() => messages.edit(eve, message, { text: 'mine' })), 'not-a-member');
  t.equal(await refusal(() => messages.edit(ada, message, { text: ' ' })), 'content-empty');
  const edited = await other.messages.edit(ada, message, { text: 'final', meta: { v: 2 } });
  t.match(edited, { state: { body: { text: 'final' }, edits: 1, meta: { v: 2 } }, room: { room } });
  await node.log.taken(edited.position as bigint);
  t.equal(
    (await messages.edit(client.master, message, { text: 'by the shop' })).state.edits,
    2,
    'the master key edits any',
  );
  t.match((await messages.readable(bob, message)).state.body, { text: 'by the shop' });

  t.match((await messages.delete(bob, message, 'account')).state.deletedFor, [bob.account]);
  t.equal(await refusal(() => messages.readable(bob, message)), 'not-found');
  t.equal((await messages.delete(bob, message, 'account')).position, null, 'nothing to do');
  t.equal(await refusal(() => messages.delete(bob, message)), 'not-the-sender');
  t.match((await messages.delete(ada, message)).state, { deleted: true, body: null });
  for (const act of [
    () => messages.readable(ada, message),
    () => messages.readable(client.master, message),
    () => messages.edit(ada, message, { text: 'x' }),
    () => messages.delete(ada, message),
    () => messages.delete(client.master, message),
    () =>
      messages.post(ada, text(room, 'x', { replyTo: message })).then(
        () => {},
        (e) => {
          if (e.code === 'reply-not-found') e.code = 'not-found';
          throw e;
        },
      ),
  ])
    t.equal(await refusal(act), 'not-found');
  const poll = await messages.post(ada, { room, body: { kind: 'poll', text: 'Which?', options: ['a', 'b'] } });
  t.equal(await refusal(() => messages.edit(ada, poll.message, { text: 'x' })), 'not-editable');
});

t.test('edits of one message at once, on two nodes, all count', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const client = await makeClient(nodes[0]);
  const ada = await client.user('ada');
  const { message } = await nodes[0].messages.post(ada, text(await client.group(ada), '0'));
  await times(6, (i) => (nodes[i % 2] as (typeof nodes)[0]).messages.edit(ada, message, { text: String(i) }));
  t.equal((await w.events()).filter(({ type }) => type === 'MessageEdited').length, 6);
});

t.test('read marks and receipts', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { messages } = node;
  const client = await makeClient(node);
  const [ada, bob, eve] = [await client.user('ada'), await client.user('bob'), await client.user('eve')] as const;
  const room = await client.group(ada, bob);
  const elsewhere = await client.group(ada, bob);
  const { message } = await messages.post(ada, text(room, 'one'));
  t.type(await messages.markRead(bob, room, message), 'bigint');
  t.equal(await messages.markRead(bob, room, message), null, 'said before');
  t.type(await messages.markRead(ada, room, message), 'bigint');
  t.equal(await refusal(() => messages.markRead(bob, elsewhere, message)), 'not-found', 'of another room');
  t.equal(await refusal(() => messages.markRead(eve, room, message)), 'not-a-member');
  t.equal(await refusal(() => messages.markRead(client.master, room, message)), 'not-a-member');

  const types = async () =>
    (await w.events()).flatMap((e) => (e.type === 'ReceiptRecorded' ? [`${e.data.account} ${e.data.status}`] : []));
  await messages.recordReceipt(bob, message, 'read');
  t.same(await types(), [`${bob.account} delivered`, `${bob.account} read`], 'what is read was delivered');
  t.equal(await messages.recordReceipt(bob, message, 'delivered'), null);
  t.equal(await messages.recordReceipt(ada, message, 'read'), null, "one's own");
  t.equal(await refusal(() => messages.recordReceipt(eve, message, 'read')), 'not-a-member');
  t.equal((await types()).length, 2);
});

t.test('a keyed post takes effect once', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const client = await makeClient(nodes[0]);
  const [ada, bob] = [await client.user('ada'), await client.user('bob')] as const;
  const room = await client.group(ada, bob);
  const post = (i: number, actor: Actor, key: string, said = 'hello') =>
    (nodes[i % 2] as (typeof nodes)[0]).messages.post(actor, text(room, said), { key, route: 'POST /messages' });
  const answers = await times(40, (i) => post(i, ada, `k${Math.floor(i / 8)}`));
  const posted = (await w.events()).filter(({ type }) => type === 'MessagePosted');
  t.equal(posted.length, 5, 'five keys');
  for (let key = 0; key < 5; key++) {
    const same = answers.slice(key * 8, key * 8 + 8);
    t.equal(new Set(same.map(({ message }) => message)).size, 1);
    t.equal(same.filter(({ position }) => position !== null).length, 1);
    t.ok(same.every(({ state, sender }) => state.body?.text === 'hello' && sender?.displayName === 'ADA'));
  }
  const [first] = answers as [(typeof answers)[0]];
  t.not((await post(0, bob, 'k0')).message, first.message, 'the key of another account');

  await nodes[0].messages.edit(ada, first.message, { text: 'edited' });
  const { position } = await nodes[0].rooms.leave(ada, room);
  await nodes[1].log.taken(position as bigint);
  const replay = await post(1, ada, 'k0');
  t.match(replay, { message: first.message, position: null }, 'it may not post any more, and did');
  t.equal(await refusal(() => post(1, ada, 'new')), 'not-a-member');
  await nodes[0].messages.delete(client.master, first.message);
  await nodes[0].log.erase([streams.message(client.workspace, first.message)]);
  t.match(await post(1, ada, 'k0'), { message: first.message, position: null }, 'after its erasure the ids');
});
