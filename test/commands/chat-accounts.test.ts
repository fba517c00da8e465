/** Users and their scoped keys (ChatAPI sheet, sections 2 and 7), passwords and tokens (Company sheet, sections 2 and 3). */
import t from 'tap';
import { type Actor, type DomainError, idKinds, MAIN_WORKSPACE, streams } from '../../src/commands/index.ts';
import { IdSpeller } from '../../src/platform/ids.ts';
import { makeClient } from './chat.ts';
import { type Node, refusal, TestClock, times, world } from './world.ts';

const dayMs = 86_400_000;
const ada = { email: 'Ada@Example.com', username: 'ada', fullName: 'Ada Lovelace', keyLifeMs: null };

t.test('clients and master keys', async (t) => {
  const w = await world(t);
  const [node, cold] = [await w.node(), await w.node()] as const;
  const { clients } = node;
  const { workspace, secret, state } = await clients.createClient({ name: 'Shop', description: 'Shoes' });
  t.match(secret, /^ck_live_[0-9a-z]{24}[A-Za-z0-9_-]{43}$/);
  t.match(state, { kind: 'client', owner: null, name: 'Shop', isActive: true });
  t.same(clients.authenticateMasterKey(secret), { workspace, account: 0, key: 1 }, 'at once, when all is in memory');
  const loading = cold.clients.authenticateMasterKey(secret);
  t.ok(loading instanceof Promise);
  t.same(await loading, { workspace, account: 0, key: 1 });
  const other = await clients.createClient({ name: 'Bar', description: null });
  t.equal(other.workspace, workspace + 1);
  const issued = await node.workspaces.issueKey({ workspace, account: 0 }, workspace, {
    name: 'm',
    rateLimit: 1,
    expiresAt: null,
  });
  for (const [what, presented] of Object.entries({
    'another secret': secret.slice(0, -4) + (secret.endsWith('AAAA') ? 'BBBB' : 'AAAA'),
    "another client's look-up": other.secret.slice(0, 32) + secret.slice(32),
    'a look-up that was made up': `ck_live_${'0'.repeat(24)}${secret.slice(32)}`,
    'half a key': secret.slice(0, 32),
    'more than a key': `${secret}A`,
    'a scoped key of these characters': secret.replace('ck_live_', 'sk_user_'),
    "a MessageJS key's": issued.secret,
    nothing: '',
  }))
    for (const each of [node, cold]) {
      t.equal(await refusal(() => each.clients.authenticateMasterKey(presented)), 'credential-invalid', what);
      t.equal(await refusal(() => each.people.authenticateScopedKey(presented)), 'credential-invalid', what);
    }
  t.equal(await refusal(() => node.workspaces.authenticate(secret)), 'credential-invalid');

  const master: Actor = { workspace, account: 0 };
  const second = await clients.issueMasterKey(master, 'spare');
  t.match(clients.authenticateMasterKey(second.secret), { workspace, key: second.key });
  const user = { workspace, account: (await node.people.createUser(master, ada)).account };
  for (const act of [
    () => clients.changeClient(user, { name: 'x' }),
    () => clients.issueMasterKey(user, 'x'),
    () => clients.revokeMasterKey(user, 1),
  ])
    t.equal(await refusal(act), 'access-denied');
  await clients.revokeMasterKey(master, second.key);
  t.equal(await refusal(() => clients.authenticateMasterKey(second.secret)), 'credential-invalid', 'revoked');

  t.match((await clients.changeClient(master, { name: 'Boots', isActive: false })).state, {
    name: 'Boots',
    description: 'Shoes',
    isActive: false,
  });
  t.equal(await refusal(() => clients.authenticateMasterKey(secret)), 'credential-invalid', 'switched off');
  const { position } = await clients.changeClient(master, { isActive: true });
  await cold.log.taken(position as bigint);
  t.match(await cold.clients.authenticateMasterKey(secret), { workspace });
});

t.test('users and scoped keys', async (t) => {
  const w = await world(t);
  const clock = new TestClock();
  const [node, cold] = [await w.node({ clock }), await w.node({ clock })] as const;
  const { people, clients } = node;
  const { master, workspace } = await makeClient(node);
  const created = await people.createUser(master, ada);
  t.match(created, {
    account: 1,
    state: { email: ada.email, username: 'ada', displayName: 'Ada Lovelace', active: true },
  });
  t.match(created.secret, /^sk_user_[0-9a-z]{24}[A-Za-z0-9_-]{43}$/);
  const user = { workspace, account: 1 };
  t.match(people.authenticateScopedKey(created.secret), { ...user, permissions: null, expiresAt: null }, 'at once');
  t.match(await cold.people.authenticateScopedKey(created.secret), user);
  const log = JSON.stringify((await w.events()).map(({ data, stream }) => [data, stream]));
  t.notOk(log.includes(created.secret.slice(32)), 'the secret is not in the log');

  for (const [input, fields] of [
    [{ ...ada, email: 'ada@example.COM', username: 'ada2' }, ['email']],
    [{ ...ada, email: 'else@example.com' }, ['username']],
    [{ ...ada, email: 'ADA@example.com' }, ['email', 'username']],
  ] as const) {
    const { code, details } = (await people.createUser(master, input).then(
      () => t.fail('it was free'),
      (error: DomainError) => error,
    )) as DomainError;
    t.strictSame({ code, details }, { code: 'identifier-taken', details: { fields } });
  }
  const bob = await people.createUser(master, {
    ...ada,
    email: 'bob@example.com',
    username: 'bob',
    permissions: ['read_messages'],
  });
  t.equal(bob.account, 2, 'refusals use no number');
  t.same((await people.authenticateScopedKey(bob.secret)).permissions, ['read_messages']);
  const foreign = await makeClient(node);
  t.equal((await people.createUser(foreign.master, ada)).account, 1, 'each client for itself');

  const spelled = new IdSpeller(Buffer.alloc(32, 2)).spell({ kind: idKinds.scopedKey, workspace, id: 2 });
  t.equal(
    await refusal(() => people.authenticateScopedKey(`sk_user_${spelled}${created.secret.slice(32)}`)),
    'credential-invalid',
    "another user's look-up",
  );

  t.equal(await refusal(() => people.createUser(user, { ...ada, email: 'x@y.z', username: 'x' })), 'access-denied');
  t.equal(await refusal(() => people.issueScopedKey(user, 1, { lifeMs: 1 })), 'access-denied');
  const login = await people.issueScopedKey(master, 1, { lifeMs: 7 * dayMs });
  t.equal(login.expiresAt, login.state.scopedKey?.expiresAt);
  t.equal(
    await refusal(() => people.authenticateScopedKey(created.secret)),
    'credential-invalid',
    'the one before fails',
  );
  t.match(people.authenticateScopedKey(login.secret), { expiresAt: login.expiresAt });
  clock.advance(7 * dayMs);
  t.equal(await refusal(() => people.authenticateScopedKey(login.secret)), 'credential-expired');
  t.equal(
    await refusal(() => people.authenticateScopedKey(`${login.secret.slice(0, -4)}zzzz`)),
    'credential-invalid',
    'who guesses is not told of the end',
  );

  const next = await people.issueScopedKey(master, 1, { lifeMs: null });
  await people.changeUser(master, 1, { active: false });
  t.equal(await refusal(() => people.authenticateScopedKey(next.secret)), 'account-inactive');
  t.equal(await refusal(() => people.issueScopedKey(master, 1, { lifeMs: null })), 'account-inactive');
  await people.changeUser(master, 1, { active: true });
  await clients.changeClient(master, { isActive: false });
  t.equal(
    await refusal(() => people.authenticateScopedKey(next.secret)),
    'credential-invalid',
    'its client is switched off',
  );
  await clients.changeClient(master, { isActive: true });
  t.match(people.authenticateScopedKey(next.secret), user);
  await people.revokeScopedKey(user, 1);
  t.equal(await refusal(() => people.authenticateScopedKey(next.secret)), 'credential-invalid', 'revoked');
});

t.test('changing and deleting users', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { people } = node;
  const { master, workspace } = await makeClient(node);
  const { account, secret } = await people.createUser(master, ada);
  const bob = await people.createUser(master, { ...ada, email: 'bob@example.com', username: 'bob' });
  const [self, other] = [
    { workspace, account },
    { workspace, account: bob.account },
  ] as const;
  for (const act of [
    () => people.readable(other, account),
    () => people.changeUser(other, account, { username: 'x' }),
    () => people.changeUser(self, account, { active: false }),
    () => people.deleteUser(other, account),
    () => people.revokeScopedKey(other, account),
  ])
    t.equal(await refusal(act), 'access-denied');
  t.equal(await refusal(() => people.readable(master, 99)), 'not-found');
  t.equal(await refusal(() => people.readable(master, 0)), 'not-found', 'the service account is nobody');
  await t.rejects(people.changeUser(self, account, { email: 'BOB@example.com' }), {
    code: 'identifier-taken',
    details: { fields: ['email'] },
  });
  await t.rejects(people.changeUser(self, account, { email: 'BOB@example.com', username: 'ada' }), {
    code: 'identifier-taken',
    details: { fields: ['email'] },
  });
  const changed = await people.changeUser(self, account, { email: 'ada@example.com', profile: { displayName: null } });
  t.match(changed.state, { email: 'ada@example.com', username: 'ada', displayName: null });
  t.equal(
    await refusal(() => people.createUser(master, { ...ada, username: 'new' })),
    'identifier-taken',
    'spelled anew it is still held',
  );
  await people.changeUser(self, account, { email: 'countess@example.com', username: 'countess' });
  const third = await people.createUser(master, ada);
  t.match(third.state, { email: ada.email, username: 'ada' }, 'what was given up is free');

  await people.deleteUser(master, account);
  t.equal(await refusal(() => people.authenticateScopedKey(secret)), 'credential-invalid', 'at once');
  t.equal(await refusal(() => people.readable(master, account)), 'not-found');
  t.equal(await refusal(() => people.deleteUser(master, account)), 'not-found');
  t.match((await people.createUser(master, { ...ada, email: 'countess@example.com', username: 'countess' })).state, {
    exists: true,
  });
});

t.test('a keyed create shows its secret again', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const { master, workspace } = await makeClient(nodes[0]);
  const keyed = { key: 'k', route: 'POST /users' };
  const answers = await times(8, (i) => (nodes[i % 2] as Node).people.createUser(master, ada, keyed));
  t.equal(new Set(answers.map(({ secret }) => secret)).size, 1);
  t.equal(answers.filter(({ position }) => position !== null).length, 1);
  const [{ secret, account }] = answers as [(typeof answers)[0]];
  t.match(await nodes[1].people.authenticateScopedKey(secret), { workspace, account });
  const fresh = await w.node();
  t.equal(
    (await fresh.people.createUser(master, ada, keyed)).secret,
    secret,
    'on a node that knows nothing, though the e-mail is taken',
  );
  t.equal(await refusal(() => fresh.people.createUser(master, ada)), 'identifier-taken');
  const bob = { ...ada, email: 'b@example.com', username: 'b' };
  const two = await nodes[0].people.createUser(master, bob, { ...keyed, key: 'k2' });
  t.not(two.secret.slice(32), secret.slice(32));
});

t.test('passwords and tokens', async (t) => {
  const w = await world(t);
  const clock = new TestClock();
  const [node, cold] = [await w.node({ clock }), await w.node({ clock })] as const;
  const { people } = node;
  const workspace = MAIN_WORKSPACE;
  const profile = { givenName: 'Ada', familyName: 'Lovelace', job: 'Engineer' };
  const made = await people.register(workspace, { email: 'Ada@example.com', profile });
  t.match(made.password, /^[A-Za-z0-9+/]{15}$/);
  t.match(made.state, { ...profile, email: 'Ada@example.com' });
  t.notOk(JSON.stringify((await w.events()).map(({ data }) => data)).includes(made.password));
  await t.rejects(people.register(workspace, { email: 'ada@example.com', profile }), {
    code: 'identifier-taken',
    details: { fields: ['email'] },
  });
  const given = await people.register(workspace, { email: 'bob@example.com', profile, password: 'secret' });
  t.equal(given.password, 'secret');
  t.not((await people.register(workspace, { email: 'c@example.com', profile })).password, made.password);

  const { account } = made;
  const right = { email: 'Ada@example.com', password: made.password };
  for (const credentials of [
    { ...right, password: `${made.password}x` },
    { ...right, email: 'ada@example.com' },
    { ...right, email: 'bob@example.com' },
    { ...right, email: 'nobody@example.com' },
  ])
    t.equal(await refusal(() => people.login(workspace, credentials, dayMs)), 'credentials-wrong');
  t.equal(await refusal(() => people.login(3, right, dayMs)), 'credentials-wrong', 'of another workspace');
  const login = await people.login(workspace, right, 28 * dayMs);
  t.match(login.session, /^[0-9a-f]{8}-[0-9a-f]{4}-4/, 'a UUID, as the claim jti is');
  const token = { workspace, account, session: login.session };
  t.same(people.authenticateSession(token), token, 'at once');
  t.same(await cold.people.authenticateSession(token), token);
  for (const wrong of [
    { ...token, account: given.account },
    { ...token, workspace: 3 },
    { ...token, session: crypto.randomUUID() },
  ])
    t.equal(await refusal(() => people.authenticateSession(wrong)), 'credential-invalid');

  const self = { workspace, account };
  t.equal(await refusal(() => people.changePassword(self, given.account, 'longer')), 'access-denied');
  await people.changePassword(self, account, 'longer');
  t.equal(await refusal(() => people.login(workspace, right, dayMs)), 'credentials-wrong');
  const again = await people.login(workspace, { ...right, password: 'longer' }, dayMs);
  t.same(people.authenticateSession(token), token, 'old tokens stay valid');

  const position = await people.endSession(token);
  t.equal(await refusal(() => people.authenticateSession(token)), 'credential-invalid', 'logged out');
  await cold.log.taken(position as bigint);
  t.equal(await refusal(() => cold.people.authenticateSession(token)), 'credential-invalid');
  t.equal(await people.endSession(token), null);
  const other = { workspace, account, session: again.session };
  t.same(people.authenticateSession(other), other, 'the other token is not');
  clock.advance(dayMs);
  t.equal(await refusal(() => people.authenticateSession(other)), 'credential-expired');
  const last = await people.login(workspace, { ...right, password: 'longer' }, dayMs);
  await people.deleteUser({ workspace, account: 0 }, account);
  t.equal(
    await refusal(() => people.authenticateSession({ workspace, account, session: last.session })),
    'credential-invalid',
  );
  t.same(
    (await w.events()).filter(({ stream }) => stream === streams.account(workspace, account)).at(-1)?.type,
    'AccountDeleted',
  );
});
