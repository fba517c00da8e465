import { z } from 'zod';
import { id, millis, openMeta } from './common.ts';
import { defineEvent } from './event.ts';

/** How a notification is meant to leave. */
export const notificationTypes = ['email', 'websocket', 'webhook'] as const;

/** From the least to the most pressing. */
export const notificationPriorities = ['low', 'normal', 'high', 'urgent'] as const;

/** Why a notification for a room left by e-mail: the sheet's words. */
export const fallbackReasons = ['no_online_users', 'websocket_delivery_failed'] as const;

/**
 * In every event of a notification, and never another one: `room` is the room it is for, null without one, and decides,
 * as in all events, in which order they are read.
 */
const ref = { workspace: id, notification: z.string(), room: id.nullable() };
const notificationRef = z.object(ref);

/** Where a mail goes. `from` is null where the provider's own address stands for it. */
const envelope = {
  to: z.array(z.string()),
  cc: z.array(z.string()),
  bcc: z.array(z.string()),
  from: z.string().nullable(),
  replyTo: z.string().nullable(),
};

/** What of a notification may be changed until it is begun. */
const content = {
  subject: z.string().nullable(),
  content: z.string(),
  /** Null where there is no e-mail but the fallback's. */
  email: z.object(envelope).nullable(),
  /** The mail that leaves when nobody in the room is connected; texts that are null are the notification's own. */
  fallback: z
    .object({ ...envelope, enabled: z.boolean(), subject: z.string().nullable(), content: z.string().nullable() })
    .nullable(),
  /** URLs that it is posted to. */
  recipients: z.array(z.string()),
  priority: z.enum(notificationPriorities),
  /** It stays pending until then; null: at once. */
  scheduledFor: millis.nullable(),
  /** An e-mail provider for this one notification: its type, and all of its configuration sealed (design promise 10). */
  provider: z.object({ type: z.string(), sealed: z.string() }).nullable(),
  /** Attempts after the first. */
  maxRetries: z.int().min(0).max(10),
  meta: openMeta.nullable(),
};

/** One attempt: one mail, one post to one URL, or showing it in its room. */
const attempt = z.object({
  /** Counted from 1 through all of the notification's life. */
  number: z.int().min(1),
  channel: z.enum(notificationTypes),
  /** What took it, or did not: a provider's type, `websocket`, `webhook`. */
  provider: z.string(),
  /** What the provider calls it, where it says so. */
  externalId: z.string().nullable(),
  /** The URL it was posted to; null on the other channels. */
  target: z.string().nullable(),
  at: millis,
  tookMs: z.number().min(0),
  /** Null when it was taken. */
  error: z.string().nullable(),
});

/** How a round ended: attempts at everything that was due, made together. */
const round = {
  attempts: z.array(attempt),
  /** Why it leaves by e-mail instead; null where it does not. */
  fallback: z.enum(fallbackReasons).nullable(),
};

/** What a round left undone: addresses or URLs that did not take it, in their order; none where it is for a room. */
const open = z.array(z.string());

/** An end that webhooks are told of. */
const ending = {
  type: z.enum(notificationTypes),
  /** Whom it was for: addresses or URLs, none where it was shown in a room. */
  recipients: z.array(z.string()),
  /** Attempts made in all. */
  attemptCount: z.int().min(0),
};

/** Streams: one per notification. */
export const notificationEvents = {
  /** Accepted for delivery. */
  NotificationAccepted: defineEvent(notificationRef.extend({ type: z.enum(notificationTypes), ...content })),
  /** Only the fields given change. */
  NotificationChanged: defineEvent(notificationRef.extend(z.object(content).partial().shape)),
  /** Taken up: from here on it cannot be changed or cancelled. */
  NotificationStarted: defineEvent(notificationRef),
  /** Shown to everybody in its room, connected or not: sockets are told by this event. */
  NotificationShown: defineEvent(
    notificationRef.extend({
      room: id,
      subject: content.subject,
      content: content.content,
      priority: content.priority,
      meta: content.meta,
    }),
  ),
  /** All of its targets took it. */
  NotificationSent: defineEvent(notificationRef.extend({ ...round, ...ending, sentAt: millis })),
  /**
   * The round failed, and another one follows at `retryAt`. `used` counts the rounds used up since it was accepted or a retry
   * was asked for: being asked to slow down uses none.
   */
  NotificationDeferred: defineEvent(
    notificationRef.extend({ ...round, open, used: z.int().min(0), retryAt: millis, error: z.string() }),
  ),
  /** It ended without having reached all of its targets. */
  NotificationFailed: defineEvent(
    notificationRef.extend({ ...round, ...ending, open, used: z.int().min(0), error: z.string() }),
  ),
  /** It is not sent any more: as it was asked for, or, where there is an `error`, by that. */
  NotificationCancelled: defineEvent(notificationRef.extend({ error: z.string().optional() })),
  /** A failed one gets all its attempts anew, beginning at once. */
  NotificationRetried: defineEvent(notificationRef),
};

/** Statuses of a notification (ChatAPI sheet, section 10). */
export const notificationStatuses = ['pending', 'processing', 'retrying', 'sent', 'failed', 'cancelled'] as const;

/** A notification as the event "erased" keeps it: what roll-ups need. */
export const erasedNotification = notificationRef.extend({
  type: z.enum(notificationTypes),
  status: z.enum(notificationStatuses),
  priority: z.enum(notificationPriorities),
  fallback: z.enum(fallbackReasons).nullable(),
  createdAt: millis,
});
