import t from 'tap';
import { startHarness } from './harness.ts';

/** MessageJS sheet, section 6. */
t.test('API keys', async (t) => {
  const parley = await startHarness(t);
  const { user, projectId, connectorId, templateId } = await parley.ground();
  const keys = `/projects/${projectId}/keys`;
  const send = { to: '+1234567890', connectorId, templateId };

  t.test('the secret is shown once', async (t) => {
    const created = await parley.post(keys, { name: 'Production Key', rateLimit: 500 }, user.token);
    t.equal(created.status, 201);
    t.match(created.body, { name: 'Production Key', rateLimit: 500, isActive: true, id: /^key_[a-z0-9]{12,}$/ });
    t.match(created.at('key'), /^pk_live_[0-9a-f]{32}_sk_[0-9a-f]{64}$/);
    t.strictSame(Object.keys(created.body as object).sort(), [
      'createdAt',
      'id',
      'isActive',
      'key',
      'name',
      'rateLimit',
    ]);
    const list = await parley.get(keys, user.token);
    t.notOk(list.text.includes('_sk_'));
    t.match(list.at('keys.0'), { name: 'Production Key', lastUsed: null, rateLimit: 500, isActive: true });
    const stored = await parley.history();
    const [, secret = ''] = created.str('key').split('_sk_');
    t.notOk(
      stored.some(({ data }) => JSON.stringify(data).includes(secret)),
      'the log does not hold it',
    );
  });

  t.test('defaults, without any body', async (t) => {
    const created = await parley.post(keys, undefined, user.token);
    t.equal(created.status, 201);
    t.match(created.body, { name: 'API Key', rateLimit: 1000 });
    const high = await parley.post(keys, { rateLimit: 1_000_000 }, user.token);
    t.equal(high.at('rateLimit'), 1_000_000, "above the tier's: stored and echoed");
    const list = await parley.get(`${keys}?limit=2`, user.token);
    t.equal(list.at('keys.0.id'), high.at('id'), 'newest first');
    t.match(list.at('pagination'), { limit: 2, total: 4, hasMore: true });
  });

  t.test('refused', async (t) => {
    for (const body of [
      { rateLimit: 0 },
      { rateLimit: 1.5 },
      { rateLimit: '5' },
      { name: '' },
      { expiresAt: 'soon' },
      [],
    ]) {
      const answer = await parley.post(keys, body, user.token);
      t.equal(answer.status, 400, JSON.stringify(body));
      t.equal(answer.at('code'), 'INVALID_INPUT', JSON.stringify(body));
    }
  });

  t.test('lastUsed is the time of the latest accepted send', async (t) => {
    const created = await parley.post(keys, {}, user.token);
    t.equal((await parley.post('/messages', { ...send, to: 'x' }, created.str('key'))).status, 400);
    t.equal((await parley.get(keys, user.token)).at('keys.0.lastUsed'), null);
    const sent = await parley.post('/messages', send, created.str('key'));
    const message = await parley.get(`/messages/${sent.str('messageId')}`, user.token);
    t.equal((await parley.get(keys, user.token)).at('keys.0.lastUsed'), message.at('createdAt'));
  });

  t.test('a deleted key is dead at once', async (t) => {
    const created = await parley.post(keys, {}, user.token);
    t.equal((await parley.post('/messages', send, created.str('key'))).status, 202);
    const deleted = await parley.del(`${keys}/${created.str('id')}`, user.token);
    t.equal(deleted.status, 204);
    const dead = await parley.post('/messages', send, created.str('key'));
    t.equal(dead.status, 401);
    t.equal(dead.at('code'), 'INVALID_API_KEY');
    const list = await parley.get(keys, user.token);
    t.notOk(list.text.includes(created.str('id')));
  });

  t.test('an expired key', async (t) => {
    const soon = await parley.post(keys, { expiresAt: '2999-01-01T00:00:00+02:00' }, user.token);
    t.equal((await parley.post('/messages', send, soon.str('key'))).status, 202);
    const past = await parley.post(keys, { expiresAt: '2020-01-01T00:00:00Z' }, user.token);
    const answer = await parley.post('/messages', send, past.str('key'));
    t.equal(answer.status, 401);
    t.equal(answer.at('code'), 'API_KEY_EXPIRED');
  });

  t.test('keys that are none, and those of other projects', async (t) => {
    const other = await parley.ground({ user });
    for (const id of [other.keyId, connectorId, 'key_x', 'key_%00', `key_${'0'.repeat(24)}`]) {
      const answer = await parley.del(`${keys}/${id}`, user.token);
      t.equal(answer.status, 404, id);
      t.equal(answer.at('code'), 'API_KEY_NOT_FOUND', id);
    }
    t.equal((await parley.post('/messages', { ...send, to: 'x' }, other.key)).status, 404, 'it still works');
  });
});
