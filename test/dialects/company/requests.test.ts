import { SignJWT } from 'jose';
import t from 'tap';
import { smtpServer } from '../../delivery/email/world.ts';
import { jwtSecret } from '../config.ts';
import { startHarness } from './harness.ts';

const john = { name: 'John', subname: 'Doe', email: 'john@mail.com', job: 'CEO' };
const blank = ["can't be blank"];

t.test('users: register, log in, list, change the password, log out', async (t) => {
  const { call } = await startHarness(t);
  const registered = await call('POST', '/users/', { user: john });
  t.equal(registered.status, 201);
  const { password } = registered.body as { password: string };
  t.match(password, /^[A-Za-z0-9+/]{15}$/);
  t.same(registered.body, { ...john, id: 1, password });
  t.ok(Number(registered.headers.get('x-parley-position')) > 0);
  const jane = { ...john, email: 'jane@mail.com', password: 'secret' };
  t.same((await call('POST', '/users', { user: jane })).body, { ...jane, id: 2 }, 'a password that was given is kept');

  const login = await call('POST', '/login/', { creds: { email: john.email, password } });
  t.equal(login.status, 200);
  const { data } = login.body as { data: { user: object; token: string; expire: number } };
  t.same(data.user, { ...john, id: 1, password });
  t.equal(login.headers.get('authorization'), `Bearer ${data.token}`);
  const [head, claims] = data.token.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  t.same(JSON.parse(head ?? ''), { alg: 'HS512', typ: 'JWT' });
  const { iat, jti, ...rest } = JSON.parse(claims ?? '') as { iat: number; jti: string };
  t.match(jti, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.same(rest, {
    aud: 'CompanyApi',
    iss: 'CompanyApi',
    sub: 'User:1',
    typ: 'access',
    nbf: iat - 1,
    exp: iat + 2_419_200,
  });
  t.equal(data.expire, iat + 2_419_200);

  const { token } = data;
  const list = await call('GET', '/users', undefined, token);
  t.same(list.body, [
    { ...john, id: 1, password: '********' },
    { ...jane, id: 2, password: '********' },
  ]);

  t.same((await call('PUT', '/users/1', { password: 'short' }, token)).body, {
    errors: { password: ['should be at least 6 character(s)'] },
  });
  const changed = await call('PUT', '/users/1', { password: 'johndoe' }, token);
  t.same([changed.status, changed.body], [200, 'johndoe']);
  t.equal((await call('POST', '/login', { creds: { email: john.email, password } })).status, 401, 'not the old one');
  t.equal((await call('GET', '/users', undefined, token)).status, 200, 'tokens stay');
  const others = await call('PUT', '/users/2', { password: 'janedoe' }, token);
  t.same([others.status, others.body], [401, { message: 'unauthorized' }]);
  for (const id of ['3', '0', 'x', '99999999999']) {
    const unknown = await call('PUT', `/users/${id}`, { password: 'johndoe' }, token);
    t.same(
      [unknown.status, unknown.body],
      [422, { errors: { name: blank, subname: blank, email: blank, job: blank } }],
    );
  }
  t.same(
    (await call('PUT', '/users/2', {}, token)).body,
    { errors: { password: blank } },
    'what is missing comes first',
  );

  const second = await call('POST', '/login', { creds: { email: john.email, password: 'johndoe' } });
  const out = await call('DELETE', '/logout', undefined, token);
  t.same([out.status, out.body], [200, { data: 'Success logout' }]);
  const after = await call('GET', '/users', undefined, token);
  t.same([after.status, after.body], [401, { message: 'invalid_token' }]);
  const { token: other } = (second.body as { data: { token: string } }).data;
  t.equal((await call('GET', '/users', undefined, other)).status, 200, 'the other session goes on');
});

t.test('what is refused, and how', async (t) => {
  const { call, user } = await startHarness(t);
  const refusals: [string, string, unknown, number, unknown][] = [
    ['POST', '/users', {}, 422, { errors: { user: blank } }],
    ['POST', '/users', [], 422, { errors: { user: blank } }],
    ['POST', '/users', { user: 5 }, 422, null],
    ['POST', '/users', { user: {} }, 422, { errors: { name: blank, subname: blank, email: blank, job: blank } }],
    ['POST', '/users', { user: { ...john, email: 'john@mail' } }, 422, { errors: { email: ['has invalid format'] } }],
    ['POST', '/users', { user: { ...john, name: ' ' } }, 422, { errors: { name: blank } }],
    ['POST', '/users', { user: { ...john, name: 'a\0' } }, 422, { errors: { name: ['is invalid'] } }],
    [
      'POST',
      '/users',
      { user: { ...john, job: 7, password: '12345' } },
      422,
      { errors: { job: ['is invalid'], password: ['should be at least 6 character(s)'] } },
    ],
    ['POST', '/users', '{', 400, { errors: { detail: 'Bad Request' } }],
    ['POST', '/login', {}, 422, { errors: { creds: blank } }],
    ['POST', '/login', { creds: {} }, 401, { data: 'No user with these credentials' }],
    ['POST', '/login', { creds: { email: 'a\0@b.c', password: 'x' } }, 401, { data: 'No user with these credentials' }],
    ['GET', '/conversations', undefined, 401, { message: 'unauthenticated' }],
    ['POST', '/conversations', '{', 401, { message: 'unauthenticated' }],
    ['GET', '/nowhere', undefined, 404, { errors: { detail: 'Not Found' } }],
    ['DELETE', '/users', undefined, 404, { errors: { detail: 'Not Found' } }],
  ];
  for (const [method, path, body, status, expected] of refusals) {
    const answer = await call(method, path, body);
    t.equal(answer.status, status, `${method} ${path} ${JSON.stringify(body)}`);
    if (expected !== null) t.same(answer.body, expected);
  }
  const known = await user();
  const taken = await call('POST', '/users', { user: { ...john, email: known.email.toUpperCase() } });
  t.same([taken.status, taken.body], [422, { errors: { email: ['has already been taken'] } }]);
  const { email, password } = known;
  t.equal((await call('POST', '/login', { creds: { email: email.toUpperCase(), password } })).status, 401, 'exactly');
  t.equal((await call('GET', '/users', undefined, undefined, { 'x-parley-position': 'x' })).status, 401);
  t.equal((await call('GET', '/users', undefined, known.token, { 'x-parley-position': 'x' })).status, 400);
  const large = await call('POST', '/users', { user: { ...john, job: 'x'.repeat(300_000) } });
  t.same([large.status, large.body], [413, { errors: { detail: 'Payload Too Large' } }]);
  t.equal((await call('POST', '/users', 'x', undefined, { 'content-type': 'text/plain' })).status, 415);
});

t.test('tokens that do not hold', async (t) => {
  const { call, user } = await startHarness(t);
  const { id, token } = await user();
  const { jti } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { jti: string };
  const now = Math.floor(Date.now() / 1_000);
  const forge = (change: object, secret = jwtSecret, alg = 'HS512') => {
    const claims = { aud: 'CompanyApi', iss: 'CompanyApi', sub: `User:${id}`, typ: 'access', iat: now, jti };
    return new SignJWT({ ...claims, exp: now + 100, nbf: now - 1, ...change })
      .setProtectedHeader({ alg })
      .sign(new TextEncoder().encode(secret));
  };
  const message = async (presented: string) => (await call('GET', '/users', undefined, presented)).body;
  t.equal((await call('GET', '/users', undefined, await forge({}))).status, 200, 'as forged, it holds');
  t.same(await message(await forge({ exp: now - 10 })), { message: 'token_expired' });
  for (const bad of [
    'x',
    'a.b.c',
    await forge({}, `${jwtSecret}!`),
    await forge({}, jwtSecret, 'HS256'),
    await forge({ iss: 'Other' }),
    await forge({ aud: 'Other' }),
    await forge({ typ: 'refresh' }),
    await forge({ sub: 'User:2' }),
    await forge({ sub: '1' }),
    await forge({ jti: '00000000-0000-4000-8000-000000000000' }),
    await forge({ nbf: now + 100 }),
  ]) {
    t.same(await message(bad), { message: 'invalid_token' });
  }
  const basic = await call('GET', '/users', undefined, undefined, { authorization: 'Basic YTpi' });
  t.same(basic.body, { message: 'unauthenticated' });
});

t.test('conversations are directional, and messages are for who is in them', async (t) => {
  const { call, user } = await startHarness(t);
  const [a, b, c] = [await user('Ann'), await user('Bob'), await user('Cid')];
  const first = await call('POST', '/conversations/', { recipient: b.id }, a.token);
  t.same([first.status, first.body], [201, { id: 1, status: null, sender_id: a.id, recipient_id: b.id }]);
  const again = await call('POST', '/conversations', { recipient_id: String(b.id) }, a.token);
  t.same([again.status, again.body], [200, first.body]);
  const back = await call('POST', '/conversations', { recipient: a.id }, b.token);
  t.same([back.status, back.body], [201, { id: 2, status: null, sender_id: b.id, recipient_id: a.id }]);
  const own = await call('POST', '/conversations', { recipient: a.id }, a.token);
  t.same([own.status, own.body], [201, { id: 3, status: null, sender_id: a.id, recipient_id: a.id }]);
  t.same((await call('GET', '/conversations', undefined, a.token)).body, [first.body, back.body, own.body]);
  t.same((await call('GET', '/conversations/', undefined, b.token)).body, [first.body, back.body]);
  t.same((await call('GET', '/conversations', undefined, c.token)).body, []);

  for (const recipient of [99, 0, 'x', 1.5, {}, 2 ** 40]) {
    const none = await call('POST', '/conversations', { recipient }, a.token);
    t.same([none.status, none.body], [422, { error: "Can't create" }], JSON.stringify(recipient));
  }
  t.same((await call('POST', '/conversations', {}, a.token)).body, { errors: { recipient: blank } });
  t.same((await call('POST', '/conversations', undefined, a.token)).body, { errors: { recipient: blank } });

  for (const [query, who] of [
    ['conv=1', a],
    ['conv_id=1', b],
    ['conv=1', c],
    ['conv=99', a],
    ['conv=x', a],
  ] as const) {
    const list = await call('GET', `/messages?${query}`, undefined, who.token);
    t.same([list.status, list.body], [200, []]);
  }
  for (const query of ['', '?conv=', '?other=1']) {
    const none = await call('GET', `/messages${query}`, undefined, a.token);
    t.same([none.status, none.body], [422, { errors: { conv: blank } }]);
  }
});

t.test('a generated password is mailed, once, and no failure of that is seen', async (t) => {
  const smtp = await smtpServer(t, { authOptional: true });
  const { call } = await startHarness(t, { COMPANY_SMTP_URL: `smtp://127.0.0.1:${smtp.port}?tls=none` });
  const { body } = await call('POST', '/users', { user: john });
  const until = Date.now() + 10_000;
  while (smtp.arrived.length === 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
  const [mail] = smtp.arrived;
  t.same([mail?.sender, mail?.recipients], ['company@gmail.com', ['john@mail.com']]);
  t.equal(mail?.mail.subject, 'Generated password');
  t.match(mail?.mail.text, (body as { password: string }).password);
  await call('POST', '/users', { user: { ...john, email: 'jane@mail.com', password: 'johndoe' } });
  smtp.server.close(() => {});
  t.equal((await call('POST', '/users', { user: { ...john, email: 'jim@mail.com' } })).status, 201);
  t.equal(smtp.arrived.length, 1);
});

t.test('a compatibility switch opens the users', async (t) => {
  const { call, user } = await startHarness(t, { COMPANY_OPEN_USERS: 'true' });
  const { id, email, token } = await user();
  t.equal((await call('GET', '/users')).status, 200);
  t.equal((await call('PUT', `/users/${id}`, { password: 'johndoe' })).status, 200);
  t.equal((await call('POST', '/login', { creds: { email, password: 'johndoe' } })).status, 200);
  const other = await user('Jane');
  t.equal((await call('PUT', `/users/${other.id}`, { password: 'johndoe' }, token)).status, 401, 'a token counts');
  t.equal((await call('GET', '/conversations')).status, 401);
});
