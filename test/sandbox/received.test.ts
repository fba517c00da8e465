import t from 'tap';
import { compact, MAX_TEXT_CHARACTERS, type Received, ReceivedRing } from '../../src/sandbox/received.ts';

function add(ring: ReceivedRing, more: Partial<Received> = {}): number {
  const seq = ring.nextSeq();
  ring.add({
    seq,
    at: 0,
    provider: 'whatsapp',
    outcome: 'accepted',
    dispatchId: `msg_${seq}`,
    to: '15550107777',
    text: '',
    externalId: null,
    ...more,
  });
  return seq;
}

t.test('the ring keeps the newest and counts all', (t) => {
  const ring = new ReceivedRing(100, 1e9);
  for (let i = 0; i < 10_000; i += 1) add(ring);
  const { received, forgotten, next } = ring.page({ limit: 1_000 });
  t.same(
    received.map(({ seq }) => seq),
    Array.from({ length: 100 }, (_, i) => 9_901 + i),
  );
  t.equal(forgotten, 9_900);
  t.equal(next, 10_000);
  t.equal(ring.counts('whatsapp').accepted, 10_000);
  t.end();
});

t.test('a reader that pages sees each record once while more arrive', (t) => {
  const ring = new ReceivedRing(10_000, 1e9);
  const seen: number[] = [];
  let since = 0;
  for (let round = 0; round < 50; round += 1) {
    for (let i = 0; i < 37; i += 1) add(ring, { provider: i % 2 === 0 ? 'twilio' : 'whatsapp' });
    const page = ring.page({ since, limit: 20, provider: 'twilio' });
    seen.push(...page.received.map(({ seq }) => seq));
    since = page.next;
  }
  for (let more = true; more; ) {
    const page = ring.page({ since, limit: 20, provider: 'twilio' });
    seen.push(...page.received.map(({ seq }) => seq));
    since = page.next;
    more = page.more;
  }
  t.equal(seen.length, ring.counts('twilio').sends);
  t.same(
    seen,
    [...new Set(seen)].sort((a, b) => a - b),
  );
  t.end();
});

t.test('the ring is bounded by what the records hold, too', (t) => {
  const ring = new ReceivedRing(1_000_000, 10_000);
  for (let i = 0; i < 1_000; i += 1) add(ring, { to: '', dispatchId: null, text: 'x'.repeat(250) });
  t.equal(ring.page({ limit: 10_000 }).received.length, 40);
  add(ring, { text: 'x'.repeat(50_000) });
  t.equal(ring.page({}).received.length, 1, 'the newest is kept however big it is');
  t.end();
});

t.test('texts are cut', (t) => {
  t.equal(compact('é👋x'), 'é👋x');
  t.equal(compact('x'.repeat(5_000)).length, MAX_TEXT_CHARACTERS);
  t.end();
});
