/** A log with a feed through Kafka beside it, in a database and a topic of the test's own. */
import { Kafka, logLevel } from 'kafkajs';
import type { Test } from 'tap';
import { codec, type EventCodec } from '../../schemas/index.ts';
import { consumerPool } from '../../src/feed/checkpoint.ts';
import type { Consumer, Feed } from '../../src/feed/feed.ts';
import { type KafkaFeed, openKafkaFeed, type TopicOptions, topicOf } from '../../src/feed/kafka.ts';
import { type Relay, type RelayOptions, startRelay } from '../../src/feed/relay.ts';
import type { Log } from '../../src/log/log.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { type Ground, ground } from '../readside/platform.ts';
import { topicPrefix } from '../support/kafka/kafka-test.ts';
import { commitTo, profile, settle } from '../support/log-load.ts';
import { makeTallyTable } from './tally.ts';

/** What a test with Kafka stands on. */
export interface KafkaGround extends Ground {
  readonly options: TopicOptions & { readonly partitions: number };
  readonly topic: string;
  /** Holes that consumers met: how many records were missing is not known, the stretch of the log is. */
  readonly holes: { readonly group: string; readonly partition: number; readonly from: bigint; readonly to: bigint }[];
  readonly openLog: OpenLog;
  relay(options?: Partial<RelayOptions>): Relay;
  feed(options?: Partial<TopicOptions> & { readonly watchdogMs?: number }): KafkaFeed;
}

/** A further handle of the log under test, as a process of the code with this codec has it. */
export type OpenLog = (codec: EventCodec) => Promise<Log>;

/** Handles of Postgres's log; they are closed when `t` ends. */
export function postgresHandles(t: Test, url: string): OpenLog {
  return closedWith(t, (own) => openPostgresLog({ url, codec: own }));
}

function closedWith(t: Test, open: OpenLog): OpenLog {
  return async (own) => {
    const log = await open(own);
    t.teardown(() => log.close());
    return log;
  };
}

/** Makes it; everything is closed when `t` ends. The log is Postgres's, unless the test says how another is opened. */
export async function kafkaGround(
  t: Test,
  brokers: readonly string[],
  { partitions = 4, open, ...rest }: Partial<TopicOptions> & { readonly open?: OpenLog } = {},
): Promise<KafkaGround> {
  const on = await ground(t, await open?.(codec));
  await makeTallyTable(on.pool);
  const pool = consumerPool(on.url, { name: 'feed', maxConnections: 4 });
  t.teardown(() => pool.end());
  const options = { brokers, partitions, topicPrefix: topicPrefix(), ...rest };
  const holes: KafkaGround['holes'] = [];
  return {
    ...on,
    options,
    topic: topicOf(options),
    holes,
    openLog: open ? closedWith(t, open) : postgresHandles(t, on.url),
    relay(more = {}) {
      const relay = startRelay({ ...options, url: on.url, log: on.log, codec, logger: on.words, ...more });
      t.teardown(() => relay.stop());
      return relay;
    },
    feed(more = {}) {
      const onHole = (group: string, partition: number, from: bigint, to: bigint) => {
        holes.push({ group, partition, from, to });
      };
      return openKafkaFeed({ ...options, pool, history: on.log, codec, logger: on.words, onHole, ...more });
    },
  };
}

/** A client that does to a ground's topic what operators do, until `t` ends. */
export async function adminOf(t: Test, on: KafkaGround) {
  const kafka = new Kafka({ brokers: [...on.options.brokers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  t.teardown(() => admin.disconnect());
  return {
    kafka,
    admin,
    /** Deletes all records that a topic has, of some partitions or all. */
    async cut(partitions?: readonly number[]): Promise<void> {
      const ends = (await admin.fetchTopicOffsets(on.topic)).filter(
        ({ partition, high }) => (partitions?.includes(partition) ?? true) && high !== '0',
      );
      const upTo = ends.map(({ partition, high }) => ({ partition, offset: high }));
      if (upTo.length > 0) await admin.deleteTopicRecords({ topic: on.topic, partitions: upTo });
    },
  };
}

/** A consumer at work. */
export interface Running {
  readonly done: Promise<void>;
  stop(): Promise<void>;
}

/** Consumes until it is stopped, or `t` ends. */
export function consume(t: Test, feed: Feed, consumer: Consumer): Running {
  const abort = new AbortController();
  const done = feed.consume(consumer, abort.signal);
  done.catch(() => {});
  const stop = async () => {
    abort.abort();
    await done.catch(() => {});
  };
  t.teardown(stop);
  return { done, stop };
}

/** Appends one commit of so many events to a new stream; answers the position of the last. */
export async function write(log: Ground['log'], stream: string, events = 1): Promise<bigint> {
  const written = await settle(
    log,
    commitTo(stream, { events: Array.from({ length: events }, () => profile(stream)) }),
  );
  if (written.outcome !== 'written') throw new Error(written.outcome);
  return written.position;
}

/** Appends to many new streams at once; answers the head. */
export async function writeMany(log: Ground['log'], prefix: string, streams: number, events = 1): Promise<bigint> {
  const texts = Array.from({ length: events }, () => profile(prefix));
  const outcomes = await log.append(
    Array.from({ length: streams }, (_, n) => commitTo(`${prefix}-${n}`, { events: texts })),
  );
  if (outcomes.some(({ outcome }) => outcome !== 'written')) throw new Error(JSON.stringify(outcomes[0]));
  return log.head();
}
