/**
 * The feed: the log as consumer groups read it (design section 5). Implemented by `tail.ts` (straight off the log, one
 * ordered partition) and, in the distributed set-up, by `kafka.ts` (what `relay.ts` copies from the log into a topic).
 *
 * Promises: a group's handler gets, per partition, every event once in the order of the log, from the position that its
 * checkpoint row holds. The row decides, never memory: see `checkpoint.ts`. Events of one ordering key are in one
 * partition; between partitions there is no order. A handler that throws is called again from its checkpoint, after a
 * backoff, until the signal aborts; an event this code cannot read stops the group with one line.
 *
 * Erased content: the tail gives none. Records of a stream that was erased later stay in Kafka until its retention, and a
 * consumer that is behind meets them, in the order of their key before the event "erased": whoever applies both ends
 * where history from the log ends, and nobody may keep or show what an event said without having read on to the group's
 * head. A hole is filled from the log, which gives erased content to nobody.
 */
import type { EventData, RecordedEvent } from '../../schemas/index.ts';

export type { RecordedEvent } from '../../schemas/index.ts';

/** Events of one partition, in order, after which the partition stands at `to`. Possibly none: then only `to` moved. */
export interface FeedBatch {
  readonly partition: number;
  /** Partitions that the feed has: what `partition` is one of. 1 unless told. */
  readonly partitions?: number;
  readonly events: readonly RecordedEvent[];
  /** Position of the partition before these events. */
  readonly from: bigint;
  readonly to: bigint;
  /** Where the records after `to` begin in the topic they came from; the checkpoint keeps it. */
  readonly source?: RecordPlace;
}

/** A place in a topic. */
export interface RecordPlace {
  readonly topic: string;
  /** Kafka's offset of the next record. */
  readonly offset: bigint;
}

/** What a consumer group gives the feed. */
export interface Consumer {
  /** Name of the group, the key of its checkpoint. */
  readonly group: string;
  /**
   * False for a group that keeps no checkpoint, since what it does is only to wake who looks for himself: then it has no rows
   * either, which nobody would ever move. True unless told.
   */
  readonly hasCheckpoint?: boolean;
  /** Events of one batch at most. */
  readonly maxBatchEvents: number;
  /**
   * Where a partition begins: the position of its checkpoint. Asked at the start, after a failure, and whenever a
   * partition is assigned to this process (again).
   */
  start(partition: number): Promise<bigint>;
  /**
   * Does the work of a batch and moves the checkpoint in the same transaction. Answers the position that the checkpoint
   * holds now: `batch.to`, or another when somebody else moved it; the feed goes on from there. Called for one batch at a
   * time in a process, whatever the partition.
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

/** What tells, beside it, how far a consumer is behind. */
export interface CountedHistory extends History {
  /** How many events stand after `from` and not after `to`, counted up to `most`. Erased ones may be among them. */
  count(from: bigint, to: bigint, most: number): Promise<number>;
}

/** The first event after a position; null when there is none up to `end`. Small pages first: it is mostly the next one. */
export async function firstAfter(
  history: Pick<History, 'page'>,
  position: bigint,
  end: bigint,
): Promise<RecordedEvent | null> {
  let most = 10;
  for (let from = position; from < end; most = Math.min(most * 10, 1_000)) {
    const page = await history.page(from, most);
    const [first] = page.events;
    if (first) return first;
    if (page.position <= from) return null;
    from = page.position;
  }
  return null;
}

/** Where consumers say what went wrong. A pino logger is one. */
export interface ConsumerLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * The ordering key of an event: the dispatch for dispatches, the room for rooms, their messages and receipts, else the
 * stream; of an event "erased", the key of what it ended. Events of one key are always in one partition. Keys are never
 * written anywhere: their hash alone leaves this file, as the number of a partition.
 */
export function orderingKey(event: RecordedEvent): string {
  const { data } = event;
  if ('room' in data && typeof data.room === 'number') return `room-${data.workspace}-${data.room}`;
  switch (event.type) {
    case 'WorkspaceErased':
      return `workspace-${event.data.workspace}`;
    case 'KeyErased':
      return `key-${event.data.workspace}-${event.data.key}`;
    case 'ConnectorErased':
      return `connector-${event.data.workspace}-${event.data.connector}`;
    case 'TemplateErased':
      return `template-${event.data.workspace}-${event.data.template}`;
    case 'WebhookErased':
    case 'WebhookAttemptsRecorded':
      return `webhook-${event.data.workspace}-${event.data.webhook}`;
    case 'NotificationErased':
      return `notification-${event.data.notification}`;
    case 'AccountErased':
      return `account-${event.data.workspace}-${event.data.account}`;
    case 'DeviceErased':
      return `device-${event.data.workspace}-${event.data.device}`;
    default:
      return event.stream;
  }
}

/** The partition that a key's events are in. */
export function partitionOfKey(key: string, partitions: number): number {
  if (partitions === 1) return 0;
  // FNV-1a over UTF-16 units, and a last mixing: streams that differ in one digit spread evenly.
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash ^= hash >>> 15;
  return (hash >>> 0) % partitions;
}

/**
 * The partition of an event. The one event that is about many keys, a page of erased dispatches, is in the partition of
 * each of them, with those of its items that belong there (`partsOf`): this is the first one's.
 */
export function partitionOf(event: RecordedEvent, partitions: number): number {
  if (partitions === 1) return 0;
  return partitionOfKey(isPage(event) ? dispatchKey(event.data.items[0]) : orderingKey(event), partitions);
}

/** What of an event is about the keys that are held: all of it, nothing (null), or a page with some of its items. */
export function partOf(event: RecordedEvent, holds: (key: string) => boolean): RecordedEvent | null {
  if (!isPage(event)) return holds(orderingKey(event)) ? event : null;
  const items = event.data.items.filter((item) => holds(dispatchKey(item)));
  if (items.length === event.data.items.length) return event;
  return items.length === 0 ? null : { ...event, data: { ...event.data, items } };
}

/** The partitions that an event is in, and what of it is there. */
export function* partsOf(event: RecordedEvent, partitions: number): Generator<readonly [number, RecordedEvent]> {
  if (!isPage(event)) {
    yield [partitionOf(event, partitions), event];
    return;
  }
  const found = new Set(event.data.items.map((item) => partitionOfKey(dispatchKey(item), partitions)));
  for (const partition of found) {
    const part = partOf(event, (key) => partitionOfKey(key, partitions) === partition);
    if (part) yield [partition, part];
  }
}

type ErasedPage = RecordedEvent & { readonly type: 'DispatchesErased'; readonly data: EventData<'DispatchesErased'> };

function isPage(event: RecordedEvent): event is ErasedPage {
  return event.type === 'DispatchesErased' && event.data.items.length > 0;
}

/** The key of a dispatch is its stream. */
function dispatchKey(item: ErasedPage['data']['items'][number] | undefined): string {
  return `dispatch-${item?.dispatch ?? ''}`;
}
