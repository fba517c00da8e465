/**
 * A world of several processes: two that project, two that deliver, and one that takes callbacks and does neither: it knows
 * of the rows what the others tell it.
 */
import type pg from 'pg';
import type { Test } from 'tap';
import { projections } from '../../projections/index.ts';
import { type DeliveryWork, openReceipts, type Receipts, startDeliveryWork } from '../../src/delivery/index.ts';
import type { Feed } from '../../src/feed/feed.ts';
import type { PostgresLog } from '../../src/log/postgres.ts';
import { compareWithRebuild, watchCheckpoint } from '../../src/readside/index.ts';
import { deliveryWorld, type Node, takenCounts, type World } from './world.ts';

/** Makes the feed of one process; the first of each two is 0. */
export type SharedFeed = (of: { log: PostgresLog; pool: pg.Pool; which: 0 | 1; what: 'project' | 'deliver' }) => Feed;

export interface SharedWorld {
  readonly world: World;
  /** What takes callbacks. */
  readonly receipts: Receipts;
  /** Starts the two that deliver. */
  deliver(more?: Partial<Node['options']>): readonly [DeliveryWork, DeliveryWork];
}

/** Makes it; it ends with `t`. */
export async function sharedWorld(t: Test, feed: SharedFeed): Promise<SharedWorld> {
  const world = await deliveryWorld(t, {}, (log, pool) => feed({ log, pool, which: 0, what: 'project' }));
  const { log, read: pool } = world;
  const other = await world.project({ feed: feed({ log, pool, which: 1, what: 'project' }) });
  const second = await world.openNode();
  const api = watchCheckpoint(pool);
  t.teardown(() => api.stop());
  await api.ready;
  const receipts = openReceipts({ ...world.node.options, projected: api });
  t.teardown(() => receipts.stop());
  world.callbacks = { receipts };
  const start = (node: Node, which: 0 | 1, more: Partial<Node['options']>) => {
    const projected = which === 0 ? world.projector : other;
    const own = { sole: false, projected, feed: feed({ log, pool, which, what: 'deliver' }) };
    const work = startDeliveryWork({ ...node.options, ...own, ...more });
    t.teardown(() => work.stop());
    return work;
  };
  return { world, receipts, deliver: (more = {}) => [start(world.node, 0, more), start(second, 1, more)] };
}

/** The rows, when they have got to the head, are those of a rebuild. */
export async function sameAsRebuilt(t: Test, world: World): Promise<void> {
  await world.projected();
  const equal = projections.map(({ name }) => ({ projection: name, equal: true, differences: [] }));
  t.same(await compareWithRebuild(world.url, world.log), equal);
}

/** Each dispatch went out once, and the log says of it what happened, once. */
export function eachOnce(t: Test, world: World, dispatches: readonly string[]): void {
  const taken = takenCounts(world.sandbox);
  t.same(
    dispatches.filter((dispatch) => taken.get(dispatch) !== 1),
    [],
    'each was taken once',
  );
  const expected = 'DispatchAccepted,DispatchSent,DispatchDelivered';
  t.same(
    dispatches.filter((dispatch) => world.journal.of(dispatch).join() !== expected),
    [],
    'each was recorded once',
  );
}
