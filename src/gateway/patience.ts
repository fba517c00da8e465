/** Waiting for conditions that are cheap to look at: one timer for all who wait, none when nobody does. */

const lookIntervalMs = 20;

interface Waiter {
  readonly isTrue: () => boolean;
  readonly untilMs: number;
  readonly settle: (isTrue: boolean) => void;
}

/** Everybody who waits for something in one process. */
export class Patience {
  readonly #now: () => number;
  readonly #waiters = new Set<Waiter>();
  #timer: NodeJS.Timeout | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** True as soon as it is; false when it was not in time. */
  until(isTrue: () => boolean, timeoutMs: number): Promise<boolean> {
    if (isTrue()) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#waiters.add({ isTrue, untilMs: this.#now() + timeoutMs, settle: resolve });
      this.#timer ??= setInterval(() => this.#look(), lookIntervalMs);
    });
  }

  #look(): void {
    const nowMs = this.#now();
    for (const waiter of this.#waiters) {
      const isTrue = waiter.isTrue();
      if (!isTrue && nowMs < waiter.untilMs) continue;
      this.#waiters.delete(waiter);
      waiter.settle(isTrue);
    }
    if (this.#waiters.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** Lets so many do something at a time; the others wait for their turn. */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atATime: number) {
    this.#free = atATime;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
