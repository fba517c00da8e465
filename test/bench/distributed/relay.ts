/**
 * The relay against a bare producer: the same messages in the same batches, sent by kafkajs one send after another, while
 * the rows that they came from are read, a page ahead, from a table that is the log's equal.
 */
import type { Producer } from 'kafkajs';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { codec } from '../../../schemas/index.ts';
import type { TopicOptions } from '../../../src/feed/kafka.ts';
import { topicOf } from '../../../src/feed/kafka.ts';
import { type SendReport, startRelay } from '../../../src/feed/relay.ts';
import { type Send, Sends } from '../../../src/feed/sends.ts';
import { alternate } from '../alternate.ts';
import { median } from '../stats.ts';
import type { Stage } from './stage.ts';

/** A run from the first acknowledged send to the last. */
export interface Throughput {
  readonly events: number;
  readonly perSecond: number;
  /** Of the last third over that of the first. */
  readonly evenness: number;
}

/** What was measured, round by round. */
export interface RelayFigures {
  readonly relay: readonly Throughput[];
  readonly bare: readonly Throughput[];
  readonly ratio: number;
  readonly evenness: number;
  /** Mean bytes of a record's value. */
  readonly bytesPerRecord: number;
  readonly eventsPerSend: number;
}

const quiet = { info() {}, warn() {}, error() {} };

/** Measures both in turn, each into a topic of its own. */
export async function measureRelay(stage: Stage): Promise<RelayFigures> {
  const head = await stage.log.head();
  const sends = await makeSends(stage, head);
  await stage.database.query('CREATE SCHEMA IF NOT EXISTS bench; DROP TABLE IF EXISTS bench.events');
  await stage.database.query('CREATE TABLE bench.events (LIKE log.events INCLUDING ALL)');
  await fillTable(stage, head);
  await stage.database.query('ANALYZE bench.events; ANALYZE log.events');
  // The first round of each makes the code warm.
  const { a, b } = await alternate(
    stage.effort.alternations + 1,
    () => relayOnce(stage, head),
    () => bareOnce(stage, sends),
  );
  const [relay, bare] = [a.slice(1), b.slice(1)];
  const ratio = median(relay.map((each, n) => each.perSecond / (bare[n]?.perSecond ?? Number.NaN)));
  const records = sends.flatMap(({ messages }) => messages);
  return {
    relay,
    bare,
    ratio,
    evenness: median(relay.map((each) => each.evenness)),
    bytesPerRecord: records.reduce((sum, { value }) => sum + value.length, 0) / records.length,
    eventsPerSend: sends.reduce((sum, { events }) => sum + events, 0) / sends.length,
  };
}

/** Puts the log's rows into the table that the reference reads: where the log is elsewhere, rows as it would have them. */
async function fillTable({ database, log, place }: Stage, head: bigint): Promise<void> {
  if (place.eventStore === null) {
    await database.query('INSERT INTO bench.events SELECT * FROM log.events ORDER BY position');
    return;
  }
  for (let at = 0n; at < head; ) {
    const { events, position } = await log.page(at, pageRows);
    const rows = events.map((event) => ({
      position: `${event.position}`,
      stream: event.stream,
      revision: event.revision,
      commit_id: event.commitId,
      index: event.index,
      version: codec.versionOf(event.type),
      at: event.at,
      type: event.type,
      data: JSON.stringify(event.data),
      meta: JSON.stringify(event.meta),
    }));
    await database.query(
      `INSERT INTO bench.events (position, stream, revision, commit_id, index, version, at, type, data, meta)
        SELECT position, stream, revision, commit_id, index, version, at, type, data, meta
        FROM json_populate_recordset(NULL::bench.events, $1)`,
      [JSON.stringify(rows)],
    );
    at = position;
  }
}

/** Runs the relay over the whole log, into a topic. */
export async function relayAll(
  stage: Stage,
  topic: TopicOptions,
  head: bigint,
  onSend: (report: SendReport) => void = () => {},
): Promise<void> {
  const reached = Promise.withResolvers<void>();
  const relay = startRelay({
    ...{ ...topic, url: stage.url, log: stage.log, codec, logger: quiet },
    onSend(report) {
      onSend(report);
      if (report.position >= head) reached.resolve();
    },
  });
  relay.done.catch(reached.reject);
  await reached.promise;
  await relay.stop();
}

async function relayOnce(stage: Stage, head: bigint): Promise<Throughput> {
  const clock = new Meter();
  await relayAll(stage, stage.newTopic(), head, ({ events }) => clock.add(events));
  return clock.result();
}

/** The sends of the whole log, when they are as full as they may be. */
async function makeSends({ log, newTopic }: Stage, head: bigint): Promise<Send[]> {
  const { partitions } = newTopic();
  const sends = new Sends({ position: 0n, latest: new Array<bigint>(partitions).fill(0n) }, codec);
  const all: Send[] = [];
  for (let at = 0n; at < head; ) {
    const { events, position } = await log.page(at, 1_000 * partitions);
    all.push(...sends.of({ events, to: position }));
    at = position;
  }
  return all;
}

async function bareOnce(stage: Stage, sends: readonly Send[]): Promise<Throughput> {
  const { producer, topic, close } = await bareProducer(stage);
  const rows = new pg.Client({ connectionString: stage.url });
  await rows.connect();
  try {
    const clock = new Meter();
    let from = '0';
    const read = async (count: number): Promise<void> => {
      for (let left = count; left > 0; left -= pageRows) {
        const page = await rows.query<{ position: string }>({
          name: 'bench-page',
          text: `SELECT position, stream, revision, commit_id, index, version, at, type, data, meta FROM bench.events
            WHERE position > $1 ORDER BY position LIMIT $2`,
          values: [from, Math.min(left, pageRows)],
        });
        from = page.rows.at(-1)?.position ?? from;
      }
    };
    let reading = read(sends[0]?.events ?? 0);
    for (const [n, { messages, events }] of sends.entries()) {
      await reading;
      reading = read(sends[n + 1]?.events ?? 0);
      await producer.send({ topic, acks: -1, timeout: 5_000, messages: [...messages] });
      clock.add(events);
    }
    await reading;
    return clock.result();
  } finally {
    await rows.end();
    await close();
  }
}

/** As many rows as the log's own pages have. */
const pageRows = 2_000;

async function bareProducer(stage: Stage): Promise<{ producer: Producer; topic: string; close(): Promise<void> }> {
  const options = stage.newTopic();
  const kafka = new Kafka({ brokers: [...stage.brokers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const topic = topicOf(options);
  await admin.createTopics({ topics: [{ topic, numPartitions: options.partitions }], waitForLeaders: true });
  const producer = kafka.producer({
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition ?? 0,
  });
  await producer.connect();
  return {
    producer,
    topic,
    async close() {
      await producer.disconnect();
      // What is no longer looked at is not to fill the disk.
      await admin.deleteTopics({ topics: [topic] });
      await admin.disconnect();
    },
  };
}

/** Rates from what was acknowledged when. The first send is the start: what came before it was setting up. */
class Meter {
  readonly #at: number[] = [];
  readonly #events: number[] = [];

  add(events: number): void {
    if (events === 0) return;
    this.#at.push(performance.now());
    this.#events.push(events);
  }

  result(): Throughput {
    const third = Math.floor((this.#at.length - 1) / 3);
    const last = this.#at.length - 1;
    const whole = this.#rate(0, last);
    const events = this.#events.reduce((sum, each) => sum + each, 0);
    return { events, perSecond: whole, evenness: this.#rate(last - third, last) / this.#rate(0, third) };
  }

  #rate(from: number, to: number): number {
    const events = this.#events.slice(from + 1, to + 1).reduce((sum, each) => sum + each, 0);
    return events / (((this.#at[to] ?? 0) - (this.#at[from] ?? 0)) / 1_000);
  }
}
