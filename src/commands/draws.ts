/**
 * Group draws: what is to be made under the next numbers of one counter, in one process, is gathered. One transaction locks
 * the counter's row, as many numbers are drawn as things wait, their commits are appended in one call in the order of the
 * numbers while the row is locked, and what came together meanwhile follows under the same lock for a moment.
 *
 * Promises: numbers and positions are in the same order, on every node, as long as the log appends the commits of one call
 * in their order. A number is used up when something was written under it; one that was refused (a claim is held) is given
 * again unless a higher one was written with it.
 * Failure: who is not known to be written is told `unavailable`, and is never written under another number.
 */
import type pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import type { Commit, Outcome } from '../log/log.ts';
import { sleep } from '../platform/clock.ts';
import { isConnectionTrouble } from '../platform/postgres.ts';
import { ClaimTakenError, unknownForMs } from './door.ts';

/** Something to make under the next number. */
export interface Draft {
  /** The commit, once the number is known: of a stream that the number names. */
  readonly commit: (id: number) => Commit;
  /** True when it takes claims, and so may be refused. */
  readonly claims: boolean;
}

/** What was made, and where it stands. */
export interface Drawn {
  readonly id: number;
  readonly commit: Commit;
  readonly position: bigint;
}

/** Appends commits in their order, asking once. */
export type AppendOnce = (commits: readonly Commit[]) => Promise<Outcome[]>;

/** One counter, and how its row is found. Times in milliseconds. */
export interface Counter {
  readonly pool: pg.Pool;
  /** Locks the row in a transaction of its own and answers the last number that was given. */
  lock(client: pg.PoolClient): Promise<number>;
  /** Notes the last number that was given and ends the transaction. */
  settle(client: pg.PoolClient, last: number): Promise<void>;
  /** The highest number that the log is known to hold. */
  highest(): Promise<number>;
}

interface Waiting extends Draft {
  readonly append: AppendOnce;
  readonly resolve: (drawn: Drawn) => void;
  readonly reject: (error: unknown) => void;
  tries: number;
}

/** Commits of one append: half of what the log flushes at once, so that what else is written is not held up. */
const maxTogether = 500;
/** What waits for one counter, in one process. */
const maxWaiting = 20_000;
/** How long one process goes on under one lock when others may wait for it. */
const maxHoldMs = 25;
/** Numbers tried for one thing when the streams of the next ones exist already. */
const maxTries = 1_000;

/** The draws of one counter. */
export class GroupDraw {
  readonly #counter: Counter;
  readonly #onIdle: () => void;
  #queue: Waiting[] = [];
  #running = false;

  /** `onIdle` is told when nothing waits any more. */
  constructor(counter: Counter, onIdle: () => void) {
    this.#counter = counter;
    this.#onIdle = onIdle;
  }

  /** Makes something under the next number. Throws DomainError `unavailable` and `too-large`, and ClaimTakenError. */
  next(append: AppendOnce, draft: Draft): Promise<Drawn> {
    if (this.#queue.length >= maxWaiting) return Promise.reject(new DomainError('unavailable', 'too many are waiting'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...draft, append, resolve, reject, tries: 0 });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#queue.length > 0) {
      try {
        await this.#hold();
      } catch (error) {
        const told = isConnectionTrouble(error) ? new DomainError('unavailable') : error;
        for (const { reject } of this.#queue.splice(0)) reject(told);
      }
    }
    this.#running = false;
    this.#onIdle();
  }

  /** One transaction: draws for what waits, and for what comes meanwhile. */
  async #hold(): Promise<void> {
    const { pool } = this.#counter;
    const client = await pool.connect();
    let broken: Error | undefined;
    try {
      const first = await this.#counter.lock(client);
      const until = performance.now() + maxHoldMs;
      let last = first;
      do {
        last = await this.#round(this.#take(), last);
        // Who was just answered may come back at once.
        await new Promise((resolve) => setImmediate(resolve));
      } while (this.#queue.length > 0 && pool.waitingCount === 0 && performance.now() < until);
      // All are answered. A lock that was lost, as by a process that stood still, leaves a counter behind the log.
      await this.#counter.settle(client, last).catch((failed: Error) => {
        broken = failed;
      });
    } catch (error) {
      broken = error instanceof Error ? error : new Error(String(error));
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /** The next ones; those that may be refused last, so that they leave no number out. */
  #take(): Waiting[] {
    const taken = this.#queue.splice(0, maxTogether);
    if (!taken.some(({ claims }) => claims)) return taken;
    return [...taken.filter(({ claims }) => !claims), ...taken.filter(({ claims }) => claims)];
  }

  /** Appends a batch under the numbers after `last`; answers the last number that is used. */
  async #round(batch: readonly Waiting[], last: number): Promise<number> {
    const commits = batch.map(({ commit }, i) => commit(last + 1 + i));
    let outcomes: Outcome[];
    try {
      outcomes = await settled(commits, (batch[0] as Waiting).append);
    } catch (error) {
      if (batch.length === 1 || !(error instanceof DomainError) || error.code !== 'too-large') {
        for (const { reject } of batch) reject(error);
        return last;
      }
      // One of them is too large, and nothing was written: each for itself.
      let next = last;
      for (const each of batch) next = await this.#round([each], next);
      return next;
    }
    let used = last;
    const again: Waiting[] = [];
    for (let i = 0; i < batch.length; i++) {
      const waiting = batch[i] as Waiting;
      const id = last + 1 + i;
      const outcome = outcomes[i] as Outcome;
      switch (outcome.outcome) {
        case 'written':
        case 'replayed':
          used = id;
          waiting.resolve({ id, commit: commits[i] as Commit, position: outcome.position });
          break;
        case 'conflict':
          used = id;
          if (++waiting.tries < maxTries) again.push(waiting);
          else waiting.reject(new DomainError('unavailable', 'the counter is behind the log'));
          break;
        case 'taken':
          waiting.reject(new ClaimTakenError(outcome.name, outcome.by));
          break;
        case 'unknown':
          waiting.reject(new DomainError('unavailable'));
      }
    }
    if (again.length === 0) return used;
    this.#queue.unshift(...again);
    // The counter is behind the log: what the rows know spares most of the way.
    return Math.max(used, await this.#counter.highest().catch(() => 0));
  }
}

/**
 * Appends, and asks again for what is unknown as long as that keeps the order: once something stands behind it, it would come
 * too late.
 */
async function settled(commits: readonly Commit[], append: AppendOnce): Promise<Outcome[]> {
  const outcomes = [...(await append(commits))];
  const until = performance.now() + unknownForMs;
  for (let delayMs = 100; ; delayMs = Math.min(delayMs * 2, 1_000)) {
    const open = outcomes.flatMap(({ outcome }, i) => (outcome === 'unknown' ? [i] : []));
    const [first] = open;
    if (first === undefined || performance.now() + delayMs > until) return outcomes;
    if (outcomes.slice(first).some((outcome) => 'position' in outcome)) return outcomes;
    await sleep(delayMs);
    const again = await append(open.map((i) => commits[i] as Commit));
    open.forEach((i, n) => {
      outcomes[i] = again[n] as Outcome;
    });
  }
}
