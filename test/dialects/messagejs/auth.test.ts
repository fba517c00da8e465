import { SignJWT } from 'jose';
import t from 'tap';
import { secrets, startHarness } from './harness.ts';

/** MessageJS sheet, sections 2 and 4. */

const person = { email: 'Jane@Example.com', password: 'SecurePassword123!', name: 'Jane' };

function cookieOf(headers: Headers): string {
  return headers.get('set-cookie') ?? '';
}

t.test('auth', async (t) => {
  const parley = await startHarness(t);

  t.test('register answers user and tokens, and sets the cookie', async (t) => {
    const answer = await parley.post('/auth/register', person);
    t.equal(answer.status, 201);
    t.match(answer.body, {
      user: { id: /^usr_[a-z0-9]{12,}$/, email: person.email, name: 'Jane', createdAt: /^\d{4}-.*Z$/ },
      token: /^[\w-]+\.[\w-]+\.[\w-]+$/,
      refreshToken: /^refresh_/,
    });
    t.equal(
      cookieOf(answer.headers),
      `authToken=${answer.str('token')}; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax`,
    );
    t.match(answer.headers.get('x-parley-position'), /^\d+$/);
    const me = await parley.get('/auth/me', answer.str('token'));
    t.equal(me.status, 200);
    t.equal(me.at('user.lastLogin'), null, 'registering is no login');
    t.equal(me.at('user.createdAt'), answer.at('user.createdAt'));
  });

  t.test('an e-mail in use, however it is spelled', async (t) => {
    const answer = await parley.post('/auth/register', { ...person, email: 'jane@example.COM' });
    t.equal(answer.status, 409);
    t.equal(answer.at('code'), 'USER_EXISTS');
  });

  t.test('login sets lastLogin, whatever the case of the address', async (t) => {
    const answer = await parley.post('/auth/login', { email: 'jane@example.com', password: person.password });
    t.equal(answer.status, 200);
    t.strictSame(Object.keys(answer.at('user') as object), ['id', 'email', 'name']);
    t.match(cookieOf(answer.headers), /^authToken=ey/);
    const me = await parley.get('/auth/me', answer.str('token'));
    t.match(me.at('user.lastLogin'), /^\d{4}-.*Z$/);
  });

  t.test('a wrong password and an unknown address are answered alike', async (t) => {
    const wrong = await parley.post('/auth/login', { email: person.email, password: 'nope' });
    const unknown = await parley.post('/auth/login', { email: 'nobody@example.com', password: 'nope' });
    t.equal(wrong.status, 401);
    t.equal(wrong.at('code'), 'INVALID_CREDENTIALS');
    t.strictSame(unknown.body, wrong.body);
    t.equal(unknown.status, 401);
  });

  const refused: readonly (readonly [string, string, unknown, string])[] = [
    ['register without a password', '/auth/register', { email: 'a@example.com' }, 'MISSING_REQUIRED_FIELD'],
    ['register with an empty address', '/auth/register', { email: '', password: 'x' }, 'MISSING_REQUIRED_FIELD'],
    ['register without a body', '/auth/register', undefined, 'MISSING_REQUIRED_FIELD'],
    ['register with no address', '/auth/register', { email: 'nobody', password: '12345678' }, 'INVALID_EMAIL'],
    ['an address is told before the password', '/auth/register', { email: 'x', password: 'short' }, 'INVALID_EMAIL'],
    ['a short password', '/auth/register', { email: 'a@example.com', password: '1234567' }, 'INVALID_INPUT'],
    ['an empty name', '/auth/register', { email: 'a@example.com', password: '12345678', name: '' }, 'INVALID_INPUT'],
    ['NUL in a name', '/auth/register', { email: 'a@example.com', password: '12345678', name: 'a\0' }, 'INVALID_INPUT'],
    [
      'half a pair',
      '/auth/register',
      { email: 'a@example.com', password: '12345678', name: '\ud800' },
      'INVALID_INPUT',
    ],
    ['a list for a body', '/auth/register', [], 'INVALID_INPUT'],
    ['a number for an address', '/auth/login', { email: 5, password: 'x' }, 'INVALID_EMAIL'],
    ['NUL in an address', '/auth/login', { email: 'a\0@example.com', password: 'x' }, 'INVALID_EMAIL'],
    ['login without anything', '/auth/login', {}, 'MISSING_REQUIRED_FIELD'],
    ['refresh without a token', '/auth/refresh', {}, 'MISSING_REQUIRED_FIELD'],
    ['refresh with a number', '/auth/refresh', { refreshToken: 5 }, 'INVALID_INPUT'],
  ];
  for (const [what, path, body, code] of refused) {
    t.test(`refused: ${what}`, async (t) => {
      const answer = await parley.post(path, body);
      t.equal(answer.status, 400);
      t.equal(answer.at('code'), code);
      t.type(answer.at('error'), 'string');
      if (!Array.isArray(body)) t.type(answer.at('details.fields.0.path'), 'string');
    });
  }

  t.test('the cookie will do; a header is used instead of it', async (t) => {
    const { token } = await parley.user();
    const cookie = `other=1; authToken=${token}`;
    t.equal((await parley.call('GET', '/auth/me', { headers: { cookie } })).status, 200);
    const answer = await parley.call('GET', '/auth/me', { as: 'nonsense', headers: { cookie } });
    t.equal(answer.status, 401);
    t.equal(answer.at('code'), 'INVALID_TOKEN');
  });

  t.test('tokens that are none', async (t) => {
    const { token, id, email } = await parley.user();
    const { key } = await parley.ground();
    const sid = 'a'.repeat(24);
    const forge = (claims: object, alg = 'HS256', secret = secrets.jwt) =>
      new SignJWT({ userId: id, email, sid, ...claims })
        .setProtectedHeader({ alg })
        .setIssuedAt()
        .setExpirationTime('1h')
        .sign(new TextEncoder().encode(secret));
    const [header, payload] = token.split('.');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    const candidates: Record<string, string | undefined> = {
      'none at all': undefined,
      'not a token': 'abc',
      'three parts of nothing': '..',
      'an API key': key,
      'without a signature': `${header}.${payload}.`,
      'signed by nobody': `${none}.${payload}.`,
      'another secret': await forge({}, 'HS256', 'another secret of thirty-two characters'),
      'another algorithm': await forge({}, 'HS512', secrets.jwt.repeat(2)),
      'a session that never was': await forge({}),
      'a user that never was': await forge({ userId: 'usr_000000000000000000000000' }),
    };
    for (const [what, candidate] of Object.entries(candidates)) {
      const answer = await parley.get('/auth/me', candidate);
      t.equal(answer.status, 401, what);
      t.equal(answer.at('code'), 'INVALID_TOKEN', what);
    }
  });

  t.test('refresh renews; the old token still works for a while, in the same session', async (t) => {
    const user = await parley.user();
    const first = await parley.post('/auth/refresh', { refreshToken: user.refreshToken });
    t.equal(first.status, 200);
    t.strictSame(Object.keys(first.body as object), ['token', 'refreshToken']);
    t.not(first.at('refreshToken'), user.refreshToken);
    t.equal((await parley.get('/auth/me', first.str('token'))).status, 200);
    const again = await parley.post('/auth/refresh', { refreshToken: user.refreshToken });
    t.equal(again.status, 200, 'as after a lost answer');
    const end = await parley.post('/auth/logout', undefined, again.str('token'));
    t.equal(end.status, 200);
    t.equal((await parley.get('/auth/me', first.str('token'))).status, 401, 'one session');
  });

  t.test('a refresh token that is none', async (t) => {
    const user = await parley.user();
    const [session] = /^refresh_[a-z0-9]{24}/.exec(user.refreshToken) as RegExpExecArray;
    for (const refreshToken of [
      'refresh_x',
      `${session}${'0'.repeat(64)}`,
      `refresh_${'z'.repeat(24)}${'0'.repeat(64)}`,
    ]) {
      const answer = await parley.post('/auth/refresh', { refreshToken });
      t.equal(answer.status, 401);
      t.equal(answer.at('code'), 'INVALID_TOKEN');
    }
    t.equal((await parley.post('/auth/refresh', { refreshToken: user.refreshToken })).status, 200);
  });

  t.test('logout ends the session and takes the cookie out', async (t) => {
    const user = await parley.user();
    const answer = await parley.post('/auth/logout', undefined, user.token);
    t.equal(answer.status, 200);
    t.strictSame(answer.body, { message: 'Logged out successfully' });
    t.match(cookieOf(answer.headers), /^authToken=; Max-Age=0;/);
    t.equal((await parley.get('/auth/me', user.token)).at('code'), 'INVALID_TOKEN');
    const refresh = await parley.post('/auth/refresh', { refreshToken: user.refreshToken });
    t.equal(refresh.status, 401);
    t.equal(refresh.at('code'), 'INVALID_TOKEN');
    t.equal((await parley.post('/auth/logout', undefined, user.token)).status, 200, 'again');
    t.equal((await parley.post('/auth/logout', {}, 'nonsense')).status, 200, 'without a token');
  });
});

t.test('tokens that expire', async (t) => {
  const parley = await startHarness(t, { JWT_EXPIRES_IN: '1s', NODE_ENV: 'production' });
  const user = await parley.user();
  const [, payload = ''] = user.token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  t.equal(claims.exp - claims.iat, 1);
  t.strictSame(Object.keys(claims).sort(), ['email', 'exp', 'iat', 'sid', 'userId']);
  t.equal(claims.userId, user.id);
  await new Promise((resolve) => setTimeout(resolve, claims.exp * 1_000 - Date.now() + 20));
  const late = await parley.get('/auth/me', user.token);
  t.equal(late.status, 401);
  t.equal(late.at('code'), 'TOKEN_EXPIRED');
  const logout = await parley.post('/auth/logout', undefined, user.token);
  t.equal(logout.status, 200);
  t.match(cookieOf(logout.headers), /; Secure$/, 'in production');
  const refresh = await parley.post('/auth/refresh', { refreshToken: user.refreshToken });
  t.equal(refresh.status, 401, 'an expired token still ends its session');
});
