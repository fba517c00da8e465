import type { Connections } from './connections.ts';
import type { GatewayLimits } from './limits.ts';
import type { Patience, Turns } from './patience.ts';
import type { Due, Wheel } from './wheel.ts';

/** How far the read model is that `memberships` and `history` answer from: a projector, or its checkpoint. */
export interface ReadModel {
  /** Everything up to here is in the rows, as far as this process knows. */
  reached(): bigint;
  /** Somebody waits, until what it answers is called: find out. */
  watch(onReached: () => void): () => void;
}

/** What the hubs of one process share. */
export interface Shared {
  /** Everything up to here has been taken from the tail. */
  readonly position: bigint;
  /** Whether the tail was heard of within the last second. */
  readonly fresh: boolean;
  readonly draining: boolean;
  /** Resolves when the tail has reached where the log ended at the start. */
  readonly ready: Promise<void>;
  readonly connections: Connections;
  readonly readModel: ReadModel;
  readonly patience: Patience;
  /** For reads of the read model. */
  readonly turns: Turns;
  readonly wheel: Wheel<Due>;
  readonly limits: GatewayLimits;
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Milliseconds since the epoch. */
  epochMs(): number;
  /** In [0, 1). */
  random(): number;
  /** The end of the log. Rejects when it cannot be reached. */
  head(): Promise<bigint>;
  onTrouble(error: unknown, text: string): void;
}

/** Counts since the start, for metrics. */
export class Counts {
  frames = 0;
  writes = 0;
  /** Sessions closed, by cause. */
  slow = 0;
  silent = 0;
  revoked = 0;
  drained = 0;
  fault = 0;
  /** Sessions that went live, by where they got what they missed. */
  joinedFromRing = 0;
  joinedFromHistory = 0;
}
