import t from 'tap';
import { isRetriedStatus, parseRetryAfter, retryDelayMs } from '../../src/sdk/shared/retry.ts';

t.test('429 and 5xx are retried, nothing else', async (t) => {
  for (const status of [429, 500, 502, 503, 504, 599]) t.ok(isRetriedStatus(status), `${status}`);
  for (const status of [200, 301, 400, 401, 403, 404, 408, 409, 413, 422, 499, 600])
    t.notOk(isRetriedStatus(status), `${status}`);
});

t.test('the delay doubles from 100 ms, with up to 100 ms at random on top', async (t) => {
  t.same(
    [1, 2, 3, 4, 5].map((retry) => retryDelayMs(retry, undefined, undefined, 0)),
    [100, 200, 400, 800, 1600],
  );
  t.same(
    [1, 2, 3].map((retry) => retryDelayMs(retry, undefined, undefined, 0.5)),
    [150, 250, 450],
  );
});

t.test('Retry-After is the least delay, up to 60 s', async (t) => {
  t.equal(retryDelayMs(1, 2000, undefined, 0.5), 2000, 'longer than the backoff: obeyed');
  t.equal(retryDelayMs(5, 1000, undefined, 0), 1600, 'shorter than the backoff: the backoff');
  t.equal(retryDelayMs(1, 0, undefined, 0), 100, 'nothing to wait for: the backoff');
  t.equal(retryDelayMs(1, 60_000, 'RATE_LIMIT_EXCEEDED', 0), 60_000, 'just not too long');
  t.equal(retryDelayMs(1, 60_001, 'RATE_LIMIT_EXCEEDED', 0), undefined, 'too long: no retry');
});

t.test('a used-up quota is not retried, whatever Retry-After says', async (t) => {
  t.equal(retryDelayMs(1, undefined, 'QUOTA_EXCEEDED', 0), undefined);
  t.equal(retryDelayMs(1, 1000, 'QUOTA_EXCEEDED', 0), undefined);
});

t.test('the backoff of very many retries stays within what a timer can hold', async (t) => {
  t.equal(retryDelayMs(60, undefined, undefined, 0), 2 ** 31 - 1);
  t.equal(retryDelayMs(2000, undefined, undefined, 1), 2 ** 31 - 1);
});

t.test('Retry-After in seconds', async (t) => {
  t.equal(parseRetryAfter('0', 0), 0);
  t.equal(parseRetryAfter('120', 0), 120_000);
  t.equal(parseRetryAfter(' 7 ', 0), 7000);
  t.equal(parseRetryAfter('1.5', 0), 1500);
});

t.test('Retry-After as each of the three forms of an HTTP-date', async (t) => {
  const nowMs = Date.UTC(1994, 10, 6, 8, 49, 30);
  t.equal(parseRetryAfter('Sun, 06 Nov 1994 08:49:37 GMT', nowMs), 7000);
  t.equal(parseRetryAfter('Sunday, 06-Nov-94 08:49:37 GMT', nowMs), 7000);
  t.equal(parseRetryAfter('Sun Nov  6 08:49:37 1994', nowMs), 7000);
  t.equal(parseRetryAfter('Sun, 06 Nov 1994 08:49:00 GMT', nowMs), 0, 'in the past');
});

t.test('a Retry-After that says neither is no Retry-After', async (t) => {
  for (const header of [
    null,
    '',
    'soon',
    '-1',
    '1e3',
    '0x10',
    'in 5',
    'Sunny 5',
    'Sun, 06 Nov 1994',
    '2024-01-15T10:00:00Z',
  ]) {
    t.equal(parseRetryAfter(header, 0), undefined, `${header}`);
  }
});
