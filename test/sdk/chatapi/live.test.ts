/** The SDK's socket against the whole product. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
import { ChatAPI } from '../../../src/sdk/chatapi/node.ts';
import { startHarness } from '../../dialects/chatapi/harness.ts';
import { errorOf, next } from './outcomes.ts';

const unknown = '00000000-0000-4000-8000-000000000000';

t.test('a socket', async (t) => {
  // The same port again after a restart.
  const product = await startHarness(t, { PORT: String(await freePort()) });
  const config = { baseUrl: `${product.url}/api/v1` };
  const client = await product.client();
  const [ann, ben] = [await product.user(client, 'annie'), await product.user(client, 'benny')];
  const chat = new ChatAPI(ann.key, config);
  const room = await chat.rooms.create({ name: 'Live' });
  await new ChatAPI(ben.key, config).rooms.join(room.id);
  const [socket, other] = [
    chat.connect(),
    new ChatAPI(ben.key, { ...config, WebSocket }).connect({ room_id: room.id }),
  ];
  t.teardown(() => [socket, other].map((each) => each.close()));
  t.match(await socket.opened(), { status: 'connected', user_id: ann.id });
  t.match(await other.opened(), { room_id: room.id });

  const got = next(other, 'message');
  t.ok(socket.sendMessage({ room_id: room.id, content: 'over the socket' }));
  const { id, content } = await got;
  t.equal(content, 'over the socket');
  const typing = next(socket, 'typing');
  t.ok(other.typing(true));
  t.match(await typing, { user_id: ben.id, is_typing: true });
  const read = next(socket, 'messages_read');
  t.ok(other.markRead(room.id, id));
  t.match(await read, { user_id: ben.id, message_id: id });
  const online = next(socket, 'online_users');
  t.ok(socket.getOnlineUsers(room.id));
  t.equal((await online).total_online, 2);
  const refused = next(socket, 'error');
  t.ok(socket.joinRoom(unknown));
  t.match(await refused, { code: 'RESOURCE_NOT_FOUND' });
  t.match(await socket.ping(), /^\d+$/);

  t.test('goes on where it was when the server comes back', async (t) => {
    const texts: (string | null)[] = [];
    socket.on('message', (message) => texts.push(message.content));
    const states: string[] = [];
    socket.on('state', ({ state }) => states.push(state));
    const waiting = next(socket, 'state');
    const { position } = socket;
    const restarted = product.restart();
    t.match(await waiting, { state: 'waiting', end: { code: 1001 } });
    await restarted;
    await new ChatAPI(ben.key, config).messages.send({ room_id: room.id, content: 'meanwhile' });
    while (texts.length === 0) await next(socket, 'message');
    t.same(texts, ['meanwhile']);
    t.ok(BigInt(socket.position ?? 0) > BigInt(position ?? 0));
    t.equal(states.at(-1), 'open');
  });

  t.test('ends when its key does', async (t) => {
    const { user } = await new ChatAPI(client.key, config).users.login(ann.email);
    t.equal(user.id, ann.id);
    const end = new EventTarget();
    if (socket.state !== 'closed') {
      socket.on('state', ({ state }) => state === 'closed' && end.dispatchEvent(new Event('closed')));
      await once(end, 'closed');
    }
    t.match(await errorOf(socket.opened()), { code: 'SOCKET_CLOSED' });
    t.notOk(socket.typing(true, room.id));
    t.match(await errorOf(chat.clients.me()), { code: 'INVALID_CREDENTIALS', status: 401 });
  });
});

/** A port that nobody listens at. */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
