/**
 * The feed straight off the log: one partition, in the order of the log. At most one batch is with the handler; what the
 * tail says meanwhile is gathered, up to one more batch, then the tail waits.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { UnknownEventError } from '../../schemas/index.ts';
import type { Log, TailBatch } from '../log/log.ts';
import type { Consumer, ConsumerLogger, Feed, FeedBatch, RecordedEvent } from './feed.ts';

/** Wait before a consumer that failed is begun again, doubled with every failure in a row. */
const backoffMs = { first: 100, most: 5_000 } as const;

/** Opens the feed. It holds nothing: ending it is ending its consumers. */
export function openTailFeed(log: Pick<Log, 'tail'>, logger: ConsumerLogger): Feed {
  return {
    partitions: 1,
    consume: (consumer, signal) => consume(log, logger, consumer, signal),
  };
}

async function consume(
  log: Pick<Log, 'tail'>,
  logger: ConsumerLogger,
  consumer: Consumer,
  signal: AbortSignal,
): Promise<void> {
  let retryInMs: number = backoffMs.first;
  while (!signal.aborted) {
    try {
      let from = await consumer.start(0);
      while (!signal.aborted) {
        from = await follow(log, consumer, from, signal, () => {
          retryInMs = backoffMs.first;
        });
      }
    } catch (error) {
      if (error instanceof UnknownEventError) {
        logger.error({ group: consumer.group }, `consumer ${consumer.group} stops: ${error.message}`);
        throw error;
      }
      if (signal.aborted) return;
      logger.warn({ group: consumer.group, err: error, retryInMs }, 'consumer failed, goes on from its checkpoint');
      await sleep(retryInMs, undefined, { signal }).catch(() => {});
      retryInMs = Math.min(retryInMs * 2, backoffMs.most);
    }
  }
}

/** Hands over batches from `from` on. Answers where to go on: after the abort, or when the checkpoint was moved by others. */
async function follow(
  log: Pick<Log, 'tail'>,
  consumer: Consumer,
  from: bigint,
  signal: AbortSignal,
  onDone: () => void,
): Promise<bigint> {
  const ended = new AbortController();
  const end = () => ended.abort();
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  const gatherer = new Gatherer(log.tail(from, ended.signal), from, consumer.maxBatchEvents);
  try {
    for (;;) {
      const batch = signal.aborted ? null : await gatherer.next(consumer);
      if (!batch) {
        if (signal.aborted) return gatherer.from;
        throw new Error('the tail ended by itself');
      }
      const position = await consumer.handle(batch);
      if (position !== batch.to) return position;
      onDone();
    }
  } finally {
    signal.removeEventListener('abort', end);
    ended.abort();
    gatherer.stop();
    await gatherer.ended;
  }
}

/** Gathers what a tail says into batches. */
class Gatherer {
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
  async next(consumer: Consumer): Promise<FeedBatch | null> {
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
    return { partition: 0, events, from, to };
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
