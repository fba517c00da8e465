import t, { type Test } from 'tap';
import { type Projection, projections } from '../../projections/index.ts';
import { systemClock } from '../../src/platform/clock.ts';
import {
  type CheckpointWatch,
  createFreshness,
  type Freshness,
  MalformedPositionError,
  NotReachedError,
  PositionAheadError,
  type PositionSource,
  watchCheckpoint,
} from '../../src/readside/index.ts';
import { makeHistory } from '../projections/history.ts';
import { seedOf } from '../projections/scratch.ts';
import { appendSteps, caughtUp, type Ground, ground } from './platform.ts';

const actor = { workspace: 1, account: 5 };

function freshnessOf(
  on: Ground,
  source: PositionSource,
  more: { maxWaitMs?: number; maxNoted?: number } = {},
): Freshness {
  return createFreshness({ source, head: () => on.log.head(), clock: systemClock, ...more });
}

/** What a process without a projector knows, until `t` ends. */
function watched(t: Test, on: Ground, of?: readonly Projection[]): CheckpointWatch {
  const source = watchCheckpoint(on.pool, of && { projections: of });
  t.teardown(() => source.stop());
  return source;
}

async function someEvents(t: Test, on: Ground): Promise<bigint> {
  await appendSteps(on.log, makeHistory(seedOf(t), 20).steps);
  return on.log.head();
}

t.test('a read waits for what its workspace or its account wrote', async (t) => {
  const on = await ground(t);
  // Batches that begin when somebody waits for them, or after a minute.
  const projector = await on.project({ batchIntervalMs: 60_000 });
  const freshness = freshnessOf(on, projector);
  t.same(await freshness.waitFor({ workspace: 3, account: actor }), { stale: false }, 'nothing was written');
  const steps = makeHistory(seedOf(t), 30).steps;
  for (const which of [{ workspace: 3 }, { account: actor }, { workspace: 3, account: actor }]) {
    await appendSteps(on.log, steps.splice(0, 10));
    const head = await on.log.head();
    freshness.noteAcknowledged(3, actor, head);
    t.same(await freshness.waitFor(which), { stale: false });
    t.ok(freshness.reached() >= head, 'the rows show it');
  }
});

t.test('whoever wrote nothing does not wait', async (t) => {
  const on = await ground(t);
  const source = watched(t, on);
  const freshness = freshnessOf(on, source, { maxWaitMs: 60_000 });
  freshness.noteAcknowledged(3, actor, 10n);
  t.same(await freshness.waitFor({ workspace: 4, account: { workspace: 1, account: 6 } }), { stale: false });
  t.same(await freshness.waitFor({}), { stale: false });
});

t.test('rows that do not come in time are stale, and no answer to who asks for a position', async (t) => {
  const on = await ground(t);
  const head = await someEvents(t, on);
  const freshness = freshnessOf(on, watched(t, on), { maxWaitMs: 60 });
  freshness.noteAcknowledged(3, null, head);
  t.same(await freshness.waitFor({ workspace: 3, account: actor }), { stale: true });
  t.same(await freshness.waitFor({ workspace: 4, account: actor }), { stale: false });
  await t.rejects(freshness.waitFor({ workspace: 4, atLeast: head }), NotReachedError);
});

t.test('the projector of another process is seen through its checkpoint', async (t) => {
  const on = await ground(t);
  const head = await someEvents(t, on);
  const freshness = freshnessOf(on, watched(t, on), { maxWaitMs: 30_000 });
  freshness.noteAcknowledged(3, actor, head);
  const waiting = [freshness.waitFor({ workspace: 3 }), freshness.waitFor({ atLeast: head })];
  await on.project();
  t.same(await Promise.all(waiting), [{ stale: false }, { stale: false }]);
});

t.test('whoever waits makes projectors of other processes hurry, and is told at once', async (t) => {
  const on = await ground(t);
  const steps = makeHistory(seedOf(t), 30).steps;
  const projector = await on.project({ batchIntervalMs: 60_000, shared: true });
  const source = watched(t, on);
  await source.ready;
  const freshness = freshnessOf(on, source, { maxWaitMs: 20_000 });
  for (let i = 0; i < 5; i++) {
    await appendSteps(on.log, steps.splice(0, 6));
    const head = await on.log.head();
    freshness.noteAcknowledged(3, actor, head);
    t.same(await freshness.waitFor({ workspace: 3 }), { stale: false });
    t.ok(projector.reached() >= head);
  }
  // The same when what they hear by is gone: it is made anew.
  await on.pool.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parley-positions'",
  );
  await appendSteps(on.log, steps);
  freshness.noteAcknowledged(3, actor, await on.log.head());
  t.same(await freshness.waitFor({ workspace: 3 }), { stale: false });
});

t.test('a process without a projector knows when rows can be read, and when they stand still', async (t) => {
  const on = await ground(t);
  await someEvents(t, on);
  const withoutIds = projections.filter(({ name }) => name !== 'ids');
  const source = watched(t, on);
  let isReady = false;
  const ready = source.ready.then(() => {
    isReady = true;
  });
  const old = await on.project({ projections: withoutIds });
  await caughtUp(on.log, old);
  await old.stop();
  t.notOk(isReady, 'one is missing');
  const projector = await on.project();
  await projector.ready;
  await ready;
  t.notOk(source.rebuilding());

  const newer = projections.map((each) => ({ ...each, version: each.version + 1 }));
  const outdated = watched(t, on, newer);
  await outdated.ready;
  t.ok(outdated.rebuilding(), 'its own version is not there yet');
  await t.rejects(freshnessOf(on, outdated).waitFor({ workspace: 3, atLeast: 1n }), NotReachedError);
  const gone = watched(t, on, [{ ...newer[0], readableFrom: 1_000, version: 1_000 } as (typeof newer)[number]]);
  await gone.stop();
  await t.rejects(gone.ready, /stopped/);
});

t.test('positions of requests', async (t) => {
  const on = await ground(t);
  const head = await someEvents(t, on);
  const freshness = freshnessOf(on, watched(t, on));
  t.equal(await freshness.parsePosition(`${head}`), head);
  t.equal(await freshness.parsePosition('0'), 0n);
  for (const text of ['', ' 1', '-1', '1.0', '0x1', 'abc', '9'.repeat(19), '1'.repeat(20)]) {
    await t.rejects(freshness.parsePosition(text), MalformedPositionError, JSON.stringify(text));
  }
  await t.rejects(freshness.parsePosition(`${head + 1n}`), PositionAheadError);
});

t.test('what is remembered is bounded, and nobody reads stale rows for it', async (t) => {
  const on = await ground(t);
  const freshness = freshnessOf(on, watched(t, on), { maxWaitMs: 10, maxNoted: 4 });
  for (let workspace = 1; workspace <= 9; workspace++) freshness.noteAcknowledged(workspace, null, BigInt(workspace));
  t.same(await freshness.waitFor({ workspace: 1 }), { stale: true }, 'forgotten, so it waits for more than its own');
  const projector = await on.project();
  await someEvents(t, on);
  await caughtUp(on.log, projector);
  const fresh = freshnessOf(on, projector, { maxWaitMs: 60_000 });
  fresh.noteAcknowledged(1, null, 1n);
  t.same(await fresh.waitFor({ workspace: 1 }), { stale: false });
});
