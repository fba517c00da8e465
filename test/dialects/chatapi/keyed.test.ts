import t, { type Test } from 'tap';
import { until } from '../../support/until.ts';
import { type Answer, type Client, type Harness, harnessOf, startHarness } from './harness.ts';

t.test('a key answers what it made, whatever has changed since, on a process that never heard of it', async (t) => {
  const chat = await startHarness(t);
  const client = await chat.client();
  const [ann, ben] = [await chat.user(client, 'ann'), await chat.user(client, 'ben')];
  const room = await chat.room(ann.key);
  await chat.post(`/rooms/${room}/join`, {}, ben.key);
  const asked = (key: string, content: string) => ({
    as: ben.key,
    body: { room_id: room, content },
    headers: { 'idempotency-key': key },
  });
  const kept = await chat.call('POST', '/messages', asked('kept', 'stays'));
  const gone = await chat.call('POST', '/messages', asked('gone', 'goes'));
  t.strictSame([kept.status, gone.status], [201, 201]);
  const erased = gone.at('data.id') as string;
  t.equal((await chat.del(`/messages/${erased}`, ben.key)).status, 204);
  t.equal((await chat.post(`/rooms/${room}/leave`, {}, ben.key)).status, 200);
  await until(async () => (await chat.events('MessagesErased')) > 0);

  const anew = harnessOf(await chat.restart());
  const again = await anew.call('POST', '/messages', asked('kept', 'stays'));
  t.equal(again.status, 201, 'it may not post any more, and did');
  t.equal(again.at('data.id'), kept.at('data.id'));
  const tombstone = await anew.call('POST', '/messages', asked('gone', 'goes'));
  t.equal(tombstone.status, 201);
  t.match(tombstone.at('data'), {
    id: erased,
    room_id: room,
    sender_id: ben.id,
    created_at: gone.at('data.created_at'),
    is_deleted: true,
  });
  t.equal((await anew.call('POST', '/messages', asked('new', 'late'))).status, 403, 'a new key is refused');
});

/** Something that is made with a key and goes again, and what a repetition is answered then. */
interface Kind {
  readonly path: string;
  readonly body: (made: { readonly room: string }) => object;
  /** What its answer keeps from the first one. */
  readonly kept: readonly string[];
  readonly end: (chat: Harness, client: Client, first: Answer) => Promise<Answer>;
  readonly status: number;
  /** The event after which nothing is left of it, if it is erased. */
  readonly erased?: string;
  readonly gone: object;
}

const del = (path: string) => (chat: Harness, client: Client, first: Answer) =>
  chat.del(`${path}/${first.str('data.id')}`, client.key);
const kinds: Readonly<Record<string, Kind>> = {
  user: {
    path: '/users',
    body: () => ({ email: 'u@example.com', username: 'u', full_name: 'Una' }),
    kept: ['id', 'scoped_api_key', 'created_at'],
    end: del('/users'),
    status: 204,
    erased: 'AccountErased',
    gone: {
      email: '',
      username: /^user\d+$/,
      full_name: 'Deleted user',
      is_active: false,
      is_deleted: true,
      scoped_api_key_is_active: false,
    },
  },
  'user whose key was replaced': {
    path: '/users',
    body: () => ({ email: 'k@example.com', username: 'k', full_name: 'Kay' }),
    kept: ['id', 'scoped_api_key', 'created_at'],
    end: (chat, client) => chat.post('/users/login', { email: 'k@example.com' }, client.key),
    status: 200,
    gone: { email: 'k@example.com', full_name: 'Kay', is_active: true, scoped_api_key_is_active: false },
  },
  room: {
    path: '/rooms',
    body: () => ({ name: 'Private matters', description: 'd', room_type: 'channel', meta: { a: 1 } }),
    kept: ['id', 'client_id', 'room_type', 'created_by_user_id', 'created_at'],
    end: del('/rooms'),
    status: 204,
    erased: 'RoomErased',
    gone: {
      name: null,
      description: null,
      meta: null,
      is_active: false,
      deactivated_reason: 'deleted',
      participant_count: 0,
      is_deleted: true,
    },
  },
  webhook: {
    path: '/webhooks',
    body: ({ room }) => ({ url: 'http://127.0.0.1:9/hook', events: ['room.created'], room_filters: [room] }),
    kept: ['id', 'client_id', 'secret'],
    end: del('/webhooks'),
    status: 204,
    erased: 'WebhookErased',
    gone: { url: '', events: [], is_active: false, room_filters: [], created_at: null, is_deleted: true },
  },
  notification: {
    path: '/notifications',
    body: () => ({
      type: 'email',
      to_email: 'a@example.com',
      from_email: 'b@example.com',
      subject: 's',
      content: 'c',
      scheduled_for: new Date(Date.now() + 3_600_000),
    }),
    kept: ['id', 'client_id', 'created_at', 'content'],
    end: del('/notifications'),
    status: 204,
    gone: { status: 'cancelled' },
  },
  'message that went with its room': {
    path: '/messages',
    body: ({ room }) => ({ room_id: room, content: 'secret', meta: { b: 2 }, sender_name: 'Mallory' }),
    kept: ['id', 'room_id', 'sender_id', 'created_at'],
    end: (chat, client, first) => chat.del(`/rooms/${first.str('data.room_id')}`, client.key),
    status: 204,
    erased: 'MessagesErased',
    gone: { content: null, meta: null, sender_name: null, is_deleted: true },
  },
};

t.test('a key answers the ids of what it made and is gone, with the tombstone, on every process', async (t) => {
  const chat = await startHarness(t, { OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8' });
  const client = await chat.client();
  const asked = await Promise.all(
    Object.entries(kinds).map(async ([name, kind]) => {
      const ask = {
        as: client.key,
        body: kind.body({ room: await chat.room(client.key) }),
        headers: { 'idempotency-key': name },
      };
      return { name, kind, ask, first: await chat.call('POST', kind.path, ask) };
    }),
  );
  const check = async (on: Harness, t: Test) => {
    for (const { name, kind, ask, first } of asked) {
      const again = await on.call('POST', kind.path, ask);
      t.equal(again.status, 201, name);
      const kept = Object.fromEntries(kind.kept.map((field) => [field, first.at(`data.${field}`)]));
      t.match(again.at('data'), { ...kept, ...kind.gone }, name);
      t.strictSame(fieldsOf(first).difference(fieldsOf(again)), new Set(), `${name}: in the shape of the first answer`);
    }
  };
  for (const { name, kind, first } of asked) {
    t.equal(first.status, 201, `${name}: ${first.text}`);
    t.notMatch(first.at('data'), { is_deleted: true });
    const ended = await kind.end(chat, client, first);
    t.equal(ended.status, kind.status, `${name}: ${ended.text}`);
  }
  await check(chat, t);
  for (const { kind } of asked) {
    const { erased } = kind;
    if (erased) await until(async () => (await chat.events(erased)) > 0);
  }
  await t.test('once nothing is left in the log', (t) => check(chat, t));
  const anew = harnessOf(await chat.restart());
  await t.test('on a process that never heard of it', (t) => check(anew, t));
});

function fieldsOf(answer: Answer): ReadonlySet<string> {
  return new Set(Object.keys(answer.at('data') as object));
}
