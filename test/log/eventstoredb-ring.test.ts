import t from 'tap';
import { Ring } from '../../src/log/eventstoredb-ring.ts';
import type { RecordedEvent } from '../../src/log/log.ts';
import { profile } from '../support/log-load.ts';

/** An event of some stream, with positions as apart as byte offsets are. */
function eventAt(position: bigint, stream = `s-${position}`, text = 'text'): RecordedEvent {
  const envelope = { position, stream, revision: 0, commitId: 'c', index: 0, at: 0, meta: {} };
  return { ...profile(text), ...envelope } as RecordedEvent;
}

function positions(ring: Ring, after: bigint, maxEvents = 1_000): bigint[] {
  return ring.after(after, maxEvents).events.map(({ position }) => position);
}

t.test('what stands after a position, whether something stands at it or not', async (t) => {
  const ring = new Ring();
  ring.begin(100n);
  for (const position of [110n, 250n, 251n]) ring.push(eventAt(position));
  t.same(positions(ring, 100n), [110n, 250n, 251n]);
  t.same(positions(ring, 110n), [250n, 251n]);
  t.same(positions(ring, 180n), [250n, 251n]);
  t.same(ring.after(251n, 10), { events: [], position: 251n });
  t.match(ring.after(100n, 2), { position: 250n }, 'a full batch ends at its last event');
  t.same(positions(ring, 100n, 2), [110n, 250n]);
});

t.test('records that are passed over move the position', async (t) => {
  const ring = new Ring();
  ring.begin(0n);
  ring.pass(5n);
  ring.pass(9n);
  ring.push(eventAt(20n));
  ring.pass(30n);
  t.match(ring.after(0n, 10), { position: 30n });
  t.same(positions(ring, 0n), [20n]);
  t.same(ring.after(20n, 10), { events: [], position: 30n });
  t.same(ring.after(7n, 10).position, 30n, 'from among them');
});

t.test('a forgotten stream is passed over; its place stays', async (t) => {
  const ring = new Ring();
  ring.begin(0n);
  for (const [position, stream] of [
    [1n, 'a'],
    [2n, 'b'],
    [3n, 'a'],
  ] as const)
    ring.push(eventAt(position, stream));
  ring.forget(new Set(['a', 'c']));
  t.same(positions(ring, 0n), [2n]);
  t.same(ring.after(2n, 10), { events: [], position: 3n });
});

t.test('no tail gets past a stop, and every tail gets up to it', async (t) => {
  const ring = new Ring();
  ring.begin(0n);
  ring.push(eventAt(1n));
  ring.stop(2n, new Error('too new'));
  ring.push(eventAt(3n));
  t.match(ring.after(0n, 10), { position: 1n });
  t.throws(() => ring.after(1n, 10), { message: 'too new' });
  t.same(positions(ring, 2n), [3n]);
});

t.test('it is bounded by places', async (t) => {
  const ring = new Ring();
  ring.begin(0n);
  for (let position = 1n; position <= 100_000n; position++) ring.push(eventAt(position));
  t.ok(ring.length <= 40_000);
  t.ok(ring.length >= 20_000);
  t.equal(ring.from, 100_000n - BigInt(ring.length), 'everything after `from` is there');
  t.equal(positions(ring, ring.from, 100_000).length, ring.length);
});

t.test('it is bounded by bytes', async (t) => {
  const ring = new Ring();
  ring.begin(0n);
  const text = 'x'.repeat(250_000);
  for (let position = 1n; position <= 1_000n; position++) ring.push(eventAt(position, 's', text));
  t.ok(ring.length > 10 && ring.length * text.length * 2 <= 64 * 1024 * 1024);
  t.equal(ring.from, 1_000n - BigInt(ring.length));
});
