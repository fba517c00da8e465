import t from 'tap';
import { codec, type RecordedEvent, UnknownEventError } from '../../schemas/index.ts';
import type { Consumer, FeedBatch } from '../../src/feed/feed.ts';
import { partitionOf } from '../../src/feed/feed.ts';
import { PartitionReader } from '../../src/feed/partition-reader.ts';
import { decodeRecord, encodeEvent, type FeedRecord } from '../../src/feed/records.ts';
import { randomOf } from '../projections/history.ts';
import { cut, seedOf } from '../projections/scratch.ts';
import { profile } from '../support/log-load.ts';

const partitions = 3;

function history(count: number): RecordedEvent[] {
  return Array.from({ length: count }, (_, i) => {
    const place = {
      position: BigInt(i + 1),
      stream: `s-${i % 40}`,
      revision: i,
      commitId: 'c',
      index: 0,
      at: 1,
      meta: {},
    };
    return { ...profile(`${i}`), ...place } as RecordedEvent;
  });
}

function pages(events: readonly RecordedEvent[]) {
  const asked: number[] = [];
  return {
    asked,
    async page(from: bigint, max: number) {
      asked.push(max);
      const page = events.slice(Number(from), Number(from) + max);
      return { events: page, position: from + BigInt(page.length), atHead: page.length < max };
    },
  };
}

/** The records of one partition, marks among them. */
function recordsOf(events: readonly RecordedEvent[], partition: number, random: () => number): FeedRecord[] {
  const records: FeedRecord[] = [];
  let prev = 0n;
  for (const event of events) {
    const mine = partitionOf(event, partitions) === partition;
    if (!mine && random() > 0.1) continue;
    const { position } = event;
    records.push({ position, prev, event: mine ? event : null, nextOffset: BigInt(records.length + 1) });
    prev = position;
  }
  return records;
}

/** A consumer with a checkpoint in memory. */
function kept() {
  const given: RecordedEvent[] = [];
  const batches: FeedBatch[] = [];
  const state = { position: 0n };
  const consumer: Consumer = {
    group: 'g',
    maxBatchEvents: 7,
    start: async () => state.position,
    async handle(batch) {
      if (batch.from > state.position || batch.to <= state.position) return state.position;
      batches.push(batch);
      given.push(...batch.events.filter(({ position }) => position > state.position));
      state.position = batch.to;
      return batch.to;
    },
  };
  return { given, batches, state, consumer };
}

function reader(consumer: Consumer, events: readonly RecordedEvent[], partition = 1) {
  const log = pages(events);
  const holes: [bigint, bigint][] = [];
  const options = { consumer, history: log, topic: 'topic-3', partition, partitions, position: 0n };
  return { reader: new PartitionReader({ ...options, onHole: (from, to) => holes.push([from, to]) }), log, holes };
}

const always = () => true;

t.test('whatever records are lost, doubled or out of order: each event once, in order', async (t) => {
  const random = randomOf(seedOf(t));
  for (let round = 0; round < 60; round++) {
    const events = history(400);
    const all = recordsOf(events, 1, random);
    const last = all.at(-1) as FeedRecord;
    // Lost in stretches, repeated in stretches, as by relays that begin again or write beside one another.
    const met = cut(random, all, 30).flatMap((stretch) => {
      const kind = random();
      if (kind < 0.25) return [];
      if (kind < 0.5) return [...stretch, ...all.slice(0, Math.floor(random() * all.length)), ...stretch];
      return kind < 0.6 ? stretch.toReversed() : stretch;
    });
    const { consumer, given, batches } = kept();
    const { reader: r } = reader(consumer, events);
    for (const records of cut(random, [...met, last], 50)) await r.take(records, always);
    const expected = events.filter((event) => partitionOf(event, partitions) === 1 && event.position <= last.position);
    t.same(
      given.map(({ position }) => position),
      expected.map(({ position }) => position),
    );
    t.ok(batches.every((batch) => batch.events.length <= consumer.maxBatchEvents));
    t.equal(r.position, last.position);
  }
});

t.test('without holes the log is not read', async (t) => {
  const events = history(300);
  const { consumer, given } = kept();
  const { reader: r, log, holes } = reader(consumer, events);
  const records = recordsOf(events, 1, randomOf(5));
  t.equal(await r.take(records, always), BigInt(records.length), 'the offset behind the last');
  t.equal(given.length, events.filter((event) => partitionOf(event, partitions) === 1).length);
  t.same([log.asked, holes], [[], []]);
});

t.test('a hole is filled in bounded steps, which may be interrupted', async (t) => {
  const events = history(400);
  const { consumer, given, state } = kept();
  const { reader: r, log, holes } = reader(consumer, events);
  const last = recordsOf(events, 1, () => 1).slice(-1);
  let steps = 0;
  await r.take(last, () => ++steps < 10);
  const reached = state.position;
  t.ok(reached > 0n && reached < 300n, 'it stopped where it was told to');
  await r.take(last, always);
  t.equal(state.position, last[0]?.position);
  t.equal(given.length, new Set(given).size);
  t.ok(log.asked.every((max) => max <= consumer.maxBatchEvents));
  t.same(
    holes.map(([from]) => from),
    [0n, reached],
  );
});

t.test('a checkpoint that somebody else moved, to either side, is where it goes on', async (t) => {
  const events = history(400);
  const records = recordsOf(events, 1, () => 1);
  const { consumer, given, state } = kept();
  const { reader: r } = reader(consumer, events);
  await r.take(records.slice(0, 20), always);
  // A replaced consumer finds the row further.
  state.position = records[50]?.position ?? 0n;
  await r.take(records.slice(20, 60), always);
  t.same(
    given.slice(20).map(({ position }) => position),
    records.slice(51, 60).map(({ position }) => position),
  );
  // The database lost its last transactions.
  state.position = records[10]?.position ?? 0n;
  given.length = 0;
  await r.take(records.slice(60), always);
  t.same(
    given.map(({ position }) => position),
    records.slice(11).map(({ position }) => position),
  );
});

t.test('an event of newer code is no hole', async (t) => {
  const [event] = history(1);
  if (!event) throw new Error('one event');
  const value = Buffer.from(encodeEvent(event, 0n, { ...codec, versionOf: () => 9 }));
  t.throws(() => decodeRecord(value, 1n, codec), UnknownEventError);
});
