/** Figures from samples. */

/** The middle of some numbers; of an even count, the mean of the two in the middle. Throws on none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no median of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** Values below this have a bucket each; above, every doubling is cut in `bucketsPerDoubling`. */
const linearBuckets = 256;
const bucketsPerDoubling = 128;
const doublings = 23;

/**
 * Counts of durations in buckets at most 0.8 % wide, so that recording costs a few instructions and no memory.
 * Microseconds, from 0 to 2^31 - 1 (36 minutes); what is beyond counts as that.
 */
export class Histogram {
  readonly #counts = new Uint32Array(linearBuckets + doublings * bucketsPerDoubling);
  #total = 0;

  get total(): number {
    return this.#total;
  }

  record(microseconds: number): void {
    const value = microseconds < 0 ? 0 : microseconds > 0x7fffffff ? 0x7fffffff : microseconds | 0;
    const index = bucketOf(value);
    this.#counts[index] = (this.#counts[index] as number) + 1;
    this.#total++;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#total = 0;
  }

  /** The value that a share `q` (0..1) of the recorded ones do not exceed, microseconds; 0 when nothing was recorded. */
  quantile(q: number): number {
    const rank = Math.max(1, Math.ceil(q * this.#total));
    let seen = 0;
    for (let index = 0; index < this.#counts.length; index++) {
      seen += this.#counts[index] as number;
      if (seen >= rank) return middleOf(index);
    }
    return 0;
  }
}

function bucketOf(value: number): number {
  if (value < linearBuckets) return value;
  const exponent = 31 - Math.clz32(value);
  return linearBuckets + (exponent - 8) * bucketsPerDoubling + ((value >>> (exponent - 7)) & (bucketsPerDoubling - 1));
}

function middleOf(index: number): number {
  if (index < linearBuckets) return index;
  const beyond = index - linearBuckets;
  const width = 2 ** (Math.floor(beyond / bucketsPerDoubling) + 1);
  return (bucketsPerDoubling + (beyond % bucketsPerDoubling)) * width + width / 2;
}
