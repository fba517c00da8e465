import type pg from 'pg';
import t, { type Test } from 'tap';
import { findAccount, findAccountByEmail } from '../../projections/accounts/queries.ts';
import {
  connectorsBySender,
  countConnectors,
  findConnector,
  listConnectors,
} from '../../projections/connectors/queries.ts';
import {
  analytics,
  type Counts,
  connectorsDue,
  type DispatchFilter,
  type DispatchStatus,
  dispatchesByExternalId,
  dispatchesToErase,
  findDispatch,
  listDispatches,
  monthAccepted,
  pendingDispatches,
  usage,
  workspaceTotals,
} from '../../projections/dispatches/queries.ts';
import { deletedThings, deletedWorkspaces } from '../../projections/erasure.ts';
import { highestId } from '../../projections/ids/queries.ts';
import { findKey, listKeys } from '../../projections/keys/queries.ts';
import type { Queryable } from '../../projections/projection.ts';
import { heldReceiptsFor } from '../../projections/receipts/queries.ts';
import { findTemplate, listTemplates } from '../../projections/templates/queries.ts';
import { countProjects, findProject, listProjects } from '../../projections/workspaces/queries.ts';
import { type DomainEvent, event, type RecordedEvent } from '../../schemas/index.ts';
import { HistoryMaker, type KnownDispatch, makeHistory, randomOf } from './history.ts';
import { applyAll, cut, scratchDatabase, seedOf, useSchema } from './scratch.ts';

const dayMs = 86_400_000;
const statuses: DispatchStatus[] = ['pending', 'sent', 'delivered', 'failed'];
const types = ['whatsapp', 'telegram', 'twilio'] as const;

async function played(t: Test, length: number, seed = seedOf(t)) {
  const db = await scratchDatabase(t);
  await useSchema(db, 'read');
  const maker = makeHistory(seed, length);
  await applyAll(db, cut(randomOf(seed), maker.recorded(), 200));
  return { db, maker, random: randomOf(seed + 1) };
}

function countsOf(dispatches: readonly KnownDispatch[]): Counts {
  const counts = { pending: 0, sent: 0, delivered: 0, failed: 0 };
  for (const { state } of dispatches) if (state.status !== 'none') counts[state.status]++;
  return counts;
}

/** The dispatches that readers see. */
function livingOf(maker: HistoryMaker): KnownDispatch[] {
  const gone = new Set(maker.projects.filter((project) => project.deleted).map((project) => project.workspace));
  return maker.dispatches.filter((known) => !known.erased && !gone.has(known.workspace));
}

t.test('lists of dispatches and their totals agree with the history, whatever the filter', async (t) => {
  const { db, maker, random } = await played(t, 500);
  const living = livingOf(maker);
  t.ok(living.length > 0);
  const workspaces = [...new Set(living.map((known) => known.workspace))];
  for (let i = 0; i < 150; i++) {
    const workspace = workspaces[i % workspaces.length] as number;
    const own = living.filter((known) => known.workspace === workspace);
    // At, just before or just after a dispatch, so that whole days and what is left of days both count.
    const time = () =>
      (own[Math.floor(random() * own.length)] as KnownDispatch).createdAt + Math.floor(random() * 3) - 1;
    const filter: DispatchFilter = {
      workspace,
      ...(random() < 0.5 ? { status: statuses[Math.floor(random() * 4)] as DispatchStatus } : {}),
      ...(random() < 0.3 ? { connectorType: types[Math.floor(random() * 3)] as (typeof types)[number] } : {}),
      ...(random() < 0.5 ? { fromMs: random() < 0.5 ? time() : Math.floor(time() / dayMs) * dayMs } : {}),
      ...(random() < 0.5 ? { toMs: random() < 0.5 ? time() : Math.ceil(time() / dayMs) * dayMs - 1 } : {}),
    };
    const expected = living
      .filter(
        (known) =>
          known.workspace === workspace &&
          (filter.status === undefined || known.state.status === filter.status) &&
          (filter.connectorType === undefined || known.connectorType === filter.connectorType) &&
          known.createdAt >= (filter.fromMs ?? 0) &&
          known.createdAt <= (filter.toMs ?? Number.POSITIVE_INFINITY),
      )
      .sort((a, b) => b.createdAt - a.createdAt || (a.dispatch < b.dispatch ? 1 : -1));
    const { items, total } = await listDispatches(db, { ...filter, limit: 3, offset: 2 });
    t.equal(total, expected.length, `total of ${JSON.stringify(filter)}`);
    t.same(
      items.map((item) => item.dispatch),
      expected.slice(2, 5).map((known) => known.dispatch),
    );
  }
});

t.test('a page that shrank after it was counted says nothing of the days behind it', async (t) => {
  // A history that goes over several days.
  const { db, maker } = await played(t, 400, 2);
  const byWorkspace = Map.groupBy(livingOf(maker), ({ workspace }) => workspace);
  let tried = 0;
  for (const [workspace, dispatches] of byWorkspace) {
    const days = Map.groupBy(dispatches, ({ createdAt }) => Math.floor(createdAt / dayMs));
    if (days.size < 2) continue;
    const newest = days.get(Math.max(...days.keys())) ?? [];
    const gone = newest[0]?.dispatch ?? '';
    const erased = (value: boolean) => db.query('UPDATE dispatches SET erased = $2 WHERE dispatch = $1', [gone, value]);
    const changing: Queryable = {
      async query<R extends pg.QueryResultRow>(asked: pg.QueryConfig) {
        if (!asked.text.includes('OFFSET')) return db.query<R>(asked);
        await erased(true);
        return db.query<R>(asked).finally(() => erased(false));
      },
    };
    const { items, total } = await listDispatches(changing, { workspace, limit: newest.length, offset: 0 });
    t.strictSame([items.length, total], [newest.length - 1, dispatches.length]);
    tried++;
  }
  t.ok(tried > 0);
});

t.test('single dispatches, external ids, and pages to erase agree with the history', async (t) => {
  const { db, maker } = await played(t, 400);
  const living = new Set(livingOf(maker).map((known) => known.dispatch));
  for (const known of maker.dispatches) {
    const found = await findDispatch(db, known.dispatch);
    if (!living.has(known.dispatch)) {
      t.equal(found, null);
      continue;
    }
    const { status, externalId, attempt } = known.state;
    const { createdAt, sentAt, deliveredAt, due } = known;
    t.match(found, { status, externalId, attempts: attempt, createdAt, sentAt, deliveredAt, due, to: '+123' });
    t.equal(found?.text, `text of ${known.dispatch}\uFFFD`);
  }
  for (let i = 0; i < 20; i++) {
    const externalId = `ext${i}`;
    const same = livingOf(maker).filter((known) => known.state.externalId === externalId);
    for (const connectorType of types) {
      const found = await dispatchesByExternalId(db, { connectorType, externalId });
      const expected = same.filter((known) => known.connectorType === connectorType).map((known) => known.dispatch);
      t.same(found.map((view) => view.dispatch).sort(), expected.sort().slice(0, 10));
    }
  }
  for (const { workspace } of maker.projects) {
    const expected = maker.dispatches.filter((known) => known.workspace === workspace && !known.erased);
    const pages = [];
    let after = null;
    for (;;) {
      const page = await dispatchesToErase(db, workspace, after, 3);
      pages.push(...page);
      after = page.at(-1) ?? null;
      if (!after) break;
    }
    t.same(
      pages.map(({ dispatch, owner, key, status, sentAt }) => ({ dispatch, owner, key, status, sentAt })),
      expected.map(({ dispatch, owner, key, state, sentAt }) => ({
        dispatch,
        owner,
        key,
        status: state.status,
        sentAt,
      })),
    );
  }
});

t.test('roll-ups agree with the history', async (t) => {
  const maker = new HistoryMaker(randomOf(seedOf(t)));
  for (let i = 0; i < 400; i++) maker.step();
  const db = await scratchDatabase(t);
  await useSchema(db, 'read');
  await applyAll(db, cut(randomOf(1), maker.recorded(), 100));
  const frozen = new Map<string, string>();
  for (const { events } of maker.steps) {
    for (const { type, data } of events) {
      if (type === 'DispatchesErased') for (const item of data.items) frozen.set(item.dispatch, item.status);
    }
  }
  const rolled = maker.dispatches.map((known) => ({
    ...known,
    state: { ...known.state, status: (frozen.get(known.dispatch) ?? known.state.status) as DispatchStatus },
  }));
  for (const project of maker.projects) {
    const { workspace, deleted } = project;
    const own = deleted ? [] : rolled.filter((known) => known.workspace === workspace);
    t.same(await workspaceTotals(db, workspace), countsOf(own));
    t.same((await usage(db, { workspace })).totals, countsOf(own));
    const range = { fromMs: Date.UTC(2026, 0, 31), toMs: Date.UTC(2026, 1, 2) - 1 };
    const within = own.filter(({ createdAt }) => createdAt >= range.fromMs && createdAt <= range.toMs);
    const report = await analytics(db, { workspace, ...range });
    t.same(report.totals, countsOf(within));
    const days = [...new Set(within.map(({ createdAt }) => new Date(createdAt).toISOString().slice(0, 10)))].sort();
    t.same(
      report.byDay.map(({ day }) => day),
      days,
    );
  }
  for (const account of maker.accounts) {
    const owner = { workspace: 1, account };
    const projects = maker.projects.filter((project) => project.owner.account === account && !project.deleted);
    t.equal(await countProjects(db, owner), projects.length);
    const connectors = projects.flatMap((project) => project.connectors.filter((connector) => !connector.deleted));
    t.equal(await countConnectors(db, owner), connectors.length);
    const own = rolled.filter((known) => projects.some((project) => project.workspace === known.workspace));
    t.same((await usage(db, { owner })).totals, countsOf(own));
    for (const month of [0, 1]) {
      const accepted = maker.dispatches.filter(
        (known) => known.owner.account === account && new Date(known.createdAt).getUTCMonth() === month,
      );
      t.equal(await monthAccepted(db, owner, Date.UTC(2026, month, 10)), accepted.length);
    }
  }
});

t.test('what is due agrees with the history', async (t) => {
  const { db, maker } = await played(t, 400);
  const waiting = livingOf(maker).filter((known) => known.due !== null);
  t.ok(waiting.length > 0);
  const dues = waiting.map((known) => known.due as number).sort((a, b) => a - b);
  const nowMs = dues[Math.floor(dues.length / 2)] as number;
  const { due, nextDue } = await connectorsDue(db, { nowMs, limit: 100 });
  const expected = new Set(
    waiting.filter((known) => (known.due as number) <= nowMs).map((k) => `${k.workspace}/${k.connector}`),
  );
  t.same(due.map((each) => `${each.workspace}/${each.connector}`).sort(), [...expected].sort());
  t.ok(nextDue === null || nextDue > nowMs);
  const sent: string[] = [];
  for (const { workspace, connector } of due) {
    let after: { due: number; dispatch: string } | undefined;
    for (;;) {
      const page = await pendingDispatches(db, { workspace, connector, nowMs, limit: 2, ...(after ? { after } : {}) });
      sent.push(...page.map((each) => each.dispatch));
      after = page.at(-1);
      if (!after) break;
    }
  }
  const all = waiting.filter((known) => (known.due as number) <= nowMs).map((known) => known.dispatch);
  t.same(sent.sort(), all.sort(), 'every one, once');
});

t.test('lists of a project, newest first, show nothing that was deleted', async (t) => {
  const { db, maker } = await played(t, 600);
  for (const project of maker.projects) {
    const { workspace, deleted } = project;
    const ids = (things: readonly { id: number; deleted: boolean }[]) =>
      deleted
        ? []
        : things
            .filter((thing) => !thing.deleted)
            .map((thing) => thing.id)
            .reverse();
    const keys = await listKeys(db, workspace);
    t.same(
      keys.items.map((view) => view.key),
      ids(project.keys),
    );
    t.equal(keys.total, keys.items.length);
    t.same(
      (await listConnectors(db, workspace)).items.map((view) => view.connector),
      ids(project.connectors),
    );
    const templates = await listTemplates(db, workspace, { limit: 1, offset: 1 });
    t.same(
      templates.items.map((view) => view.template),
      ids(project.templates).slice(1, 2),
    );
    t.equal(templates.total, ids(project.templates).length);
    for (const { id, deleted: revoked } of project.keys) {
      const found = await findKey(db, workspace, id);
      t.equal(found === null, deleted || revoked);
      const used = maker.dispatches.filter((known) => known.workspace === workspace && known.key === id);
      if (found) t.equal(found.lastUsedAt, used.length > 0 ? Math.max(...used.map((known) => known.createdAt)) : null);
    }
    t.equal((await findProject(db, workspace)) === null, deleted);
    const highest = Math.max(0, ...[...project.keys].map((key) => key.id));
    t.equal(await highestId(db, workspace, 'key'), highest);
  }
  t.equal(await highestId(db, 0, 'workspace'), Math.max(...maker.projects.map((project) => project.workspace)));
  t.equal(await highestId(db, 1, 'account'), maker.accounts.length);
  const things = await deletedThings(db, 1_000);
  const expected = maker.projects.flatMap((project) =>
    (['keys', 'connectors', 'templates'] as const).flatMap((kind) =>
      project[kind]
        .filter((thing) => !thing.erased && (thing.deleted || project.deleted))
        .map((thing) => `${kind}/${project.workspace}/${thing.id}`),
    ),
  );
  t.same(things.map((thing) => `${thing.kind}s/${thing.workspace}/${thing.id}`).sort(), expected.sort());
  const gone = maker.projects.filter((project) => project.deleted && !project.erased);
  t.same(
    (await deletedWorkspaces(db, 100)).map(({ workspace, owner }) => ({ workspace, owner })),
    gone.map(({ workspace, owner }) => ({ workspace, owner })),
  );
});

t.test('accounts, projects of an owner, senders and held receipts', async (t) => {
  const db = await scratchDatabase(t);
  await useSchema(db, 'read');
  const at = Date.UTC(2026, 4, 5);
  const owner = { workspace: 1, account: 7 };
  const facts = [
    event('AccountOpened', { ...owner, kind: 'person' }),
    event('IdentifierAttached', { ...owner, kind: 'email', value: ' Ada@Example.com' }),
    event('SessionStarted', { ...owner, session: 's', refreshHash: 'h', expiresAt: at, login: false }),
    event('WorkspaceOpened', { workspace: 5, kind: 'project', owner, name: 'one', description: null }),
    event('WorkspaceOpened', { workspace: 6, kind: 'project', owner, name: 'two', description: 'd' }),
    event('ConnectorCreated', {
      workspace: 6,
      connector: 1,
      connectorType: 'whatsapp',
      name: 'W',
      sealed: 'x',
      senderHash: 'sender',
    }),
    event('TemplateCreated', {
      workspace: 6,
      template: 2,
      connectorType: 'twilio',
      name: 'T',
      content: 'c',
      variables: ['a', 'b'],
    }),
    event('ReceiptHeld', {
      connectorType: 'whatsapp',
      externalHash: 'e',
      senderHash: 'sender',
      status: 'delivered',
      error: null,
      receivedAt: at,
    }),
    event('ReceiptHeld', {
      connectorType: 'whatsapp',
      externalHash: 'e',
      senderHash: null,
      status: 'sent',
      error: null,
      receivedAt: at - 1,
    }),
  ];
  let position = 0n;
  const recorded = (each: DomainEvent, time: number): RecordedEvent =>
    ({
      ...each,
      position: ++position,
      stream: `s${position}`,
      revision: 0,
      commitId: 'c',
      index: 0,
      at: time,
      meta: {},
    }) as RecordedEvent;
  await applyAll(db, [facts.map((each) => recorded(each, at + Number(position)))]);

  t.match(await findAccountByEmail(db, 1, 'ADA@example.COM '), {
    account: 7,
    email: ' Ada@Example.com',
    lastLoginAt: null,
    openedAt: at,
  });
  t.equal(await findAccountByEmail(db, 2, 'ada@example.com'), null, 'addresses belong to a workspace');
  await applyAll(db, [
    [
      recorded(
        event('SessionStarted', { ...owner, session: 'l', refreshHash: 'h', expiresAt: at, login: true }),
        at + 9,
      ),
    ],
  ]);
  t.equal((await findAccount(db, owner))?.lastLoginAt, at + 9);
  t.equal(await findAccount(db, { workspace: 1, account: 8 }), null);

  const list = await listProjects(db, owner, { limit: 1, offset: 0 });
  t.match(list, { total: 2, items: [{ workspace: 6, name: 'two', owner, description: 'd' }] });
  t.same(
    (await listProjects(db, owner)).items.map((project) => project.name),
    ['two', 'one'],
  );
  t.match(await findTemplate(db, 6, 2), { variables: ['a', 'b'], content: 'c', isActive: true });
  t.equal(await findConnector(db, 5, 1), null, 'another workspace has no such connector');
  t.same(
    (await connectorsBySender(db, 'sender')).map((connector) => connector.workspace),
    [6],
  );

  const wanted = { connectorType: 'whatsapp' as const, externalHash: 'e', nowMs: at };
  t.same(
    (await heldReceiptsFor(db, wanted)).map((held) => held.status),
    ['sent', 'delivered'],
  );
  t.same(
    (await heldReceiptsFor(db, { ...wanted, senderHash: 'another' })).map((held) => held.status),
    ['sent'],
  );
  t.same(await heldReceiptsFor(db, { ...wanted, nowMs: at + dayMs }), [], 'after a day they count no more');
  t.same(await heldReceiptsFor(db, { ...wanted, connectorType: 'twilio' }), []);

  await applyAll(db, [[recorded(event('WorkspaceDeleted', { workspace: 6, owner }), at + dayMs + 60_000)]]);
  t.equal(await findTemplate(db, 6, 2), null, 'what is in a deleted workspace does not exist');
  t.equal(await findConnector(db, 6, 1), null);
  t.same(await connectorsBySender(db, 'sender'), []);
  const { rows } = await db.query('SELECT FROM held_receipts');
  t.equal(rows.length, 0, 'receipts of yesterday are gone');
});
