import t from 'tap';
import { codec, type RecordedEvent } from '../../schemas/index.ts';
import { partitionOf } from '../../src/feed/feed.ts';
import { decodeRecord } from '../../src/feed/records.ts';
import { maxSendBytes, maxSendEvents, type Send, Sends } from '../../src/feed/sends.ts';
import { profile } from '../support/log-load.ts';

function events(from: number, count: number, text = 'text', streams = 50): RecordedEvent[] {
  return Array.from({ length: count }, (_, i) => {
    const position = BigInt(from + 1 + i);
    const place = {
      position,
      stream: `s-${(from + i) % streams}`,
      revision: i,
      commitId: 'c',
      index: 0,
      at: 1,
      meta: {},
    };
    return { ...profile(text), ...place } as RecordedEvent;
  });
}

const start = (partitions: number) => ({ position: 0n, latest: new Array<bigint>(partitions).fill(0n) });

/** Whether every record says the truth of the partition that the sends make up. */
function chained(sends: readonly Send[], partitions: number): boolean {
  const latest = new Array<bigint>(partitions).fill(0n);
  return sends.every(({ messages }) =>
    messages.every(({ partition, value }) => {
      const record = decodeRecord(value, 0n, codec);
      const isNext = record !== null && record.prev === latest[partition] && record.position >= record.prev;
      latest[partition] = record?.position ?? -1n;
      return isNext;
    }),
  );
}

t.test('sends are stretches of the log, in order, each within its bounds', async (t) => {
  for (const [text, count] of [
    ['short', 9_000],
    ['x'.repeat(5_000), 600],
  ] as const) {
    const sends = [...new Sends(start(3), codec).of({ events: events(0, count, text), to: BigInt(count) })];
    t.ok(sends.length > 1);
    let position = 0n;
    for (const { messages, state } of sends) {
      t.ok(state.position > position, 'each goes further');
      position = state.position;
      for (const partition of [0, 1, 2]) {
        const own = messages.filter((message) => message.partition === partition);
        t.ok(own.length <= maxSendEvents);
        t.ok(own.reduce((sum, { value }) => sum + value.length, 0) <= maxSendBytes);
      }
    }
    t.equal(position, BigInt(count));
    t.ok(chained(sends, 3), 'every record names the one before it in its partition');
    t.equal(
      sends.reduce((sum, each) => sum + each.events, 0),
      count,
    );
  }
});

t.test('a record gives the event back', async (t) => {
  const [happened] = events(6, 1, 'Grüße "\u0000" \ud800');
  if (!happened) throw new Error('one event');
  const [send] = new Sends({ position: 6n, latest: [6n] }, codec).of({ events: [happened], to: 7n });
  const record = decodeRecord(send?.messages[0]?.value ?? null, 8n, codec);
  t.same(record, { position: 7n, prev: 6n, event: happened, nextOffset: 8n });
  for (const value of ['', 'no JSON', '{}', '{"position":"x","prev":"0"}']) {
    t.equal(decodeRecord(Buffer.from(value), 1n, codec), null, 'what is none of ours is missing');
  }
});

t.test('a partition without events is marked: soon while others move, seldom when none does', async (t) => {
  let now = 0;
  const sends = new Sends(start(4), codec, () => now);
  const happened = events(0, 1);
  const busy = partitionOf(happened[0] as RecordedEvent, 4);
  const marked = (send: Send | undefined) => send?.messages.map(({ partition }) => partition).sort();
  const idle = [0, 1, 2, 3].filter((partition) => partition !== busy);
  t.same(marked([...sends.of({ events: happened, to: 1n })].at(0)), [0, 1, 2, 3], 'at once, where none was for long');

  now += 5;
  t.same(marked([...sends.of({ events: events(50, 1), to: 51n })].at(0)), [busy], 'not again within 20 ms');
  t.equal(sends.markDueInMs, 15);
  now += 15;
  const marks = sends.marks();
  t.same(marked(marks), idle);
  t.same(
    marks.messages.map(({ value }) => decodeRecord(value, 0n, codec)),
    idle.map(() => ({ position: 51n, prev: 1n, event: null, nextOffset: 0n })),
    'there is nothing between',
  );
  t.equal(sends.markDueInMs, 985, 'of the busy one, a second after its record');
  now += 1_000;
  t.same(marked(sends.marks()), [0, 1, 2, 3]);
  t.equal(sends.markDueInMs, 1_000);
});
