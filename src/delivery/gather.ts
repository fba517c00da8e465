/**
 * Gathers what many callers want done into few calls: while one call is under way everything that comes in waits, and
 * goes out together in the next one. A lone caller waits for nobody.
 */
export class Gather<T, R> {
  readonly #maxItems: number;
  readonly #call: (items: T[]) => Promise<R[]>;
  #waiting: { readonly item: T; readonly resolve: (result: R) => void; readonly reject: (error: unknown) => void }[] =
    [];
  #busy = false;

  /** `call` answers in the order of its items; when it rejects, every caller in it is rejected. */
  constructor(maxItems: number, call: (items: T[]) => Promise<R[]>) {
    this.#maxItems = maxItems;
    this.#call = call;
  }

  /** Items that wait for the call under way to end. */
  get waiting(): number {
    return this.#waiting.length;
  }

  add(item: T): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#busy) return;
      this.#busy = true;
      // What the same turn of the event loop adds goes along.
      queueMicrotask(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#maxItems);
      try {
        const results = await this.#call(batch.map(({ item }) => item));
        batch.forEach(({ resolve }, i) => {
          resolve(results[i] as R);
        });
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#busy = false;
  }
}
