import t from 'tap';
import { Slots, type Trust } from '../../src/delivery/slots.ts';

interface Taker {
  readonly name: string;
  trust: Trust;
}

const takers = (count: number, trust: Trust): Taker[] =>
  Array.from({ length: count }, (_, i) => ({ name: `${trust}${i}`, trust }));

t.test('those that answer find a slot however many do not', async (t) => {
  const freed: string[] = [];
  const slots = new Slots<Taker>(8, (taker) => freed.push(taker.name));
  const suspects = takers(20, 'suspect');
  t.equal(suspects.filter((taker) => slots.take(taker)).length, 4, 'half of them at most');
  t.equal(takers(20, 'new').filter((taker) => slots.take(taker)).length, 2, 'a quarter for those that are new');
  const good: Taker = { name: 'good', trust: 'proven' };
  t.ok(slots.take(good) && slots.take(good));
  t.notOk(slots.take(good), 'all are taken');
  slots.give(suspects[0] as Taker);
  t.same(freed, ['suspect4', 'suspect5', 'suspect6', 'suspect7', 'suspect8'].concat(freed.slice(5)), 'in turn');
  t.ok(freed.includes('good'), 'who was refused is told');
  t.equal(slots.inUse, 7);
});

t.test('a lane that turns suspect counts as such with what it has', async (t) => {
  const slots = new Slots<Taker>(4, () => {});
  const slow: Taker = { name: 'slow', trust: 'proven' };
  t.ok(slots.take(slow) && slots.take(slow));
  slow.trust = 'suspect';
  t.notOk(slots.take(slow));
  t.ok(slots.take({ name: 'other', trust: 'new' }));
});

t.test('one slot serves all', async (t) => {
  const slots = new Slots<Taker>(1, () => {});
  for (const taker of [...takers(1, 'suspect'), ...takers(1, 'new'), ...takers(1, 'proven')]) {
    t.ok(slots.take(taker), taker.name);
    slots.give(taker);
  }
});
