/** Random commands of a notification. */
import fc from 'fast-check';
import { fallbackReasons, notificationPriorities, notificationTypes } from '../../schemas/index.ts';
import { defaultNotificationSchedule, type NotificationCommand } from '../../src/domain/notification.ts';
import { id, millis, text } from './arbitraries.ts';
import { meta } from './chat-arbitraries.ts';

export const notificationRef = { workspace: id, notification: text, room: fc.option(id) };

const addresses = fc.array(fc.constantFrom('a@example.com', 'b@example.com', 'c@example.com'), { maxLength: 3 });
const envelope = { to: addresses, cc: addresses, bcc: addresses, from: fc.option(text), replyTo: fc.option(text) };

/** Content of a notification as events have it. */
export const changeable = {
  subject: fc.option(text),
  content: text,
  email: fc.option(fc.record(envelope)),
  fallback: fc.option(
    fc.record({ ...envelope, enabled: fc.boolean(), subject: fc.option(text), content: fc.option(text) }),
  ),
  recipients: fc.array(fc.constantFrom('https://a.example', 'https://b.example/x'), { maxLength: 2 }),
  priority: fc.constantFrom(...notificationPriorities),
  scheduledFor: fc.option(millis),
  provider: fc.option(fc.record({ type: text, sealed: text })),
  maxRetries: fc.nat(10),
  meta: fc.option(meta),
};

const unnumbered = {
  channel: fc.constantFrom(...notificationTypes),
  provider: text,
  externalId: fc.option(text),
  target: fc.option(text),
  at: millis,
  tookMs: fc.nat(),
  error: fc.option(text),
};

/** One attempt as events have it. */
export const attempt = fc.record({ number: fc.integer({ min: 1, max: 100 }), ...unnumbered });
export const fallbackReason = fc.option(fc.constantFrom(...fallbackReasons));

const accept = fc.record({
  command: fc.constant('AcceptNotification' as const),
  ...notificationRef,
  type: fc.constantFrom(...notificationTypes),
  ...changeable,
  now: fc.constant(0),
});
const round = fc.record({
  attempts: fc.array(fc.record(unnumbered), { maxLength: 2 }),
  fallback: fallbackReason,
  shown: fc.boolean(),
  open: addresses,
  error: fc.option(text),
  next: fc.constantFrom('again' as const, 'later' as const, 'never' as const),
  retryAfterMs: fc.option(fc.nat(2_000_000)),
});
const now = fc.constant(10 ** 13);
const later = fc.oneof(
  fc.record(
    { command: fc.constant('ChangeNotification' as const), ...changeable, now },
    { requiredKeys: ['command', 'now'] },
  ),
  fc.record({ command: fc.constant('StartNotification' as const), now }),
  fc.record({
    command: fc.constant('RecordRound' as const),
    before: fc.nat(3),
    round,
    now,
    schedule: fc.constant(defaultNotificationSchedule),
  }),
  fc.record({ command: fc.constant('CancelNotification' as const) }),
  fc.record({ command: fc.constant('StopNotification' as const), error: text }),
  fc.record({ command: fc.constant('RetryNotification' as const) }),
);

/** A life of a notification, most often with its beginning and its first round. */
export const notificationCommands: fc.Arbitrary<NotificationCommand[]> = fc
  .tuple(
    fc.array(accept, { minLength: 0, maxLength: 3 }),
    fc.array(fc.constantFrom({ command: 'StartNotification' as const, now: 10 ** 13 }), { maxLength: 1 }),
    fc.array(later, { maxLength: 12 }),
  )
  .map((parts) => parts.flat());
