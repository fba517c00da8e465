import type pg from 'pg';
import { readCheckpoint } from '../feed/checkpoint.ts';
import { projectorGroup } from './tables.ts';

/** How far the rows that are read have got: what freshness asks. A projector in this process is one. */
export interface PositionSource {
  /** Everything up to here is in the rows, as far as this process knows. */
  reached(): bigint;
  /** Calls back whenever `reached` rose, until what it answers is called. Somebody is waiting: hurry. */
  watch(onReached: () => void): () => void;
  /** Rows stand still because their projection is being rebuilt: to wait is in vain. */
  rebuilding(): boolean;
}

/** How often the checkpoint is read while somebody waits. */
const pollIntervalMs = 50;

/** The position of a projector in another process: its checkpoint row, read while somebody waits. */
export function watchCheckpoint(pool: pg.Pool): PositionSource {
  let position = 0n;
  const watchers = new Set<() => void>();
  let polling = false;
  const poll = async () => {
    try {
      const now = await readCheckpoint(pool, projectorGroup);
      if (now > position) {
        position = now;
        for (const watcher of [...watchers]) watcher();
      }
    } catch {
      // Postgres is away: whoever waits runs into the end of its time.
    }
    if (watchers.size > 0) setTimeout(() => void poll(), pollIntervalMs);
    else polling = false;
  };
  return {
    reached: () => position,
    rebuilding: () => false,
    watch(onReached) {
      watchers.add(onReached);
      if (!polling) {
        polling = true;
        void poll();
      }
      return () => watchers.delete(onReached);
    },
  };
}
