/**
 * The read side: runs projections, rebuilds them, and knows how fresh their rows are (design sections 3.3, 3.8 and 6).
 *
 * Promises: rows of projections and the checkpoint of group `projector` change in one transaction. Reads never fail while
 * a projection is rebuilt: its tables are filled in a schema of their own and swapped in at once.
 *
 * A projection whose version changed: tables that today's queries can still read (`readableFrom`) go on serving, as they
 * were when the new code started, until the rebuilt ones take their place; whatever waits for freshness is told at once
 * that it is stale. Where today's queries cannot read them, or there are none, `Projector.ready` waits for the rebuild: serve
 * no reads before it resolves. Two versions of the code side by side: each keeps the tables of its own version only.
 *
 * The projector is a consumer group: any number of processes share the partitions of its feed. What is reached is the smallest
 * position of all partitions, whatever process has them: processes tell each other by NOTIFY (`position-exchange.ts`), and the
 * rows of the checkpoints tell what was not heard. A process without a projector knows in the same way (`watchCheckpoint`),
 * and whoever waits, anywhere, makes all projectors hurry. A rebuild swaps in where each partition stands.
 *
 * When Postgres is away the projector goes on from its checkpoint when it is back; a rebuild that failed is begun again.
 */
export { compareWithRebuild, type ProjectionComparison } from './compare.ts';
export {
  createFreshness,
  type Freshness,
  MalformedPositionError,
  NotReachedError,
  PositionAheadError,
} from './freshness.ts';
export { type GroupLag, groupLag } from './lag.ts';
export { readsideMigrations } from './migrations.ts';
export { readPool } from './pool.ts';
export { type CheckpointWatch, type PositionSource, watchCheckpoint } from './position-source.ts';
export { GroupPositions } from './positions.ts';
export {
  type Projector,
  type ProjectorBatch,
  type ProjectorOptions,
  projectorGroup,
  startProjector,
} from './projector.ts';
export { rebuildProjection, UnknownProjectionError } from './rebuild.ts';
