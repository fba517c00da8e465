/** One conversation, two APIs (design section 8): a ChatAPI client whose workspace is that of the Company dialect. */
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { issueMasterKey } from '../../src/wiring/operations.ts';
import { freshly } from '../support/fresh.ts';
import { harnessOf } from './chatapi/harness.ts';
import { open } from './chatapi/sockets.ts';
import { Peer } from './company/harness.ts';
import { startProduct } from './harness.ts';

/** Both dialects on one workspace. */
async function startBoth(t: Test) {
  const chat = harnessOf(await startProduct(t, 'chatapi'));
  const master = await issueMasterKey(chat.config);
  const call = async <T>(method: string, path: string, token?: string, body?: object) => {
    const headers = {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    };
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    const ask = () => fetch(`${chat.url}/api${path}`, init);
    const response = method === 'GET' ? await freshly(ask) : await ask();
    return { status: response.status, body: (await response.json()) as T };
  };
  const company = {
    post: <T>(path: string, body: object, token?: string) => call<T>('POST', path, token, body),
    get: async <T>(path: string, token: string) => (await call<T>('GET', path, token)).body,
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
    const { body: made } = await company.post<{ id: number; password: string }>('/users', {
      user: { name, subname: 'Doe', email, job: 'CEO' },
    });
    const { body: login } = await company.post<{ data: { token: string } }>('/login', {
      creds: { email, password: made.password },
    });
    // The server of the client knows its people by their addresses.
    const known = await chat.post('/users/login', { email }, master);
    return {
      number: made.id,
      token: login.data.token,
      id: known.str('data.user.id'),
      key: known.str('data.scoped_api_key'),
    };
  };
  return { chat, master, company, join, person };
}

t.test('a conversation of Company is a direct room of ChatAPI', async (t) => {
  const { chat, master, company, join, person } = await startBoth(t);
  const [ann, bob] = [await person('Ann'), await person('Bob')];
  const { body: conversation } = await company.post<{ id: number }>(
    '/conversations',
    { recipient: bob.number },
    ann.token,
  );
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
  const listed = await company.get(`/messages?conv=${conversation.id}`, ann.token);
  t.match(listed, [{ content: 'over the channel' }, { content: 'by request' }, { content: 'by socket' }]);
  t.equal(
    (await chat.post(`/rooms/${room}/join`, {}, (await chat.user({ id: '', key: master }, 'cid')).key)).status,
    403,
  );
});

interface Conversation {
  readonly id: number;
  readonly sender_id: number;
  readonly recipient_id: number;
}

t.test('who is in a conversation, whichever API says so', async (t) => {
  const { chat, master, company, join, person } = await startBoth(t);
  const [ann, bob, eve] = [await person('Ann'), await person('Bob'), await person('Eve')];
  type Person = typeof ann;
  const begin = (from: Person, to: Person) =>
    company.post<Conversation>('/conversations', { recipient: to.number }, from.token);
  const conversations = (of: Person) => company.get<Conversation[]>('/conversations', of.token);
  const between = (id: number, from: Person, to: Person) => ({
    id,
    status: null,
    sender_id: from.number,
    recipient_id: to.number,
  });
  const enter = (room: string, who: Person) => chat.post(`/rooms/${room}/join`, { user_id: who.id }, master);

  const { body: talk } = await begin(ann, bob);
  const { body: notes } = await begin(ann, ann);
  const { body: rooms } = await chat.get('/rooms', ann.key);
  const both = (rooms as { data: { id: string; participant_count: number }[] }).data;
  const idOf = (members: number) => both.find((room) => room.participant_count === members)?.id ?? '';
  const [shared, own] = [idOf(2), idOf(1)];
  for (const room of [shared, own]) {
    const refused = await enter(room, eve);
    t.match([refused.status, refused.body], [400, { error_code: 'ROOM_FULL' }]);
  }
  t.same(await conversations(eve), []);

  t.equal((await chat.post(`/rooms/${shared}/leave`, {}, bob.key)).status, 200);
  t.same(await conversations(bob), []);
  const again = await begin(ann, bob);
  t.same([again.status, again.body], [200, between(talk.id, ann, bob)]);
  t.same(await conversations(bob), [between(talk.id, ann, bob)], 'in again');
  const [annJoined, bobJoined] = [await join(ann.token), await join(bob.token)];
  const say = (to: Person, conv: number, message: string) =>
    annJoined.send({
      topic: 'room:chat',
      event: 'send_msg',
      payload: { user: to.number, conv, message },
      ref: '1',
    });
  say(bob, talk.id, 'back again');
  t.match(await bobJoined.next(), { payload: { message: { content: 'back again' } } });

  t.equal((await chat.post(`/rooms/${shared}/leave`, {}, bob.key)).status, 200);
  t.equal((await enter(shared, eve)).status, 200);
  t.same(await conversations(ann), [between(talk.id, ann, eve), between(notes.id, ann, ann)], 'who is there is named');
  t.same(await conversations(eve), [between(talk.id, ann, eve)]);
  say(eve, talk.id, 'to whom the list names');
  t.match((await company.get<{ content: string }[]>(`/messages?conv=${talk.id}`, eve.token)).at(-1), {
    content: 'back again',
  });

  t.equal((await chat.post(`/rooms/${shared}/leave`, { user_id: ann.id }, master)).status, 200);
  t.equal((await enter(shared, bob)).status, 200);
  const [left] = await conversations(eve);
  t.same(left, between(talk.id, eve, bob), 'also in the place of who began it');
  t.equal((await chat.post(`/rooms/${shared}/leave`, { user_id: bob.id }, master)).status, 200);

  const direct = await chat.post('/rooms', { room_type: 'direct' }, eve.key);
  const alone = direct.str('data.id');
  t.equal((await conversations(eve)).length, 1, 'a room that waits for the other is no conversation yet');
  t.equal((await chat.post(`/rooms/${alone}/members`, { user_id: bob.id }, eve.key)).status, 200);
  const [, made] = await conversations(eve);
  t.match(made, { sender_id: eve.number, recipient_id: bob.number });
  const known = await begin(eve, bob);
  t.same([known.status, known.body], [200, made], 'found, though no pair was claimed');

  t.equal((await chat.put(`/users/${bob.id}`, { full_name: 'Robert Doe' }, master)).status, 200);
  const people = await company.get<{ id: number }[]>('/users', ann.token);
  t.match(
    people.find(({ id }) => id === bob.number),
    { name: 'Robert Doe', subname: '' },
  );
});
