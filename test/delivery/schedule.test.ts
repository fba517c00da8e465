import t from 'tap';
import type { SendResult } from '../../src/delivery/connectors/provider.ts';
import { afterAttempt, defaultSchedule, failureByAge } from '../../src/delivery/schedule.ts';

const now = 1_700_000_000_000;
const middle = () => 0.5;
const unreachable: SendResult = { outcome: 'unreachable', error: 'gone' };
const throttled = (retryAfterMs: number | null): SendResult => ({ outcome: 'throttled', error: 'slow', retryAfterMs });
const after = (attempts: number, result: SendResult, random = middle, createdAt = now) =>
  afterAttempt({ attempts, createdAt }, result, defaultSchedule, now, random);

t.test('three attempts, at 0, 5 and 15 s', async (t) => {
  t.same(after(0, unreachable), { command: 'RecordDeferred', attempt: 1, retryAt: now + 5_000, error: 'gone' });
  t.same(after(1, unreachable), { command: 'RecordDeferred', attempt: 2, retryAt: now + 10_000, error: 'gone' });
  t.same(after(2, unreachable), { command: 'RecordFailed', attempt: 3, error: 'gone' });
});

t.test('each wait varies by a tenth at most', async (t) => {
  t.match(
    after(0, unreachable, () => 0),
    { retryAt: now + 4_500 },
  );
  t.match(
    after(1, unreachable, () => 0),
    { retryAt: now + 9_000 },
  );
  t.match(
    after(0, unreachable, () => 0.999_999),
    { retryAt: now + 5_500 },
  );
});

t.test('throttling waits for the greater of hint and schedule, 15 min at most, and uses no attempt', async (t) => {
  t.match(after(0, throttled(null)), { command: 'RecordDeferred', attempt: 0, retryAt: now + 5_000 });
  t.match(after(0, throttled(1_000)), { attempt: 0, retryAt: now + 5_000 });
  t.match(after(0, throttled(60_000)), { attempt: 0, retryAt: now + 60_000 });
  t.match(after(1, throttled(1_000)), { attempt: 1, retryAt: now + 10_000 });
  t.match(
    after(2, throttled(1_000)),
    { command: 'RecordDeferred', attempt: 2, retryAt: now + 10_000 },
    'beyond the last step',
  );
  t.match(after(0, throttled(86_400_000)), { retryAt: now + 900_000 });
});

t.test('a refusal fails at once and counts', async (t) => {
  t.same(after(0, { outcome: 'rejected', error: 'no' }), { command: 'RecordFailed', attempt: 1, error: 'no' });
});

t.test('what was taken is sent, and delivered where nothing more will be said', async (t) => {
  t.same(after(1, { outcome: 'sent', externalId: 'x', delivered: true }), {
    command: 'RecordSent',
    externalId: 'x',
    sentAt: now,
    attempt: 2,
    delivered: true,
  });
});

t.test('24 h are the limit of age', async (t) => {
  const day = 86_400_000;
  t.equal(failureByAge({ attempts: 0, createdAt: now - day + 1 }, defaultSchedule, now), null);
  t.match(failureByAge({ attempts: 0, createdAt: now - day }, defaultSchedule, now), { command: 'RecordFailed' });
  t.same(
    after(0, throttled(60_000), middle, now - day + 60_000),
    { command: 'RecordFailed', attempt: 0, error: 'slow' },
    'a retry that would come too late is not waited for',
  );
  t.match(after(0, throttled(60_000), middle, now - day + 60_001), { command: 'RecordDeferred' });
});
