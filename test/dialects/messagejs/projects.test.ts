import t from 'tap';
import { startHarness } from './harness.ts';

/** MessageJS sheet, section 5. */
t.test('projects', async (t) => {
  const parley = await startHarness(t);
  const { token, id: userId } = await parley.user();
  const other = await parley.user();

  t.test('create, get, list, change', async (t) => {
    const created = await parley.post('/projects', { name: 'First', description: 'about', extra: 1 }, token);
    t.equal(created.status, 201);
    t.match(created.body, { id: /^proj_[a-z0-9]{12,}$/, userId, name: 'First', description: 'about', isActive: true });
    t.notOk(created.at('extra'));
    t.match(created.headers.get('x-parley-position'), /^\d+$/);
    const id = created.str('id');

    const second = await parley.post('/projects', { name: 'Second' }, token);
    t.equal(second.at('description'), null);
    const got = await parley.get(`/projects/${id}`, token);
    t.strictSame(got.body, { ...(created.body as object), updatedAt: created.at('createdAt') });
    const list = await parley.get('/projects', token);
    t.strictSame(Object.keys(list.body as object), ['projects'], 'bare without limit and offset');
    t.strictSame([list.at('projects.0.name'), list.at('projects.1.name')], ['Second', 'First'], 'newest first');
    t.strictSame(Object.keys(list.at('projects.0') as object).sort(), [
      'createdAt',
      'description',
      'id',
      'isActive',
      'name',
    ]);
    t.strictSame((await parley.get('/projects', other.token)).body, { projects: [] }, 'own ones only');

    const changed = await parley.put(`/projects/${id}`, { name: 'Renamed' }, token);
    t.equal(changed.status, 200);
    t.match(changed.body, { id, name: 'Renamed', description: 'about', updatedAt: /Z$/ });
    t.strictSame(Object.keys(changed.body as object), ['id', 'name', 'description', 'updatedAt']);
    t.equal((await parley.get(`/projects/${id}`, token)).at('name'), 'Renamed', 'a read sees the write');
    const cleared = await parley.put(`/projects/${id}`, { description: null }, token);
    t.match(cleared.body, { name: 'Renamed', description: null });
    const same = await parley.put(`/projects/${id}`, {}, token);
    t.strictSame(same.body, cleared.body, 'nothing to change');
  });

  t.test('pages', async (t) => {
    const page = await parley.get('/projects?limit=1&offset=1', token);
    t.match(page.body, {
      projects: [{ name: 'Renamed' }],
      pagination: { limit: 1, offset: 1, total: 2, hasMore: false },
    });
    t.equal((page.at('projects') as unknown[]).length, 1);
    t.match((await parley.get('/projects?limit=1', token)).at('pagination'), { offset: 0, hasMore: true });
    t.match((await parley.get('/projects?offset=5', token)).body, {
      projects: [],
      pagination: { limit: 50, total: 2 },
    });
    t.equal((await parley.get('/projects?limit=1000', token)).at('pagination.limit'), 100, 'clamped');
    for (const query of ['limit=0', 'limit=-1', 'limit=x', 'limit=', 'limit=1.5', 'offset=-1', 'limit=1&limit=2']) {
      const answer = await parley.get(`/projects?${query}`, token);
      t.equal(answer.status, 400, query);
      t.equal(answer.at('code'), 'INVALID_INPUT', query);
    }
  });

  t.test('refused bodies', async (t) => {
    const { projectId } = await parley.ground({ user: { ...other } });
    const cases: readonly (readonly [unknown, string])[] = [
      [{}, 'MISSING_REQUIRED_FIELD'],
      [{ name: '' }, 'MISSING_REQUIRED_FIELD'],
      [{ name: null }, 'MISSING_REQUIRED_FIELD'],
      [{ name: 'ab' }, 'INVALID_INPUT'],
      [{ name: 'x'.repeat(101) }, 'INVALID_INPUT'],
      [{ name: 5 }, 'INVALID_INPUT'],
      [{ name: 'abc', description: 5 }, 'INVALID_INPUT'],
      [{ name: 'a\0bc' }, 'INVALID_INPUT'],
      [null, 'INVALID_INPUT'],
    ];
    for (const [body, code] of cases) {
      const answer = await parley.post('/projects', body, other.token);
      t.equal(answer.status, 400, JSON.stringify(body));
      t.equal(answer.at('code'), code, JSON.stringify(body));
    }
    const answer = await parley.put(`/projects/${projectId}`, { name: 'ab' }, other.token);
    t.equal(answer.at('code'), 'INVALID_INPUT');
    t.equal(((await parley.get('/projects', other.token)).at('projects') as unknown[]).length, 1, 'nothing was stored');
  });

  t.test("somebody else's, and none", async (t) => {
    const { projectId } = await parley.ground({ user: other });
    const unknown = 'proj_000000000000000000000000';
    for (const [method, path] of [
      ['GET', ''],
      ['PUT', ''],
      ['DELETE', ''],
      ['GET', '/keys'],
      ['POST', '/connectors'],
      ['GET', '/templates/tpl_nonsense'],
      ['GET', '/analytics'],
    ] as const) {
      const body = method === 'GET' ? {} : { body: { name: 'abc' } };
      const foreign = await parley.call(method, `/projects/${projectId}${path}`, { as: token, ...body });
      t.equal(foreign.status, 403, `${method} ${path}`);
      t.equal(foreign.at('code'), 'ACCESS_DENIED');
      for (const id of [unknown, 'x', '%00', 'proj_%F0%9F%98%80', other.id.replace('usr_', 'proj_')]) {
        const none = await parley.call(method, `/projects/${id}${path}`, { as: token, ...body });
        t.equal(none.status, 404, `${method} ${id}${path}`);
        t.equal(none.at('code'), 'PROJECT_NOT_FOUND');
      }
    }
    t.equal((await parley.get(`/projects/${projectId}`, other.token)).status, 200, 'it is still there');
  });

  t.test('a deleted project takes everything with it, its keys at once', async (t) => {
    const { user, projectId, key, connectorId, templateId } = await parley.ground();
    const send = { to: '+1234567890', connectorId, templateId };
    const sent = await parley.post('/messages', send, key);
    t.equal(sent.status, 202);
    const deleted = await parley.del(`/projects/${projectId}`, user.token);
    t.equal(deleted.status, 204);
    t.equal(deleted.text, '');
    t.match(deleted.headers.get('x-parley-position'), /^\d+$/);
    const dead = await parley.post('/messages', send, key);
    t.equal(dead.status, 401);
    t.equal(dead.at('code'), 'INVALID_API_KEY');
    for (const path of [
      `/projects/${projectId}`,
      `/projects/${projectId}/connectors/${connectorId}`,
      `/messages?projectId=${projectId}`,
    ]) {
      t.equal((await parley.get(path, user.token)).at('code'), 'PROJECT_NOT_FOUND', path);
    }
    t.equal((await parley.get(`/messages/${sent.str('messageId')}`, user.token)).at('code'), 'MESSAGE_NOT_FOUND');
    t.strictSame((await parley.get('/projects', user.token)).body, { projects: [] });
    t.equal((await parley.del(`/projects/${projectId}`, user.token)).status, 404);
  });
});
