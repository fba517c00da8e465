import type { Clock } from '../platform/clock.ts';
import type { PositionSource } from './position-source.ts';

/** What stands in `X-Parley-Position` is no position. The request is refused (400). */
export class MalformedPositionError extends Error {
  constructor() {
    super('a position is a decimal number');
    this.name = 'MalformedPositionError';
  }
}

/** What stands in `X-Parley-Position` lies beyond the end of the log. The request is refused (400). */
export class PositionAheadError extends Error {
  constructor() {
    super('the position lies beyond the end of the log');
    this.name = 'PositionAheadError';
  }
}

/** The rows did not get in time to the position that the request has to see. Retryable (503). */
export class NotReachedError extends Error {
  readonly retryAfterSeconds = 1;
  constructor() {
    super('the position was not reached in time');
    this.name = 'NotReachedError';
  }
}

/** An account, by workspace and number. */
interface AccountRef {
  readonly workspace: number;
  readonly account: number;
}

/** What a read has to have seen. */
export interface FreshnessOf {
  /** The workspace that is read. */
  readonly workspace?: number;
  /** The account that reads. */
  readonly account?: AccountRef;
  /** What the request asks for itself: an answer that has not seen it is none. */
  readonly atLeast?: bigint | undefined;
}

/** Design promise 8: a read made after an acknowledged write sees that write. */
export interface Freshness {
  /** This node acknowledged a write to a workspace by an account. */
  noteAcknowledged(workspace: number, account: AccountRef | null, position: bigint): void;
  /** Everything up to here is in the rows. */
  reached(): bigint;
  /**
   * Waits, 2 s at most, for the rows to show what this node acknowledged, and `atLeast`. `stale` when they do not.
   * Rejects with NotReachedError when they do not and `atLeast` was given.
   */
  waitFor(of: FreshnessOf): Promise<{ readonly stale: boolean }>;
  /** Reads `X-Parley-Position`. Rejects with MalformedPositionError, PositionAheadError, or as `head` does. */
  parsePosition(text: string): Promise<bigint>;
}

/** How freshness is judged. Times in milliseconds. */
export interface FreshnessOptions {
  readonly source: PositionSource;
  /** The end of the log. */
  readonly head: () => Promise<bigint>;
  readonly clock: Clock;
  /** Default 2000. */
  readonly maxWaitMs?: number;
  /** Workspaces, and accounts, whose last position is remembered at most. Default 50 000. */
  readonly maxNoted?: number;
  /** Reads that may wait at one time; beyond that a read is stale at once. Default 10 000. */
  readonly maxWaiting?: number;
}

const largestPosition = 2n ** 63n - 1n;

/** Makes the freshness of one node. */
export function createFreshness(options: FreshnessOptions): Freshness {
  const { source, head, maxWaitMs = 2_000, maxNoted = 50_000 } = options;
  const workspaces = new Noted(maxNoted, source);
  const accounts = new Noted(maxNoted, source);
  const waiting = new Waiting(source, options.maxWaiting ?? 10_000);
  return {
    noteAcknowledged(workspace, account, position) {
      workspaces.note(workspace, position);
      if (account) accounts.note(accountKey(account), position);
    },
    reached: () => source.reached(),
    async waitFor({ workspace, account, atLeast }) {
      let target = atLeast ?? 0n;
      if (workspace !== undefined) target = larger(target, workspaces.of(workspace));
      if (account) target = larger(target, accounts.of(accountKey(account)));
      if (target === 0n || target <= source.reached()) {
        if (target > 0n && source.rebuilding()) return missed(atLeast);
        return { stale: false };
      }
      if (source.rebuilding() || !(await waiting.until(target, maxWaitMs))) return missed(atLeast);
      return { stale: false };
    },
    async parsePosition(text) {
      if (!/^\d{1,19}$/.test(text)) throw new MalformedPositionError();
      const position = BigInt(text);
      if (position > largestPosition) throw new MalformedPositionError();
      if (position > source.reached() && position > (await head())) throw new PositionAheadError();
      return position;
    },
  };
}

function missed(atLeast: bigint | undefined): { stale: boolean } {
  if (atLeast !== undefined) throw new NotReachedError();
  return { stale: true };
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** One number per account. Two may share one above 2^53, which makes one wait for the other's write and no more. */
function accountKey({ workspace, account }: AccountRef): number {
  return workspace * 2 ** 31 + account;
}

/** The last position per key. Bounded: what the rows have reached is dropped, and beyond that all keys share the highest. */
class Noted {
  readonly #max: number;
  readonly #source: PositionSource;
  #positions = new Map<number, bigint>();
  /** At least the position of every key that was dropped. */
  #floor = 0n;

  constructor(max: number, source: PositionSource) {
    this.#max = max;
    this.#source = source;
  }

  note(key: number, position: bigint): void {
    const known = this.#positions.get(key);
    if (known !== undefined && known >= position) return;
    this.#positions.set(key, position);
    if (known === undefined && this.#positions.size > this.#max) this.#prune();
  }

  of(key: number): bigint {
    return larger(this.#positions.get(key) ?? 0n, this.#floor);
  }

  #prune(): void {
    const reached = this.#source.reached();
    const kept = new Map<number, bigint>();
    for (const [key, position] of this.#positions) if (position > reached) kept.set(key, position);
    if (kept.size > this.#max / 2) {
      for (const position of kept.values()) this.#floor = larger(this.#floor, position);
      kept.clear();
    }
    this.#positions = kept;
  }
}

interface Waiter {
  readonly target: bigint;
  settle(reached: boolean): void;
}

/** Reads that wait for a position. */
class Waiting {
  readonly #source: PositionSource;
  readonly #max: number;
  readonly #waiters = new Set<Waiter>();
  #unwatch: (() => void) | null = null;

  constructor(source: PositionSource, max: number) {
    this.#source = source;
    this.#max = max;
  }

  until(target: bigint, maxWaitMs: number): Promise<boolean> {
    if (this.#waiters.size >= this.#max) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        target,
        settle: (reached) => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          if (this.#waiters.size === 0) {
            this.#unwatch?.();
            this.#unwatch = null;
          }
          resolve(reached);
        },
      };
      const timer = setTimeout(() => waiter.settle(target <= this.#source.reached()), maxWaitMs);
      this.#waiters.add(waiter);
      this.#unwatch ??= this.#source.watch(() => this.#reached());
    });
  }

  #reached(): void {
    const position = this.#source.reached();
    for (const waiter of [...this.#waiters]) if (waiter.target <= position) waiter.settle(true);
  }
}
