import { type Consumer, type FeedBatch, type History, partitionOfKey, partOf, type RecordedEvent } from './feed.ts';
import type { FeedRecord } from './records.ts';

/** Events of the log that are looked through in one step of filling a hole. */
const fillStepEvents = 1_000;

/** What a reader of a partition needs. */
export interface PartitionReaderOptions {
  readonly consumer: Consumer;
  readonly history: Pick<History, 'page'>;
  readonly topic: string;
  readonly partition: number;
  readonly partitions: number;
  /** The position of the partition's checkpoint. */
  readonly position: bigint;
  /** Told of every hole, and of every batch that was done. */
  readonly onHole?: (from: bigint, to: bigint) => void;
  readonly onDone?: () => void;
}

/**
 * Turns the records of a partition into batches. At position S: a record with `position <= S` is dropped; with `prev <= S`
 * it is next; else there is a hole, and what is missing up to `prev` is read from the log. That covers duplicates, lost
 * records, finite retention, a topic made anew, and joining after a long absence. What a batch answers is S from then on,
 * whichever way it moved.
 */
export class PartitionReader {
  readonly #options: PartitionReaderOptions;
  /** S: what the checkpoint was seen to hold. */
  position: bigint;

  constructor(options: PartitionReaderOptions) {
    this.#options = options;
    this.position = options.position;
  }

  /**
   * Does what is new in records, in the order of their offsets. Answers the offset behind the last record that is done,
   * null when there is none; that of all of them unless it may not go on, which it asks between steps.
   */
  async take(records: readonly FeedRecord[], mayGoOn: () => boolean): Promise<bigint | null> {
    const { consumer } = this.#options;
    let done: bigint | null = null;
    for (let next = 0; next < records.length; ) {
      if (!mayGoOn()) return done;
      const events: RecordedEvent[] = [];
      let at = this.position;
      let offset: bigint | null = null;
      for (; next < records.length && events.length < consumer.maxBatchEvents; next++) {
        const record = records[next] as FeedRecord;
        if (record.position > at) {
          if (record.prev > at) break;
          if (record.event) events.push(record.event);
          at = record.position;
        }
        offset = record.nextOffset;
      }
      if (at > this.position) await this.#handle(events, at, offset);
      if (offset !== null) done = offset;
      const hole = records[next];
      if (hole && hole.prev > this.position && events.length < consumer.maxBatchEvents)
        await this.#fill(hole.prev, mayGoOn);
    }
    return done;
  }

  async #handle(events: readonly RecordedEvent[], to: bigint, offset: bigint | null): Promise<void> {
    const { consumer, partition, partitions, topic, onDone } = this.#options;
    const batch: FeedBatch = { partition, partitions, events, from: this.position, to };
    this.position = await consumer.handle(offset === null ? batch : { ...batch, source: { topic, offset } });
    onDone?.();
  }

  /** Reads what is missing up to a position from the log, a bounded step at a time. */
  async #fill(to: bigint, mayGoOn: () => boolean): Promise<void> {
    const { consumer, history, partition, partitions, onHole } = this.#options;
    onHole?.(this.position, to);
    const mine = (key: string) => partitionOfKey(key, partitions) === partition;
    while (this.position < to && mayGoOn()) {
      const page = await history.page(this.position, Math.min(fillStepEvents, consumer.maxBatchEvents));
      // A log that ends before what the relay read in it: somebody else will have it in a moment.
      if (page.position <= this.position) throw new Error(`the log does not reach ${to} yet`);
      const events = page.events.filter((event) => event.position <= to).flatMap((event) => partOf(event, mine) ?? []);
      await this.#handle(events, page.position < to ? page.position : to, null);
    }
  }
}
