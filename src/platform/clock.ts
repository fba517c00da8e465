/** Time, handed in, so that the core can run under a simulated one. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds that only rise, for durations. */
  monotonicMs(): number;
}

/** The machine's clock. */
export const systemClock: Clock = { now: () => Date.now(), monotonicMs: () => performance.now() };

let minute = Number.NaN;
/** Of a time in that minute, all before its seconds. */
let untilSeconds = '';

/**
 * A time in milliseconds since the epoch as `Date.prototype.toISOString` spells it. Those that are spelled one after the other
 * are mostly of one minute, and what they share is spelled once. Throws RangeError for what is no time.
 */
export function iso(ms: number): string {
  const whole = Math.trunc(ms);
  const inMinutes = Math.floor(whole / 60_000);
  if (inMinutes !== minute) {
    untilSeconds = new Date(whole).toISOString().slice(0, -'00.000Z'.length);
    minute = inMinutes;
  }
  const rest = whole - inMinutes * 60_000;
  const seconds = Math.floor(rest / 1_000);
  const millis = rest - seconds * 1_000;
  return `${untilSeconds}${seconds < 10 ? '0' : ''}${seconds}.${millis < 10 ? '00' : millis < 100 ? '0' : ''}${millis}Z`;
}

/** Waits; rejects with the signal's reason when it aborts first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
