import type pg from 'pg';
import { projections as allProjections, type Projection } from '../../projections/index.ts';
import { PositionExchange } from './position-exchange.ts';
import { GroupPositions } from './positions.ts';
import { isReadable, projectorGroup, tableVersions } from './tables.ts';

/** How far the rows that are read have got: what freshness asks. A projector in this process is one. */
export interface PositionSource {
  /** Everything up to here is in the rows, as far as this process knows. */
  reached(): bigint;
  /** Calls back whenever `reached` rose, until what it answers is called. Somebody is waiting: hurry. */
  watch(onReached: () => void): () => void;
  /** Rows stand still because their projection is being rebuilt: to wait is in vain. */
  rebuilding(): boolean;
}

/** The position of projectors in other processes. */
export interface CheckpointWatch extends PositionSource {
  /**
   * Resolves when there are rows that today's queries can read: serve no reads before it. Rejects when it is stopped first.
   */
  readonly ready: Promise<void>;
  stop(): Promise<void>;
}

/** How often it is looked of which version the tables are: while they are as they should be, and while they are not. */
const versionsEveryMs = { current: 2_000, outdated: 200 } as const;

/**
 * Watches how far the projectors of other processes are, and whether they rebuild: told by them, and by the rows. Whoever
 * waits makes them hurry.
 *
 * @param pool the database; the address it was made with serves to listen too
 */
export function watchCheckpoint(
  pool: pg.Pool,
  options: { readonly projections?: readonly Projection[] } = {},
): CheckpointWatch {
  const { projections = allProjections } = options;
  const positions = new GroupPositions();
  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => {});
  let readable = false;
  let rebuilding = false;
  let lookedAt = Number.NEGATIVE_INFINITY;
  const look = async () => {
    const everyMs = versionsEveryMs[readable && !rebuilding ? 'current' : 'outdated'];
    if (performance.now() - lookedAt < everyMs) return;
    lookedAt = performance.now();
    const versions = await tableVersions(pool);
    // Before anything is projected the tables that are missing are made at once.
    rebuilding = positions.smallest > 0n && projections.some(({ name, version }) => versions.get(name) !== version);
    readable = projections.every((projection) => isReadable(projection, versions));
    if (readable) ready.resolve();
  };
  // What `read` is waited for is known with it.
  const onRead = () => look().catch(() => {});
  const exchange = new PositionExchange({ pool, group: projectorGroup, positions, onRead });
  exchange.start().catch(() => {});
  return {
    ready: ready.promise,
    reached: () => positions.smallest,
    rebuilding: () => rebuilding,
    watch(onReached) {
      const unwatch = positions.watch(onReached);
      exchange.hurry();
      return unwatch;
    },
    async stop() {
      ready.reject(new Error('stopped'));
      await exchange.stop();
    },
  };
}
