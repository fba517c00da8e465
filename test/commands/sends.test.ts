/** Accepting messages (MessageJS sheet, section 9): the order of checks, idempotency, batches. */
import t from 'tap';
import {
  type AcceptedSend,
  type DomainError,
  type SendRequest,
  type SendResult,
  streams,
} from '../../src/commands/index.ts';
import { account } from '../../src/domain/account.ts';
import { isBase36Id } from '../../src/platform/ids.ts';
import { makeProject, type Node, owner, refusal, TestClock, times, type World, world } from './world.ts';

async function accepted(w: World) {
  return (await w.events()).flatMap((event) => (event.type === 'DispatchAccepted' ? [event] : []));
}

/** Dispatches and codes of refusals. */
function spelled(results: readonly SendResult[]): string[] {
  return results.map((result) => ('dispatch' in result ? result.dispatch : result.refused.code));
}

t.test('what is accepted', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const project = await makeProject(node);
  const sent = await node.dispatches.send(project.key, project.request(), '00-abc-def-01');
  t.ok(isBase36Id(sent.dispatch));
  const [only, ...more] = await accepted(w);
  t.strictSame(more, []);
  t.strictSame(only?.data, {
    workspace: project.workspace,
    dispatch: sent.dispatch,
    owner,
    key: project.key.key,
    connector: project.connector,
    connectorType: 'whatsapp',
    template: project.template,
    to: '+491701234567',
    text: 'Hi Ada',
  });
  t.match(only, {
    stream: streams.dispatch(sent.dispatch),
    position: sent.position,
    meta: { actor: [project.workspace, 0], trace: '00-abc-def-01' },
  });
  t.strictSame(node.acknowledged.at(-1), { workspace: project.workspace, account: 0, position: sent.position });
  const again = await node.dispatches.send(project.key, project.request());
  t.not(again.dispatch, sent.dispatch, 'without a key each send is its own');
});

t.test('one key, 50 times at once from two nodes', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const project = await makeProject(nodes[0]);
  const sends = await times(50, (i) =>
    (nodes[i % 2] as Node).dispatches.send(
      project.key,
      project.request({ idempotencyKey: 'order 7', variables: { name: `name ${i}` } }),
    ),
  );
  t.equal(new Set(sends.map(({ dispatch }) => dispatch)).size, 1, 'one dispatch');
  t.equal(sends.filter(({ position }) => position !== null).length, 1, 'accepted once, replayed 49 times');
  t.equal((await accepted(w)).length, 1, 'one event');
  const later = await nodes[1].dispatches.send(
    project.key,
    project.request({ idempotencyKey: 'order 7', to: '+3312345678' }),
  );
  t.equal(later.dispatch, sends[0]?.dispatch, 'another body is ignored');
  const other = await nodes[1].dispatches.send(project.key, project.request({ idempotencyKey: 'order 8' }));
  t.not(other.dispatch, later.dispatch);
});

t.test('the scope of a key is the project', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const [one, two] = [await makeProject(node), await makeProject(node)] as const;
  const send = (project: typeof one) => node.dispatches.send(project.key, project.request({ idempotencyKey: 'same' }));
  const [first, second] = [await send(one), await send(two)] as const;
  t.not(first.dispatch, second.dispatch);
  const issued = await node.workspaces.issueKey(owner, one.workspace, { name: 'Other', rateLimit: 1, expiresAt: null });
  const otherKey = await node.workspaces.authenticate(issued.secret);
  const replay = await node.dispatches.send(otherKey, one.request({ idempotencyKey: 'same' }));
  t.equal(replay.dispatch, first.dispatch, "all keys act as the project's service account");
  t.equal((await accepted(w)).length, 2);
});

t.test('a replay is answered whatever has become of the rest', async (t) => {
  const w = await world(t);
  const clock = new TestClock(Date.UTC(2024, 0, 15));
  const nodes = [await w.node({ monthlyQuota: 2, clock }), await w.node({ monthlyQuota: 2, clock })] as const;
  const [{ dispatches, workspaces }, other] = nodes;
  const project = await makeProject(nodes[0]);
  const keyed = project.request({ idempotencyKey: 'k' });
  const { dispatch } = await dispatches.send(project.key, keyed);
  const replayed = async (message: string) => {
    for (const node of nodes) {
      const replay: AcceptedSend = await node.dispatches.send(project.key, keyed);
      t.strictSame(replay, { dispatch, position: null }, message);
    }
  };
  await replayed('replays use no quota');
  await dispatches.send(project.key, project.request());
  t.equal(await refusal(() => dispatches.send(project.key, project.request())), 'quota-exceeded');
  t.equal(
    await refusal(() => other.dispatches.send(project.key, project.request({ idempotencyKey: 'new' }))),
    'quota-exceeded',
  );
  await replayed('the quota is used up');

  clock.advance(31 * 86_400_000);
  await workspaces.deleteTemplate(owner, project.workspace, project.template);
  t.equal(await refusal(() => dispatches.send(project.key, project.request())), 'template-not-found');
  await replayed('the template was deleted');
  await workspaces.changeConnector(owner, project.workspace, project.connector, { isActive: false });
  t.equal(await refusal(() => dispatches.send(project.key, project.request())), 'connector-inactive');
  await replayed('the connector was switched off');
  await workspaces.deleteConnector(owner, project.workspace, project.connector);
  t.equal(await refusal(() => dispatches.send(project.key, project.request())), 'connector-not-found');
  await replayed('the connector was deleted');
  t.strictSame(
    await dispatches.send(project.key, { ...keyed, connector: null, template: null, to: 'nonsense' }),
    { dispatch, position: null },
    'the body no longer counts',
  );
  await nodes[0].log.erase([streams.dispatch(dispatch)]);
  await replayed('the message was erased');
  t.equal((await accepted(w)).length, 1, 'the other one');
});

t.test('a send that was refused is done again under the same key', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const project = await makeProject(node);
  const wrong = project.request({ idempotencyKey: 'k', to: 'nonsense' });
  t.equal(await refusal(() => node.dispatches.send(project.key, wrong)), 'recipient-malformed');
  const sent = await node.dispatches.send(project.key, { ...wrong, to: '+491701234567' });
  t.type(sent.position, 'bigint');
});

t.test('the order of checks, from memory and from the log', async (t) => {
  const w = await world(t);
  const node = await w.node({ monthlyQuota: 1 });
  const project = await makeProject(node);
  const foreign = await makeProject(node);
  const inactive = await node.workspaces.createConnector(owner, project.workspace, {
    connectorType: 'telegram',
    name: 'T',
    credentials: { botToken: 'x' },
  });
  await node.workspaces.changeConnector(owner, project.workspace, inactive.connector, { isActive: false });
  const silent = await node.workspaces.createTemplate(owner, project.workspace, {
    name: 'Silent',
    connectorType: 'telegram',
    content: 'x',
    variables: [],
  });
  await node.workspaces.changeTemplate(owner, project.workspace, silent.template, { isActive: false });
  const all = { to: 'nonsense', connector: 999, template: 999 };
  const cases: [Partial<SendRequest>, string][] = [
    [all, 'connector-not-found'],
    [{ ...all, connector: null }, 'connector-not-found'],
    [{ ...all, connector: foreign.connector + 1 }, 'connector-inactive'],
    [{ ...all, connector: inactive.connector }, 'connector-inactive'],
    [{ ...all, connector: project.connector }, 'template-not-found'],
    [{ ...all, connector: project.connector, template: null }, 'template-not-found'],
    [{ ...all, connector: project.connector, template: silent.template }, 'template-not-found'],
    [{ to: 'nonsense' }, 'recipient-malformed'],
  ];
  t.equal(inactive.connector, foreign.connector + 1, 'the same number means another connector in each project');
  const cold = await w.node();
  for (const [rest, code] of cases) {
    t.equal(await refusal(() => node.dispatches.send(project.key, project.request(rest))), code, 'from memory');
    t.equal(await refusal(() => cold.dispatches.send(project.key, project.request(rest))), code, 'from the log');
  }
  await node.dispatches.send(project.key, project.request());
  t.equal(
    await refusal(() => node.dispatches.send(project.key, project.request(all))),
    'quota-exceeded',
    'quota is first',
  );
});

t.test('recipients', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const project = await makeProject(node);
  const telegram = await node.workspaces.createConnector(owner, project.workspace, {
    connectorType: 'telegram',
    name: 'T',
    credentials: { botToken: 'x' },
  });
  const good = {
    phone: ['+12', '12', '+491701234567', '123456789012345'],
    chat: ['1', '-1001234567890', '@parley_bot'],
  };
  const bad = {
    phone: [
      '',
      '+',
      '1',
      '0123',
      '+0123',
      '1234567890123456',
      '+49 170',
      '12a',
      ' 12',
      '12\n',
      '++12',
      '@name',
      '-12',
      '١٢٣',
    ],
    chat: ['', '-', '@', '1.5', '+12', 'name', '@na me', '1\n', ' 1', '--1'],
  };
  for (const [kind, connector] of [
    ['phone', project.connector],
    ['chat', telegram.connector],
  ] as const) {
    const results = await node.dispatches.sendAll(
      project.key,
      [...good[kind], ...bad[kind]].map((to) => project.request({ to, connector })),
    );
    const codes = results.map((result) => ('refused' in result ? result.refused.code : 'accepted'));
    t.strictSame(codes, [...good[kind].map(() => 'accepted'), ...bad[kind].map(() => 'recipient-malformed')], kind);
  }
});

t.test('many at once, each for itself', async (t) => {
  const w = await world(t);
  const node = await w.node({ monthlyQuota: 100 });
  const project = await makeProject(node);
  const huge = await node.workspaces.createTemplate(owner, project.workspace, {
    name: 'Huge',
    connectorType: 'whatsapp',
    content: '{{text}}',
    variables: [],
  });
  const tooLarge = (text: string) => project.request({ template: huge.template, variables: { text } });
  const before = await node.dispatches.send(project.key, project.request({ idempotencyKey: 'before' }));
  const results = await node.dispatches.sendAll(project.key, [
    project.request({ idempotencyKey: 'a' }),
    project.request({ to: 'nonsense' }),
    project.request({ idempotencyKey: 'a', to: 'nonsense' }),
    tooLarge('x'.repeat(300_000)),
    tooLarge('\u0001'.repeat(60_000)),
    tooLarge('☃'.repeat(90_000)),
    tooLarge('x'.repeat(250_000)),
    project.request({ idempotencyKey: 'before' }),
    project.request({ connector: 999, idempotencyKey: 'b' }),
    project.request({ idempotencyKey: 'b' }),
    project.request(),
    project.request(),
  ]);
  const [a, malformed, twin, large1, large2, large3, fits, replay, refused, b, one, two] = spelled(results);
  t.equal(twin, a, 'the same key twice is one message');
  t.strictSame([malformed, large1, large2, large3], ['recipient-malformed', 'too-large', 'too-large', 'too-large']);
  t.ok(isBase36Id(fits as string), 'just below the limit');
  t.equal(replay, before.dispatch);
  t.equal(refused, 'connector-not-found');
  t.ok(isBase36Id(b as string), 'a refusal leaves its key free');
  t.equal(new Set([a, b, one, two, fits, replay]).size, 6);
  t.equal((await accepted(w)).length, 6);
  t.strictSame(await node.dispatches.sendAll(project.key, []), []);

  const rest = await node.dispatches.sendAll(project.key, times100(project.request));
  const codes = spelled(rest).map((each) => (isBase36Id(each) ? 'accepted' : each));
  t.strictSame(
    codes,
    [...Array(94).fill('accepted'), ...Array(6).fill('quota-exceeded')],
    'what was refused or replayed used no quota',
  );
  const beyond = rest.at(-1) as { refused: DomainError };
  t.equal(beyond.refused.retryAt, Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() + 1, 1));
});

function times100(request: () => SendRequest): SendRequest[] {
  return Array.from({ length: 100 }, () => request());
}

t.test('quota that was taken comes back when the batch fails', async (t) => {
  const w = await world(t);
  const clock = new TestClock();
  const node = await w.node({ monthlyQuota: 10, clock });
  const project = await makeProject(node);
  const opening = { command: 'OpenAccount', ...owner, kind: 'person' } as const;
  await node.door.execute(account, streams.account(owner.workspace, owner.account), opening, owner);
  // The template is no longer in memory, and cannot be read.
  node.door.states.forget(streams.template(project.workspace, project.template));
  await w.ask('ALTER TABLE log.events RENAME COLUMN revision TO elsewhere');
  const requests = Array.from({ length: 10 }, (_, i) => project.request({ idempotencyKey: `k${i}` }));
  await t.rejects(node.dispatches.sendAll(project.key, requests));
  await w.ask('ALTER TABLE log.events RENAME COLUMN elsewhere TO revision');
  const codes = spelled(await node.dispatches.sendAll(project.key, requests));
  t.ok(codes.every(isBase36Id), 'all ten');
});

t.test('replays in a batch leave the quota to the others', async (t) => {
  const w = await world(t);
  const node = await w.node({ monthlyQuota: 5 });
  const project = await makeProject(node);
  const keyed = (key: string) => project.request({ idempotencyKey: key });
  await node.dispatches.sendAll(project.key, [keyed('a'), keyed('b'), keyed('c')]);
  const results = await node.dispatches.sendAll(project.key, [
    ...[keyed('a'), keyed('b'), keyed('c')],
    ...[keyed('d'), keyed('d'), keyed('e'), keyed('f')],
  ]);
  const [, , , d, twin, e, f] = spelled(results);
  t.equal(twin, d);
  t.ok(isBase36Id(e as string));
  t.equal(f, 'quota-exceeded');
  t.equal((await accepted(w)).length, 5);
});

t.test('text is rendered once, at acceptance', async (t) => {
  const w = await world(t);
  const [a, b] = [await w.node(), await w.node()] as const;
  const project = await makeProject(a);
  await a.dispatches.send(project.key, project.request());
  const { position } = await b.workspaces.changeTemplate(owner, project.workspace, project.template, {
    content: 'Ho {{name}}',
  });
  await a.log.taken(position as bigint);
  await a.dispatches.send(project.key, project.request());
  t.strictSame(
    (await accepted(w)).map(({ data }) => data.text),
    ['Hi Ada', 'Ho Ada'],
  );
});
