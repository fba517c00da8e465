/** A log with a feed through Kafka beside it, in a database and a topic of the test's own. */
import type { Test } from 'tap';
import { codec } from '../../schemas/index.ts';
import { consumerPool } from '../../src/feed/checkpoint.ts';
import type { Consumer, Feed } from '../../src/feed/feed.ts';
import { type KafkaFeed, openKafkaFeed, type TopicOptions, topicOf } from '../../src/feed/kafka.ts';
import { type Relay, type RelayOptions, startRelay } from '../../src/feed/relay.ts';
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
  relay(options?: Partial<RelayOptions>): Relay;
  feed(options?: Partial<TopicOptions> & { readonly watchdogMs?: number }): KafkaFeed;
}

/** Makes it; everything is closed when `t` ends. */
export async function kafkaGround(
  t: Test,
  brokers: readonly string[],
  { partitions = 4, ...rest }: Partial<TopicOptions> = {},
): Promise<KafkaGround> {
  const on = await ground(t);
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
