import { createRequire } from 'node:module';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { type Harness, nothingSaid, startHarness } from './harness.ts';

/** As much of the stock clients as is used here. */
interface Push {
  receive(status: string, callback: (response: unknown) => void): Push;
}
interface Channel {
  join(): Push;
  leave(): Push;
  push(event: string, payload: object): Push;
  on(event: string, callback: (payload: unknown) => void): void;
  onClose(callback: () => void): void;
}
interface Client {
  readonly heartbeatTimer: NodeJS.Timeout | undefined;
  readonly reconnectTimer: { reset(): void };
  readonly channels: readonly { readonly rejoinTimer: { reset(): void } }[];
  connect(): void;
  disconnect(callback?: () => void): void;
  channel(topic: string, params?: object): Channel;
  onOpen(callback: () => void): void;
  onClose(callback: (event: { code: number }) => void): void;
}
type ClientClass = new (url: string, options: object) => Client;

const require = createRequire(import.meta.url);

function stockClient(name: 'phoenix' | 'phoenix-v1'): ClientClass {
  // Version 1 takes the browser for granted.
  Object.assign(globalThis, { window: { WebSocket } });
  const { Socket } = require(name) as { Socket: ClientClass };
  return Socket;
}

const joinFrame = { topic: 'room:chat', event: 'phx_join', payload: {}, ref: '1' };
const ok = { status: 'ok', response: {} };

function answered(push: Push, status: string): Promise<unknown> {
  return new Promise((resolve) => push.receive(status, resolve));
}

/** Connects a stock client and joins; the client goes when the test ends. */
async function joined(t: Test, { url }: Harness, name: 'phoenix' | 'phoenix-v1', token: string) {
  const Socket = stockClient(name);
  const client = new Socket(`${url.replace('http', 'ws')}/socket`, { params: { token }, transport: WebSocket });
  t.teardown(() => {
    client.disconnect();
    // Version 1 leaves its timers running.
    clearInterval(client.heartbeatTimer);
    client.reconnectTimer.reset();
    for (const each of client.channels) each.rejoinTimer.reset();
  });
  client.connect();
  const channel = client.channel('room:chat', {});
  const received: unknown[] = [];
  const waiting: ((payload: unknown) => void)[] = [];
  channel.on('receive_msg', (payload) => {
    const first = waiting.shift();
    if (first) first(payload);
    else received.push(payload);
  });
  t.same(await answered(channel.join(), 'ok'), {});
  const next = () => {
    const payload = received.shift();
    return payload === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(payload);
  };
  return { client, channel, next };
}

for (const name of ['phoenix', 'phoenix-v1'] as const) {
  t.test(`the stock client ${name} joins, sends, receives and leaves`, async (t) => {
    const harness = await startHarness(t);
    const { user, conversation, call } = harness;
    const [ann, bob] = [await user('Ann'), await user('Bob')];
    const conv = await conversation(ann, bob);
    const a = await joined(t, harness, name, ann.token);
    const b = await joined(t, harness, name, bob.token);

    a.channel.push('send_msg', { user: bob.id, conv, message: 'hello' });
    const pushed = (await b.next()) as { message: { id: number; date: string } };
    t.same(Object.keys(pushed.message).sort(), [
      'content',
      'conversation',
      'conversation_id',
      'date',
      'id',
      'sender',
      'sender_id',
    ]);
    t.match(pushed, {
      message: {
        id: 1,
        content: 'hello',
        conversation_id: conv,
        sender_id: ann.id,
        conversation: conv,
        sender: ann.id,
      },
    });
    t.match(pushed.message.date, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/);
    b.channel.push('send_msg', { user: ann.id, conv, message: 'hello yourself' });
    t.match(await a.next(), { message: { content: 'hello yourself' } }, 'no echo of its own came before');

    const { id: _, ...listed } = pushed.message;
    const list = await call('GET', `/messages?conv=${conv}`, undefined, ann.token);
    t.match(list.body, [listed, { content: 'hello yourself' }]);

    t.match(await answered(a.channel.push('dance', {}), 'error'), { reason: 'unknown event' });
    t.match(await answered(a.client.channel('room:other').join(), 'error'), { reason: 'join crashed' });
    const closed = new Promise<void>((resolve) => b.channel.onClose(resolve));
    t.same(await answered(b.channel.leave(), 'ok'), {});
    await closed;
  });

  t.test(`a drain sends ${name} away with a code after which it comes back`, async (t) => {
    const harness = await startHarness(t);
    const ann = await harness.user('Ann');
    const { client } = await joined(t, harness, name, ann.token);
    const closed = new Promise<number>((resolve) => client.onClose(({ code }) => resolve(code)));
    await harness.parley.close();
    t.equal(await closed, 1012);
  });
}

t.test('frames of both versions, and the order of answers', async (t) => {
  const { user, socket } = await startHarness(t);
  const { token } = await user();
  const one = await socket(token);
  t.same(await one.ask({ topic: 'phoenix', event: 'heartbeat', payload: {}, ref: 7 }), {
    topic: 'phoenix',
    event: 'phx_reply',
    payload: ok,
    ref: 7,
  });
  t.same(await one.join(), { topic: 'room:chat', event: 'phx_reply', payload: ok, ref: '1' });
  t.same(await one.ask({ ...joinFrame, ref: '2' }), { topic: 'room:chat', event: 'phx_close', payload: {}, ref: '1' });
  t.same(await one.next(), { topic: 'room:chat', event: 'phx_reply', payload: ok, ref: '2' });

  const two = await socket(token, '&vsn=2.0.0');
  t.same(await two.ask([null, '1', 'phoenix', 'heartbeat', {}]), [null, '1', 'phoenix', 'phx_reply', ok]);
  t.same(await two.ask(['2', '2', 'room:chat', 'phx_join', {}]), ['2', '2', 'room:chat', 'phx_reply', ok]);
  t.same(await two.ask(['1', '3', 'room:chat', 'phx_leave', {}]), ['1', '3', 'room:chat', 'phx_reply', ok]);
  const unknown = { status: 'error', response: { reason: 'unknown event' } };
  t.same(await two.ask(['2', '4', 'room:chat', 'dance', {}]), ['2', '4', 'room:chat', 'phx_reply', unknown]);
  t.same(await two.ask(['2', '5', 'room:chat', 'phx_leave', {}]), ['2', '5', 'room:chat', 'phx_reply', ok]);
  t.same(await two.next(), ['2', '2', 'room:chat', 'phx_close', {}]);
  const unmatched = { status: 'error', response: { reason: 'unmatched topic' } };
  t.same(await two.ask(['2', '6', 'room:chat', 'send_msg', {}]), ['2', '6', 'room:chat', 'phx_reply', unmatched]);
  t.same(await two.ask(['7', '7', 'other', 'phx_join', {}]), ['7', '7', 'other', 'phx_reply', unmatched]);
});

t.test('who gets a message, and which are none', async (t) => {
  const { user, conversation, call, socket } = await startHarness(t);
  const [ann, bob, cid] = [await user('Ann'), await user('Bob'), await user('Cid')];
  const conv = await conversation(ann, bob);
  const foreign = await conversation(bob, cid);
  const own = await conversation(ann, ann);
  const a = await socket(ann.token);
  await a.join();
  t.same(await a.say(bob.id, conv, 'nobody is there'), nothingSaid, 'stored for who is offline');

  const [first, second, idle] = [await socket(bob.token), await socket(bob.token), await socket(bob.token)];
  await first.join();
  await second.join();
  const invalid: [unknown, unknown, unknown][] = [
    [cid.id, conv, 'not in it'],
    [ann.id, conv, 'to oneself'],
    [cid.id, foreign, 'foreign'],
    [bob.id, 99, 'unknown'],
    [bob.id, conv, ''],
    [bob.id, conv, 5],
    [bob.id, conv, 'a\0'],
    [bob.id, {}, 'x'],
    [undefined, undefined, undefined],
  ];
  for (const [to, room, text] of invalid) t.same(await a.say(to, room, text), nothingSaid, JSON.stringify([to, room]));
  await a.say(bob.id, conv, 'for both');
  for (const peer of [first, second])
    t.match(await peer.next(), { event: 'receive_msg', ref: null, payload: { message: { content: 'for both' } } });
  t.match(await idle.join(), { event: 'phx_reply' }, 'nothing before the join');

  a.send({ topic: 'room:chat', event: 'send_msg', payload: { user: ann.id, conv: own, message: 'note' }, ref: '9' });
  t.match(await a.next(), { event: 'receive_msg', payload: { message: { content: 'note', sender: ann.id } } });

  const list = await call('GET', `/messages?conv=${conv}`, undefined, bob.token);
  t.same(
    (list.body as { content: string }[]).map(({ content }) => content),
    ['nobody is there', 'for both'],
  );
  t.same((await call('GET', `/messages?conv=${foreign}`, undefined, cid.token)).body, []);
});

t.test('a burst from one socket keeps its order', async (t) => {
  const { user, conversation, socket } = await startHarness(t);
  const [ann, bob] = [await user('Ann'), await user('Bob')];
  const conv = await conversation(ann, bob);
  const [a, b] = [await socket(ann.token), await socket(bob.token)];
  await a.join();
  await b.join();
  const texts = Array.from({ length: 300 }, (_, i) => `message ${i}`);
  for (const message of texts) {
    a.send({ topic: 'room:chat', event: 'send_msg', payload: { user: bob.id, conv, message }, ref: message });
  }
  const got: unknown[] = [];
  for (const _ of texts)
    got.push(((await b.next()) as { payload: { message: { content: string } } }).payload.message.content);
  t.same(got, texts);
});

t.test('a token that ends takes its sockets with it, and no other', async (t) => {
  const { user, call, socket } = await startHarness(t);
  const { token, email, password } = await user();
  const login = await call('POST', '/login', { creds: { email, password } });
  const other = await socket((login.body as { data: { token: string } }).data.token);
  const peer = await socket(token);
  await peer.join();
  await call('DELETE', '/logout', undefined, token);
  t.equal(await peer.closed, 1000);
  t.match(await other.join(), { payload: ok });
  await t.rejects(socket(token), /403/);
});

t.test('what does not open a socket', async (t) => {
  const { url, user, socket } = await startHarness(t);
  const { token } = await user();
  for (const [query, why] of [
    ['', 'without a token'],
    ['?token=', 'an empty one'],
    ['?token=x.y.z', 'a bad one'],
    [`?token=${token}&token=${token}`, 'two'],
    [`?token=${token}&vsn=3.0.0`, 'an unknown version'],
  ] as const) {
    const ws = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket${query}`);
    const status = await new Promise((resolve) => {
      ws.on('unexpected-response', (_request, response) => resolve(response.statusCode));
      ws.on('open', () => resolve('open'));
      ws.on('error', () => {});
    });
    t.equal(status, 403, why);
    ws.terminate();
  }
  const plain = await fetch(`${url}/socket/websocket?token=${token}`);
  t.same([plain.status, await plain.json()], [426, { errors: { detail: 'Upgrade Required' } }]);
  t.equal((await fetch(`${url}/socket/websocket`)).status, 403);
  const elsewhere = new WebSocket(`${url.replace('http', 'ws')}/socket/elsewhere`);
  elsewhere.on('error', () => {});
  t.equal(
    await new Promise((resolve) => elsewhere.on('unexpected-response', (_, { statusCode }) => resolve(statusCode))),
    404,
  );
  elsewhere.terminate();
  t.match(await (await socket(token)).join(), { payload: ok }, 'the server is well');
});

t.test('frames that are none close their socket alone', async (t) => {
  const { user, socket } = await startHarness(t);
  const { token } = await user();
  const well = await socket(token);
  await well.join();
  const bad: [string, string | Buffer, number][] = [
    ['', 'not json', 1007],
    ['', '[]', 1007],
    ['', '{}', 1007],
    ['', 'null', 1007],
    ['', '{"topic":1,"event":"phx_join","payload":{},"ref":"1"}', 1007],
    ['', '{"topic":"room:chat","event":"phx_join","payload":{},"ref":{}}', 1007],
    ['&vsn=2.0.0', '{"topic":"room:chat","event":"phx_join","payload":{},"ref":"1"}', 1007],
    ['&vsn=2.0.0', '["1","1","room:chat","phx_join"]', 1007],
    ['', Buffer.from([1, 2, 3]), 1003],
    ['', JSON.stringify({ ...joinFrame, payload: 'x'.repeat(70_000) }), 1009],
  ];
  for (const [query, frame, code] of bad) {
    const peer = await socket(token, query);
    peer.ws.send(frame);
    t.equal(await peer.closed, code, String(frame).slice(0, 60));
  }
  t.match(await well.ask({ topic: 'phoenix', event: 'heartbeat', payload: {}, ref: '5' }), { payload: ok });
});

t.test('open sockets are counted', async (t) => {
  const { user, socket, url } = await startHarness(t);
  const { token } = await user();
  await (await socket(token)).join();
  t.match(await (await fetch(`${url}/metrics`)).text(), /parley_sockets\{dialect="company"\} 1/);
});
