import t from 'tap';
import { type Candidate, chooseProvider } from '../../../src/delivery/email/index.ts';

const other: Candidate = { isPrimary: false, isBulk: false, maxRecipients: 100, waitMs: 0 };
const primary: Candidate = { ...other, isPrimary: true };
const bulk: Candidate = { ...other, isBulk: true };

t.test('one recipient: a primary; two or more: a bulk one; otherwise any', (t) => {
  const all = [other, bulk, primary];
  t.same(chooseProvider(all, 1), { kind: 'provider', index: 2, waitMs: 0 });
  t.same(chooseProvider(all, 2), { kind: 'provider', index: 1, waitMs: 0 });
  t.same(chooseProvider(all, 100), { kind: 'provider', index: 1, waitMs: 0 });
  t.match(chooseProvider([other, bulk], 1), { index: 0 });
  t.match(chooseProvider([other, primary], 5), { index: 0 });
  t.match(chooseProvider([other, primary, primary], 1), { index: 1 }, 'the one stored first');
  t.end();
});

t.test('one that takes fewer recipients is none', (t) => {
  const small = { ...bulk, maxRecipients: 10 };
  t.match(chooseProvider([small, other], 10), { index: 0 });
  t.match(chooseProvider([small, other], 11), { index: 1 });
  t.same(chooseProvider([small, other], 101), {
    kind: 'none',
    reason: 'No configured email provider takes 101 recipients',
  });
  t.end();
});

t.test('a rate limit makes it wait, and chooses among equals', (t) => {
  const busy = { ...primary, waitMs: 80 };
  t.same(chooseProvider([busy, other], 1), { kind: 'provider', index: 0, waitMs: 80 }, 'not a less suited one');
  t.same(chooseProvider([busy, { ...primary, waitMs: 20 }, { ...primary, waitMs: 90 }], 1), {
    kind: 'provider',
    index: 1,
    waitMs: 20,
  });
  t.match(chooseProvider([busy, primary], 1), { index: 1, waitMs: 0 });
  t.match(chooseProvider([{ ...primary, waitMs: -5 }, primary], 1), { index: 0, waitMs: 0 });
  t.end();
});

t.test('after a failure another one, and then none', (t) => {
  const all = [primary, other];
  t.match(chooseProvider(all, 1, new Set([0])), { index: 1 });
  t.same(chooseProvider(all, 1, new Set([0, 1])), {
    kind: 'none',
    reason: 'Every configured email provider has been tried',
  });
  t.same(chooseProvider([], 1), { kind: 'none', reason: 'No email provider is configured' });
  t.end();
});
