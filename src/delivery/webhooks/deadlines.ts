/** What is ended when it has taken so long. */
export interface Bounded {
  onLate(): void;
}

/**
 * One time-out for many, with one timer: a timer of its own for each costs more than all the rest of starting and ending it.
 * The oldest stands first, as all are given the same time.
 */
export class Deadlines {
  readonly #timeoutMs: number;
  readonly #endsAt = new Map<Bounded, number>();
  #timer: NodeJS.Timeout | null = null;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Calls `onLate` after the time-out, unless `end` is called before. */
  begin(bounded: Bounded): void {
    this.#endsAt.set(bounded, performance.now() + this.#timeoutMs);
    this.#timer ??= setTimeout(() => this.#look(), this.#timeoutMs);
  }

  end(bounded: Bounded): void {
    this.#endsAt.delete(bounded);
  }

  /** Lets go of the timer; nothing may be under way. */
  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #look(): void {
    this.#timer = null;
    const now = performance.now();
    for (const [bounded, endsAt] of this.#endsAt) {
      if (endsAt > now) {
        this.#timer ??= setTimeout(() => this.#look(), Math.ceil(endsAt - now));
        return;
      }
      this.#endsAt.delete(bounded);
      bounded.onLate();
    }
  }
}
