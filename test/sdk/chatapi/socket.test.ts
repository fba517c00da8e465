/** How the SDK's socket comes, goes and comes back, against a server with a script. */
import t, { type Test } from 'tap';
import type { SocketEvents, SocketOptions } from '../../../src/sdk/chatapi/public.d.ts';
import { Socket, type SocketSetup } from '../../../src/sdk/chatapi/socket.ts';
import { errorOf, next } from './outcomes.ts';
import { startSocketServer } from './socket-server.ts';

const quick = { firstPause: 1, longestPause: 1 };
const never = 3_600_000;

/** A server, and a socket that has begun to connect to it. */
async function setUp(t: Test, options: SocketOptions = {}, times: SocketSetup['times'] = quick) {
  const server = await startSocketServer(t);
  const socket = new Socket({ url: server.url, apiKey: 'sk_user_1', options, WebSocket, times });
  t.teardown(() => socket.close());
  return { server, socket };
}

/** Everything of a type that a socket tells. */
function allOf<Type extends keyof SocketEvents>(socket: Socket, type: Type): SocketEvents[Type][] {
  const told: SocketEvents[Type][] = [];
  socket.on(type, (data) => told.push(data));
  return told;
}

const message = (id: string) => ({ id, content: id });

t.test('it authenticates, and tells what comes', async (t) => {
  const { server, socket } = await setUp(t, { room_id: 'r', user_id: 'u', user_name: 'U', after: '7' });
  const states = allOf(socket, 'state');
  t.equal(socket.state, 'connecting');
  t.equal(socket.position, '7');
  t.notOk(socket.typing(true), 'not open yet');
  t.match(await errorOf(socket.ping()), { code: 'NOT_CONNECTED' });
  const peer = await server.peer(0);
  const opened = socket.opened();
  t.same(await peer.welcome('7'), {
    type: 'auth',
    token: 'sk_user_1',
    room_id: 'r',
    user_id: 'u',
    user_name: 'U',
    after: '7',
  });
  t.match(await opened, { status: 'connected', user_id: 'me' });
  t.same([states, socket.state], [[{ state: 'open' }], 'open']);
  t.match(await socket.opened(), { user_id: 'me' }, 'and whoever asks later');

  const got: unknown[] = [];
  const end = socket.on('message', (data, frame) => got.push([data.content, frame.room_id, frame.position]));
  for (const bad of ['no JSON', '[]', '{}', '{"type":"message"}', '{"type":"message","data":[],"position":"1"}'])
    peer.ws.send(bad);
  peer.ws.send(Buffer.from('binary'));
  peer.say('message', message('one'), '10', { room_id: 'r' });
  await next(socket, 'message');
  end();
  peer.say('message', message('two'), '9');
  await next(socket, 'message');
  t.same(got, [['one', 'r', '10']], 'until it is ended');
  t.equal(socket.position, '10', 'never back');
});

t.test('it sends what it is told to', async (t) => {
  const { server, socket } = await setUp(t);
  const peer = await server.peer(0);
  t.same(await peer.welcome(), { type: 'auth', token: 'sk_user_1' });
  await socket.opened();
  t.ok(socket.sendMessage({ room_id: 'r', content: 'hi' }));
  t.ok(socket.typing(true, 'r'));
  t.ok(socket.typing(false));
  t.ok(socket.markRead('r', 'm'));
  t.ok(socket.joinRoom('r'));
  t.ok(socket.leaveRoom('r'));
  t.ok(socket.getOnlineUsers());
  const pongs = [socket.ping(), socket.ping()];
  await peer.frame(9);
  t.same(peer.frames.slice(1), [
    { type: 'send_message', data: { room_id: 'r', content: 'hi' } },
    { type: 'typing', data: { is_typing: true, room_id: 'r' } },
    { type: 'typing', data: { is_typing: false } },
    { type: 'mark_messages_read', data: { room_id: 'r', message_id: 'm' } },
    { type: 'join_room', data: { room_id: 'r' } },
    { type: 'leave_room', data: { room_id: 'r' } },
    { type: 'get_online_users', data: {} },
    { type: 'ping', data: {} },
    { type: 'ping', data: {} },
  ]);
  peer.say('pong', {}, '3');
  peer.say('pong', {}, '4');
  t.same(await Promise.all(pongs), ['3', '4']);
});

t.test('after a loss it goes on where it was, tells nothing twice, and is in its rooms again', async (t) => {
  const { server, socket } = await setUp(t);
  const first = await server.peer(0);
  await first.welcome('1');
  await socket.opened();
  const told: unknown[] = [];
  const note = (type: string) => (data: object, frame: { room_id?: string }) => told.push([type, data, frame.room_id]);
  for (const type of ['message', 'message_updated', 'messages_read', 'user_joined', 'notification', 'typing'] as const)
    socket.on(type, note(type));
  socket.joinRoom('kept');
  socket.joinRoom('left');
  socket.leaveRoom('left');
  const typing = { user_id: 'u', user_name: null, is_typing: true };
  const some = (peer: typeof first) => {
    peer.say('message', message('m'), '9', { room_id: 'r' });
    peer.say('message_updated', { id: 'm', content: 'n', edited_at: '2' }, '10', { room_id: 'r' });
    peer.say('messages_read', { user_id: 'u', message_id: 'm' }, '11', { room_id: 'r' });
    peer.say('user_joined', { user_id: 'u', joined_at: '1' }, '12', { room_id: 'r' });
    peer.say('notification', { id: 'n' }, '13', { room_id: 'r' });
    peer.say('typing', typing, '13', { room_id: 'r' });
  };
  some(first);
  await next(socket, 'typing');
  const lost = errorOf(socket.ping());
  first.ws.terminate();
  t.match(await lost, { code: 'NOT_CONNECTED' }, 'whoever waits for a sign of life is told');
  const second = await server.peer(1);
  t.match(await second.welcome('13'), { type: 'auth', after: '13' });
  await second.frame(2);
  t.same(second.frames.slice(1), [
    { type: 'join_room', data: { room_id: 'kept' } },
    { type: 'leave_room', data: { room_id: 'left' } },
  ]);
  some(second);
  second.say('message_updated', { id: 'm', content: 'o', edited_at: '3' }, '14', { room_id: 'r' });
  second.say('messages_read', { user_id: 'u', message_id: 'm' }, '15', { room_id: 'other' });
  second.say('message', message('new'), '16', { room_id: 'r' });
  while (told.length < 10) await next(socket, 'message');
  t.same(
    told.slice(6).map((each) => (each as unknown[])[0]),
    ['typing', 'message_updated', 'messages_read', 'message'],
  );
  t.equal(socket.position, '16');
});

t.test('a server that goes away says when to come back', async (t) => {
  const { server, socket } = await setUp(t, {}, { firstPause: never, longestPause: never });
  const states = allOf(socket, 'state');
  const first = await server.peer(0);
  await first.welcome('5');
  await socket.opened();
  first.say('server.shutdown', { reconnect_after_ms: 1, position: '6' }, '6');
  first.ws.close(1001, 'the server is going away');
  const second = await server.peer(1);
  t.match(await second.welcome('6'), { after: '6' });
  await socket.opened();
  t.match(
    states.map(({ state, end }) => [state, end?.code]),
    [
      ['open', undefined],
      ['waiting', 1001],
      ['connecting', undefined],
      ['open', undefined],
    ],
  );
});

t.test('ends that are final', async (t) => {
  for (const code of [1003, 4001, 4002, 4003]) {
    const { server, socket } = await setUp(t);
    const peer = await server.peer(0);
    const refused = errorOf(socket.opened());
    peer.ws.close(code, 'because');
    t.match(await refused, { code: 'SOCKET_CLOSED', cause: { code, reason: 'because' } });
    t.equal(socket.state, 'closed');
    t.match(await errorOf(socket.opened()), { code: 'SOCKET_CLOSED', cause: { code } });
    t.equal(server.count, 1);
  }
});

t.test('ends that are not', async (t) => {
  const { server, socket } = await setUp(t);
  const codes = [1000, 1001, 1011, 1013, 4004, 4008];
  for (const [i, code] of codes.entries()) (await server.peer(i)).ws.close(code);
  (await server.peer(codes.length)).ws.terminate();
  await (await server.peer(codes.length + 1)).welcome();
  t.match(await socket.opened(), { user_id: 'me' });
});

t.test('a server that is not there is tried until it is', async (t) => {
  const server = await startSocketServer(t);
  let tries = 0;
  /** The first of them ask where nobody is. */
  class Late extends WebSocket {
    constructor(url: string) {
      super(++tries < 3 ? 'ws://127.0.0.1:1/' : url);
    }
  }
  const socket = new Socket({ url: server.url, apiKey: 'k', options: {}, WebSocket: Late, times: quick });
  t.teardown(() => socket.close());
  await (await server.peer(0)).welcome();
  await socket.opened();
  t.equal(tries, 3);
});

t.test('connections that are dead', async (t) => {
  t.test('nothing comes any more, not even the answer to a sign of life', async (t) => {
    const { server, socket } = await setUp(t, {}, { ...quick, silence: 5, answer: 50 });
    const first = await server.peer(0);
    await first.welcome('1');
    t.match(await first.frame(1), { type: 'ping' });
    const second = await server.peer(1);
    t.match(await second.welcome('1'), { after: '1' });
    await socket.opened();
  });

  t.test('it answers: it is not', async (t) => {
    const { server, socket } = await setUp(t, {}, { ...quick, silence: 5, answer: never });
    const peer = await server.peer(0);
    await peer.welcome('1');
    for (let i = 1; i < 4; i++) {
      t.match(await peer.frame(i), { type: 'ping' });
      peer.say('pong', {}, String(i));
    }
    const answered = socket.ping();
    await peer.frame(5);
    for (const position of ['7', '8', '9']) peer.say('pong', {}, position);
    t.match(await answered, /^[78]$/, 'its own signs of life are told from those of others');
    t.equal(server.count, 1);
  });

  t.test('it is never welcomed', async (t) => {
    const { server, socket } = await setUp(t, {}, { ...quick, welcome: 50 });
    await (await server.peer(0)).frame(0);
    await server.peer(1);
    t.not(socket.state, 'open');
  });
});

t.test('a position that is none gives way to the one that there is', async (t) => {
  const { server, socket } = await setUp(t, { after: '999' });
  const first = await server.peer(0);
  await first.welcome('40');
  t.equal(socket.position, '999');
  first.say('error', { code: 'POSITION_INVALID', message: '' }, '40');
  t.match(await next(socket, 'error'), { code: 'POSITION_INVALID' });
  t.equal(socket.position, '40');
  first.ws.terminate();
  t.match(await (await server.peer(1)).welcome('41'), { after: '40' });
});

t.test('close ends it', async (t) => {
  const { server, socket } = await setUp(t);
  const peer = await server.peer(0);
  await peer.welcome();
  await socket.opened();
  const states = allOf(socket, 'state');
  socket.close();
  socket.close();
  t.equal(await peer.closed, 1000);
  t.match(states, [{ state: 'closed', end: { code: 1000 } }]);
  t.equal(states.length, 1);
  t.notOk(socket.sendMessage({ room_id: 'r', content: 'x' }));
  t.match(await errorOf(socket.opened()), { code: 'SOCKET_CLOSED' });

  const lost = await setUp(t, {}, { firstPause: never, longestPause: never });
  const waiting = next(lost.socket, 'state');
  (await lost.server.peer(0)).ws.terminate();
  t.match(await waiting, { state: 'waiting' });
  lost.socket.close();
  t.equal(lost.socket.state, 'closed', 'also while it waits');

  const leaving = await setUp(t);
  leaving.socket.on('state', ({ state }) => state === 'connecting' && leaving.socket.close());
  (await leaving.server.peer(0)).ws.terminate();
  while (leaving.socket.state !== 'closed') await next(leaving.socket, 'state');
  t.equal(leaving.server.count, 1, 'also by whoever hears that it comes back');
});

t.test('a listener that throws is reported, and keeps nobody from anything', async (t) => {
  const { server, socket } = await setUp(t);
  const reports: (() => void)[] = [];
  const { queueMicrotask } = globalThis;
  socket.on('message', () => {
    // The next one alone: the platform has some of its own.
    globalThis.queueMicrotask = (report) => {
      reports.push(report);
      globalThis.queueMicrotask = queueMicrotask;
    };
    throw new Error('a bug of theirs');
  });
  const got = allOf(socket, 'message');
  const peer = await server.peer(0);
  await peer.welcome();
  peer.say('message', message('m'), '2');
  await next(socket, 'message');
  t.match(got, [{ id: 'm' }]);
  t.equal(socket.position, '2');
  t.throws(() => reports[0]?.(), /a bug of theirs/);
  t.equal(globalThis.queueMicrotask, queueMicrotask);
});
