import t from 'tap';
import { startHarness, wrongFields } from './harness.ts';

/** ChatAPI sheet, sections 1 to 3, 6 and 7. */
t.test('clients and users', async (t) => {
  const chat = await startHarness(t);
  const client = await chat.client();
  const other = await chat.client('Other');

  t.test('a client is registered, read and changed', async (t) => {
    const made = await chat.post('/clients', { name: 'Made', description: 'By a test' });
    t.equal(made.status, 201);
    t.match(made.body, {
      data: { id: /^[0-9a-f-]{36}$/, name: 'Made', description: 'By a test', is_active: true, created_at: /Z$/ },
      status: 'success',
      timestamp: /Z$/,
    });
    const key = made.str('data.master_api_key');
    t.match(key, /^ck_live_[0-9a-z]{24}[\w-]{43}$/);
    const me = await chat.get('/clients/me', key);
    t.match(me.body, { data: { id: made.at('data.id'), name: 'Made' } });
    t.notMatch(me.text, key);
    const changed = await chat.put('/clients/me', { name: 'Renamed', description: null }, key);
    t.match(changed.body, { data: { name: 'Renamed', description: null } });
    t.equal((await chat.put('/clients/me', {}, key)).at('data.name'), 'Renamed');
    t.equal((await chat.put('/clients/me', { is_active: false }, key)).status, 200);
    t.match((await chat.get('/clients/me', key)).body, { error_code: 'INVALID_CREDENTIALS', status_code: 401 });
  });

  t.test('a user: created, read, changed, deleted', async (t) => {
    const body = { email: 'john@example.com', username: 'john_doe', full_name: 'John Doe' };
    const made = await chat.post('/users', body, client.key);
    t.equal(made.status, 201);
    t.match(made.headers.get('x-parley-position'), /^\d+$/);
    t.match(made.body, { data: { ...body, is_active: true, scoped_api_key: /^sk_user_/ } });
    const id = made.str('data.id');
    const key = made.str('data.scoped_api_key');
    const read = await chat.get(`/users/${id}`, client.key);
    t.match(read.body, { data: { ...body, id, is_active: true, updated_at: /Z$/ } });
    t.notMatch(read.text, 'sk_user_');
    t.equal((await chat.get(`/users/${id}/`, key)).at('data.id'), id, 'itself');
    t.match((await chat.get('/clients/me', key)).body, { data: { id: client.id, scoped_key: { user_id: id } } });
    const changed = await chat.put('/users/profile', { full_name: 'John D.' }, key);
    t.match(changed.body, { data: { id, full_name: 'John D.', username: 'john_doe' } });
    t.equal((await chat.put(`/users/${id}`, {}, key)).at('data.full_name'), 'John D.', 'nothing changed');
    t.equal((await chat.put(`/users/${id}`, { is_active: false }, key)).status, 403);
    t.equal((await chat.put('/users/profile', { full_name: 'x' }, client.key)).status, 404, 'of nobody');
    const moved = await chat.put(`/users/${id}`, { email: 'jd@example.com' }, client.key);
    t.equal(moved.at('data.email'), 'jd@example.com');
    t.equal((await chat.del(`/users/${id}`, client.key)).status, 204);
    t.equal((await chat.get('/rooms', key)).status, 401, 'its key is dead');
    t.equal((await chat.get(`/users/${id}`, client.key)).status, 404);
    t.equal((await chat.del(`/users/${id}`, client.key)).status, 404);
    t.equal((await chat.post('/users', body, client.key)).status, 201, 'the address is free again');
  });

  t.test('bad fields, one entry each', async (t) => {
    const answer = await chat.post('/users', { email: 'nonsense', full_name: 5 }, client.key);
    t.equal(answer.status, 422);
    t.match(answer.body, {
      detail: 'Validation error in request data',
      error_code: 'VALIDATION_ERROR',
      status_code: 422,
      errors: [{ field: 'email', message: 'Invalid email format' }, { field: 'username' }, { field: 'full_name' }],
      timestamp: /Z$/,
    });
    const twin = await chat.user(client, 'twin');
    const same = await chat.post('/users', { email: twin.email.toUpperCase(), username: 'another' }, client.key);
    t.match(same.body, { error_code: 'VALIDATION_ERROR', errors: [{ field: 'email' }] });
    const name = await chat.post('/users', { email: 'x@example.com', username: 'twin' }, client.key);
    t.match(name.body, { status_code: 422, errors: [{ field: 'username' }] });
    const both = await chat.post('/users', { email: twin.email, username: 'twin' }, client.key);
    t.strictSame(both.at('errors'), [
      { field: 'email', message: 'Email already exists' },
      { field: 'username', message: 'Username already exists' },
    ]);
    t.equal((await chat.user(other, 'twin')).email, twin.email, 'of another client');
    for (const [body, contentType, status] of [
      ['{', 'application/json', 400],
      ['x', 'text/plain', 415],
      ['[]', 'application/json', 422],
      ['', 'application/json', 422],
      [`{"email":"${'x'.repeat(300_000)}"}`, 'application/json', 413],
      ['{"email":"a@b.de","username":"\\u0000"}', 'application/json', 422],
    ] as const) {
      const refused = await chat.call('POST', '/users', { as: client.key, body, contentType });
      t.equal(refused.status, status, body.slice(0, 30));
      t.equal(refused.at('status_code'), status);
      t.equal(refused.at('error_code'), status === 422 ? 'VALIDATION_ERROR' : 'BAD_REQUEST');
    }
  });

  t.test('login takes the key before away', async (t) => {
    const user = await chat.user(client, 'logger');
    const answer = await chat.post('/users/login', { email: user.email }, client.key);
    t.equal(answer.status, 200);
    t.match(answer.body, { data: { user: { id: user.id, email: user.email }, scoped_api_key: /^sk_user_/ } });
    const days = (Date.parse(answer.str('data.expires_at')) - Date.now()) / 86_400_000;
    t.ok(days > 6.9 && days < 7.1, 'a week');
    t.equal((await chat.get('/rooms', user.key)).status, 401);
    const key = answer.str('data.scoped_api_key');
    t.equal((await chat.get('/rooms', key)).status, 200);
    t.equal((await chat.post('/users/login', { email: user.email }, key)).status, 403);
    t.equal((await chat.post('/users/login', { email: 'nobody@example.com' }, client.key)).status, 404);
    t.equal((await chat.post('/users/login', { email: user.email }, other.key)).status, 404);
    t.match((await chat.put(`/users/${user.id}`, { is_active: false }, client.key)).body, {
      data: { is_active: false },
    });
    t.equal((await chat.get('/rooms', key)).status, 401);
    t.equal((await chat.post('/users/login', { email: user.email }, client.key)).status, 401);
  });

  t.test('keys: how they come, and what they may', async (t) => {
    const user = await chat.user(client, 'keyholder');
    const by = (headers: Record<string, string>) => chat.call('GET', '/rooms', { headers });
    t.equal((await by({ 'x-api-key': user.key })).status, 200);
    t.equal((await by({ authorization: `bearer ${user.key}` })).status, 200);
    for (const headers of [
      {},
      { authorization: 'Bearer' },
      { authorization: `Basic ${user.key}` },
      { authorization: 'Bearer ck_live_nonsense' },
      { authorization: `Bearer ${user.key}x` },
      { authorization: `Bearer ${client.key.slice(0, -1)}` },
      { 'x-api-key': 'sk_user_' },
      { 'x-api-key': 'x' },
    ]) {
      const answer = await by(headers as Record<string, string>);
      t.match(answer.body, { error_code: 'INVALID_CREDENTIALS', status_code: 401 }, JSON.stringify(headers));
    }
    for (const [method, path] of [
      ['POST', '/users'],
      ['GET', '/users'],
      ['DELETE', `/users/${user.id}`],
      ['PUT', '/clients/me'],
      ['GET', '/rooms/all'],
    ] as const) {
      const answer = await chat.call(method, path, { as: user.key, body: method === 'GET' ? undefined : {} });
      t.match(answer.body, { error_code: 'INSUFFICIENT_PERMISSIONS', status_code: 403 }, `${method} ${path}`);
    }
    const neighbour = await chat.user(client, 'neighbour');
    t.equal((await chat.get(`/users/${neighbour.id}`, user.key)).status, 403);
    t.equal((await chat.put(`/users/${neighbour.id}`, { full_name: 'x' }, user.key)).status, 403);
    for (const id of [neighbour.id, 'nonsense', '00000000-0000-4000-8000-000000000000', client.id]) {
      t.equal((await chat.get(`/users/${id}`, other.key)).status, 404, id);
      t.equal((await chat.put(`/users/${id}`, { full_name: 'x' }, other.key)).status, 404, id);
      t.equal((await chat.del(`/users/${id}`, other.key)).status, 404, id);
    }
  });

  t.test('the list: pages, order, words that are none', async (t) => {
    const { key } = await chat.client('Many');
    for (const name of ['ada', 'bob', 'cyd'])
      await chat.created('/users', { email: `${name}@x.org`, username: name }, key);
    const names = (answer: { at(path: string): unknown }) =>
      (answer.at('data') as { username: string }[]).map(({ username }) => username);
    const first = await chat.get('/users?size=2', key);
    t.strictSame(names(first), ['cyd', 'bob']);
    t.strictSame(first.at('pagination'), { page: 1, size: 2, total: 3, pages: 2, has_next: true, has_prev: false });
    const last = await chat.get('/users?size=2&page=2', key);
    t.match(last.body, { pagination: { has_next: false, has_prev: true }, status: 'success' });
    t.strictSame(names(await chat.get('/users?sort=email&order=asc', key)), ['ada', 'bob', 'cyd']);
    t.strictSame(names(await chat.get('/users?search=bo', key)), ['bob']);
    const beyond = await chat.get('/users?page=9', key);
    t.strictSame([beyond.status, beyond.at('data')], [200, []]);
    for (const query of ['page=0', 'page=x', 'size=101', 'size=0', 'sort=secret', 'order=up', 'page=1&page=2']) {
      const answer = await chat.get(`/users?${query}`, key);
      t.match(answer.body, { error_code: 'VALIDATION_ERROR', errors: [{ field: query.split('=')[0] }] }, query);
    }
    const all = await chat.get('/users?page=0&size=1000&sort=secret&order=up&is_active=1', key);
    t.strictSame(wrongFields(all), ['page', 'size', 'sort', 'order', 'is_active']);
    const name = '\u{1F600}'.repeat(255);
    t.match((await chat.post('/clients', { name })).body, { data: { name } }, 'characters, not UTF-16 units');
    t.strictSame(wrongFields(await chat.post('/clients', { name: `${name}!`, description: 5 })), [
      'name',
      'description',
    ]);
  });

  t.test('a create with a key takes effect once, secret and all', async (t) => {
    const body = { email: 'once@example.com', username: 'once' };
    const send = (as: string, key = 'a key') =>
      chat.call('POST', '/users', { as, body, headers: { 'idempotency-key': key } });
    const answers = await Promise.all([send(client.key), send(client.key), send(client.key)]);
    t.strictSame(new Set(answers.map(({ status }) => status)), new Set([201]));
    t.equal(new Set(answers.map((answer) => JSON.stringify(answer.at('data')))).size, 1);
    const key = answers[0]?.str('data.scoped_api_key');
    t.equal((await chat.get('/rooms', key)).status, 200);
    t.equal((await send(client.key, 'another')).status, 422, 'the address is taken');
    t.equal((await send(other.key)).status, 201, 'another client');
    t.equal((await send(client.key, 'x'.repeat(256))).status, 422);
  });
});

t.test('a scoped key past its end, and one without', async (t) => {
  const chat = await startHarness(t, { SCOPED_KEY_EXPIRES_IN: '1ms' });
  const client = await chat.client();
  const user = await chat.user(client);
  const answer = await chat.get('/rooms', user.key);
  t.match(answer.body, { error_code: 'KEY_EXPIRED', status_code: 401 });
});

t.test('limits of registrations and logins', async (t) => {
  const chat = await startHarness(t, { CHATAPI_AUTH_RATE_LIMIT: '2' });
  const client = await chat.client();
  const second = await chat.post('/clients', {});
  t.equal(second.headers.get('x-ratelimit-limit'), '2');
  t.equal(second.headers.get('x-ratelimit-remaining'), '0');
  const third = await chat.post('/clients', {});
  t.match(third.body, { error_code: 'RATE_LIMIT_EXCEEDED', status_code: 429 });
  t.match(third.headers.get('retry-after'), /^[1-9]\d*$/);
  const resetIn = Number(third.headers.get('x-ratelimit-reset')) - Date.now() / 1_000;
  t.ok(resetIn > 0 && resetIn < 3_601, 'epoch seconds');
  const user = await chat.user(client);
  const login = (as: string) => chat.post('/users/login', { email: user.email }, as);
  const refused = await login(user.key);
  t.strictSame([refused.status, refused.headers.get('x-ratelimit-remaining')], [403, '2'], 'uses up nothing');
  t.equal((await login(client.key)).headers.get('x-ratelimit-remaining'), '1');
  t.equal((await chat.post('/users/login', {}, client.key)).status, 422);
  t.equal((await login(client.key)).status, 429);
});
