import t, { type Test } from 'tap';
import { systemClock } from '../../src/platform/clock.ts';
import {
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
  const source = watchCheckpoint(on.pool);
  const freshness = freshnessOf(on, source, { maxWaitMs: 60_000 });
  freshness.noteAcknowledged(3, actor, 10n);
  t.same(await freshness.waitFor({ workspace: 4, account: { workspace: 1, account: 6 } }), { stale: false });
  t.same(await freshness.waitFor({}), { stale: false });
});

t.test('rows that do not come in time are stale, and no answer to who asks for a position', async (t) => {
  const on = await ground(t);
  const head = await someEvents(t, on);
  const freshness = freshnessOf(on, watchCheckpoint(on.pool), { maxWaitMs: 60 });
  freshness.noteAcknowledged(3, null, head);
  t.same(await freshness.waitFor({ workspace: 3, account: actor }), { stale: true });
  t.same(await freshness.waitFor({ workspace: 4, account: actor }), { stale: false });
  await t.rejects(freshness.waitFor({ workspace: 4, atLeast: head }), NotReachedError);
});

t.test('the projector of another process is seen through its checkpoint', async (t) => {
  const on = await ground(t);
  const head = await someEvents(t, on);
  const freshness = freshnessOf(on, watchCheckpoint(on.pool), { maxWaitMs: 30_000 });
  freshness.noteAcknowledged(3, actor, head);
  const waiting = [freshness.waitFor({ workspace: 3 }), freshness.waitFor({ atLeast: head })];
  await on.project();
  t.same(await Promise.all(waiting), [{ stale: false }, { stale: false }]);
});

t.test('positions of requests', async (t) => {
  const on = await ground(t);
  const head = await someEvents(t, on);
  const freshness = freshnessOf(on, watchCheckpoint(on.pool));
  t.equal(await freshness.parsePosition(`${head}`), head);
  t.equal(await freshness.parsePosition('0'), 0n);
  for (const text of ['', ' 1', '-1', '1.0', '0x1', 'abc', '9'.repeat(19), '1'.repeat(20)]) {
    await t.rejects(freshness.parsePosition(text), MalformedPositionError, JSON.stringify(text));
  }
  await t.rejects(freshness.parsePosition(`${head + 1n}`), PositionAheadError);
});

t.test('what is remembered is bounded, and nobody reads stale rows for it', async (t) => {
  const on = await ground(t);
  const freshness = freshnessOf(on, watchCheckpoint(on.pool), { maxWaitMs: 10, maxNoted: 4 });
  for (let workspace = 1; workspace <= 9; workspace++) freshness.noteAcknowledged(workspace, null, BigInt(workspace));
  t.same(await freshness.waitFor({ workspace: 1 }), { stale: true }, 'forgotten, so it waits for more than its own');
  const projector = await on.project();
  await someEvents(t, on);
  await caughtUp(on.log, projector);
  const fresh = freshnessOf(on, projector, { maxWaitMs: 60_000 });
  fresh.noteAcknowledged(1, null, 1n);
  t.same(await fresh.waitFor({ workspace: 1 }), { stale: false });
});
