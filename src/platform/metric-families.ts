/**
 * Counters and histograms for the hot path, in Prometheus's text format (version 0.0.4). Labels are resolved when a child
 * is made; from then on counting is an addition. (prom-client hashes the labels at each observation of a histogram.)
 */

type Labels = Readonly<Record<string, string>>;

/** A counter with labels. */
export class CountFamily {
  readonly #name: string;
  readonly #help: string;
  readonly #children = new Map<string, { value: number }>();

  constructor(name: string, help: string) {
    this.#name = name;
    this.#help = help;
  }

  /** The counter of these labels: adds one, unless told how many. */
  counter(labels: Labels): (count?: number) => void {
    const key = labelText(labels);
    const child = this.#children.get(key) ?? { value: 0 };
    this.#children.set(key, child);
    return (count = 1) => {
      child.value += count;
    };
  }

  text(): string {
    const lines = [...this.#children].map(([labels, { value }]) => `${this.#name}{${labels}} ${value}\n`);
    return `# HELP ${this.#name} ${this.#help}\n# TYPE ${this.#name} counter\n${lines.join('')}`;
  }
}

interface DurationChild {
  /** Observations per bucket, not summed up; the last is beyond all bounds. */
  readonly counts: Float64Array;
  sumMs: number;
}

/** A histogram of durations with labels. */
export class DurationFamily {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #boundsMs: readonly number[];
  readonly #children = new Map<string, DurationChild>();

  /** @param bounds upper bounds of the buckets in seconds, rising */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
    this.#boundsMs = bounds.map((seconds) => seconds * 1_000);
  }

  /** The histogram of these labels: takes a duration in milliseconds. */
  histogram(labels: Labels): (durationMs: number) => void {
    const key = labelText(labels);
    const boundsMs = this.#boundsMs;
    const child = this.#children.get(key) ?? { counts: new Float64Array(boundsMs.length + 1), sumMs: 0 };
    this.#children.set(key, child);
    return (durationMs) => {
      let bucket = 0;
      while (bucket < boundsMs.length && durationMs > (boundsMs[bucket] as number)) bucket++;
      (child.counts[bucket] as number)++;
      child.sumMs += durationMs;
    };
  }

  text(): string {
    const lines = [...this.#children].flatMap(([labels, { counts, sumMs }]) => {
      // There is a child per route, and most routes of a server are never asked for.
      if (counts.every((count) => count === 0)) return [];
      let total = 0;
      const buckets = [...this.#bounds.map(String), '+Inf'].map((bound, i) => {
        total += counts[i] as number;
        return `${this.#name}_bucket{${labels},le="${bound}"} ${total}\n`;
      });
      return [
        ...buckets,
        `${this.#name}_sum{${labels}} ${sumMs / 1_000}\n`,
        `${this.#name}_count{${labels}} ${total}\n`,
      ];
    });
    return `# HELP ${this.#name} ${this.#help}\n# TYPE ${this.#name} histogram\n${lines.join('')}`;
  }
}

function labelText(labels: Labels): string {
  const escaped = (value: string) => value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',');
}
