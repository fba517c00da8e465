import type { DispatchRecord } from '../commands/index.ts';
import type { SendResult } from './connectors/provider.ts';

/** When attempts are made (MessageJS sheet, section 12). Times in milliseconds. */
export interface Schedule {
  /** When each attempt is made, counted from the first; as many attempts as entries. */
  readonly retryOffsetsMs: readonly number[];
  /** Each wait is lengthened or shortened by this share of it at most. */
  readonly jitter: number;
  readonly attemptTimeoutMs: number;
  /** Longest wait that a provider may ask for. */
  readonly maxThrottleMs: number;
  /** Age at which a dispatch that did not leave fails. */
  readonly maxAgeMs: number;
}

/** The sheet's figures. */
export const defaultSchedule: Schedule = {
  retryOffsetsMs: [0, 5_000, 15_000],
  jitter: 0.1,
  attemptTimeoutMs: 10_000,
  maxThrottleMs: 900_000,
  maxAgeMs: 86_400_000,
};

/** What an attempt changes about a dispatch. */
export type RecordCommand = Extract<
  DispatchRecord['command'],
  { command: 'RecordSent' | 'RecordDeferred' | 'RecordFailed' }
>;

/** The dispatch as it was before the attempt. */
export interface Attempted {
  /** Attempts used up. */
  readonly attempts: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** What follows from an attempt's ending. `random` is in [0, 1). */
export function afterAttempt(
  before: Attempted,
  result: SendResult,
  schedule: Schedule,
  now: number,
  random: () => number,
): RecordCommand {
  const used = before.attempts + 1;
  switch (result.outcome) {
    case 'sent':
      return {
        command: 'RecordSent',
        externalId: result.externalId,
        sentAt: now,
        attempt: used,
        delivered: result.delivered,
      };
    case 'rejected':
      return { command: 'RecordFailed', error: result.error, attempt: used };
    case 'unreachable':
      if (used >= schedule.retryOffsetsMs.length)
        return { command: 'RecordFailed', error: result.error, attempt: used };
      return deferred(before, used, result.error, stepMs(schedule, used, random), schedule, now);
    case 'throttled': {
      const waitMs = Math.max(result.retryAfterMs ?? 0, stepMs(schedule, used, random));
      const boundMs = Math.min(waitMs, schedule.maxThrottleMs);
      return deferred(before, before.attempts, result.error, boundMs, schedule, now);
    }
  }
}

/** The failure of a dispatch that is too old to be sent; null while it is not. */
export function failureByAge({ createdAt }: Attempted, schedule: Schedule, now: number): RecordCommand | null {
  if (now - createdAt < schedule.maxAgeMs) return null;
  return { command: 'RecordFailed', error: 'The message could not be sent in time and was given up' };
}

function deferred(
  { createdAt }: Attempted,
  attempt: number,
  error: string,
  waitMs: number,
  schedule: Schedule,
  now: number,
): RecordCommand {
  const retryAt = Math.round(now + waitMs);
  // It would be too old then: the provider's text tells more than our own would.
  if (retryAt - createdAt >= schedule.maxAgeMs) return { command: 'RecordFailed', error, attempt };
  return { command: 'RecordDeferred', attempt, retryAt, error };
}

/** The wait before attempt number `used` + 1; beyond the last one, the longest there is. */
function stepMs({ retryOffsetsMs, jitter }: Schedule, used: number, random: () => number): number {
  const at = Math.min(used, retryOffsetsMs.length - 1);
  const plain = (retryOffsetsMs[at] ?? 0) - (retryOffsetsMs[at - 1] ?? 0);
  return plain * (1 - jitter + 2 * jitter * random());
}
