/** What the SDK sends, retries and makes of answers, against a server with a script. */
import t, { type Test } from 'tap';
import { ChatAPI, ChatAPIError } from '../../../src/sdk/chatapi/node.ts';
import type { ChatAPIConfig } from '../../../src/sdk/chatapi/public.d.ts';
import { type Answer, startServer } from '../server.ts';
import { errorOf } from './outcomes.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const done: Answer = { body: { data: { id: 'it' }, status: 'success', timestamp: '2026-01-01T00:00:00Z' } };
const away: Answer = { status: 503, body: { detail: 'Away', error_code: 'SERVICE_UNAVAILABLE', status_code: 503 } };
const limited: Answer = { status: 429, body: { detail: 'Too fast', error_code: 'RATE_LIMIT_EXCEEDED' } };
const unread: Answer = { body: 'no JSON' };

async function setUp(t: Test, answers: readonly Answer[], config: ChatAPIConfig = {}) {
  const server = await startServer(t, answers);
  return { ...server, chat: new ChatAPI('sk_user_1', { baseUrl: `${server.origin}/api/v1`, ...config }) };
}

/** A page of numbers. */
function pageOf(data: readonly number[], page: number, has_next: boolean): Answer {
  return { body: { data, pagination: { page, size: 2, total: 3, pages: 2, has_next, has_prev: page > 1 } } };
}

t.test('a request has the key; a body where there is one, and what is undefined nowhere', async (t) => {
  const { chat, requests } = await setUp(t, [done]);
  t.same(await chat.rooms.create({ name: 'Tea', description: undefined }), { id: 'it' });
  await chat.rooms.get('a/b?c');
  await chat.messages.list({ room_id: 'r', include_deleted: false, start_date: new Date(0), search: undefined });
  const [create, get, list] = requests;
  t.match(create, {
    method: 'POST',
    path: '/api/v1/rooms',
    body: '{"name":"Tea"}',
    headers: { authorization: 'Bearer sk_user_1', 'content-type': 'application/json', 'idempotency-key': uuid },
  });
  t.match(get, { method: 'GET', path: '/api/v1/rooms/a%2Fb%3Fc', body: '' });
  t.notHas(get?.headers, ['content-type', 'idempotency-key']);
  t.equal(list?.path, '/api/v1/messages?room_id=r&include_deleted=false&start_date=1970-01-01T00%3A00%3A00.000Z');
});

t.test('creates keep one idempotency key through their retries, and have another in the next call', async (t) => {
  const { chat, requests } = await setUp(t, [away, { failure: 'drop' }, { failure: 'cut' }, done], { retries: 3 });
  const all = [
    () => chat.users.create({ email: 'a@example.com', username: 'a' }),
    () => chat.rooms.create(),
    () => chat.messages.send({ room_id: 'r', content: 'x' }),
    () => chat.notifications.create({ type: 'email', content: 'x' }),
    () => chat.webhooks.create({ url: 'https://example.com', events: [] }),
  ];
  await all[0]?.();
  for (const create of all) await create();
  await chat.messages.send({ room_id: 'r', content: 'x' }, { idempotencyKey: 'mine' });
  const keys = requests.map(({ headers }) => headers['idempotency-key']);
  t.equal(new Set(keys.slice(0, 4)).size, 1, 'four attempts, one key');
  t.equal(new Set(keys).size, all.length + 2, 'every call has its own');
  t.equal(keys.at(-1), 'mine');
});

t.test('what may take effect twice is tried again after a limit alone', async (t) => {
  const calls: Record<string, (chat: InstanceType<typeof ChatAPI>) => Promise<unknown>> = {
    login: (chat) => chat.users.login('a@example.com'),
    register: (chat) => chat.clients.create(),
    join: (chat) => chat.rooms.join('r'),
    leave: (chat) => chat.rooms.leave('r'),
    addMember: (chat) => chat.rooms.addMember('r', { user_id: 'u' }),
    cancel: (chat) => chat.notifications.cancel('n'),
    retry: (chat) => chat.notifications.retry('n'),
    redrive: (chat) => chat.webhooks.redrive('w', 'd'),
    replay: (chat) => chat.webhooks.replay('w', { from_position: 0 }),
  };
  for (const [name, call] of Object.entries(calls)) {
    for (const failure of [away, { failure: 'drop' } as const]) {
      const { chat, requests } = await setUp(t, [failure, done], { retries: 2 });
      await errorOf(call(chat));
      t.equal(requests.length, 1, name);
    }
    const { chat, requests } = await setUp(t, [limited, done], { retries: 1 });
    await call(chat);
    t.equal(requests.length, 2, `${name}, after 429`);
  }
  const { chat, requests } = await setUp(t, [away, done, away, done, away, done], { retries: 1 });
  await chat.messages.markRead('r', 'm');
  await chat.rooms.update('r', { name: 'x' });
  await chat.rooms.delete('r');
  t.equal(requests.length, 6, 'the same twice is tried again after anything');
});

t.test('failures', async (t) => {
  const problems = [{ field: 'content', message: 'Content cannot be empty' }];
  const invalid = { detail: 'Validation error in request data', error_code: 'VALIDATION_ERROR', errors: problems };
  const long = { ...limited, headers: { 'Retry-After': '61' } };
  const answers = [{ status: 422, body: invalid }, long, { status: 502, body: '<html>' }, unread];
  const { chat, requests } = await setUp(t, [...answers, { failure: 'drop' }], { retries: -1 });
  const send = () => errorOf(chat.messages.send({ room_id: 'r' }));
  t.match(await send(), { name: 'ChatAPIError', message: invalid.detail, status: 422, errors: problems });
  t.match(await send(), { message: 'Too fast', code: 'RATE_LIMIT_EXCEEDED', status: 429, errors: undefined });
  t.match(await send(), { message: 'HTTP error! Status: 502', code: undefined, status: 502 });
  t.match(await send(), { code: 'INVALID_RESPONSE', status: undefined });
  const lost = await send();
  t.match(lost, { code: 'NETWORK_ERROR', status: undefined, cause: { name: 'TypeError' } });
  t.ok(lost instanceof ChatAPIError && lost instanceof Error);
  t.equal(requests.length, 5, 'no retries unless asked for');
  const impatient = await setUp(t, [long, done], { retries: 5 });
  t.match(await errorOf(impatient.chat.rooms.list()), { status: 429 }, 'longer than 60 s is not waited for');
  t.equal(impatient.requests.length, 1);
});

t.test('what cannot be sent is not', async (t) => {
  const { chat, requests, origin } = await setUp(t, [done]);
  for (const id of ['', '.', '..', undefined as unknown as string]) {
    t.match(await errorOf(chat.users.get(id)), { code: 'INVALID_ARGUMENT' }, `${id}`);
    t.match(await errorOf(chat.rooms.members(id)), { code: 'INVALID_ARGUMENT' });
    t.match(await errorOf(chat.rooms.removeMember('r', id)), { code: 'INVALID_ARGUMENT' });
  }
  const keyless = new ChatAPI(null, { baseUrl: `${origin}/api/v1` });
  t.match(await errorOf(keyless.rooms.list()), { code: 'INVALID_ARGUMENT' });
  t.throws(() => keyless.connect(), { code: 'INVALID_ARGUMENT' });
  t.throws(() => new ChatAPI(''), { code: 'INVALID_ARGUMENT' });
  t.throws(() => new ChatAPI(undefined as unknown as string), { code: 'INVALID_ARGUMENT' });
  t.equal(requests.length, 0);
  await keyless.clients.create({ name: 'Acme' });
  await chat.clients.create({ name: 'Acme' });
  for (const { headers } of requests) t.notHas(headers, 'authorization', 'registering needs no key, and tells none');
});

t.test('lists: a page, and every page', async (t) => {
  const pages = [pageOf([1, 2], 1, true), pageOf([3], 2, false)];
  const { chat, requests } = await setUp(t, [pages[0] as Answer, ...pages]);
  t.match(await chat.rooms.list({ size: 2 }), { data: [1, 2], pagination: { has_next: true } });
  const all: unknown[] = [];
  for await (const each of chat.rooms.list({ size: 2, search: 'x' })) all.push(each);
  t.same(all, [1, 2, 3]);
  t.same(
    requests.map(({ path }) => path),
    ['/api/v1/rooms?size=2', '/api/v1/rooms?size=2&search=x', '/api/v1/rooms?size=2&search=x&page=2'],
  );
});

t.test('reads that wait for what was written', async (t) => {
  const at = (position: string): Answer => ({ ...done, headers: { 'X-Parley-Position': position } });
  const answers = [done, at('99'), at('100'), at('98'), done];
  const { chat, requests } = await setUp(t, answers, { consistentReads: true });
  await chat.rooms.get('r');
  t.equal(chat.position, null);
  for (let i = 0; i < 3; i++) await chat.rooms.update('r', { name: 'x' });
  t.equal(chat.position, '100', 'the highest');
  await chat.rooms.get('r');
  t.same(
    requests.map(({ headers }) => headers['x-parley-position']),
    [undefined, undefined, undefined, undefined, '100'],
  );
  const other = await setUp(t, [at('5'), done]);
  await other.chat.rooms.create();
  await other.chat.rooms.list();
  t.notHas(other.requests[1]?.headers, 'x-parley-position', 'unless told');
});

t.test('the address', async (t) => {
  const { origin, requests } = await setUp(t, [{ body: true }]);
  t.ok(await new ChatAPI('k', { baseUrl: `${origin}/api/v1/` }).health());
  t.equal(requests[0]?.path, '/api/v1/utils/health-check');
  const { fetch } = globalThis;
  t.teardown(() => {
    globalThis.fetch = fetch;
  });
  const asked: string[] = [];
  globalThis.fetch = async (input) => {
    asked.push(String(input));
    return new Response('true');
  };
  await new ChatAPI('k').health();
  t.same(asked, ['https://api.chatapi.dev/api/v1/utils/health-check']);
});
