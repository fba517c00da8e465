/**
 * The feed: the log as consumer groups read it (design section 5). Implemented by `tail.ts` (straight off the log, one
 * ordered partition) and, in the distributed set-up, through Kafka.
 *
 * Promises: a group's handler gets, per partition, every event once in the order of the log, from the position that its
 * checkpoint row holds. The row decides, never memory: see `checkpoint.ts`. A handler that throws is called again from
 * its checkpoint, after a backoff, until the signal aborts; an event this code cannot read stops the group with one line.
 */
import type { RecordedEvent } from '../../schemas/index.ts';

export type { RecordedEvent } from '../../schemas/index.ts';

/** Events of one partition, in order, after which the partition stands at `to`. Possibly none: then only `to` moved. */
export interface FeedBatch {
  readonly partition: number;
  readonly events: readonly RecordedEvent[];
  /** Position of the partition before these events. */
  readonly from: bigint;
  readonly to: bigint;
}

/** What a consumer group gives the feed. */
export interface Consumer {
  /** Name of the group, the key of its checkpoint. */
  readonly group: string;
  /** Events of one batch at most. */
  readonly maxBatchEvents: number;
  /** Where a partition begins: the position of its checkpoint. */
  start(partition: number): Promise<bigint>;
  /**
   * Does the work of a batch and moves the checkpoint in the same transaction. Answers the position that the checkpoint
   * holds now: `batch.to`, or another when somebody else moved it; the feed goes on from there.
   */
  handle(batch: FeedBatch): Promise<bigint>;
  /**
   * Asked when a batch could begin that is not full: more events are gathered until the answer resolves or the batch is
   * full. Without it, or without an answer, batches begin at once. Larger batches cost less; later ones are less fresh.
   */
  gather?(): Promise<void> | undefined;
}

/** The feed. */
export interface Feed {
  readonly partitions: number;
  /** Runs a consumer until the signal aborts. Rejects only with an event that this code cannot read. */
  consume(consumer: Consumer, signal: AbortSignal): Promise<void>;
}

/** The log's history, as rebuilds read it: the part of the log's port that they need. */
export interface History {
  /** One bounded page of events after `from`; `position` is where the next page begins. */
  page(
    from: bigint,
    maxEvents: number,
  ): Promise<{ readonly events: readonly RecordedEvent[]; readonly position: bigint; readonly atHead: boolean }>;
  /** The last position of the log. */
  head(): Promise<bigint>;
}

/** Where consumers say what went wrong. A pino logger is one. */
export interface ConsumerLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * The ordering key of an event: the dispatch for dispatches, the room for rooms and their messages, else the stream.
 * Events of one key are always in one partition. (A dispatch's stream carries only its own events.)
 */
export function orderingKey(event: RecordedEvent): string {
  return event.stream;
}
