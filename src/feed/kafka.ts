/**
 * The feed through Kafka: consumer groups that read what `relay.ts` wrote into one topic, each partition by the rule of
 * `partition-reader.ts`. Kafka is a pipe with finite retention, never the truth: whatever it lacks is read from the log.
 *
 * Promises: those of `feed.ts`. Processes of one group share the partitions; a dead one is replaced within about 10 s, and
 * every join or leave stops the group for a moment (the client knows neither static membership nor cooperative
 * rebalancing). A consumer that was paused past its session and replaced is not told: the row lock in the handler's
 * transaction keeps it from doing harm. Offsets are committed to Kafka after the fact, for tools that show lag, and only of
 * groups that keep a checkpoint; where a consumer goes on is told by that alone.
 *
 * While Kafka is away consumers wait and begin again; a consumer that makes no progress while its topic moves is begun
 * again by a watchdog.
 *
 * Personal data: records carry events, as the log does; neither keys nor headers are set, and a topic's records go with
 * its retention. See `feed.ts` for what was erased.
 */
import { type Admin, type EachBatchPayload, Kafka, type Consumer as KafkaConsumer, logLevel } from 'kafkajs';
import pg from 'pg';
import type { EventCodec } from '../../schemas/index.ts';
import { sleep } from '../platform/clock.ts';
import { migrationLock } from '../platform/migrate.ts';
import { readCheckpoint } from './checkpoint.ts';
import { Consuming } from './consuming.ts';
import type { ConsumerLogger, Feed, History } from './feed.ts';
import { type GroupClient, GroupMember } from './group-member.ts';
import { kafkaLog, silenceNegativeTimeouts } from './kafka-log.ts';

/** Where a topic is. Times in milliseconds. */
export interface TopicOptions {
  /** `host:port` of some brokers. */
  readonly brokers: readonly string[];
  /** Name of the topic but for its number of partitions. Default `parley-events`. */
  readonly topicPrefix?: string;
  /** Default 8. Another number is another topic. */
  readonly partitions?: number;
  /** For how long a record stands at least; made with the topic. Default 24 hours. */
  readonly retentionMs?: number;
}

/** The name of a topic, which says how many partitions it has. */
export function topicOf({ topicPrefix = 'parley-events', partitions = defaultPartitions }: TopicOptions): string {
  return `${topicPrefix}-${partitions}`;
}

export const defaultPartitions = 8;
const defaultRetentionMs = 86_400_000;
/** Records go in segments: the last of one goes this much later than its retention at most. */
const maxSegmentMs = 3_600_000;

/** What the feed needs. */
export interface KafkaFeedOptions extends TopicOptions {
  /** The database of the checkpoints, under a transaction time-out (`consumerPool`). */
  readonly pool: pg.Pool;
  readonly history: Pick<History, 'page'>;
  readonly codec: EventCodec;
  readonly logger: ConsumerLogger;
  /** Told when a partition lacked what stood between two positions. */
  readonly onHole?: (group: string, partition: number, from: bigint, to: bigint) => void;
  /** A consumer that gets nothing for so long, while its topic has more, is begun again. Default 10 000. */
  readonly watchdogMs?: number;
}

/** The feed, and its end. */
export interface KafkaFeed extends Feed {
  readonly topic: string;
  /** Position of a group: the smallest of its partitions. */
  position(group: string): Promise<bigint>;
}

/** Makes a client. No broker is asked yet. */
export function connectKafka(brokers: readonly string[], name: string, logger: ConsumerLogger): Kafka {
  silenceNegativeTimeouts();
  const say = kafkaLog(logger);
  return new Kafka({
    clientId: `parley-${name}`,
    brokers: [...brokers],
    connectionTimeout: 3_000,
    requestTimeout: 5_000,
    // Defaults take 30 s to notice that something died.
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5 },
    logLevel: logLevel.WARN,
    logCreator: () => say,
  });
}

/** Makes the topic when it is not there. Throws when there is one of the name with another number of partitions. */
export async function ensureTopic(admin: Admin, pool: pg.Pool, options: TopicOptions): Promise<void> {
  const { partitions = defaultPartitions, retentionMs = defaultRetentionMs } = options;
  const topic = topicOf(options);
  if (!(await admin.listTopics()).includes(topic)) {
    const { connectionString } = pool.options;
    const client = new pg.Client({ ...(connectionString && { connectionString }), application_name: 'parley-topic' });
    client.on('error', () => {});
    await client.connect();
    try {
      await client.query('SELECT pg_advisory_lock($1)', [migrationLock]);
      const configEntries = Object.entries({
        'retention.ms': retentionMs,
        'segment.ms': Math.min(maxSegmentMs, retentionMs),
        'cleanup.policy': 'delete',
      }).map(([name, value]) => ({ name, value: String(value) }));
      const made = { topic, numPartitions: partitions, replicationFactor: -1, configEntries };
      // Whoever had the lock before may have made it.
      const isThere = (await admin.listTopics()).includes(topic);
      if (!isThere) await admin.createTopics({ waitForLeaders: true, topics: [made] });
    } finally {
      await client.end().catch(() => {});
    }
  }
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const found = topics[0]?.partitions.length ?? 0;
  if (found !== partitions) throw new Error(`topic ${topic} has ${found} partitions, not ${partitions}`);
}

/** Opens the feed. It holds nothing of its own: ending it is ending its consumers. */
export function openKafkaFeed(options: KafkaFeedOptions): KafkaFeed {
  const { pool, logger, partitions = defaultPartitions } = options;
  const topic = topicOf(options);
  return {
    topic,
    partitions,
    position: (group) => readCheckpoint(pool, group),
    async consume(consumer, signal) {
      const consuming = new Consuming({ consumer, logger, partitions, signal, pool });
      await consuming.untilAborted(() => startedSession(options, consuming));
    },
  };
}

/** A broker that starts is asked again this soon, for so long, before it is said that a consumer failed. */
const askStartingEveryMs = 200;
const startsWithinMs = 30_000;

/** A session; while its group's coordinator is only starting, another and another. */
async function startedSession(options: KafkaFeedOptions, consuming: Consuming): Promise<void> {
  const { signal } = consuming;
  const begun = performance.now();
  for (;;) {
    try {
      return await session(options, consuming);
    } catch (error) {
      if (signal.aborted || !isStarting(error) || performance.now() - begun > startsWithinMs) throw error;
      await sleep(askStartingEveryMs, signal).catch(() => {});
    }
  }
}

const startingTypes = new Set([
  'GROUP_LOAD_IN_PROGRESS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
]);

/** Whether a failure says, itself or by its cause, that the coordinator of a group is not there yet. */
function isStarting(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('type' in error && typeof error.type === 'string' && startingTypes.has(error.type)) return true;
  return isStarting(error.cause);
}

/** `sessionTimeout` and its like; see the contract. */
const groupSettings = {
  sessionTimeout: 6_000,
  heartbeatInterval: 1_000,
  rebalanceTimeout: 10_000,
  maxWaitTimeInMs: 250,
  minBytes: 1,
  maxBytesPerPartition: 1_048_576,
  maxBytes: 8_388_608,
} as const;

/** How long the end of a client is waited for, at a stop and after a failure: one that hangs is left to end by itself. */
const goodbyeMs = { stopped: 5_000, failed: 1_000 } as const;

/** Consumes until the signal aborts, or until the client fails: then rejects, and another session is to follow. */
async function session(options: KafkaFeedOptions, consuming: Consuming): Promise<void> {
  const {
    brokers,
    pool,
    history,
    codec,
    logger,
    onHole,
    watchdogMs = 10_000,
    partitions = defaultPartitions,
  } = options;
  const { consumer, signal } = consuming;
  const topic = topicOf(options);
  const kafka = connectKafka(brokers, consumer.group, logger);
  const admin = kafka.admin();
  // Without `restartOnFailure` kafkajs would begin again by itself; after a crash we begin with a new client.
  const client = kafka.consumer({
    ...groupSettings,
    groupId: `${topic}.${consumer.group}`,
    allowAutoTopicCreation: false,
    metadataMaxAge: 30_000,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5, restartOnFailure: async () => false },
  });
  const member = new GroupMember({
    ...{ client: groupClient(client, admin, topic), topic, partitions, consuming, pool, history, codec, logger },
    ...{ onHole, watchdogMs },
  });
  const stopped = Promise.withResolvers<void>();
  const stop = () => stopped.resolve();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  client.on(client.events.GROUP_JOIN, ({ payload }) => member.assigned(payload.memberAssignment[topic] ?? []));
  client.on(client.events.CRASH, ({ payload }) => member.fail(payload.error));
  try {
    await admin.connect();
    await ensureTopic(admin, pool, options);
    await client.connect();
    await client.subscribe({ topic, fromBeginning: true });
    const running = client.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: (payload) => takeBatch(member, payload),
    });
    await Promise.race([stopped.promise, member.failed, running.then(() => stopped.promise)]);
  } finally {
    signal.removeEventListener('abort', stop);
    member.stop();
    const { stopped, failed } = goodbyeMs;
    await goodbye(client, admin, signal.aborted ? stopped : failed);
    // The next session is not to call the consumer beside this one.
    if (!signal.aborted) await member.idle;
  }
}

async function takeBatch(member: GroupMember, payload: EachBatchPayload): Promise<void> {
  const { batch, resolveOffset, heartbeat, isRunning, isStale } = payload;
  await member.take({
    partition: batch.partition,
    records: batch.messages,
    heartbeat,
    isCurrent: () => isRunning() && !isStale(),
    resolve: (offset) => resolveOffset(offset.toString()),
  });
}

function groupClient(client: KafkaConsumer, admin: Admin, topic: string): GroupClient {
  const byPartition = (offsets: readonly { partition: number; offset: string }[]) =>
    new Map(offsets.map(({ partition, offset }) => [partition, BigInt(offset)]));
  return {
    seek: (partition, offset) => client.seek({ topic, partition, offset: offset.toString() }),
    commit: (partition, offset) => client.commitOffsets([{ topic, partition, offset: offset.toString() }]),
    ends: async () =>
      new Map(
        (await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => [
          partition,
          { low: BigInt(low), high: BigInt(high) },
        ]),
      ),
    offsetsAt: async (time) => byPartition(await admin.fetchTopicOffsetsByTimestamp(topic, time)),
  };
}

async function goodbye(client: KafkaConsumer, admin: Admin, withinMs: number): Promise<void> {
  const ended = Promise.allSettled([client.disconnect(), admin.disconnect()]);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, withinMs);
  });
  await Promise.race([ended, late]);
  clearTimeout(timer);
}
