import { randomUUID } from 'node:crypto';
import t from 'tap';
import { createClient } from '../../../src/sdk/messagejs/client.ts';
import { MessageJSError } from '../../../src/sdk/messagejs/error.ts';
import type { MessageJSConfig, SendParams } from '../../../src/sdk/messagejs/public.d.ts';
import { type Answer, accepted, startServer } from '../server.ts';

const params: SendParams = {
  to: '+1234567890',
  connectorId: 'conn_whatsapp_abc123',
  templateId: 'tpl_welcome_xyz456',
  variables: { name: 'John', code: '12345' },
};

const unavailable: Answer = { status: 503, body: { error: 'Storage is away', code: 'SERVICE_UNAVAILABLE' } };

/** A server with these answers, and a client that is set up for it. */
async function setUp(
  t: Parameters<typeof startServer>[0],
  answers: readonly Answer[],
  config: Partial<MessageJSConfig> = {},
) {
  const server = await startServer(t, answers);
  const client = createClient(randomUUID);
  client.init({ apiKey: 'pk_live_1', baseUrl: `${server.origin}/api/v1`, ...config });
  return { ...server, client };
}

/** The error that a send ends with; the test fails when it does not. */
async function errorOf(send: Promise<unknown>): Promise<MessageJSError> {
  const outcome = await send.then(
    () => 'no error',
    (error: unknown) => error,
  );
  if (outcome instanceof MessageJSError) return outcome;
  throw new Error(`expected a MessageJSError, got ${String(outcome)}`);
}

t.test('a send is one POST with the key, a new UUID and exactly the four fields', async (t) => {
  const { client, requests } = await setUp(t, [accepted]);
  const result = await client.sendMessage({ ...params, projectId: 'proj_1', extra: true } as SendParams);
  await client.sendMessage(params);
  t.same(result, { messageId: 'msg_abc123def456', status: 'queued' });
  const [first, second] = requests;
  t.match(first, {
    method: 'POST',
    path: '/api/v1/messages',
    headers: { 'content-type': 'application/json', authorization: 'Bearer pk_live_1' },
  });
  t.same(JSON.parse(first!.body), params);
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  t.match(first!.headers['idempotency-key'], uuid);
  t.match(second!.headers['idempotency-key'], uuid);
  t.not(first!.headers['idempotency-key'], second!.headers['idempotency-key'], 'one UUID per send');
});

t.test('variables that are not given are sent as an empty object', async (t) => {
  const { client, requests } = await setUp(t, [accepted]);
  const { variables: _, ...rest } = params;
  await client.sendMessage(rest);
  t.same(JSON.parse(requests[0]!.body), { ...rest, variables: {} });
});

t.test('any 2xx is a success and resolves to the JSON as it is', async (t) => {
  for (const status of [200, 201, 202, 299]) {
    const body = { messageId: 'msg_1', status: 'queued', failure: null, more: [1] };
    const { client } = await setUp(t, [{ status, body }]);
    t.same(await client.sendMessage(params), body, `${status}`);
  }
});

t.test('before init: a rejection that says what to do, and no request', async (t) => {
  const client = createClient(randomUUID);
  const error = await errorOf(client.sendMessage(params));
  t.match(error.message, /not initialized.*messagejs\.init\(\)/);
  t.match(error, { code: 'NOT_INITIALIZED', status: undefined });
});

t.test('init without a key throws and changes nothing', async (t) => {
  const { client, requests } = await setUp(t, [accepted]);
  t.throws(() => client.init({ apiKey: '', baseUrl: 'http://elsewhere.invalid' }), { message: /apiKey/ });
  await client.sendMessage(params);
  t.equal(requests.length, 1);
  t.throws(() => createClient(randomUUID).init({ retries: 1 }), { name: 'MessageJSError', message: /apiKey/ });
});

t.test('init again replaces only what it is given', async (t) => {
  const { client, requests } = await setUp(t, [unavailable, accepted], { retries: 1 });
  client.init('pk_live_2');
  await client.sendMessage(params);
  client.init({ apiKey: undefined, baseUrl: undefined, retries: undefined } as unknown as Partial<MessageJSConfig>);
  await client.sendMessage(params);
  t.equal(requests.length, 3, 'the address and the retries of the first init hold');
  t.same(
    requests.map(({ headers }) => headers.authorization),
    Array(3).fill('Bearer pk_live_2'),
  );
  const other = await startServer(t, [accepted]);
  client.init({ baseUrl: other.origin });
  await client.sendMessage(params);
  t.match(other.requests, [{ path: '/messages', headers: { authorization: 'Bearer pk_live_2' } }]);
});

t.test('one trailing slash of the address is removed, one only', async (t) => {
  const { client, requests, origin } = await setUp(t, [accepted]);
  client.init({ baseUrl: `${origin}/api/v1/` });
  await client.sendMessage(params);
  client.init({ baseUrl: `${origin}/api/v1//` });
  await client.sendMessage(params);
  t.same(
    requests.map(({ path }) => path),
    ['/api/v1/messages', '/api/v1//messages'],
  );
});

t.test('the default address is the public one', async (t) => {
  const { fetch } = globalThis;
  const urls: unknown[] = [];
  globalThis.fetch = async (url) => {
    urls.push(url);
    return Response.json(accepted.body, { status: 202 });
  };
  t.teardown(() => {
    globalThis.fetch = fetch;
  });
  const client = createClient(randomUUID);
  client.init('pk_live_1');
  await client.sendMessage(params);
  t.same(urls, ['https://api.messagejs.pro/api/v1/messages']);
});

t.test('init during a send leaves that send as it began', async (t) => {
  const { client, requests } = await setUp(t, [unavailable, accepted], { retries: 1 });
  const send = client.sendMessage(params);
  client.init({ apiKey: 'pk_live_2', baseUrl: 'http://127.0.0.1:1', retries: 0 });
  await send;
  t.match(requests, [
    { headers: { authorization: 'Bearer pk_live_1' } },
    { headers: { authorization: 'Bearer pk_live_1' } },
  ]);
});

t.test('the methods work without their object', async (t) => {
  const { client, requests } = await setUp(t, [accepted]);
  const { sendMessage, init } = client;
  init('pk_live_3');
  await sendMessage(params);
  t.match(requests, [{ headers: { authorization: 'Bearer pk_live_3' } }]);
});

t.test('attempts: retries + 1 at most, each with the same key and body', async (t) => {
  const cases: [retries: number | undefined, attempts: number][] = [
    [undefined, 1],
    [0, 1],
    [-3, 1],
    [Number.NaN, 1],
    [1, 2],
    [3, 4],
  ];
  for (const [retries, attempts] of cases) {
    const { client, requests } = await setUp(t, [unavailable], { retries });
    const error = await errorOf(client.sendMessage(params));
    t.match(error, { message: 'Storage is away', code: 'SERVICE_UNAVAILABLE', status: 503 });
    t.equal(requests.length, attempts, `retries: ${retries}`);
    t.equal(new Set(requests.map(({ headers }) => headers['idempotency-key'])).size, 1, 'one key');
    t.equal(new Set(requests.map(({ body }) => body)).size, 1, 'one body');
  }
});

t.test('retried: 429, 5xx, lost connections; then the success counts', async (t) => {
  const failures: Answer[] = [
    { status: 429, body: { error: 'Too fast', code: 'RATE_LIMIT_EXCEEDED' } },
    { status: 500 },
    { status: 502, body: '<html>bad gateway</html>' },
    unavailable,
    { status: 504, headers: { 'Retry-After': 'soon' } },
    { failure: 'drop' },
    { status: 202, body: '{"messageId":', failure: 'cut', headers: { 'Content-Length': '999' } },
    { status: 503, body: '{"error":', failure: 'cut', headers: { 'Content-Length': '999' } },
  ];
  for (const failure of failures) {
    const { client, requests } = await setUp(t, [failure, accepted], { retries: 1 });
    t.same(await client.sendMessage(params), accepted.body, JSON.stringify(failure));
    t.equal(requests.length, 2);
    t.equal(requests[0]!.headers['idempotency-key'], requests[1]!.headers['idempotency-key']);
  }
});

t.test('not retried: every other 4xx', async (t) => {
  for (const status of [400, 401, 403, 404, 408, 409, 413, 422, 425]) {
    const { client, requests } = await setUp(t, [{ status, body: { error: 'No', code: 'X' } }, accepted], {
      retries: 2,
    });
    t.match(await errorOf(client.sendMessage(params)), { message: 'No', code: 'X', status });
    t.equal(requests.length, 1, `${status}`);
  }
});

t.test('a retry waits for Retry-After, in seconds and as a date', async (t) => {
  const seconds = await setUp(t, [{ ...unavailable, headers: { 'Retry-After': '1' } }, accepted], { retries: 1 });
  await seconds.client.sendMessage(params);
  const [first, second] = seconds.requests;
  t.ok(second!.arrivedAtMs - first!.answeredAtMs >= 990, 'not before the second is over');

  const date = new Date(Date.now() + 2000).toUTCString();
  const dated = await setUp(t, [{ ...unavailable, headers: { 'Retry-After': date } }, accepted], { retries: 1 });
  await dated.client.sendMessage(params);
  t.ok(dated.requests[1]!.arrivedAtMs >= Date.parse(date) - 10, 'not before the date');
});

t.test('rejected at once: Retry-After above 60 s, and a used-up quota', async (t) => {
  const hopeless: Answer[] = [
    { status: 429, body: { error: 'Too fast', code: 'RATE_LIMIT_EXCEEDED' }, headers: { 'Retry-After': '61' } },
    { status: 503, headers: { 'Retry-After': new Date(Date.now() + 90_000).toUTCString() } },
    { status: 429, body: { error: 'Month is used up', code: 'QUOTA_EXCEEDED' } },
    { status: 429, body: { error: 'Month is used up', code: 'QUOTA_EXCEEDED' }, headers: { 'Retry-After': '1' } },
  ];
  for (const answer of hopeless) {
    const { client, requests } = await setUp(t, [answer, accepted], { retries: 5 });
    t.equal((await errorOf(client.sendMessage(params))).status, answer.status, JSON.stringify(answer));
    t.equal(requests.length, 1);
  }
});

t.test('the error carries what the server said', async (t) => {
  const details = { fields: [{ path: 'to', message: 'no number' }] };
  const { client } = await setUp(t, [
    { status: 400, body: { error: 'Invalid phone number', code: 'INVALID_TO', details } },
  ]);
  const error = await errorOf(client.sendMessage(params));
  t.ok(error instanceof Error);
  t.same(
    { name: error.name, message: error.message, code: error.code, status: error.status, details: error.details },
    { name: 'MessageJSError', message: 'Invalid phone number', code: 'INVALID_TO', status: 400, details },
  );
});

t.test('a refusal in another shape still tells its status', async (t) => {
  const bodies: unknown[] = [
    '<h1>Not found</h1>',
    '',
    'null',
    '[1]',
    '"text"',
    { error: '' },
    { error: { message: 'nested' }, code: 5, details: 'x' },
  ];
  for (const body of bodies) {
    const { client } = await setUp(t, [{ status: 404, body }]);
    const error = await errorOf(client.sendMessage(params));
    t.match(
      error,
      { message: 'HTTP error! Status: 404', status: 404, code: undefined, details: undefined },
      JSON.stringify(body),
    );
  }
  const { client } = await setUp(t, [{ status: 400, body: '{', failure: 'cut', headers: { 'Content-Length': '9' } }]);
  t.match(
    await errorOf(client.sendMessage(params)),
    { message: 'HTTP error! Status: 400', status: 400 },
    'body lost on the way',
  );
});

t.test('a success that cannot be read is reported with its status and not retried', async (t) => {
  for (const body of ['', 'OK', '[]', 'null']) {
    const { client, requests } = await setUp(t, [{ status: 202, body }, accepted], { retries: 2 });
    t.match(await errorOf(client.sendMessage(params)), { code: 'INVALID_RESPONSE', status: 202 }, JSON.stringify(body));
    t.equal(requests.length, 1);
  }
});

t.test('network failures keep their cause', async (t) => {
  const dropping = await setUp(t, [{ failure: 'drop' }], { retries: 1 });
  const dropped = await errorOf(dropping.client.sendMessage(params));
  t.match(dropped, { code: 'NETWORK_ERROR', status: undefined, message: /Network failure/ });
  t.ok(dropped.cause instanceof TypeError, 'what fetch rejected with');
  t.equal(dropping.requests.length, 2, 'retried');

  const cutting = await setUp(t, [{ status: 202, body: '{', failure: 'cut', headers: { 'Content-Length': '9' } }]);
  const cut = await errorOf(cutting.client.sendMessage(params));
  t.equal(cut.code, 'NETWORK_ERROR');
  t.ok(cut.cause instanceof Error);
});

t.test('variables that JSON cannot hold reject, and nothing is sent', async (t) => {
  const { client, requests } = await setUp(t, [accepted]);
  await t.rejects(client.sendMessage({ ...params, variables: { big: 1n } }), TypeError);
  t.equal(requests.length, 0);
});
