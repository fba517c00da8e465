import type pg from 'pg';
import { type EventCodec, UnknownEventError } from '../../schemas/index.ts';
import { moveOffset, PartitionsChangedError, readOffset } from './checkpoint.ts';
import type { Consuming } from './consuming.ts';
import type { ConsumerLogger, History } from './feed.ts';
import { PartitionReader } from './partition-reader.ts';
import { decodeRecord, type FeedRecord } from './records.ts';

/** What a member of a group needs of a Kafka client. Offsets are those of the group's topic. */
export interface GroupClient {
  /** The next records of a partition are those from an offset on. */
  seek(partition: number, offset: bigint): void;
  /** Tells Kafka's tools how far a partition was read. Not asked for a group that keeps no checkpoint. */
  commit(partition: number, offset: bigint): Promise<void>;
  /** Where each partition begins, with the oldest record that stands, and ends, with the one to come. */
  ends(): Promise<ReadonlyMap<number, { readonly low: bigint; readonly high: bigint }>>;
  /** The first records of each partition that were written at this time (milliseconds since the epoch) or later. */
  offsetsAt(time: number): Promise<ReadonlyMap<number, bigint>>;
}

/** Records of one partition, as they were fetched. */
export interface FetchedRecords {
  readonly partition: number;
  readonly records: readonly { readonly offset: string; readonly value: Buffer | null }[];
  /** Asked as often as one likes; rejects when the group has changed. */
  heartbeat(): Promise<void>;
  /** False once the client was told to stop, or to go on elsewhere. */
  isCurrent(): boolean;
  /** The next records are those after this offset. */
  resolve(offset: bigint): void;
}

/** What a member needs. */
export interface GroupMemberOptions {
  readonly client: GroupClient;
  readonly topic: string;
  readonly partitions: number;
  readonly consuming: Consuming;
  readonly pool: pg.Pool;
  readonly history: Pick<History, 'page'>;
  readonly codec: EventCodec;
  readonly logger: ConsumerLogger;
  readonly onHole?: ((group: string, partition: number, from: bigint, to: bigint) => void) | undefined;
  /**
   * Milliseconds without anything fetched after which, if there is more, this session is ended. After half of them Kafka is
   * asked whether there is, and a Kafka that does not answer ends it then.
   */
  readonly watchdogMs: number;
}

const heartbeatEveryMs = 500;
const commitEveryMs = 1_000;
/** Records that had nothing new are noted this often, so that an idle partition's marks are not read again. */
const noteOffsetEveryMs = 10_000;
/** How much the clocks of a relay and of who appended may differ. */
const clockSkewMs = 60_000;
/** A member that is given no partitions, not even none, for so long is begun again. */
const joinWithinMs = 30_000;
/** Kafka is given so long to say where its partitions end: the client itself waits for a dead connection half a minute. */
const endsWithinMs = 2_000;

const tellHolesEveryMs = 5_000;

/** A partition that is ours at the moment. */
interface Held {
  readonly reader: PartitionReader;
  /** Offset of the next record, null until there was one. */
  next: bigint | null;
  committedAt: number;
  notedAt: number;
}

/** One process's part in a consumer group: what is done with the partitions it is given. */
export class GroupMember {
  readonly #options: GroupMemberOptions;
  readonly #failed = Promise.withResolvers<never>();
  #held = new Map<number, Promise<Held>>();
  #seen = new Set<number>();
  #busy = false;
  /** Resolves when what is at hand is done. */
  #idle: Promise<void> = Promise.resolve();
  #ended = false;
  #joined = false;
  #asking = false;
  #heardAt = performance.now();
  /** Holes since they were last told. */
  #holes = 0;
  #holeToldAt = Number.NEGATIVE_INFINITY;
  readonly #watchdog: NodeJS.Timeout;

  constructor(options: GroupMemberOptions) {
    this.#options = options;
    this.failed.catch(() => {});
    const every = Math.min(2_000, options.watchdogMs / 2);
    this.#watchdog = setInterval(() => void this.#watch().catch(() => {}), every);
  }

  /** Rejects with what ends this session. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  fail(error: unknown): void {
    this.#failed.reject(error);
  }

  /** These partitions are ours from now on, and no others. */
  assigned(partitions: readonly number[]): void {
    this.#joined = true;
    this.#heardAt = performance.now();
    this.#held = new Map();
    for (const partition of partitions) this.#hold(partition).catch(() => {});
  }

  /** Ends the work at hand after its present step. */
  stop(): void {
    this.#ended = true;
    clearInterval(this.#watchdog);
  }

  /** Resolves when nothing is at hand: after `stop`, when the consumer is not called any more. */
  get idle(): Promise<void> {
    return this.#idle;
  }

  /** Does what is new in fetched records. Resolves also when that failed for good: `failed` tells. */
  async take(fetched: FetchedRecords): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle = promise;
    this.#busy = true;
    const alive = { group: true };
    const beat = setInterval(() => {
      fetched.heartbeat().catch(() => {
        alive.group = false;
      });
    }, heartbeatEveryMs);
    try {
      await this.#take(fetched, () => alive.group && !this.#over && fetched.isCurrent());
    } finally {
      clearInterval(beat);
      this.#busy = false;
      this.#heardAt = performance.now();
      resolve();
    }
  }

  get #over(): boolean {
    return this.#ended || this.#options.consuming.signal.aborted;
  }

  async #take(fetched: FetchedRecords, mayGoOn: () => boolean): Promise<void> {
    const { consuming } = this.#options;
    const { partition } = fetched;
    let records: FeedRecord[] | null = null;
    while (mayGoOn()) {
      try {
        const held = await (this.#held.get(partition) ?? this.#hold(partition));
        if (!mayGoOn()) return;
        records ??= this.#decode(fetched);
        await this.#gather(partition);
        const before = held.reader.position;
        const done = await held.reader.take(records, mayGoOn);
        await this.#resolved(held, fetched, mayGoOn() ? lastOffset(fetched) : done, before);
        return;
      } catch (error) {
        if (this.#over) return;
        if (error instanceof UnknownEventError || error instanceof PartitionsChangedError) return this.fail(error);
        // The partition stays ours meanwhile, and what was fetched in hand.
        await consuming.waitAfter(error);
        this.#held.delete(partition);
      }
    }
  }

  #decode({ records }: FetchedRecords): FeedRecord[] {
    const { codec } = this.#options;
    return records.flatMap(({ offset, value }) => decodeRecord(value, BigInt(offset) + 1n, codec) ?? []);
  }

  /** Once a round through the partitions: batches of all of them then begin together. */
  async #gather(partition: number): Promise<void> {
    if (this.#seen.has(partition)) {
      this.#seen.clear();
      await this.#options.consuming.consumer.gather?.();
    }
    this.#seen.add(partition);
  }

  async #resolved(held: Held, fetched: FetchedRecords, next: bigint | null, before: bigint): Promise<void> {
    if (next === null) return;
    const { client, topic, pool, consuming } = this.#options;
    const { partition } = fetched;
    fetched.resolve(next - 1n);
    held.next = next;
    const now = performance.now();
    if (held.reader.position > before) held.notedAt = now;
    else if (now - held.notedAt > noteOffsetEveryMs) {
      held.notedAt = now;
      await moveOffset(pool, consuming.consumer.group, partition, { topic, offset: next });
    }
    // For a group without a checkpoint, which may be one of this process alone, the broker would keep offsets that nobody
    // moves any more, and show their lag for days.
    const { hasCheckpoint = true } = consuming.consumer;
    if (!hasCheckpoint || now - held.committedAt < commitEveryMs) return;
    held.committedAt = now;
    client.commit(partition, next).catch(() => {});
  }

  #hold(partition: number): Promise<Held> {
    const holding = this.#open(partition);
    this.#held.set(partition, holding);
    holding.catch(() => {
      if (this.#held.get(partition) === holding) this.#held.delete(partition);
    });
    return holding;
  }

  /** Learns where a partition stands and turns the client there. */
  async #open(partition: number): Promise<Held> {
    const { client, consuming, topic, partitions, pool, history, onHole } = this.#options;
    const { consumer } = consuming;
    const { group } = consumer;
    const position = await consumer.start(partition);
    const offset = (await readOffset(pool, group, partition, topic)) ?? (await this.#offsetOf(partition, position));
    if (offset !== null) client.seek(partition, offset);
    const reader = new PartitionReader({
      consumer,
      history,
      topic,
      partition,
      partitions,
      position,
      onHole: (from, to) => {
        this.#tellHole(partition, from, to);
        onHole?.(group, partition, from, to);
      },
      onDone: () => consuming.progressed(),
    });
    return { reader, next: offset, committedAt: Number.NEGATIVE_INFINITY, notedAt: performance.now() };
  }

  /** Says that a partition has a hole; of several in a short time the first, and how many they were with the next. */
  #tellHole(partition: number, from: bigint, to: bigint): void {
    const { consuming, logger } = this.#options;
    const now = performance.now();
    this.#holes++;
    if (now - this.#holeToldAt < tellHolesEveryMs) return;
    const fields = { group: consuming.consumer.group, partition, from: `${from}`, to: `${to}`, holes: this.#holes };
    logger.info(fields, 'a partition lacks records, which are read from the log');
    this.#holes = 0;
    this.#holeToldAt = now;
  }

  /** About where in the topic a position is, for who never read it. Wrong is no harm: it costs a hole or some repeats. */
  async #offsetOf(partition: number, position: bigint): Promise<bigint | null> {
    const { client, history } = this.#options;
    // Not left to the client: it would go on where the group told Kafka's tools that it was, before its rows were lost.
    if (position === 0n) return (await client.ends()).get(partition)?.low ?? null;
    const { events } = await history.page(position, 1);
    const next = events[0];
    if (next) return (await client.offsetsAt(next.at - clockSkewMs)).get(partition) ?? null;
    return (await client.ends()).get(partition)?.high ?? null;
  }

  /** Where the partitions end. Null, and the end of this session, when Kafka does not say: its connections may be dead. */
  async #ends(): Promise<ReadonlyMap<number, { readonly low: bigint; readonly high: bigint }> | null> {
    const { client, consuming } = this.#options;
    if (this.#asking) return null;
    this.#asking = true;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('no answer')), endsWithinMs);
    });
    try {
      return await Promise.race([client.ends(), late]);
    } catch (cause) {
      this.fail(new Error(`consumer ${consuming.consumer.group} hears nothing from Kafka`, { cause }));
      return null;
    } finally {
      clearTimeout(timer);
      this.#asking = false;
    }
  }

  async #watch(): Promise<void> {
    const { watchdogMs, consuming } = this.#options;
    const silentMs = performance.now() - this.#heardAt;
    if (this.#busy || this.#over) return;
    if (!this.#joined) {
      if (silentMs > joinWithinMs) this.fail(new Error('the group has not let this consumer in'));
      return;
    }
    if (silentMs < watchdogMs / 2 || this.#held.size === 0) return;
    const ends = await this.#ends();
    if (ends === null) return;
    for (const [partition, holding] of this.#held) {
      const held = await holding;
      const end = ends.get(partition);
      if (end === undefined || (held.next ?? end.low) >= end.high) continue;
      if (this.#busy || performance.now() - this.#heardAt < watchdogMs) return;
      const behind = `partition ${partition} ends at ${end.high}, read up to ${held.next ?? end.low}`;
      this.fail(new Error(`consumer ${consuming.consumer.group} gets nothing from Kafka: ${behind}`));
      return;
    }
    this.#heardAt = performance.now();
  }
}

function lastOffset({ records }: FetchedRecords): bigint | null {
  const last = records.at(-1);
  return last ? BigInt(last.offset) + 1n : null;
}
