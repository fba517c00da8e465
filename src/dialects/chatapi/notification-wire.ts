/** The shapes on the wire of notifications (sheet, section 10); see `wire.ts`. */
import { z } from 'zod';
import { notificationPriorities, notificationStatuses, notificationTypes } from '../../../schemas/index.ts';
import {
  checkNotification,
  emailAddress,
  emailProviderConfigShape,
  notificationLimits,
  problemsOf,
} from '../../commands/index.ts';
import type { FieldProblem } from './errors.ts';
import { contentOf, senderProblems } from './notification-reading.ts';
import { anyMeta, count, flag, id, judged, meta, text, time, words } from './wire.ts';

const required = (error: string) => (issue: { readonly input?: unknown }) =>
  issue.input === undefined ? 'Field required' : error;
const type = z.enum(notificationTypes, { error: required(`Must be one of ${notificationTypes.join(', ')}`) });
const priority = z.enum(notificationPriorities, { error: `Must be one of ${notificationPriorities.join(', ')}` });
const subject = words(notificationLimits.subjectCharacters);
const content = words(10_000_000);
const addresses = z.array(emailAddress, { error: 'Must be a list' });
const toEmail = z.union([emailAddress.transform((address) => [address]), addresses], {
  error: required('Must be an e-mail address or a list of them'),
});
const copies = { reply_to: emailAddress.nullish(), cc: addresses.nullish(), bcc: addresses.nullish() };
const fallback = z.object(
  {
    enabled: flag.optional().describe('Default true'),
    to_email: toEmail,
    subject: subject.nullish().describe("Default: the notification's"),
    content: content.nullish().describe("Default: the notification's"),
    from_email: emailAddress.nullish(),
    ...copies,
  },
  { error: 'Must be an object' },
);
const moment = z.iso.datetime({ offset: true, local: true, error: 'Must be a time of ISO 8601' });

/** The fields of a notification that may be changed. */
function changeable(smtpPorts: readonly number[]) {
  const provider = emailProviderConfigShape(smtpPorts)
    .and(z.object({ default_from_email: emailAddress.nullish() }))
    .describe('For this one notification; no answer shows its secrets');
  return z.object({
    content: content.optional(),
    subject: subject.nullish().describe('Required for email'),
    to_email: toEmail.nullish().describe('Required for email'),
    from_email: emailAddress.nullish().describe("Default: the provider's"),
    ...copies,
    email_fallback: fallback.nullish().describe('For websocket: when nobody in the room is connected'),
    recipients: z.array(words(2_048), { error: 'Must be a list' }).nullish().describe('For webhook: URLs'),
    priority: priority.optional().describe('Default normal'),
    scheduled_for: moment.nullish().describe('In the future; UTC where it names no zone'),
    provider_config: provider.nullish(),
    max_retry_attempts: z
      .int({ error: 'Must be a whole number' })
      .min(0, { error: 'Must be from 0 to 10' })
      .max(10, { error: 'Must be from 0 to 10' })
      .optional()
      .describe('Default 3'),
    meta: meta.nullish(),
  });
}

const room = z.string({ error: 'Must be a UUID' });

/** The fields of a notification. `smtpPorts`: of a mail server that it names. */
export function notificationBodies(smtpPorts: readonly number[]) {
  const change = changeable(smtpPorts);
  const created = z.object({ type, ...change.shape, content, room_id: room.nullish().describe('For websocket') });
  return { create: judged(created, judge), change };
}

type Given = Partial<NotificationFields> & {
  readonly type?: z.output<typeof type> | undefined;
  readonly room_id?: string | null | undefined;
};

/** The rules' word where some fields are not well-formed; where all are, and somebody sends it, the commands judge them. */
function judge(body: Given, wrong: ReadonlySet<string>): readonly FieldProblem[] {
  // What is not well-formed counts as there: it is told of already.
  const stood = (name: 'subject' | 'content') => (wrong.has(name) ? '-' : (body[name] ?? null));
  const content = { ...contentOf(body), subject: stood('subject'), content: stood('content') ?? '' };
  const reaches = body.room_id || wrong.has('type') || wrong.has('room_id') || wrong.has('email_fallback');
  const { type = 'websocket' } = body;
  const isSenderOpen =
    body.from_email != null || ['type', 'from_email', 'email_fallback'].some((each) => wrong.has(each));
  const unsent = isSenderOpen ? [] : senderProblems(type, content, content.provider);
  if (wrong.size === 0 && unsent.length === 0) return [];
  return [...problemsOf([() => checkNotification(content, type, reaches ? 0 : null)]), ...unsent];
}

/** What may be given of a notification. */
export type NotificationFields = z.output<ReturnType<typeof changeable>>;

const shownAddresses = z.union([z.string(), z.array(z.string())]);
const shownMail = {
  to_email: shownAddresses.nullable().describe('A text where it is one address'),
  from_email: text,
  reply_to: text,
  cc: z.array(z.string()),
  bcc: z.array(z.string()),
};

export const notificationShown = z
  .object({
    id,
    client_id: id,
    type: z.enum(notificationTypes),
    status: z.enum(notificationStatuses),
    subject: text,
    content: z.string(),
    ...shownMail,
    room_id: id.nullable(),
    email_fallback: z.object({ enabled: z.boolean(), subject: text, content: text, ...shownMail }).nullable(),
    recipients: z.array(z.string()).nullable(),
    priority: z.enum(notificationPriorities),
    scheduled_for: time.nullable(),
    provider_config: z.object({ provider_type: z.string() }).nullable(),
    max_retry_attempts: count,
    retry_count: count,
    meta: anyMeta.describe('`fallback_reason` where it left by its fallback'),
    sent_at: time.nullable(),
    error_message: text,
    created_at: time,
    updated_at: time,
  })
  .meta({ id: 'Notification' });

const attempt = z.object({
  attempt_number: z.int().min(1),
  status: z.enum(['success', 'failed']),
  provider_name: z.string(),
  provider_message_id: text,
  attempted_at: time,
  response_time_ms: z.number(),
  error_message: text,
  target: text.describe('The URL, of a webhook'),
});
export const notificationWithAttempts = notificationShown
  .extend({ delivery_attempts: z.array(attempt) })
  .meta({ id: 'NotificationWithAttempts' });

const rate = z.number().min(0).max(100);
const counts = z.record(z.string(), count);
export const notificationAnalytics = z.object({
  total_notifications: count,
  successful_deliveries: count,
  failed_deliveries: count,
  success_rate: rate.describe('Percent of those that are over'),
  by_status: counts,
  by_type: counts,
  by_channel: z
    .record(z.string(), z.object({ total: count, successful: count, failed: count, success_rate: rate }))
    .describe('By what they left: one that used its fallback counts for email'),
  delivery_rate: rate.describe('Percent of all'),
  fallback_usage: rate.describe('Percent that used the email fallback'),
});
