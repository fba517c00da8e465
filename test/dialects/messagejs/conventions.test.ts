import t from 'tap';
import { heldRows } from '../../support/held-rows.ts';
import { stackOfRun } from '../../support/stacks.ts';
import { startHarness } from './harness.ts';

/** MessageJS sheet, sections 1 and 3, and design promise 8. */
t.test('conventions', async (t) => {
  const parley = await startHarness(t, { INTERNAL_PING_SECRET: 'ping me' });
  const { user, projectId, key } = await parley.ground();
  const { token } = user;

  t.test('a slash at the end is the same route', async (t) => {
    t.equal((await parley.get('/auth/me/', token)).status, 200);
    t.equal((await parley.post('/messages/', {}, key)).at('code'), 'MISSING_REQUIRED_FIELD');
    t.equal((await parley.get(`/projects/${projectId}/keys/`, token)).status, 200);
  });

  t.test('routes that are none', async (t) => {
    for (const [method, path] of [
      ['GET', '/nothing'],
      ['GET', ''],
      ['DELETE', '/messages'],
      ['PATCH', `/projects/${projectId}`],
      ['GET', `/projects/${projectId}/nothing`],
    ] as const) {
      // Without a credential they would be ChatAPI's.
      const answer = await parley.call(method, path, { as: token });
      t.equal(answer.status, 404, path);
      t.match(answer.body, { code: 'NOT_FOUND', error: /\w/ });
    }
    const malformed = await parley.get('/projects/%zz', token);
    t.equal(malformed.status, 400);
    t.equal(malformed.at('code'), 'INVALID_INPUT');
  });

  t.test('bodies that are none', async (t) => {
    const cases: readonly (readonly [string, string, number])[] = [
      ['{', 'application/json', 400],
      ['{"a":1}}', 'application/json; charset=utf-8', 400],
      ['undefined', 'application/json', 400],
      ['a=b', 'application/x-www-form-urlencoded', 415],
      ['x', 'text/plain', 415],
      ['x', 'nonsense', 415],
      ['"x"', 'application/json', 400],
      [JSON.stringify({ name: 'x'.repeat(300_000) }), 'application/json', 413],
    ];
    for (const [body, contentType, status] of cases) {
      const answer = await parley.call('POST', '/projects', { as: token, body, contentType });
      t.equal(answer.status, status, `${contentType} ${body.slice(0, 20)}`);
      t.equal(answer.at('code'), 'INVALID_INPUT');
    }
    const latin1 = await fetch(`${parley.url}/api/v1/projects`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: Buffer.from('{"name":"Caf\xe9"}', 'latin1'),
    });
    t.match([latin1.status, await latin1.json()], [400, { code: 'INVALID_INPUT' }], 'no UTF-8');
    const odd = '{"name":"Polluted","__proto__":{"description":"x"},"constructor":{"prototype":{"a":1}}}';
    const answer = await parley.call('POST', '/projects', { as: token, body: odd });
    t.equal(answer.status, 201);
    t.equal(answer.at('description'), null);
    t.equal(({} as Record<string, unknown>).a, undefined);
    const empty = await parley.call('POST', '/projects', { as: token, body: '' });
    t.equal(empty.at('code'), 'MISSING_REQUIRED_FIELD');
  });

  t.test('a token is asked for before the body is looked at', async (t) => {
    const answer = await parley.call('POST', '/projects', { body: '{' });
    t.equal(answer.status, 401);
    t.equal(answer.at('code'), 'INVALID_TOKEN');
  });

  t.test('fields in details', async (t) => {
    const answer = await parley.post('/projects', { name: 'ab', description: 5 }, token);
    t.match(answer.at('details.fields'), [
      { path: 'name', message: /\w/ },
      { path: 'description', message: /\w/ },
    ]);
  });

  t.test('positions', async (t) => {
    const created = await parley.post('/projects', { name: 'Positioned' }, token);
    const position = created.headers.get('x-parley-position') ?? '';
    const at = (value: string) =>
      parley.call('GET', '/projects', { as: token, headers: { 'x-parley-position': value } });
    const seen = await at(position);
    t.equal(seen.status, 200);
    t.equal(seen.at('projects.0.name'), 'Positioned');
    t.equal(seen.headers.get('x-parley-stale'), null);
    for (const value of ['', 'x', '-1', '1.5', '99999999999999999999', String(BigInt(position) + 1_000n)]) {
      const answer = await at(value);
      t.equal(answer.status, 400, value);
      t.equal(answer.at('code'), 'INVALID_INPUT', value);
    }
  });

  t.test('calls from pages', async (t) => {
    const preflight = (path: string, method: string, origin = 'https://app.example') =>
      parley.call('OPTIONS', path, {
        headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'authorization' },
      });
    const answer = await preflight('/projects', 'PUT');
    t.equal(answer.status, 204);
    t.equal(answer.headers.get('access-control-allow-origin'), 'https://app.example');
    t.equal(answer.headers.get('access-control-allow-credentials'), 'true');
    t.equal(answer.headers.get('access-control-allow-methods'), 'GET, POST, PUT, DELETE, OPTIONS');
    t.match(answer.headers.get('access-control-allow-headers'), 'Idempotency-Key, X-Parley-Position');
    const list = await parley.call('GET', '/projects', { as: token, headers: { origin: 'https://app.example' } });
    t.match(list.headers.get('access-control-expose-headers'), 'X-Parley-Position, X-Parley-Stale');
  });

  t.test('operations', async (t) => {
    t.match((await parley.get('/health')).body, { status: 'ok', details: { api: 'ok', database: 'ok', redis: 'ok' } });
    const ping = await parley.get('/internal/ping?secret=ping%20me');
    t.match(ping.body, { status: 'ok', message: 'pong', timestamp: /Z$/ });
    t.equal((await parley.get('/internal/ping?secret=x')).status, 403);
    t.equal((await parley.get('/internal/ping')).status, 403);
  });

  t.test('rows that are behind say so; who asks for a position waits, or is told', async (t) => {
    const letRowsGo = await heldRows(t, parley.databaseUrl);
    const created = await parley.post('/projects', { name: 'Unseen' }, token);
    t.equal(created.status, 201);
    const stale = await parley.call('GET', '/projects', { as: token, asItIs: true });
    t.equal(stale.status, 200);
    t.equal(stale.headers.get('x-parley-stale'), 'true');
    t.not(stale.at('projects.0.name'), 'Unseen');
    const position = created.headers.get('x-parley-position') ?? '';
    const headers = { 'x-parley-position': position };
    const late = await parley.call('GET', '/projects', { as: token, headers });
    t.equal(late.status, 503);
    t.equal(late.at('code'), 'SERVICE_UNAVAILABLE');
    t.match(late.headers.get('retry-after'), /^[1-9]\d*$/);
    await letRowsGo();
    const fresh = await parley.call('GET', '/projects', { as: token, headers });
    t.equal(fresh.at('projects.0.name'), 'Unseen');
    t.equal(fresh.headers.get('x-parley-stale'), null);
  });
});

t.test('in production', async (t) => {
  const parley = await startHarness(t, { NODE_ENV: 'production', ALLOWED_ORIGINS: 'https://dashboard.example' });
  const ask = (path: string, method: string, origin: string) =>
    parley.call('OPTIONS', path, { headers: { origin, 'access-control-request-method': method } });
  const own = await ask('/projects', 'POST', 'https://dashboard.example');
  t.equal(own.headers.get('access-control-allow-credentials'), 'true');
  const foreign = await ask('/projects', 'POST', 'https://shop.example');
  t.equal(foreign.headers.get('access-control-allow-origin'), null);
  for (const path of ['/messages', '/messages/batch']) {
    const send = await ask(path, 'POST', 'https://shop.example');
    t.equal(send.headers.get('access-control-allow-origin'), '*', 'any page may send');
    t.equal(send.headers.get('access-control-allow-credentials'), null);
  }
  // What may be asked there is ChatAPI's to say as well; the answer is the page's to read only where we let it.
  const history = await ask('/messages', 'GET', 'https://shop.example');
  t.equal(history.headers.get('access-control-allow-credentials'), null);
  const foreignHeaders = { origin: 'https://shop.example', cookie: 'authToken=x' };
  const read = await parley.call('GET', '/messages', { headers: foreignHeaders });
  t.equal(read.headers.get('access-control-allow-origin'), null);
  const projects = await ask('/projects', 'GET', 'https://shop.example');
  t.equal(projects.headers.get('access-control-allow-origin'), null);
});

t.test('storage that is away', async (t) => {
  const parley = await startHarness(t);
  const { user, projectId, key, connectorId, templateId } = await parley.ground();
  parley.way.cut();
  const send = { to: '+1234567890', connectorId, templateId };
  const idempotent = { as: key, body: send, headers: { 'idempotency-key': 'through the storm' } };
  const answers = await Promise.all([
    parley.call('POST', '/messages', idempotent),
    parley.post('/messages/batch', [send], key),
    parley.get('/projects', user.token),
    parley.get(`/messages?projectId=${projectId}`, user.token),
    parley.post('/projects', { name: 'abc' }, user.token),
    parley.post('/auth/login', { email: user.email, password: user.password }),
    parley.get('/health'),
    parley.call('POST', '/webhooks/whatsapp', {
      body: {
        object: 'whatsapp_business_account',
        entry: [{ changes: [{ field: 'messages', value: { statuses: [{ id: 'wamid.x', status: 'delivered' }] } }] }],
      },
    }),
  ]);
  // A login takes no more than the log, which is away where it is in this database.
  const login = answers.splice(5, 1)[0];
  t.equal(login?.status, stackOfRun().startsWith('eventstoredb') ? 200 : 503);
  for (const [i, answer] of answers.entries()) {
    // An item of a batch has its own status.
    const status = answer.status === 200 && i === 1 ? answer.at('0.status') : answer.status;
    t.equal(status, 503, `${i} ${answer.text}`);
    if (answer.status === 503) t.match(answer.headers.get('retry-after'), /^[1-9]\d*$/);
    if (i !== 5 && answer.status === 503) t.equal(answer.at('code'), 'SERVICE_UNAVAILABLE');
  }
  parley.way.restore();
  const again = await parley.call('POST', '/messages', idempotent);
  t.equal(again.status, 202, 'the same key finds out');
  await parley.status(again.str('messageId'), 'delivered', user.token);
  const twice = await parley.call('POST', '/messages', idempotent);
  t.equal(twice.at('messageId'), again.at('messageId'));
});
