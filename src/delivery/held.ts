import { sleep } from '../platform/clock.ts';
import type { Leases } from './leases.ts';
import type { Reached } from './reached.ts';

/** For whom dispatches are held: a lane. */
export interface Holder {
  /** How many, settled ones included. */
  held: number;
  /** The fill under way. */
  readonly filling: Promise<void> | null;
}

/** One dispatch that this process holds. */
export interface Holding {
  readonly lane: Holder;
  /** When its lease was claimed or renewed, monotonic milliseconds. */
  renewedAt: number;
  /** Its outcome stands in the log, or there was none. */
  settled: boolean;
}

const retryMs = 200;

/**
 * The dispatches that this process holds: claimed, being sent, or settled in the log while the rows may not show it yet.
 * A held dispatch is never claimed again; so one that was recorded as sent is not sent again because its row is behind.
 */
export class Held {
  readonly #leases: Leases;
  readonly #reached: Reached;
  readonly #signal: AbortSignal;
  readonly #onTrouble: (error: unknown) => void;
  readonly #holdings = new Map<string, Holding>();
  #settled = 0;

  constructor(leases: Leases, reached: Reached, signal: AbortSignal, onTrouble: (error: unknown) => void) {
    this.#leases = leases;
    this.#reached = reached;
    this.#signal = signal;
    this.#onTrouble = onTrouble;
  }

  get size(): number {
    return this.#holdings.size;
  }

  /** Those whose outcome is in the log and not in the rows, as far as is known. */
  get settled(): number {
    return this.#settled;
  }

  get(dispatch: string): Holding | undefined {
    return this.#holdings.get(dispatch);
  }

  has(dispatch: string): boolean {
    return this.#holdings.has(dispatch);
  }

  /** All that are held. */
  names(): Iterable<string> {
    return this.#holdings.keys();
  }

  add(dispatch: string, lane: Holder, now: number): void {
    this.#holdings.set(dispatch, { lane, renewedAt: now, settled: false });
    lane.held++;
  }

  /** Forgets one without letting its lease go: another has it, or it runs out. */
  forget(dispatch: string): void {
    const holding = this.#holdings.get(dispatch);
    if (!holding) return;
    if (holding.settled) this.#settled--;
    holding.lane.held--;
    this.#holdings.delete(dispatch);
  }

  /** Those whose lease was last renewed before a time. */
  renewedBefore(time: number): string[] {
    const due: string[] = [];
    for (const [dispatch, { renewedAt }] of this.#holdings) if (renewedAt < time) due.push(dispatch);
    return due;
  }

  /** Lets one go when the rows have got to `position` for good; resolves then. Rejects when the dispatcher stops first. */
  async letGo(dispatch: string, position: bigint): Promise<void> {
    const holding = this.#holdings.get(dispatch);
    if (!holding) return;
    if (!holding.settled) this.#settled++;
    holding.settled = true;
    for (;;) {
      if (position > 0n) await this.#reached.until(position);
      // What a fill under way read may be older than the rows are now.
      await holding.lane.filling;
      try {
        if (await this.#leases.release(dispatch, position)) break;
      } catch (error) {
        this.#onTrouble(error);
      }
      await sleep(retryMs, this.#signal);
    }
    this.forget(dispatch);
  }
}
