/** What sockets get while things happen: who sees what, in what order, with what positions. */
import t from 'tap';
import { event } from '../../schemas/index.ts';
import { until } from '../support/until.ts';
import { chatRoute } from './chat-dialect.ts';
import { Chat, connect, gatewayDatabase, startNode } from './world.ts';

await t.test('members get what happens in their rooms, in order, spelled for each', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  await chat.join(1, 1, 2);
  await chat.join(2, 1);
  const [one, two, other] = await Promise.all([1, 2, 3].map((account) => connect(t, node, { account })));
  if (!one || !two || !other) throw new Error('not connected');
  t.match(one.frames[0], { type: 'welcome', first: true, invalid: false });
  await Promise.all([one, two, other].map((client) => client.reached(node.gateway.position)));
  await chat.post(1, 1, 'to both');
  await chat.post(2, 1, 'to one');
  const { position } = await chat.post(1, 2, 'again');
  await Promise.all([one, two, other].map((client) => client.reached(position)));
  t.same(one.texts, ['to both', 'to one', 'again']);
  t.same(
    one.events.map(({ own }) => own),
    [true, true, false],
    'its own are marked',
  );
  t.same(two.texts, ['to both', 'again']);
  t.same(other.events, [], 'nobody else gets anything');
});

await t.test('workspaces do not see each other', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const ours = new Chat(node.log, 1);
  const theirs = new Chat(node.log, 2);
  await ours.join(1, 1);
  await theirs.join(1, 1);
  const us = await connect(t, node, { workspace: 1, account: 1, name: 'us' });
  const them = await connect(t, node, { workspace: 2, account: 1, name: 'them' });
  await ours.post(1, 1, 'ours');
  const { position } = await theirs.post(1, 1, 'theirs');
  await Promise.all([us.reached(position), them.reached(position)]);
  t.same(us.texts, ['ours']);
  t.same(them.texts, ['theirs']);
});

await t.test('the frames of one event go out together, and only the last has its position', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  const client = await connect(t, node, { account: 1 });
  await client.reached(joined);
  const next = await chat.join(1, 2);
  await client.reached(next);
  t.match(client.events, [
    { type: 'joined', account: 2, position: joined.toString() },
    { type: 'members', position: next.toString() },
  ]);
});

await t.test('a member sees its room from its joining to its removal, both included', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  await chat.join(1, 1);
  const client = await connect(t, node, { account: 2 });
  await client.reached(node.gateway.position);
  await chat.post(1, 1, 'before');
  await chat.join(1, 2);
  await chat.post(1, 1, 'while');
  await chat.leave(1, 2);
  const { position } = await chat.post(1, 1, 'after');
  await client.reached(position);
  t.same(
    client.events.map(({ type, account, text }) => [type, account ?? text]),
    [
      ['joined', 2],
      ['members', undefined],
      ['message', 'while'],
      ['left', 2],
    ],
  );
});

await t.test('a room that closes ends everybody in it', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1, 2);
  const clients = await Promise.all([1, 2].map((account) => connect(t, node, { account })));
  await Promise.all(clients.map((client) => client.reached(joined)));
  await chat.deleteRoom(1);
  const { position } = await chat.post(1, 1, 'nobody is there');
  for (const client of clients) {
    await client.reached(position);
    t.same(
      client.events.map(({ type }) => type),
      ['room_deleted'],
    );
  }
});

await t.test('accounts, topics and whole workspaces are reached, each session once', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  await chat.join(1, 1, 2, 3);
  const [one, two] = [
    await connect(t, node, { account: 1, topics: ['profile-7'] }),
    await connect(t, node, { account: 2 }),
  ];
  await chat.post(1, 3, 'to one and three', [1, 3, 1]);
  await chat.write('profile', event('ProfileChanged', { workspace: 1, account: 7, displayName: 'seven' }));
  const position = await chat.write(
    'workspace',
    event('WorkspaceOpened', { workspace: 1, kind: 'client', owner: null, name: 'all', description: null }),
  );
  await Promise.all([one.reached(position), two.reached(position)]);
  t.same(
    one.events.map(({ text }) => text),
    ['to one and three', 'seven', 'all'],
  );
  t.same(
    two.events.map(({ text }) => text),
    ['all'],
  );
});

await t.test('a session leaves rooms aside and follows others', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  await chat.join(2, 1);
  const narrow = await connect(t, node, { account: 1, name: 'narrow', rooms: [2] });
  const wide = await connect(t, node, { account: 1, name: 'wide' });
  await Promise.all([narrow.reached(joined), wide.reached(joined)]);
  const say = async (text: string) => {
    await chat.post(1, 9, `${text} in 1`);
    await chat.post(2, 9, `${text} in 2`);
    const { position } = await chat.post(3, 9, `${text} in 3`);
    await Promise.all([narrow.reached(position), wide.reached(position)]);
  };
  await say('first');
  node.sessions.get('narrow')?.follow(1);
  node.sessions.get('wide')?.unfollow(1);
  node.sessions.get('wide')?.follow(3);
  await say('second');
  t.same(narrow.texts, ['first in 2', 'second in 1', 'second in 2']);
  t.same(wide.texts, ['first in 1', 'first in 2', 'second in 2', 'second in 3']);
});

await t.test('a variant is spelled once, however many get it', async (t) => {
  let spelled = 0;
  const url = await gatewayDatabase(t);
  const node = await startNode(t, url, {
    dialect: {
      variant: () => 0,
      frames: (_event, _variant, { at }) => {
        spelled++;
        return [JSON.stringify({ type: 'message', position: at })];
      },
    },
  });
  const chat = new Chat(node.log);
  const accounts = Array.from({ length: 20 }, (_, i) => i + 1);
  const joined = await chat.join(1, ...accounts);
  const clients = await Promise.all(accounts.map((account) => connect(t, node, { account })));
  await Promise.all(clients.map((client) => client.reached(joined)));
  spelled = 0;
  const { position } = await chat.post(1, 1, 'hello');
  await Promise.all(clients.map((client) => client.reached(position)));
  t.equal(spelled, 1);
  t.ok(clients.every(({ events }) => events.length === 1));
});

await t.test('a dialect that cannot spell an event loses the session and nothing else', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), {
    dialect: {
      variant(_event, session) {
        if (session.account === 2) throw new Error('no words');
        return 'others';
      },
    },
  });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1, 2);
  const one = await connect(t, node, { account: 1 });
  const two = await connect(t, node, { account: 2 });
  await Promise.all([one.reached(joined), two.reached(joined)]);
  const { position } = await chat.post(1, 1, 'hello');
  await one.reached(position);
  t.same(one.texts, ['hello']);
  t.match(await two.closed, { code: 1011 });
  t.match(node.troubles, [/no words/]);
});

await t.test('a dialect that cannot route an event loses its sessions, which resume', async (t) => {
  let fails = true;
  const node = await startNode(t, await gatewayDatabase(t), {
    dialect: {
      route(event) {
        if (fails && event.type === 'MessagePosted') throw new Error('no way');
        return chatRoute(event);
      },
    },
  });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  const client = await connect(t, node, { account: 1 });
  await client.reached(joined);
  const lost = await chat.post(1, 2, 'hello');
  t.match(await client.closed, { code: 1011 });
  await until(() => node.readModel.reached() >= lost.position);
  fails = false;
  const again = await connect(t, node, { account: 1, after: joined });
  const { position } = await chat.post(1, 2, 'again');
  await again.reached(position);
  t.same(again.texts, ['hello', 'again']);
  t.match(node.troubles, [/no way/]);
});
