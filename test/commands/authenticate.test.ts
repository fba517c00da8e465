/** Credentials: keys, passwords, sessions (MessageJS sheet, sections 2, 4 and 6). */
import t from 'tap';
import { ACCOUNTS_WORKSPACE, idKinds, type OpenSession, streams } from '../../src/commands/index.ts';
import { workspace as workspaceRules } from '../../src/domain/workspace.ts';
import { IdSpeller } from '../../src/platform/ids.ts';
import { makeProject, type Node, owner, refusal, TestClock, times, world } from './world.ts';

const speller = new IdSpeller(Buffer.alloc(32, 2));

t.test('keys', async (t) => {
  const w = await world(t);
  const clock = new TestClock();
  const [node, cold] = [await w.node({ clock }), await w.node({ clock })] as const;
  const [project, foreign] = [await makeProject(node), await makeProject(node)] as const;
  const { workspaces } = node;
  t.match(project.secret, /^pk_live_[0-9a-f]{32}_sk_[0-9a-f]{64}$/);
  t.strictSame(project.key, { workspace: project.workspace, key: 1, rateLimit: 1_000, owner });
  t.notOk(workspaces.authenticate(project.secret) instanceof Promise, 'at once, when all is in memory');
  const loading = cold.workspaces.authenticate(project.secret);
  t.ok(loading instanceof Promise);
  t.strictSame(await loading, project.key);
  t.strictSame(await workspaces.authenticate(project.secret.replace('pk_live_', 'pk_test_')), project.key);

  const [lookup, secret] = project.secret.replace('pk_live_', '').split('_sk_') as [string, string];
  const [foreignLookup] = foreign.secret.replace('pk_live_', '').split('_sk_') as [string];
  const ofAnother = (parts: { kind: number; workspace: number; id: number }) =>
    `pk_live_${speller.spellHex(parts)}_sk_${secret}`;
  const wrong = {
    'another secret': `pk_live_${lookup}_sk_${'0'.repeat(64)}`,
    'the look-up id of another key': `pk_live_${foreignLookup}_sk_${secret}`,
    'a look-up id that was made up': `pk_live_${'0'.repeat(32)}_sk_${secret}`,
    'a key that does not exist': ofAnother({ kind: idKinds.key, workspace: project.workspace, id: 99 }),
    'a workspace that does not exist': ofAnother({ kind: idKinds.key, workspace: 4_000_000_000, id: 1 }),
    'the id of a connector': ofAnother({ kind: idKinds.connector, workspace: project.workspace, id: 1 }),
    'half a key': `pk_live_${lookup}`,
    'another prefix': project.secret.replace('pk_live_', 'pk_dead_'),
    'capital letters': project.secret.toUpperCase(),
    'a space': `${project.secret} `,
    nothing: '',
    'a JWT': 'eyJhbGciOiJIUzI1NiJ9.e30.x',
  };
  for (const [what, presented] of Object.entries(wrong)) {
    for (const each of [node, cold])
      t.equal(await refusal(() => each.workspaces.authenticate(presented)), 'credential-invalid', what);
  }

  await workspaces.revokeKey(owner, project.workspace, 1);
  t.equal(await refusal(() => workspaces.authenticate(project.secret)), 'credential-invalid', 'revoked');
  t.equal(await refusal(() => workspaces.revokeKey(owner, project.workspace, 1)), 'not-found');

  const expiresAt = clock.now() + 1_000_000;
  const ending = await workspaces.issueKey(owner, project.workspace, { name: 'Short', rateLimit: 5, expiresAt });
  t.equal((await workspaces.authenticate(ending.secret)).key, 2);
  clock.advance(1_000_000);
  t.equal(await refusal(() => workspaces.authenticate(ending.secret)), 'credential-expired');
  const guessed = ending.secret.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
  t.equal(
    await refusal(() => workspaces.authenticate(guessed)),
    'credential-invalid',
    'who guesses is not told of the end',
  );

  const position = (await workspaces.deleteProject(owner, foreign.workspace)) as bigint;
  t.equal(await refusal(() => workspaces.authenticate(foreign.secret)), 'credential-invalid', 'the project is gone');
  await cold.log.taken(position);
  t.equal(await refusal(() => cold.workspaces.authenticate(foreign.secret)), 'credential-invalid');

  const system = {
    command: 'OpenWorkspace',
    workspace: 2,
    kind: 'system',
    owner: null,
    name: 'main',
    description: null,
  };
  await node.door.execute(workspaceRules, streams.workspace(2), system as never, owner, { isNew: true });
  const ownerless = await workspaces.issueKey(owner, 2, { name: 'x', rateLimit: 1, expiresAt: null });
  t.equal(
    await refusal(() => workspaces.authenticate(ownerless.secret)),
    'credential-invalid',
    'nobody to count it against',
  );
});

t.test('whose project it is', async (t) => {
  const w = await world(t);
  const { workspaces } = await w.node();
  const { workspace } = await workspaces.openProject(owner, { name: 'Shop', description: null });
  t.equal(workspace, 3, 'those of the configuration come before');
  t.match(await workspaces.ownedBy(owner, workspace), { name: 'Shop' });
  t.equal(await refusal(() => workspaces.ownedBy({ ...owner, account: 2 }, workspace)), 'access-denied');
  t.equal(await refusal(() => workspaces.ownedBy({ ...owner, workspace: 2 }, workspace)), 'access-denied');
  t.equal(await refusal(() => workspaces.ownedBy(owner, 99)), 'not-found');
  await workspaces.deleteProject(owner, workspace);
  t.equal(await refusal(() => workspaces.ownedBy(owner, workspace)), 'not-found');
  t.equal(await refusal(() => workspaces.ownedBy({ ...owner, account: 2 }, workspace)), 'not-found');
});

const person = { email: 'Ada@Example.com', password: 'correct horse', displayName: 'Ada' };

t.test('passwords', async (t) => {
  const w = await world(t);
  const { accounts } = await w.node();
  const opened = await accounts.register(ACCOUNTS_WORKSPACE, person);
  t.match(opened, { account: 1, email: 'Ada@Example.com', displayName: 'Ada' }, 'the e-mail as it was spelled');
  const { email, password: right } = person;
  t.match(await accounts.login(ACCOUNTS_WORKSPACE, { email: email.toUpperCase(), password: right }), {
    account: opened.account,
    state: { email, displayName: 'Ada' },
  });
  const login = (given: { email: string; password: string }) => () => accounts.login(ACCOUNTS_WORKSPACE, given);
  for (const password of ['', 'correct hors', 'Correct horse', 'correct horse '])
    t.equal(await refusal(login({ email, password })), 'credentials-wrong');
  t.equal(await refusal(login({ email: 'nobody@example.com', password: right })), 'credentials-wrong');
  t.equal(await refusal(() => accounts.login(99, { email, password: right })), 'credentials-wrong');
  t.equal(await refusal(() => accounts.register(ACCOUNTS_WORKSPACE, person)), 'identifier-taken');
});

async function sessionOf(node: Node): Promise<OpenSession> {
  const { account } = await node.accounts.register(ACCOUNTS_WORKSPACE, person);
  return node.accounts.startSession(ACCOUNTS_WORKSPACE, account, true);
}

t.test('sessions', async (t) => {
  const w = await world(t);
  const clock = new TestClock();
  const [a, b] = [await w.node({ clock }), await w.node({ clock })] as const;
  const { accounts } = a;
  const first = await sessionOf(a);
  t.match(first.refreshToken, /^refresh_[0-9a-z]{24}[0-9a-f]{64}$/);
  t.match(await accounts.authenticate(first.session, ACCOUNTS_WORKSPACE, first.account), {
    exists: true,
    ended: false,
  });
  t.match(await b.accounts.authenticate(first.session, ACCOUNTS_WORKSPACE, first.account), { exists: true });
  for (const [name, workspace, account] of [
    ['x'.repeat(24), 1, 1],
    [first.session, 2, 1],
    [first.session, 1, 2],
  ] as const)
    t.equal(await refusal(() => accounts.authenticate(name, workspace, account)), 'credential-invalid');

  const second = await accounts.refresh(first.refreshToken);
  t.equal(second.session, first.session);
  t.not(second.refreshToken, first.refreshToken);
  const third = await b.accounts.refresh(first.refreshToken);
  t.equal(third.session, first.session, 'the old one within 30 s: the answer may have been lost');
  clock.advance(20_000);
  const fourth = await accounts.refresh(second.refreshToken);
  clock.advance(20_000);
  t.match(await b.accounts.refresh(fourth.refreshToken), { session: first.session }, 'a chain of refreshing goes on');
  t.equal(await refusal(() => accounts.refresh(first.refreshToken)), 'token-reused', 'the old one later');
  for (const { refreshToken } of [first, second, third, fourth])
    t.equal(await refusal(() => accounts.refresh(refreshToken)), 'session-ended');
  t.equal(await refusal(() => accounts.authenticate(first.session, 1, first.account)), 'credential-invalid');

  const name = first.session;
  for (const none of [
    '',
    'refresh_',
    `refresh_${'x'.repeat(24)}${'0'.repeat(64)}`,
    `refresh_${name}`,
    first.refreshToken.slice(8),
  ])
    t.equal(await refusal(() => accounts.refresh(none)), 'credential-invalid', none);
});

t.test('an end of sessions', async (t) => {
  const w = await world(t);
  const clock = new TestClock();
  const node = await w.node({ clock });
  const { accounts } = node;
  const one = await sessionOf(node);
  const two = await accounts.startSession(ACCOUNTS_WORKSPACE, one.account, false);
  t.type(await accounts.endSession(one.session), 'bigint');
  t.equal(await accounts.endSession(one.session), null, 'once');
  t.equal(await accounts.endSession('x'.repeat(24)), null);
  t.equal(await refusal(() => accounts.authenticate(one.session, 1, one.account)), 'credential-invalid');
  t.equal(await refusal(() => accounts.refresh(one.refreshToken)), 'session-ended');
  t.match(await accounts.authenticate(two.session, 1, one.account), { ended: false }, 'others go on');
  const forged = `${two.refreshToken.slice(0, -1)}${two.refreshToken.endsWith('0') ? '1' : '0'}`;
  t.equal(await refusal(() => accounts.refresh(forged)), 'credential-invalid');
  t.match(await accounts.authenticate(two.session, 1, one.account), { ended: false }, 'guessing ends no session');
  clock.advance(30 * 86_400_000);
  t.equal(await refusal(() => accounts.refresh(two.refreshToken)), 'session-ended', '30 days');
});

t.test('one refresh token from two nodes at once', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const { refreshToken } = await sessionOf(nodes[0]);
  const pairs = await times(6, (i) => (nodes[i % 2] as Node).accounts.refresh(refreshToken));
  t.equal(new Set(pairs.map((pair) => pair.refreshToken)).size, 6);
  for (const pair of pairs) await nodes[0].accounts.refresh(pair.refreshToken);
  t.pass('each of them works');
});

t.test('tiers', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { accounts, dispatches } = node;
  const { account } = await accounts.register(ACCOUNTS_WORKSPACE, person);
  const ref = { workspace: ACCOUNTS_WORKSPACE, account };
  t.equal(await dispatches.tierOf(ref), 'free', 'the default');
  await accounts.changeTier(ACCOUNTS_WORKSPACE, account, 'pro');
  t.equal(dispatches.tierOf(ref), 'pro');
  t.equal(await refusal(() => accounts.changeTier(ACCOUNTS_WORKSPACE, 99, 'pro')), 'not-found');
});

t.test('secrets are not in the log, and credentials come back', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { workspaces } = node;
  const session = await sessionOf(node);
  const project = await makeProject(node);
  const credentials = { accountSid: 'AC-very-secret', authToken: 'token-very-secret', fromNumber: '+12025550100' };
  const { connector, state } = await workspaces.createConnector(owner, project.workspace, {
    connectorType: 'twilio',
    name: 'SMS',
    credentials,
  });
  t.strictSame(workspaces.openCredentials(state), credentials);
  const changed = { ...credentials, authToken: 'changed-very-secret' };
  await workspaces.changeConnector(owner, project.workspace, connector, { credentials: changed, name: undefined });
  t.strictSame(await workspaces.credentials(project.workspace, connector), changed);
  t.match(await workspaces.connector(project.workspace, connector), { name: 'SMS' });
  const whatsapp = await workspaces.connector(project.workspace, project.connector);
  t.equal(whatsapp.senderHash, workspaces.senderHash('whatsapp', '1'));

  const columns = 'stream, type, data, meta';
  const rows = await w.ask(
    `SELECT ${columns} FROM log.events UNION ALL SELECT name, stream, made, NULL FROM log.claims`,
  );
  const all = JSON.stringify(rows);
  const secrets = [
    'very-secret',
    person.password,
    session.refreshToken.slice(32),
    project.secret.split('_sk_')[1] as string,
  ];
  for (const secret of secrets) t.notOk(all.includes(secret));
});
