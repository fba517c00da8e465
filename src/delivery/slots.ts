/** How a lane's attempts have ended lately: not known yet, well, or not well (slowly, or not at all). */
export type Trust = 'new' | 'proven' | 'suspect';

/** Who takes slots: a lane. */
export interface SlotTaker {
  readonly trust: Trust;
}

/** Shares of the slots that suspect lanes, and new ones, may have together. */
const shares = { suspect: 0.5, new: 0.25 } as const;

/**
 * The attempts that may be under way with one provider: as many as there are connections. Suspect lanes together get half of
 * them at most, new ones a quarter, so that connectors that answer find one at once, however many do not.
 */
export class Slots<T extends SlotTaker> {
  readonly #most: number;
  readonly #onFree: (taker: T) => void;
  readonly #taken = new Map<T, number>();
  readonly #waiting = new Set<T>();
  #inUse = 0;

  /** `onFree` is called with whoever was refused, in turn, when it is worth asking again. */
  constructor(most: number, onFree: (taker: T) => void) {
    this.#most = most;
    this.#onFree = onFree;
  }

  get inUse(): number {
    return this.#inUse;
  }

  /** True while somebody waits for one. */
  get areWanted(): boolean {
    return this.#waiting.size > 0;
  }

  /** Takes a slot; false when there is none for this taker now. */
  take(taker: T): boolean {
    if (!this.#isFree(taker.trust)) {
      this.#waiting.add(taker);
      return false;
    }
    this.#waiting.delete(taker);
    this.#inUse++;
    this.#taken.set(taker, (this.#taken.get(taker) ?? 0) + 1);
    return true;
  }

  give(taker: T): void {
    this.#inUse--;
    const left = (this.#taken.get(taker) ?? 0) - 1;
    if (left > 0) this.#taken.set(taker, left);
    else this.#taken.delete(taker);
    this.retry();
  }

  /** Lets those ask again that were refused: a slot came free, or a taker's trust changed. */
  retry(): void {
    // Each that asks again and is refused stands at the end from then on.
    for (const next of [...this.#waiting]) {
      if (this.#inUse >= this.#most) return;
      if (!this.#isFree(next.trust)) continue;
      this.#waiting.delete(next);
      this.#onFree(next);
    }
  }

  /** Forgets a taker that does not want one any more. */
  leave(taker: T): void {
    this.#waiting.delete(taker);
  }

  #isFree(trust: Trust): boolean {
    if (this.#inUse >= this.#most) return false;
    if (trust === 'proven') return true;
    let same = 0;
    for (const [taker, taken] of this.#taken) if (taker.trust === trust) same += taken;
    return same < Math.max(1, Math.floor(this.#most * shares[trust]));
  }
}
