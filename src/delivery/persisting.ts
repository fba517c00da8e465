import { sleep } from '../platform/clock.ts';

const backoffMs = { first: 50, most: 2_000 } as const;

/** Appends that are tried until they are stored, waiting longer after each failure, 2 s at most. */
export class Persisting {
  readonly #onTrouble: (error: unknown) => void;
  readonly #stop = new AbortController();
  #troubled = false;

  /** @param onTrouble told of every failure */
  constructor(onTrouble: (error: unknown) => void) {
    this.#onTrouble = onTrouble;
  }

  /** The last append failed: nothing more should be sent until one succeeds. */
  get troubled(): boolean {
    return this.#troubled;
  }

  /** Aborts when this is given up. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Gives up on what is not stored, for this reason. */
  abandon(reason: Error): void {
    this.#stop.abort(reason);
  }

  /** What `append` answers once it succeeds. Rejects with a failure that `isFinal`, and with the reason of `abandon`. */
  async append<T>(append: () => Promise<T>, isFinal: (error: unknown) => boolean): Promise<T> {
    for (let waitMs: number = backoffMs.first; ; waitMs = Math.min(waitMs * 2, backoffMs.most)) {
      this.signal.throwIfAborted();
      try {
        const answer = await append();
        this.#troubled = false;
        return answer;
      } catch (error) {
        this.#troubled = true;
        this.#onTrouble(error);
        if (isFinal(error)) throw error;
      }
      await sleep(waitMs, this.signal);
    }
  }
}
