/** How far the projector is; a PositionSource of the read side is one. */
export interface Projected {
  /** Everything up to here is in the rows, as far as this process knows. */
  reached(): bigint;
  /** Calls back whenever that rose, until what it answers is called; the projector hurries meanwhile. */
  watch(onReached: () => void): () => void;
}

/** How those who wait for rows do it. Times in milliseconds. */
export interface ReachedOptions {
  /** How often the position is looked at while somebody waits; 20 unless told. */
  readonly lookMs?: number;
  /** Only who waits longer than this hurries the projector, as larger batches of rows cost less; 100 unless told. */
  readonly patienceMs?: number;
}

/** Waits for the rows to get to a position. Rejects after `stop`. */
export class Reached {
  readonly #source: Projected;
  readonly #lookMs: number;
  readonly #patienceMs: number;
  #waiters: { readonly position: bigint; readonly resolve: () => void; readonly reject: (reason: Error) => void }[] =
    [];
  #waitingLooks = 0;
  #timer: NodeJS.Timeout | null = null;
  #unwatch: (() => void) | null = null;
  #stopped = false;

  constructor(source: Projected, { lookMs = 20, patienceMs = 100 }: ReachedOptions = {}) {
    this.#source = source;
    this.#lookMs = lookMs;
    this.#patienceMs = patienceMs;
  }

  until(position: bigint): Promise<void> {
    if (this.#stopped) return Promise.reject(new Error('stopped'));
    if (position <= this.#source.reached()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ position, resolve, reject });
      this.#timer ??= setInterval(() => this.#look(), this.#lookMs);
    });
  }

  stop(): void {
    this.#stopped = true;
    for (const { reject } of this.#waiters.splice(0)) reject(new Error('stopped'));
    this.#rest();
  }

  #look(): void {
    const reached = this.#source.reached();
    const ready = this.#waiters.filter(({ position }) => position <= reached);
    if (ready.length > 0) this.#waitingLooks = 0;
    this.#waiters = this.#waiters.filter(({ position }) => position > reached);
    if (this.#waiters.length === 0) this.#rest();
    else if (++this.#waitingLooks * this.#lookMs > this.#patienceMs)
      this.#unwatch ??= this.#source.watch(() => this.#look());
    for (const { resolve } of ready) resolve();
  }

  #rest(): void {
    this.#waitingLooks = 0;
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#unwatch?.();
    this.#unwatch = null;
  }
}
