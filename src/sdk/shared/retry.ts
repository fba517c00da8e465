/** A server that asks for a longer pause than this is not waited for (sheet section 17). */
const longestRetryAfterMs = 60_000;

/** The longest time a timer can be set to; beyond it, timers fire at once. */
const longestTimerMs = 2 ** 31 - 1;

/** Whether a new attempt can help: 429 and 5xx only. Network failures, which have no status, are retried as well. */
export function isRetriedStatus(status: number): boolean {
  return status === 429 || (status >= 500 && status <= 599);
}

/**
 * Milliseconds to wait before retry number `retry` (1-based), or undefined when there must be none.
 *
 * @param retryAfterMs what the server asked for (`parseRetryAfter`), undefined when it asked for nothing
 * @param code the answer's error code; a used-up monthly quota is not worth a retry
 * @param jitter 0..1, the random part
 */
export function retryDelayMs(
  retry: number,
  retryAfterMs: number | undefined,
  code: string | undefined,
  jitter: number,
): number | undefined {
  if (code === 'QUOTA_EXCEEDED') return undefined;
  if (retryAfterMs !== undefined && retryAfterMs > longestRetryAfterMs) return undefined;
  const backoffMs = 100 * 2 ** (retry - 1) + 100 * jitter;
  return Math.min(Math.max(backoffMs, retryAfterMs ?? 0), longestTimerMs);
}

/**
 * Reads a `Retry-After` header: seconds or an HTTP-date in any of its three forms (RFC 9110 sections 10.2.3 and 5.6.7).
 * Milliseconds from `nowMs` (epoch milliseconds), never negative; undefined when the header is absent or says neither.
 */
export function parseRetryAfter(header: string | null, nowMs: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  // Date.parse alone takes almost any text for a date ("-1", "in 5"), hence the weekday and the time that every HTTP-date has.
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .*\d\d:\d\d:\d\d/.test(text)) return undefined;
  // The oldest form (asctime) names no zone, and would be read as local time.
  const atMs = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
