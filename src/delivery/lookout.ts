import { connectorsDue } from '../../projections/dispatches/queries.ts';
import type { Queryable } from '../../projections/projection.ts';
import type { Feed, FeedBatch } from '../feed/feed.ts';
import type { Clock } from '../platform/clock.ts';
import type { Projected, Reached } from './reached.ts';

/** What the lookout needs. */
export interface LookoutOptions {
  readonly feed: Feed;
  readonly read: Queryable;
  readonly projected: Projected;
  readonly reached: Reached;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** How often it is looked for what no wake told of; 1,000 ms unless told. */
  readonly pollMs?: number;
  /** A connector may have dispatches due. */
  readonly onDue: (workspace: number, connector: number) => void;
  readonly onTrouble: (error: unknown) => void;
}

/** More than any number of connectors: none may hide behind others that are held up. */
const allConnectors = 1_000_000;
const soonestMs = 10;

/**
 * Tells which connectors have something due: at once, by hearing what is accepted, and by looking at the rows now and then,
 * so that nothing is lost when a wake is missed. A consumer group without a checkpoint, for that reason. Of several
 * processes each hears some of what is accepted, by the partition; whose dispatch it is then, leases tell.
 */
export class Lookout {
  readonly #options: LookoutOptions;
  #woken = new Map<string, readonly [number, number]>();
  /** The highest position of what woke. */
  #wokenTo = 0n;
  #waking = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LookoutOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  /** Hears what is accepted once `ready` resolved. Rejects with an event that this code cannot read. */
  hear(ready: Promise<void>): Promise<void> {
    const { feed, projected, signal } = this.#options;
    const done = feed.consume(
      {
        group: 'dispatcher',
        hasCheckpoint: false,
        maxBatchEvents: 2_000,
        // Up to there the first look at the rows finds everything; sooner it is not known where they are.
        start: async () => {
          await ready;
          return projected.reached();
        },
        handle: async (batch) => this.#hear(batch),
      },
      signal,
    );
    done.catch(() => {});
    return done;
  }

  /** Looks at the rows from now on, until the signal aborts. */
  look(): void {
    if (!this.#options.signal.aborted) void this.#look();
  }

  #hear({ events, to }: FeedBatch): bigint {
    for (const { type, data, position } of events) {
      if (type !== 'DispatchAccepted') continue;
      this.#woken.set(`${data.workspace}/${data.connector}`, [data.workspace, data.connector]);
      if (position > this.#wokenTo) this.#wokenTo = position;
    }
    if (this.#woken.size > 0 && !this.#waking) void this.#wake();
    return to;
  }

  async #wake(): Promise<void> {
    this.#waking = true;
    try {
      while (this.#woken.size > 0) {
        const woken = this.#woken;
        this.#woken = new Map();
        await this.#options.reached.until(this.#wokenTo);
        for (const [workspace, connector] of woken.values()) this.#options.onDue(workspace, connector);
      }
    } catch {
      // Stopping.
    } finally {
      this.#waking = false;
    }
  }

  async #look(): Promise<void> {
    const { read, clock, signal, pollMs = 1_000, onDue, onTrouble } = this.#options;
    let nextMs = pollMs;
    try {
      const { due, nextDue } = await connectorsDue(read, { nowMs: clock.now(), limit: allConnectors });
      if (nextDue !== null) nextMs = Math.max(soonestMs, Math.min(pollMs, nextDue - clock.now()));
      for (const { workspace, connector } of due) onDue(workspace, connector);
    } catch (error) {
      onTrouble(error);
    }
    if (signal.aborted) return;
    this.#timer = setTimeout(() => this.look(), nextMs);
  }
}
