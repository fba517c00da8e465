import t from 'tap';
import { lagOf, parseMetrics, sumOf } from './metrics.ts';
import { selfTimes } from './profile.ts';
import { type Bar, reached, table } from './report.ts';
import { Histogram, median } from './stats.ts';

t.test('the median stands in the middle', async (t) => {
  t.equal(median([5, 1, 3]), 3);
  t.equal(median([4, 1, 3, 2]), 2.5);
  t.throws(() => median([]), RangeError);
});

t.test('quantiles are within 0.8 % of what was recorded', async (t) => {
  const histogram = new Histogram();
  t.equal(histogram.quantile(0.99), 0);
  for (let us = 1; us <= 100_000; us++) histogram.record(us);
  t.equal(histogram.total, 100_000);
  for (const q of [0.001, 0.01, 0.5, 0.99, 1]) {
    const exact = q * 100_000;
    t.ok(Math.abs(histogram.quantile(q) - exact) <= exact * 0.008, `${q}: ${histogram.quantile(q)}`);
  }
  histogram.reset();
  histogram.record(2 ** 40);
  histogram.record(-1);
  t.ok(Math.abs(histogram.quantile(1) - 2 ** 31) < 2 ** 31 * 0.008, 'what is beyond counts as the most');
  t.equal(histogram.quantile(0.5), 0, 'and what is below zero as none');
});

t.test('a lag is how long ago the head stood where the checkpoint stands', async (t) => {
  t.same(lagOf([]), { samples: 0, maxEvents: 0, maxMs: 0 });
  t.same(
    lagOf([
      { atMs: 0, head: 100, checkpoint: 100 },
      { atMs: 1_000, head: 1_100, checkpoint: 1_100 },
      { atMs: 2_000, head: 3_100, checkpoint: 2_600 },
    ]),
    { samples: 3, maxEvents: 500, maxMs: 250 },
    'between two samples, on a straight line',
  );
  t.equal(
    lagOf([
      { atMs: 0, head: 100, checkpoint: 100 },
      { atMs: 1_000, head: 1_100, checkpoint: 600 },
      { atMs: 2_000, head: 1_100, checkpoint: 600 },
    ]).maxMs,
    1_500,
    'a standstill of the head is no excuse',
  );
  t.equal(
    lagOf([
      { atMs: 0, head: 100, checkpoint: 50 },
      { atMs: 700, head: 100, checkpoint: 50 },
    ]).maxMs,
    700,
    'what is behind all samples counts from the first',
  );
});

t.test('metrics are read from the text format', async (t) => {
  const metrics = parseMetrics(
    '# HELP a_b what it is\n# TYPE a_b gauge\na_b{group="projector"} 12\na_b{group="delivery"} 5\na_bc 1\na 1.5e3\n',
  );
  t.equal(metrics.get('a'), 1_500);
  t.equal(sumOf(metrics, 'a_b'), 17, 'and not a_bc');
  t.equal(sumOf(metrics, 'a_b', 'group="delivery"'), 5);
  t.equal(sumOf(metrics, 'c'), 0);
});

t.test('bars hold from their side', async (t) => {
  const bar = (bound: Bar['bound'], value: number): Bar => ({ name: 'b', bound, value, limit: 0.5 });
  t.ok(reached(bar('at least', 0.5)));
  t.notOk(reached(bar('at least', 0.49)));
  t.ok(reached(bar('at most', 0.5)));
  t.notOk(reached(bar('at most', 0.51)));
  t.notOk(reached(bar('at least', Number.NaN)), 'no figure reaches a bar');
  t.notOk(reached(bar('at most', Number.NaN)));
});

t.test('a table is aligned, and rows may be short', async (t) => {
  t.equal(
    table(['', 'n'], [['one', '1'], ['three'], ['two', '22']]),
    '        n\n-----  --\none     1\nthree\ntwo    22',
  );
});

t.test('self times leave idleness out', async (t) => {
  const frame = (functionName: string) => ({ functionName, url: '', lineNumber: -1 });
  const times = selfTimes({
    nodes: [
      { id: 1, callFrame: frame('(idle)') },
      { id: 2, callFrame: frame('work') },
      { id: 3, callFrame: frame('rest') },
      { id: 4, callFrame: frame('work') },
    ],
    samples: [1, 2, 3, 4],
    timeDeltas: [9_000, 1_000, 1_000, 2_000],
  });
  t.same(times, [
    { name: 'work', ms: 3, share: 0.75 },
    { name: 'rest', ms: 1, share: 0.25 },
  ]);
});
