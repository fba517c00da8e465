/** The parts that stand alone: frames, sequences, the ring, the wheel, budgets. */
import type { Writable } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import * as ws from 'ws';
import type { RecordedEvent } from '../../schemas/index.ts';
import { encodeAll, eventStreamData, Sequence, webSocketText } from '../../src/gateway/frames.ts';
import { FrameBudget } from '../../src/gateway/index.ts';
import { Revocations } from '../../src/gateway/revocations.ts';
import { type Entry, Ring } from '../../src/gateway/ring.ts';
import { type Due, Wheel } from '../../src/gateway/wheel.ts';

/** What reads frames in `ws`; its types leave it out. */
const { Receiver } = ws as unknown as { Receiver: new (options: { isServer: boolean }) => Writable };

await t.test('frames are what ws reads as the same texts', async (t) => {
  const texts = ['', 'a', 'ä'.repeat(62), 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(65_535), '€'.repeat(65_536)];
  const read: string[] = [];
  const receiver = new Receiver({ isServer: false });
  receiver.on('message', (data: Buffer, isBinary: boolean) => read.push(`${isBinary}${data.toString()}`));
  receiver.on('error', (error: Error) => t.fail(error.message));
  const done = new Promise<void>((resolve) => receiver.on('finish', () => resolve()));
  receiver.end(encodeAll(webSocketText, texts));
  await done;
  t.same(
    read,
    texts.map((text) => `false${text}`),
  );
});

await t.test('event-stream frames, a line of data per line of text', async (t) => {
  t.equal(eventStreamData.encode('{}').toString(), 'data: {}\n\n');
  t.equal(eventStreamData.encode('a\nb\r\nc').toString(), 'data: a\ndata: b\ndata: c\n\n');
});

await t.test('sequences: the same pieces in the same order are joined once', async (t) => {
  const [a, b, c] = ['a', 'b', 'c'].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer];
  const root = Sequence.root();
  const one = root.and(a).and(b);
  const two = root.and(a).and(b);
  t.equal(one, two);
  t.equal(one.joined(), two.joined());
  t.equal(root.and(a).joined(), a, 'one piece is not copied');
  fc.assert(
    fc.property(fc.array(fc.array(fc.constantFrom(a, b, c), { maxLength: 6 }), { maxLength: 8 }), (all) => {
      const begin = Sequence.root();
      return all.every((pieces) => {
        let at = begin;
        for (const piece of pieces) at = at.and(piece);
        return at.joined().equals(Buffer.concat(pieces));
      });
    }),
  );
});

function posted(position: bigint, stream = `stream-${position}`): RecordedEvent {
  const event: Partial<RecordedEvent> = {
    type: 'ProfileChanged',
    data: { workspace: 1, account: 1, displayName: 'x'.repeat(100) },
    position,
    stream,
    revision: 0,
    commitId: '',
    index: 0,
    at: 0,
    meta: {},
  };
  return event as RecordedEvent;
}

await t.test('a ring keeps the latest within its limits, and says from where', async (t) => {
  const dropped: Entry[] = [];
  const ring = new Ring({ maxEvents: 3, maxBytes: 1_000_000 }, (entry) => dropped.push(entry));
  ring.begin(10n);
  t.equal(ring.from, 10n);
  for (const position of [12n, 15n, 16n]) ring.push(posted(position), 0n, { workspace: 1 });
  ring.trim();
  t.equal(ring.from, 10n);
  t.same(
    [9n, 12n, 13n, 16n].map((position) => ring.seqAfter(position)),
    [0, 1, 1, 3],
  );
  ring.push(posted(20n), 16n, { workspace: 1 });
  ring.trim();
  t.equal(ring.from, 12n);
  t.same(
    dropped.map(({ position }) => position),
    [12n],
  );
  t.equal(ring.seqAfter(12n), 1);
  const small = new Ring({ maxEvents: 100, maxBytes: 2_500 }, () => {});
  for (let position = 1n; position <= 50n; position++) {
    small.push(posted(position), 0n, { workspace: 1 });
    small.trim();
    t.ok(small.bytes <= 2_500);
  }
  t.ok(small.length > 1 && small.length < 5);
  t.equal(small.from, 50n - BigInt(small.length));
});

await t.test('a ring forgets content that exists no more, and only that', async (t) => {
  const ring = new Ring({ maxEvents: 4, maxBytes: 1_000_000 }, () => {});
  const first = ring.push(posted(1n, 'a'), 0n, { workspace: 1 });
  const other = ring.push(posted(2n, 'b'), 1n, { workspace: 1 });
  const second = ring.push(posted(3n, 'a'), 2n, { workspace: 1 });
  ring.voidStream('a', second);
  t.same([first.event, other.event !== null, second.event !== null], [null, true, true]);
  const last = ring.push(posted(4n, 'c'), 3n, { workspace: 1 });
  ring.voidWhere(({ stream }) => stream !== 'a', last);
  t.same([other.event, second.event !== null, last.event !== null], [null, true, true]);
  // What was forgotten falls out like the rest.
  for (let position = 5n; position <= 12n; position++) {
    ring.push(posted(position, 'a'), position - 1n, { workspace: 1 });
    ring.trim();
  }
  t.same([ring.length, ring.from], [4, 8n]);
  const end = ring.push(posted(13n, 'a'), 12n, { workspace: 1 });
  ring.voidStream('a', end);
  t.equal(ring.length, 5);
});

await t.test('a wheel reminds everybody when they are due, not before, and once', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 9_000 }), { maxLength: 40 }),
      fc.array(fc.integer({ min: 1, max: 2_500 }), { minLength: 5, maxLength: 60 }),
      (dues, steps) => {
        let now = 1_000;
        const wheel = new Wheel<Due>({ tickMs: 100, slots: 16, nowMs: () => now });
        const told: number[] = [];
        let early = false;
        for (const [i, dueMs] of dues.entries()) {
          wheel.schedule(
            {
              dueMs: 0,
              slot: null,
              due(nowMs) {
                early ||= nowMs < dueMs + 1_000;
                told.push(i);
              },
            },
            dueMs + 1_000,
          );
        }
        for (const step of steps) {
          now += step;
          wheel.turn();
          // A tick late at most, unless time stood still for longer than a round.
          const late = dues.some((dueMs, i) => dueMs + 1_000 <= now - 200 && !told.includes(i));
          if (early || late) return false;
        }
        return new Set(told).size === told.length;
      },
    ),
  );
});

await t.test('who was cancelled or put off is not reminded', async (t) => {
  let now = 0;
  const wheel = new Wheel<Due>({ tickMs: 10, slots: 8, nowMs: () => now });
  const told: string[] = [];
  const item = (name: string): Due => ({ dueMs: 0, slot: null, due: () => told.push(name) });
  const [gone, later, again] = [item('gone'), item('later'), item('again')];
  for (const each of [gone, later, again]) wheel.schedule(each, 20);
  wheel.cancel(gone);
  wheel.schedule(later, 500);
  for (now = 10; now <= 400; now += 10) wheel.turn();
  t.same(told, ['again']);
  for (; now <= 600; now += 10) wheel.turn();
  t.same(told, ['again', 'later']);
});

await t.test('a budget of frames is of fixed windows', async (t) => {
  const budget = new FrameBudget(3);
  t.same(
    [0, 10, 20, 30, 59_999].map((nowMs) => budget.take(nowMs)),
    [true, true, true, false, false],
  );
  t.ok(budget.take(60_000));
  const none = new FrameBudget(0);
  t.ok(Array.from({ length: 1_000 }, () => none.take(0)).every(Boolean), '0: no limit');
});

t.test('a revocation spares the credential that took the place of those it ends', async (t) => {
  const revocations = new Revocations(() => 5_000);
  revocations.note({ workspace: 1, account: 2, spares: (credential) => credential === 'new' });
  const of = { workspace: 1, account: 2, authenticatedAtMs: 5_000 };
  t.ok(revocations.includes({ ...of, credential: 'old' }));
  t.ok(revocations.includes({ ...of, credential: 'old', authenticatedAtMs: 5_900 }), 'by a state of a moment ago');
  t.notOk(revocations.includes({ ...of, credential: 'old', authenticatedAtMs: 6_100 }));
  t.notOk(revocations.includes({ ...of, credential: 'new', authenticatedAtMs: 4_000 }));
  t.notOk(revocations.includes({ ...of, account: 3, credential: 'old' }));
});
