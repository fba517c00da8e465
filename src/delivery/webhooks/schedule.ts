import { maxFailures } from '../../commands/index.ts';

/** When attempts are made (ChatAPI sheet, section 13). Times in milliseconds. */
export interface WebhookSchedule {
  /** The wait before each attempt after the first: as many attempts as entries, and one. */
  readonly retryDelaysMs: readonly number[];
  /** For one attempt: connecting, sending and the answer's head. */
  readonly attemptTimeoutMs: number;
  /** The count of failures in a row rises by at most one in this time. */
  readonly failureStepMs: number;
  /** After this many failures without a success between them, one attempt at a time is made, after pauses that double. */
  readonly breakAfter: number;
  readonly pauseMs: { readonly first: number; readonly most: number };
}

/** The sheet's figures. */
export const defaultWebhookSchedule: WebhookSchedule = {
  retryDelaysMs: [30_000, 120_000, 480_000, 1_920_000],
  attemptTimeoutMs: 30_000,
  failureStepMs: 30_000,
  breakAfter: 8,
  pauseMs: { first: 1_000, most: 30_000 },
};

/** A schedule of other waits and another time-out: failures in a row count once in the first wait, as by the sheet's figures. */
export function webhookSchedule(retryDelaysMs: readonly number[], attemptTimeoutMs: number): WebhookSchedule {
  const { failureStepMs, pauseMs } = defaultWebhookSchedule;
  const first = retryDelaysMs[0] ?? failureStepMs;
  return {
    ...defaultWebhookSchedule,
    retryDelaysMs,
    attemptTimeoutMs,
    failureStepMs: Math.min(failureStepMs, first),
    pauseMs: { ...pauseMs, first: Math.min(pauseMs.first, first) },
  };
}

/**
 * When a delivery is tried again after its attempt number `used` failed at `at`; null when it is not. While the webhook is
 * switched off, or is about to be for its failures, none becomes a dead letter: it waits to be made active again.
 */
export function retryAt(
  schedule: WebhookSchedule,
  used: number,
  at: number,
  webhook: { readonly failures: number; readonly closing: boolean },
): number | null {
  const delayMs = schedule.retryDelaysMs[used - 1];
  if (delayMs !== undefined) return at + delayMs;
  return webhook.closing || webhook.failures >= maxFailures ? at : null;
}
