/** One conversation, two APIs (design section 8): a ChatAPI client whose workspace is that of the Company dialect. */
import { once } from 'node:events';
import t from 'tap';
import { WebSocket } from 'ws';
import { issueMasterKey } from '../../src/wiring/operations.ts';
import { harnessOf } from './chatapi/harness.ts';
import { open } from './chatapi/sockets.ts';
import { Peer } from './company/harness.ts';
import { startProduct } from './harness.ts';

t.test('a conversation of Company is a direct room of ChatAPI', async (t) => {
  const chat = harnessOf(await startProduct(t, 'chatapi'));
  const master = await issueMasterKey(chat.config);
  const company = async <T>(path: string, body: object, token?: string): Promise<T> => {
    const response = await fetch(`${chat.url}/api${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });
    return (await response.json()) as T;
  };
  const join = async (token: string) => {
    const ws = new WebSocket(`${chat.url.replace('http', 'ws')}/socket/websocket?token=${token}`);
    t.teardown(() => ws.terminate());
    await once(ws, 'open');
    const peer = new Peer(ws);
    await peer.join();
    return peer;
  };
  const person = async (name: string) => {
    const email = `${name}@mail.com`;
    const made = await company<{ id: number; password: string }>('/users', {
      user: { name, subname: 'Doe', email, job: 'CEO' },
    });
    const login = await company<{ data: { token: string } }>('/login', { creds: { email, password: made.password } });
    // The server of the client knows its people by their addresses.
    const known = await chat.post('/users/login', { email }, master);
    return {
      number: made.id,
      token: login.data.token,
      id: known.str('data.user.id'),
      key: known.str('data.scoped_api_key'),
    };
  };
  const [ann, bob] = [await person('Ann'), await person('Bob')];
  const conversation = await company<{ id: number }>('/conversations', { recipient: bob.number }, ann.token);
  const rooms = await chat.get('/rooms', bob.key);
  t.match(rooms.body, { data: [{ room_type: 'direct', participant_count: 2 }], pagination: { total: 1 } });
  const room = rooms.str('data.0.id');

  const [annJoined, bobOpen] = [await join(ann.token), await open(t, chat, bob.key)];
  annJoined.send({
    topic: 'room:chat',
    event: 'send_msg',
    payload: { user: bob.number, conv: conversation.id, message: 'over the channel' },
    ref: '1',
  });
  const said = { sender_id: ann.id, sender_name: 'Ann Doe', content: 'over the channel', message_type: 'text' };
  const shown = await bobOpen.next();
  t.match(shown, { type: 'message', room_id: room, data: said });
  t.match((await chat.get(`/messages?room_id=${room}`, bob.key)).body, { data: [{ id: shown.data.id, ...said }] });

  await chat.message(bob.key, room, 'by request');
  const pushed = { conversation_id: conversation.id, sender_id: bob.number };
  t.match(await annJoined.next(), {
    event: 'receive_msg',
    payload: { message: { ...pushed, content: 'by request' } },
  });
  bobOpen.send({ type: 'send_message', data: { room_id: room, content: 'by socket' } });
  t.match(await annJoined.next(), { payload: { message: { ...pushed, content: 'by socket' } } });
  t.match(
    (await bobOpen.quiet()).map(({ data }) => data.content),
    ['by request', 'by socket'],
  );
  const listed = await fetch(`${chat.url}/api/messages?conv=${conversation.id}`, {
    headers: { authorization: `Bearer ${ann.token}` },
  });
  t.match(await listed.json(), [{ content: 'over the channel' }, { content: 'by request' }, { content: 'by socket' }]);
  t.equal(
    (await chat.post(`/rooms/${room}/join`, {}, (await chat.user({ id: '', key: master }, 'cid')).key)).status,
    403,
  );
});
