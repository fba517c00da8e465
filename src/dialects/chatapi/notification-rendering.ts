/** How notifications are shown (sheet, section 10): from what was just written, or from rows; and what is posted to URLs. */
import type {
  NotificationAttempt,
  NotificationCount,
  NotificationView,
} from '../../../projections/notifications/queries.ts';
import type { NotificationState } from '../../commands/index.ts';
import { percentOf } from './reading.ts';
import { iso, isoOrNull } from './routes.ts';
import type { Spelling } from './spelling.ts';

/** A notification, as state and row both know it. */
type Known = Pick<
  NotificationView,
  | 'notification'
  | 'workspace'
  | 'room'
  | 'type'
  | 'status'
  | 'priority'
  | 'email'
  | 'fallback'
  | 'subject'
  | 'content'
  | 'meta'
  | 'error'
  | 'recipients'
  | 'leavesBy'
  | 'providerType'
  | 'maxRetries'
  | 'used'
  | 'scheduledFor'
  | 'createdAt'
  | 'updatedAt'
  | 'sentAt'
>;

type Mail = NonNullable<Known['email']>;

/** A notification from what was just written. */
export function writtenNotification(spelling: Spelling, state: NotificationState) {
  const { status, provider, acceptedAt: createdAt, changedAt: updatedAt } = state;
  // What was never accepted is never shown.
  if (status === 'none') throw new Error('there is no such notification');
  return showNotification(spelling, {
    ...state,
    status,
    providerType: provider?.type ?? null,
    createdAt,
    updatedAt,
  });
}

/** A notification. */
export function showNotification(spelling: Spelling, of: Known) {
  const { type, status, email, fallback, leavesBy, used, providerType } = of;
  return {
    id: spelling.notification(of.notification),
    client_id: spelling.client(of.workspace),
    type,
    status,
    subject: of.subject,
    content: of.content,
    ...(email ? showMail(email) : noMail),
    room_id: of.room === null ? null : spelling.room(of.workspace, of.room),
    email_fallback: fallback && {
      enabled: fallback.enabled,
      subject: fallback.subject,
      content: fallback.content,
      ...showMail(fallback),
    },
    recipients: type === 'webhook' ? of.recipients : null,
    priority: of.priority,
    scheduled_for: isoOrNull(of.scheduledFor),
    provider_config: providerType === null ? null : { provider_type: providerType },
    max_retry_attempts: of.maxRetries,
    // Rounds after the first: the one that was sent used up none.
    retry_count: status === 'sent' ? used : Math.max(0, used - 1),
    meta: leavesBy === null ? of.meta : { ...of.meta, fallback_reason: leavesBy },
    sent_at: isoOrNull(of.sentAt),
    error_message: of.error,
    created_at: iso(of.createdAt),
    updated_at: iso(of.updatedAt),
  };
}

const noMail = { to_email: null, from_email: null, reply_to: null, cc: [], bcc: [] };

function showMail({ to, from, replyTo, cc, bcc }: Mail) {
  return { to_email: to.length === 1 ? (to[0] ?? null) : to, from_email: from, reply_to: replyTo, cc, bcc };
}

/** One attempt. */
export function showAttempt(attempt: NotificationAttempt) {
  return {
    attempt_number: attempt.number,
    status: attempt.error === null ? 'success' : 'failed',
    provider_name: attempt.provider,
    provider_message_id: attempt.externalId,
    attempted_at: iso(attempt.at),
    response_time_ms: attempt.tookMs,
    error_message: attempt.error,
    target: attempt.target,
  };
}

/** Counts, in both of the sheet's shapes. Rates are percent with two decimals, half up; 0 of nothing. */
export function showAnalytics(counts: readonly NotificationCount[]) {
  const sum = (of: readonly NotificationCount[]) => of.reduce((total, { notifications }) => total + notifications, 0);
  const tally = (of: readonly NotificationCount[]) => {
    const total = sum(of);
    const successful = sum(of.filter(({ status }) => status === 'sent'));
    const failed = sum(of.filter(({ status }) => status === 'failed'));
    return { total, successful, failed, success_rate: percentOf(successful, successful + failed) };
  };
  const by = <T>(keyOf: (count: NotificationCount) => string, show: (of: readonly NotificationCount[]) => T) =>
    Object.fromEntries([...Map.groupBy(counts, keyOf)].map(([key, of]) => [key, show(of)]));
  const { total, successful, failed, success_rate } = tally(counts);
  return {
    total_notifications: total,
    successful_deliveries: successful,
    failed_deliveries: failed,
    success_rate,
    by_status: by(({ status }) => status, sum),
    by_type: by(({ type }) => type, sum),
    by_channel: by(({ type, fallback }) => (fallback ? 'email' : type), tally),
    delivery_rate: percentOf(successful, total),
    fallback_usage: percentOf(sum(counts.filter(({ fallback }) => fallback)), total),
  };
}

/** Spells what is posted to URLs: delivery's `NotificationDialect`. */
export function notificationPosts(spelling: Spelling) {
  return {
    spell: (notification: string) => spelling.notification(notification),
    body: (state: NotificationState, attempt: number) => ({
      id: spelling.notification(state.notification),
      event: 'notification',
      created_at: iso(state.acceptedAt),
      data: {
        id: spelling.notification(state.notification),
        title: state.subject,
        subject: state.subject,
        content: state.content,
        priority: state.priority,
        meta: state.meta,
      },
      meta: { client_id: spelling.client(state.workspace), attempt },
    }),
  };
}
