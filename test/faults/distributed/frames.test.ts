/** What counts as a broken promise to a socket. */
import t from 'tap';
import { FrameTally, frameWords, isKept } from './frames.ts';

function tally(): FrameTally {
  const made = new FrameTally(['one', 'two']);
  for (const number of [1, 2, 3]) made.acknowledge(number);
  return made;
}

t.test('each once and in order, and one more that nobody acknowledged', async (t) => {
  const frames = tally();
  for (const [at, number] of [1, 2, 4, 3].entries())
    for (const name of ['one', 'two']) {
      t.notOk(frames.isComplete);
      frames.came(name, number, BigInt(at));
    }
  t.ok(frames.isComplete);
  t.ok(frames.isEverywhere(4));
  t.equal(frames.frames, 8);
  t.same(frames.verdict(), { missing: 0, repeated: 0, disordered: 0, texts: [] });
  t.ok(isKept(frames.verdict()));
});

t.test('what never came to one of them', async (t) => {
  const frames = tally();
  for (const number of [1, 2, 3]) frames.came('one', number, BigInt(number));
  frames.came('two', 2, 2n);
  t.notOk(frames.isEverywhere(3));
  t.match(frames.verdict(), { missing: 2, texts: ['two was never told of 1', 'two was never told of 3'] });
  t.notOk(isKept(frames.verdict()));
});

t.test('what came twice, by its number or its place', async (t) => {
  const frames = tally();
  for (const number of [1, 2, 3]) for (const name of ['one', 'two']) frames.came(name, number, BigInt(number));
  frames.came('one', 3, 3n);
  frames.came('two', 3, 4n);
  t.equal(frameWords(frames.verdict()), 'frames missing 0, frames repeated 2, frames out of order 0');
  t.notOk(isKept(frames.verdict()));
});

t.test('what came after what stands behind it', async (t) => {
  const frames = tally();
  for (const number of [1, 3, 2]) for (const name of ['one', 'two']) frames.came(name, number, BigInt(number));
  t.equal(frameWords(frames.verdict()), 'frames missing 0, frames repeated 0, frames out of order 2');
  t.notOk(isKept(frames.verdict()));
});
