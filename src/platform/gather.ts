interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * What many ask for, put into few calls: while one call is under way whatever comes in waits, and goes out together with
 * the next. Who asks alone waits for nobody.
 */
export class Gather<Item, Answer> {
  readonly #maxItems: number;
  readonly #call: (items: Item[]) => Promise<readonly Answer[]>;
  readonly #waiting: Waiting<Item, Answer>[] = [];
  #busy = false;

  /** @param call answers in the order of its items; when it rejects, so do all of them */
  constructor(maxItems: number, call: (items: Item[]) => Promise<readonly Answer[]>) {
    this.#maxItems = maxItems;
    this.#call = call;
  }

  /** Items that wait for the call under way to end. */
  get waiting(): number {
    return this.#waiting.length;
  }

  ask(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#busy) return;
      this.#busy = true;
      // What the same turn of the event loop asks goes along.
      queueMicrotask(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const asked = this.#waiting.splice(0, this.#maxItems);
      try {
        const answers = await this.#call(asked.map(({ item }) => item));
        for (const [i, { resolve }] of asked.entries()) resolve(answers[i] as Answer);
      } catch (error) {
        for (const { reject } of asked) reject(error);
      }
    }
    this.#busy = false;
  }
}
