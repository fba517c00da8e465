import t, { type Test } from 'tap';
import { type Answer, startHarness } from './harness.ts';

/** MessageJS sheet, section 15. */

function checkRefusal(t: Test, answer: Answer, limit: string, code = 'RATE_LIMIT_EXCEEDED'): void {
  t.equal(answer.status, 429);
  t.equal(answer.at('code'), code);
  const seconds = Number(answer.headers.get('retry-after'));
  t.ok(Number.isInteger(seconds) && seconds > 0, 'whole seconds');
  t.equal(answer.headers.get('x-ratelimit-limit'), limit);
  t.equal(answer.headers.get('x-ratelimit-remaining'), '0');
  const reset = answer.headers.get('x-ratelimit-reset') ?? '';
  t.equal(new Date(reset).toISOString(), reset, 'an ISO time');
}

t.test('a key', async (t) => {
  const parley = await startHarness(t, { KEY_RATE_LIMIT_FREE: '4' });
  const { user, projectId, key, connectorId, templateId } = await parley.ground();
  const good = { to: '+1234567890', connectorId, templateId };
  const send = (body: unknown, as: string) =>
    parley.call('POST', '/messages', { as, body, headers: { 'idempotency-key': 'same' } });

  const first = await send(good, key);
  t.equal(first.headers.get('x-ratelimit-limit'), '4', "the tier's, which is below the key's");
  t.equal(first.headers.get('x-ratelimit-remaining'), '3');
  t.equal((await send(good, key)).status, 202, 'a replay uses a point');
  t.equal((await send({}, key)).status, 400, 'so does what is refused');
  t.equal((await send('{', key)).status, 400, 'and what is no JSON');
  checkRefusal(t, await send(good, key), '4');
  checkRefusal(t, await send('{', key), '4');

  const own = await parley.post(`/projects/${projectId}/keys`, { rateLimit: 1 }, user.token);
  t.equal((await send(good, own.str('key'))).status, 202, 'another key has its own');
  checkRefusal(t, await send(good, own.str('key')), '1');
});

t.test('the month', async (t) => {
  const parley = await startHarness(t, { QUOTA_FREE: '2' });
  const { user, key, connectorId, templateId } = await parley.ground();
  const good = { to: '+1234567890', connectorId, templateId };
  const send = (body: unknown, idempotencyKey?: string, as = key) =>
    parley.call('POST', '/messages', {
      as,
      body,
      headers: idempotencyKey ? { 'idempotency-key': idempotencyKey } : {},
    });
  t.equal((await send({ ...good, to: 'x' })).status, 400);
  t.equal((await send({ ...good, connectorId: 'x' })).status, 404, 'only what is accepted counts');
  const first = await send(good, 'first');
  t.equal((await send(good)).status, 202);
  checkRefusal(t, await send(good), '2', 'QUOTA_EXCEEDED');
  const now = new Date();
  const end = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)).toISOString();
  t.equal((await send(good)).headers.get('x-ratelimit-reset'), end, 'the end of the month');
  t.equal((await send({ ...good, connectorId: 'x' })).at('code'), 'QUOTA_EXCEEDED', 'before the connector');
  t.strictSame((await send(good, 'first')).body, first.body, 'a replay needs none');
  const second = await parley.ground({ user });
  const elsewhere = { ...good, connectorId: second.connectorId, templateId: second.templateId };
  t.equal((await send(elsewhere, undefined, second.key)).at('code'), 'QUOTA_EXCEEDED', "the user's, not the project's");
});

t.test('the dashboard', async (t) => {
  const parley = await startHarness(t, { DASHBOARD_RATE_LIMIT_FREE: '3' });
  const user = await parley.user();
  const other = await parley.user();
  const read = (path: string) => parley.call('GET', path, { as: user.token, asItIs: true });
  t.equal((await read('/auth/me')).headers.get('x-ratelimit-remaining'), '2');
  t.equal((await read('/projects/x')).status, 404);
  t.equal((await parley.post('/projects', {}, user.token)).status, 400);
  checkRefusal(t, await parley.get('/projects', user.token), '3');
  t.equal((await parley.get('/auth/me', other.token)).status, 200, 'per user');
  t.equal((await parley.post('/auth/logout', undefined, user.token)).status, 200);
});

t.test('registering and logging in, per address of the client', async (t) => {
  const env = { AUTH_RATE_LIMIT_POINTS: '3', TRUSTED_PROXIES: 'loopback' };
  const parley = await startHarness(t, env);
  const from = (address: string, path: string, body: unknown) =>
    parley.call('POST', path, { body, headers: { 'x-forwarded-for': address } });
  const person = { email: 'a@example.com', password: 'SecurePassword123!' };
  t.equal((await from('203.0.113.1', '/auth/register', person)).status, 201);
  t.equal((await from('203.0.113.1', '/auth/login', { ...person, password: 'x' })).status, 401);
  t.equal((await from('203.0.113.1', '/auth/login', {})).status, 400, 'failures use points');
  const refused = await from('203.0.113.1', '/auth/login', person);
  checkRefusal(t, refused, '3');
  checkRefusal(t, await from('203.0.113.1', '/auth/register', person), '3');
  const { refreshToken } = (await from('203.0.113.2', '/auth/login', person)).body as { refreshToken: string };
  t.ok(refreshToken, 'another address');
  t.equal((await from('203.0.113.1', '/auth/refresh', { refreshToken })).status, 200, 'a refresh is no login');
});

t.test('every limit can be switched off', async (t) => {
  const off = { KEY_RATE_LIMIT_FREE: '0', QUOTA_FREE: '0' };
  const parley = await startHarness(t, off);
  const { user, projectId, connectorId, templateId } = await parley.ground();
  const key = await parley.post(`/projects/${projectId}/keys`, { rateLimit: 5_000 }, user.token);
  const sent = await parley.post('/messages', { to: '+1234567890', connectorId, templateId }, key.str('key'));
  t.equal(sent.status, 202);
  t.equal(sent.headers.get('x-ratelimit-limit'), '5000', "the key's own limit stays");
  t.equal((await parley.get('/auth/me', user.token)).headers.get('x-ratelimit-limit'), null);
});

t.test('tiers', async (t) => {
  const limits = { KEY_RATE_LIMIT_PRO: '20000', DASHBOARD_RATE_LIMIT_FREE: '100' };
  const parley = await startHarness(t, limits);
  const { user, projectId, connectorId, templateId } = await parley.ground();
  const made = await parley.post(`/projects/${projectId}/keys`, { rateLimit: 1_000_000 }, user.token);
  const limitOf = async () => {
    const sent = await parley.post('/messages', { to: '+1234567890', connectorId, templateId }, made.str('key'));
    return sent.headers.get('x-ratelimit-limit');
  };
  t.equal(await limitOf(), '1000');
  await parley.tier(user.email, 'pro');
  // Set beside the server, which hears of it through the log.
  for (const until = Date.now() + 10_000; (await limitOf()) === '1000' && Date.now() < until; );
  t.equal(await limitOf(), '20000');
  t.equal((await parley.get('/auth/me', user.token)).headers.get('x-ratelimit-limit'), '500');
});
