import t, { type Test } from 'tap';
import { startHarness as startChat } from './chatapi/harness.ts';
import { startProduct } from './harness.ts';

type Headers = Readonly<Record<string, string>>;

/** ChatAPI sheet, section 14: every row both ways, and without a credential. */
t.test('paths on which MessageJS and ChatAPI meet', async (t) => {
  const chat = await startChat(t);
  const client = await chat.client();
  const user = await chat.user(client);
  const room = await chat.room(user.key);
  const message = await chat.message(user.key, room);
  const hook = { url: 'https://example.com/hook', events: ['room.created'] };
  const webhook = (await chat.created('/webhooks', hook, client.key)).str('data.id');

  const ask = async (method: string, path: string, headers: Headers = {}, body?: string) => {
    const response = await fetch(`${chat.url}/api/v1${path}`, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body }),
    });
    const text = await response.text();
    const json = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {};
    return { status: response.status, headers: response.headers, json, text };
  };
  const bearer = (key: string): Headers => ({ authorization: `Bearer ${key}` });
  const made = async (path: string, body: object, headers: Headers = {}) => {
    const answer = await ask('POST', path, headers, JSON.stringify(body));
    if (answer.status !== 201) throw new Error(answer.text);
    return answer.json;
  };
  const { token } = await made('/auth/register', { email: 'dev@example.com', password: 'SecurePassword123!' });
  const jwt = bearer(String(token));
  const cookie = { cookie: `theme=dark; authToken=${token}` };
  const { id: project } = await made('/projects', { name: 'A project' }, jwt);
  const { key } = await made(`/projects/${project}/keys`, {}, jwt);
  const pk = bearer(String(key));
  const master = bearer(client.key);
  const scoped = bearer(user.key);

  /** Whose words an answer is in: those of both are the merged body. */
  const whose = (json: Record<string, unknown>) => {
    const isMessageJs = 'code' in json;
    const isChatApi = 'error_code' in json || 'status' in json;
    return isMessageJs && isChatApi ? 'both' : isMessageJs ? 'messagejs' : isChatApi ? 'chatapi' : 'neither';
  };
  const rows = async (
    t: Test,
    cases: readonly (readonly [string, string, Headers, object | null, string, number, string?])[],
  ) => {
    for (const [method, path, headers, body, name, status, code] of cases) {
      const answer = await ask(method, path, headers, body === null ? undefined : JSON.stringify(body));
      const about = `${method} ${path} ${JSON.stringify(headers).slice(0, 40)} ${JSON.stringify(body)}`;
      t.strictSame([whose(answer.json), answer.status], [name, status], about);
      if (code !== undefined) t.equal(answer.json.code ?? answer.json.error_code, code, about);
    }
  };

  const ours = { room_id: room, content: 'x' };
  const theirs = { to: '+1', connectorId: 'conn_x', templateId: 'tpl_x' };

  t.test('POST /messages', async (t) => {
    await rows(t, [
      ['POST', '/messages', pk, theirs, 'messagejs', 404, 'CONNECTOR_NOT_FOUND'],
      ['POST', '/messages', pk, ours, 'messagejs', 400, 'MISSING_REQUIRED_FIELD'],
      ['POST', '/messages', master, ours, 'chatapi', 201],
      ['POST', '/messages/', scoped, ours, 'chatapi', 201],
      ['POST', '/messages', { 'x-api-key': user.key }, ours, 'chatapi', 201],
      ['POST', '/messages', scoped, theirs, 'chatapi', 422, 'VALIDATION_ERROR'],
      ['POST', '/messages', { 'x-api-key': 'nonsense' }, theirs, 'chatapi', 401],
      ['POST', '/messages', { 'x-api-key': String(key) }, ours, 'messagejs', 401, 'MISSING_API_KEY'],
      ['POST', '/messages', jwt, ours, 'messagejs', 401, 'INVALID_API_KEY'],
      ['POST', '/messages', cookie, ours, 'messagejs', 401, 'MISSING_API_KEY'],
      ['POST', '/messages', {}, theirs, 'messagejs', 401, 'MISSING_API_KEY'],
      ['POST', '/messages', bearer('nonsense'), theirs, 'messagejs', 401, 'INVALID_API_KEY'],
      ['POST', '/messages', {}, ours, 'chatapi', 401, 'INVALID_CREDENTIALS'],
      ['POST', '/messages', {}, { ...ours, ...theirs }, 'both', 401],
      ['POST', '/messages', {}, {}, 'both', 401],
      ['POST', '/messages', bearer('nonsense'), null, 'both', 401],
    ]);
    const merged = await ask('POST', '/messages', {}, '{');
    t.match(merged.json, {
      error: /\w/,
      code: 'MISSING_API_KEY',
      detail: /\w/,
      error_code: 'INVALID_CREDENTIALS',
      status_code: 401,
      timestamp: /Z$/,
    });
    t.equal((await ask('POST', '/messages', {}, `"${'x'.repeat(300_000)}"`)).status, 413);
  });

  t.test('GET /messages', async (t) => {
    const list = `/messages?projectId=${project}`;
    const shown = await ask('GET', list, jwt);
    t.strictSame([shown.status, shown.json.messages], [200, []]);
    t.equal((await ask('GET', list, cookie)).status, 200);
    await rows(t, [
      ['GET', list, {}, null, 'messagejs', 401, 'INVALID_TOKEN'],
      ['GET', '/messages?connector=twilio', {}, null, 'messagejs', 401],
      ['GET', '/messages?page=1', {}, null, 'chatapi', 401, 'INVALID_CREDENTIALS'],
      ['GET', `/messages?room_id=${room}`, {}, null, 'chatapi', 401],
      ['GET', `/messages?room_id=${room}`, scoped, null, 'chatapi', 200],
      ['GET', list, master, null, 'chatapi', 200],
      ['GET', '/messages?page=1', jwt, null, 'messagejs', 400],
      ['GET', '/messages?page=1&limit=1', {}, null, 'both', 401],
      ['GET', '/messages', {}, null, 'both', 401],
      ['GET', '/messages', bearer('nonsense'), null, 'both', 401],
      ['GET', '/messages', { 'x-api-key': 'nonsense' }, null, 'chatapi', 401],
    ]);
  });

  t.test('GET /messages/{id}', async (t) => {
    const foreign = 'msg_0k3v9c2m5t8x1q4z7b6n0d2f';
    await rows(t, [
      ['GET', `/messages/${message}`, scoped, null, 'chatapi', 200],
      ['GET', `/messages/${foreign}`, scoped, null, 'chatapi', 404],
      ['GET', `/messages/${message}`, jwt, null, 'messagejs', 404, 'MESSAGE_NOT_FOUND'],
      ['GET', `/messages/${foreign}`, cookie, null, 'messagejs', 404, 'MESSAGE_NOT_FOUND'],
      ['GET', `/messages/${foreign}`, {}, null, 'messagejs', 401],
      ['GET', `/messages/${message}`, {}, null, 'chatapi', 401],
      ['GET', '/messages/search?q=x', {}, null, 'chatapi', 401],
      ['GET', '/messages/search?q=x', jwt, null, 'messagejs', 404, 'MESSAGE_NOT_FOUND'],
      ['GET', '/messages/nonsense', {}, null, 'both', 401],
    ]);
  });

  t.test('/webhooks/{word}', async (t) => {
    t.strictSame((await ask('POST', '/webhooks/whatsapp', {}, '{}')).json, { received: true });
    await rows(t, [
      ['GET', '/webhooks/whatsapp', {}, null, 'messagejs', 400],
      ['POST', '/webhooks/twilio', {}, null, 'messagejs', 403],
      ['POST', '/webhooks/whatsapp', master, {}, 'chatapi', 404],
      ['GET', '/webhooks/twilio', scoped, null, 'chatapi', 403],
      ['GET', '/webhooks/twilio', {}, null, 'messagejs', 404],
      ['GET', `/webhooks/${webhook}`, master, null, 'chatapi', 200],
      ['GET', `/webhooks/${webhook}`, scoped, null, 'chatapi', 403, 'INSUFFICIENT_PERMISSIONS'],
      ['GET', `/webhooks/${webhook}`, { 'x-api-key': client.key }, null, 'chatapi', 200],
      ['GET', `/webhooks/${webhook}`, {}, null, 'chatapi', 401, 'INVALID_CREDENTIALS'],
      ['GET', `/webhooks/${webhook}`, bearer('nonsense'), null, 'chatapi', 401],
      ['GET', `/webhooks/${webhook}`, jwt, null, 'messagejs', 404],
      ['GET', `/webhooks/${webhook}`, cookie, null, 'messagejs', 404],
      ['POST', `/webhooks/${webhook}`, master, {}, 'chatapi', 404],
      ['POST', `/webhooks/${webhook}`, {}, {}, 'chatapi', 404],
      ['POST', `/webhooks/${webhook}`, pk, {}, 'messagejs', 404],
    ]);
    t.comment('the collection, and what stands deeper, is ChatAPI alone');
    await rows(t, [
      ['GET', '/webhooks', master, null, 'chatapi', 200],
      ['GET', '/webhooks', {}, null, 'chatapi', 401],
      ['GET', '/webhooks', jwt, null, 'chatapi', 401],
      ['POST', '/webhooks', {}, {}, 'chatapi', 401],
      ['POST', '/webhooks', master, {}, 'chatapi', 422],
      ['POST', `/webhooks/${webhook}/test`, {}, {}, 'chatapi', 401],
    ]);
  });

  t.test('/auth/*, unknown paths, and routes of one dialect', async (t) => {
    await rows(t, [
      ['POST', '/auth/login', {}, {}, 'messagejs', 400],
      ['POST', '/auth/nothing', {}, {}, 'messagejs', 404],
      ['POST', '/auth/login', master, {}, 'chatapi', 404],
      ['GET', '/auth/me', scoped, null, 'chatapi', 404],
      ['GET', '/nothing', jwt, null, 'messagejs', 404],
      ['GET', '/nothing', pk, null, 'messagejs', 404],
      ['GET', '/nothing', cookie, null, 'messagejs', 404],
      ['GET', '/nothing', scoped, null, 'chatapi', 404],
      ['GET', '/nothing', {}, null, 'chatapi', 404],
      ['PATCH', '/messages', {}, null, 'chatapi', 404],
      ['GET', '/rooms/%zz', {}, null, 'chatapi', 400],
      ['GET', '/rooms/%zz', jwt, null, 'messagejs', 400],
      ['GET', '/rooms', pk, null, 'chatapi', 401],
      ['GET', '/rooms', jwt, null, 'chatapi', 401],
      ['GET', '/projects', master, null, 'messagejs', 401],
      ['PUT', `/messages/${message}`, jwt, {}, 'chatapi', 401],
    ]);
  });

  t.test('calls from pages', async (t) => {
    const origin = 'https://page.example';
    const preflight = async (path: string, method: string) => {
      const asked = { 'access-control-request-method': method, 'access-control-request-headers': 'x-api-key, x-mine' };
      const { status, headers } = await ask('OPTIONS', path, { origin, ...asked });
      const of = (name: string) => headers.get(`access-control-${name}`);
      return { status, origin: of('allow-origin'), methods: of('allow-methods'), headers: of('allow-headers') };
    };
    for (const [path, method] of [
      ['/messages', 'POST'],
      ['/messages', 'GET'],
      [`/messages/${message}`, 'GET'],
      ['/webhooks/whatsapp', 'POST'],
    ] as const) {
      const answer = await preflight(path, method);
      t.match(answer, {
        status: 204,
        methods: /GET, POST, PUT, DELETE, OPTIONS, HEAD, PATCH/,
        headers: 'x-api-key, x-mine',
      });
    }
    t.match(await preflight('/projects', 'GET'), { headers: /^Content-Type, Authorization/ }, 'of one dialect alone');
    t.match(await preflight('/rooms', 'GET'), { origin: '*', headers: 'x-api-key, x-mine' });
    const read = await ask('GET', `/messages/${message}`, { origin, ...scoped });
    t.equal(read.headers.get('access-control-allow-origin'), '*');
    const undecided = await ask('GET', '/messages', { origin });
    t.equal(undecided.headers.get('access-control-allow-origin'), origin);
  });

  t.test('the documents', async (t) => {
    const document = (await (await fetch(`${chat.url}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { requestBody?: object; responses: object }>>;
    };
    const send = document.paths['/api/v1/messages']?.post;
    t.match(send?.requestBody, { content: { 'application/json': { schema: { oneOf: Array } } } });
    t.match(send?.responses, {
      201: Object,
      202: Object,
      401: { content: { 'application/json': { schema: { oneOf: Array } } } },
    });
    t.ok(document.paths['/api/v1/rooms/all']);
  });
});

t.test('a host that is bound decides before all else', async (t) => {
  const product = await startProduct(t, 'chatapi', { DIALECT_HOSTS: 'localhost=chatapi, 127.0.0.1=messagejs' });
  const { port } = new URL(product.url);
  const ask = async (host: string, path: string) => {
    const response = await fetch(`http://${host}:${port}/api/v1${path}`, {
      headers: { authorization: 'Bearer pk_live_x' },
    });
    return (await response.json()) as object;
  };
  t.match(await ask('127.0.0.1', '/messages'), { code: 'INVALID_TOKEN' });
  t.match(await ask('127.0.0.1', '/nothing'), { code: 'NOT_FOUND' });
  t.match(await ask('127.0.0.1', '/rooms'), { error_code: 'INVALID_CREDENTIALS' }, 'a route of one dialect alone');
});
