/** A lease that lasted less than this was too small for its demand. Milliseconds. */
const shortLeaseMs = 1_000;
/** Points of a lease at most. */
const mostPoints = 20_000;

/**
 * How many points a process leases at once. A lease that was soon used up makes the next one four times as large, so that a
 * busy counter costs about one statement a second; one that lasted makes it smaller again. Never more than a fiftieth of the
 * limit: that is the margin by which several processes may fall short together.
 */
export class LeaseSize {
  #points: number;
  readonly #first: number;
  #leasedAtMs = Number.NEGATIVE_INFINITY;

  constructor(first: number) {
    this.#first = first;
    this.#points = first;
  }

  /** Points of the next lease; at least those that are asked for. */
  next(limit: number, asked: number, nowMs: number): number {
    const share = Math.min(mostPoints, Math.ceil(limit / 50));
    const lastedMs = nowMs - this.#leasedAtMs;
    if (lastedMs < shortLeaseMs) this.#points = Math.min(share, this.#points * 4);
    else if (lastedMs > 10 * shortLeaseMs) this.#points = this.#first;
    this.#leasedAtMs = nowMs;
    return Math.max(asked, Math.min(share, this.#points));
  }
}
