import t from 'tap';
import { type Client, type Harness, startHarness, type User } from './harness.ts';
import { codeOf, dial, open } from './sockets.ts';

/** What ends a key, and what it is called. */
const ends: readonly [
  string,
  (chat: Harness, of: { client: Client; user: User }) => Promise<unknown>,
  'user' | 'all',
][] = [
  ['another login', (chat, { client, user }) => chat.post('/users/login', { email: user.email }, client.key), 'user'],
  [
    'the user switched off',
    (chat, { client, user }) => chat.put(`/users/${user.id}`, { is_active: false }, client.key),
    'user',
  ],
  ['the user deleted', (chat, { client, user }) => chat.del(`/users/${user.id}`, client.key), 'user'],
  ['the client switched off', (chat, { client }) => chat.put('/clients/me', { is_active: false }, client.key), 'all'],
];

t.test('limits, and keys that end', async (t) => {
  const chat = await startHarness(t);
  const began = performance.now();
  const silent = await dial(t, chat);

  t.test('ten sockets of a client, over all of its keys', async (t) => {
    const client = await chat.client();
    const [ann, ben] = [await chat.user(client, 'ann'), await chat.user(client, 'ben')];
    const keys = [ann.key, ben.key, client.key];
    const sockets = [];
    for (let i = 0; i < 10; i++) sockets.push(await open(t, chat, keys[i % 3] as string));
    const eleventh = await dial(t, chat, `?token=${ann.key}`);
    t.equal(await codeOf(eleventh), 4004);
    t.strictSame(eleventh.frames, []);
    const elsewhere = await chat.client('Other');
    t.match(
      (await open(t, chat, elsewhere.key)).welcome,
      { data: { status: 'connected' } },
      "another client's are its own",
    );
    await sockets[3]?.close();
    t.match((await open(t, chat, ann.key)).welcome, { data: { status: 'connected' } }, 'one went, one may come');
  });

  t.test('a hundred frames a minute', async (t) => {
    const client = await chat.client();
    const user = await chat.user(client);
    const socket = await open(t, chat, user.key);
    for (let i = 0; i < 1_000; i++) socket.send({ type: 'ping', data: {} });
    const answers = [];
    for (let i = 0; i < 1_000; i++) answers.push(await socket.next());
    t.equal(answers.filter(({ type }) => type === 'pong').length, 99, 'the key was a frame too');
    const refused = answers.slice(99);
    t.ok(refused.every(({ type, data }) => type === 'error' && data.code === 'RATE_LIMIT_EXCEEDED'));
    t.ok(refused.every(({ data }) => data.retry_after === 60));
    const room = await chat.room(user.key);
    await chat.message(user.key, room, 'it hears on');
    t.match((await socket.upTo('message')).at(-1), { data: { content: 'it hears on' } });
  });

  t.test('a key that ends takes its sockets with it', async (t) => {
    for (const [what, end, whom] of ends) {
      const client = await chat.client();
      const [user, other] = [await chat.user(client), await chat.user(client)];
      const [own, second] = [await open(t, chat, user.key), await open(t, chat, user.key)];
      const [others, master] = [await open(t, chat, other.key), await open(t, chat, client.key)];
      const answer = (await end(chat, { client, user })) as { body: { data?: { scoped_api_key?: string } } | null };
      t.strictSame([await codeOf(own), await codeOf(second)], [4001, 4001], what);
      if (whom === 'all') {
        t.strictSame([await codeOf(others), await codeOf(master)], [4001, 4001], what);
      } else {
        t.match(await others.ask('ping'), { type: 'pong' }, `${what}: not those of others`);
        t.match(await master.ask('ping'), { type: 'pong' });
      }
      t.equal(await codeOf(await dial(t, chat, `?token=${user.key}`)), 4001);
      const fresh = answer.body?.data?.scoped_api_key;
      if (fresh !== undefined)
        t.match((await open(t, chat, fresh)).welcome, { data: { user_id: user.id } }, 'the new key');
    }
  });

  t.test('a new key opens sockets at once, and keeps them', async (t) => {
    const client = await chat.client();
    const user = await chat.user(client);
    let { key } = user;
    for (let i = 0; i < 5; i++) {
      const before = await open(t, chat, key);
      key = (await chat.post('/users/login', { email: user.email }, client.key)).str('data.scoped_api_key');
      const after = await open(t, chat, key);
      t.equal(await codeOf(before), 4001);
      t.match(await after.ask('ping'), { type: 'pong' });
    }
  });

  t.test('a socket that says nothing is not waited for', async (t) => {
    t.equal(await codeOf(silent), 4001);
    t.ok(performance.now() - began > 9_900, 'ten seconds');
  });
});

t.test('a key that expires takes its sockets with it', async (t) => {
  const chat = await startHarness(t, { SCOPED_KEY_EXPIRES_IN: '2s' });
  const user = await chat.user(await chat.client());
  const socket = await open(t, chat, user.key);
  t.equal(await codeOf(socket), 4001);
  t.equal(await codeOf(await dial(t, chat, `?token=${user.key}`)), 4001);
});
