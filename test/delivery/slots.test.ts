import t from 'tap';
import { Slots } from '../../src/delivery/slots.ts';

interface Taker {
  readonly name: string;
  suspect: boolean;
}

t.test('those that answer find a slot however many do not', async (t) => {
  const freed: string[] = [];
  const slots = new Slots<Taker>(8, (taker) => freed.push(taker.name));
  const suspects = Array.from({ length: 20 }, (_, i): Taker => ({ name: `s${i}`, suspect: true }));
  t.equal(suspects.filter((taker) => slots.take(taker)).length, 4, 'half of them at most');
  const good: Taker = { name: 'good', suspect: false };
  for (let i = 0; i < 4; i++) t.ok(slots.take(good));
  t.notOk(slots.take(good), 'all are taken');
  slots.give(suspects[0] as Taker);
  t.ok(freed.includes('good') && freed.includes('s4'), 'who was refused is told');
  t.equal(slots.inUse, 7);
});

t.test('a lane that turns suspect counts as such with what it has', async (t) => {
  const slots = new Slots<Taker>(4, () => {});
  const slow: Taker = { name: 'slow', suspect: false };
  t.ok(slots.take(slow) && slots.take(slow));
  slow.suspect = true;
  t.notOk(slots.take(slow));
  t.ok(slots.take({ name: 'other', suspect: false }));
});
