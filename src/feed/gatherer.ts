import type { TailBatch } from '../log/log.ts';
import type { Consumer, FeedBatch, RecordedEvent } from './feed.ts';

/** Events after `from`, and the position that is reached with them. */
export type Gathered = Pick<FeedBatch, 'events' | 'from' | 'to'>;

/**
 * Gathers what a tail says into batches of `max` events at most: while one is worked on, the next is gathered. What the
 * tail then has to say waits.
 */
export class Gatherer {
  /** Position of what was handed over last. */
  from: bigint;
  /** Resolves when the tail has returned or failed. */
  readonly ended: Promise<void>;
  readonly #max: number;
  #events: RecordedEvent[] = [];
  #to: bigint;
  #stopped = false;
  #failure: unknown;
  #changed = signalled();
  #room = signalled();

  constructor(tail: AsyncIterable<TailBatch>, from: bigint, max: number) {
    this.from = from;
    this.#to = from;
    this.#max = max;
    this.ended = this.#gather(tail).then(
      () => this.stop(),
      (error: unknown) => {
        this.#failure = error;
        this.stop();
      },
    );
  }

  async #gather(tail: AsyncIterable<TailBatch>): Promise<void> {
    for await (const { events, position } of tail) {
      if (this.#stopped) return;
      if (this.#events.length === 0) this.#events = events.slice();
      else for (const event of events) this.#events.push(event);
      this.#to = position;
      if (position > this.from) this.#changed.tell();
      while (this.#events.length >= this.#max && !this.#stopped) await this.#room.wait();
    }
  }

  /** The next batch, null at the end. Throws what the tail threw, after all that came before. */
  async next(consumer: Pick<Consumer, 'gather'>): Promise<Gathered | null> {
    while (this.#to === this.from && !this.#stopped) await this.#changed.wait();
    if (this.#to === this.from) {
      if (this.#failure !== undefined) throw this.#failure;
      return null;
    }
    const pause = this.#events.length < this.#max && !this.#stopped ? consumer.gather?.() : undefined;
    if (pause) await this.#fullOr(pause);
    const { from } = this;
    const whole = this.#events.length <= this.#max;
    const events = whole ? this.#events : this.#events.slice(0, this.#max);
    this.#events = whole ? [] : this.#events.slice(this.#max);
    const to = whole ? this.#to : (events[events.length - 1] as RecordedEvent).position;
    this.from = to;
    this.#room.tell();
    return { events, from, to };
  }

  async #fullOr(pause: Promise<void>): Promise<void> {
    let over = false;
    const paused = pause.then(() => {
      over = true;
    });
    while (!over && this.#events.length < this.#max && !this.#stopped) {
      await Promise.race([paused, this.#changed.wait()]);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#changed.tell();
    this.#room.tell();
  }
}

/** Something that one waits for and another tells; what is told while nobody waits is not kept. */
function signalled(): { wait(): Promise<void>; tell(): void } {
  let waiting: { promise: Promise<void>; resolve: () => void } | null = null;
  return {
    wait() {
      waiting ??= Promise.withResolvers<void>();
      return waiting.promise;
    },
    tell() {
      waiting?.resolve();
      waiting = null;
    },
  };
}
