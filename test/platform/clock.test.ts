/** Times as text, spelled from what the one before shares with them. */
import fc from 'fast-check';
import t from 'tap';
import { iso } from '../../src/platform/clock.ts';

t.test('as the language spells them, one after the other', async (t) => {
  const edge = 8.64e15;
  const times = fc.oneof(
    fc.integer({ min: -edge, max: edge }),
    fc.integer({ min: 1_763_700_000_000, max: 1_763_700_130_000 }),
    fc.double({ min: -200_000, max: 200_000, noNaN: true }),
  );
  fc.assert(
    fc.property(fc.array(times, { minLength: 1 }), (all) => {
      for (const ms of all) {
        const expected = new Date(ms).toISOString();
        if (iso(ms) !== expected) throw new Error(`${ms} is ${expected} and was spelled ${iso(ms)}`);
      }
    }),
    { numRuns: 500 },
  );
  for (const none of [Number.NaN, edge + 1, Number.POSITIVE_INFINITY]) t.throws(() => iso(none), RangeError);
  t.equal(iso(0), '1970-01-01T00:00:00.000Z', 'after what is none');
});
