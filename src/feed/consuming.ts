import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { UnknownEventError } from '../../schemas/index.ts';
import { PartitionsChangedError, takeOverGroup } from './checkpoint.ts';
import type { Consumer, ConsumerLogger } from './feed.ts';

/** Wait before a consumer that failed is begun again, doubled with every failure in a row. */
const backoffMs = { first: 100, most: 2_000 } as const;
/** How often a consumer whose group was taken over looks whether that is still so. */
const standByMs = 5_000;

/** What is the same in consuming by any feed. */
export interface ConsumingOptions {
  readonly consumer: Consumer;
  readonly logger: ConsumerLogger;
  readonly partitions: number;
  readonly signal: AbortSignal;
  /** Where the checkpoints are; without it a group that has other partitions is refused. */
  readonly pool?: pg.Pool | undefined;
}

/** The life of one consumer: taken over at its start, begun again after failures, ended by what it cannot read. */
export class Consuming {
  readonly consumer: Consumer;
  readonly signal: AbortSignal;
  readonly #options: ConsumingOptions;
  #retryInMs: number = backoffMs.first;
  #takenOver = false;
  #standsBy = false;

  constructor(options: ConsumingOptions) {
    this.#options = options;
    this.consumer = options.consumer;
    this.signal = options.signal;
  }

  /** Something was done: the next failure is the first in a row. */
  progressed(): void {
    this.#retryInMs = backoffMs.first;
    this.#standsBy = false;
  }

  /** Runs, again after every failure, until the signal aborts. Rejects only with an UnknownEventError. */
  async untilAborted(run: () => Promise<void>): Promise<void> {
    while (!this.signal.aborted) {
      try {
        await this.#takeOver();
        await run();
      } catch (error) {
        if (!this.isRetryable(error)) throw error;
        if (this.signal.aborted) return;
        await this.waitAfter(error);
      }
    }
  }

  /** Tells what ended the consumer, if it did: an event that this code cannot read. */
  isRetryable(error: unknown): boolean {
    if (!(error instanceof UnknownEventError)) return true;
    const { group } = this.consumer;
    this.#options.logger.error({ group }, `consumer ${group} stops: ${error.message}`);
    return false;
  }

  /** Says what failed and waits until it is to be tried again. */
  async waitAfter(error: unknown): Promise<void> {
    const { logger } = this.#options;
    const { group } = this.consumer;
    if (error instanceof PartitionsChangedError) {
      if (!this.#standsBy) logger.error({ group }, `consumer ${group} stands by: ${error.message}`);
      this.#standsBy = true;
      await this.#wait(standByMs);
      return;
    }
    const retryInMs = this.#retryInMs;
    logger.warn({ group, err: error, retryInMs }, 'consumer failed, goes on from its checkpoint');
    this.#retryInMs = Math.min(retryInMs * 2, backoffMs.most);
    await this.#wait(retryInMs);
  }

  async #wait(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.signal }).catch(() => {});
  }

  /** Once: whoever starts last has the group. */
  async #takeOver(): Promise<void> {
    const { pool, partitions } = this.#options;
    const { group, hasCheckpoint = true } = this.consumer;
    if (this.#takenOver || !pool || !hasCheckpoint) return;
    await takeOverGroup(pool, group, partitions);
    this.#takenOver = true;
  }
}
