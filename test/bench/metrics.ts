/** What a server says of itself at `/metrics`, and how far its projector is behind. */

/** Samples by name with labels, as they are spelled. */
export type Metrics = ReadonlyMap<string, number>;

const requestTimeoutMs = 30_000;

/** Reads Prometheus's text format. */
export function parseMetrics(text: string): Metrics {
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const gap = line.lastIndexOf(' ');
    samples.set(line.slice(0, gap), Number(line.slice(gap + 1)));
  }
  return samples;
}

/** Asks a server for its metrics. */
export async function readMetrics(baseUrl: string): Promise<Metrics> {
  const answer = await fetch(`${baseUrl}/metrics`, { signal: AbortSignal.timeout(requestTimeoutMs) });
  if (!answer.ok) throw new Error(`/metrics answered ${answer.status}`);
  return parseMetrics(await answer.text());
}

/** The sum of all samples of a name whose labels hold `label`; 0 when there is none. */
export function sumOf(metrics: Metrics, name: string, label = ''): number {
  let sum = 0;
  for (const [key, value] of metrics) {
    if ((key === name || key.startsWith(`${name}{`)) && key.includes(label)) sum += value;
  }
  return sum;
}

/** Where log and projector are; both in events. */
export interface Place {
  /** When it was so, milliseconds of `performance.now()`: in the middle of the request. */
  readonly atMs: number;
  readonly head: number;
  readonly checkpoint: number;
}

const projector = 'group="projector"';

/** Where log and projector are now. */
export async function readPlace(baseUrl: string): Promise<Place & { readonly metrics: Metrics }> {
  const before = performance.now();
  const metrics = await readMetrics(baseUrl);
  const key = [...metrics.keys()].find(
    (each) => each.startsWith('parley_checkpoint_position{') && each.includes(projector),
  );
  const head = metrics.get('parley_log_head');
  const checkpoint = key === undefined ? undefined : metrics.get(key);
  if (head === undefined || checkpoint === undefined) {
    throw new Error(`/metrics tells no parley_log_head or no parley_checkpoint_position{${projector}}`);
  }
  return { atMs: (before + performance.now()) / 2, head, checkpoint, metrics };
}

/** How far behind the projector was. */
export interface Lag {
  readonly samples: number;
  readonly maxEvents: number;
  /** The longest time since the head was where the checkpoint is. */
  readonly maxMs: number;
}

/**
 * The lag of a row of places. In time: how long ago the head stood where the checkpoint stands now, on a straight line
 * between two samples. So "within 1 s of the head" is: the head of a second ago has been projected. The first places serve as
 * history for those behind them; one that is behind them all counts from the first.
 */
export function lagOf(places: readonly Place[]): Lag {
  let maxEvents = 0;
  let maxMs = 0;
  for (const [index, { atMs, head, checkpoint }] of places.entries()) {
    maxEvents = Math.max(maxEvents, head - checkpoint);
    if (checkpoint < head) maxMs = Math.max(maxMs, atMs - timeOfHead(places, index, checkpoint));
  }
  return { samples: places.length, maxEvents, maxMs };
}

/** When the head passed a position, at or before the place `index`. */
function timeOfHead(places: readonly Place[], index: number, position: number): number {
  for (let i = index; i > 0; i--) {
    const later = places[i] as Place;
    const earlier = places[i - 1] as Place;
    if (earlier.head <= position) {
      const share = later.head === earlier.head ? 1 : (position - earlier.head) / (later.head - earlier.head);
      return earlier.atMs + share * (later.atMs - earlier.atMs);
    }
  }
  return (places[0] as Place).atMs;
}

const sampleIntervalMs = 250;

/** Samples places until it is stopped. */
export class LagWatch {
  readonly #baseUrl: string;
  readonly #places: Place[] = [];
  #stopped = false;
  #error: unknown;
  readonly #loop: Promise<void>;

  constructor(baseUrl: string) {
    this.#baseUrl = baseUrl;
    this.#loop = this.#run().catch((error: unknown) => {
      this.#error = error;
    });
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const began = performance.now();
      const { atMs, head, checkpoint } = await readPlace(this.#baseUrl);
      this.#places.push({ atMs, head, checkpoint });
      const rest = sampleIntervalMs - (performance.now() - began);
      if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
    }
  }

  /** Ends the sampling and tells the lag. */
  async stop(): Promise<Lag> {
    this.#stopped = true;
    await this.#loop;
    if (this.#error !== undefined) throw this.#error;
    return lagOf(this.#places);
  }
}

/** Waits until the projector has reached the head of this moment. Answers how long that took, milliseconds. */
export async function caughtUp(baseUrl: string, timeoutMs: number): Promise<number> {
  const began = performance.now();
  const { head } = await readPlace(baseUrl);
  for (;;) {
    const { checkpoint } = await readPlace(baseUrl);
    const tookMs = performance.now() - began;
    if (checkpoint >= head) return tookMs;
    if (tookMs > timeoutMs) {
      throw new Error(
        `the projector has not caught up in ${timeoutMs / 1_000} s: ${head - checkpoint} events are left`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
