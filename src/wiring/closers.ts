/** What is to be stopped, in the reverse order of its start. */
export class Closers {
  readonly #closers: (() => unknown)[] = [];

  add(close: () => unknown): void {
    this.#closers.push(close);
  }

  /** Stops everything; what fails to stop does not keep the rest from it. */
  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch {
        // The next one counts.
      }
    }
  }
}
