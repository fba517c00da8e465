/** Random data of the events of notifications. */
import fc from 'fast-check';
import {
  type EventData,
  type EventType,
  fallbackReasons,
  notificationPriorities,
  notificationStatuses,
  notificationTypes,
} from '../../schemas/index.ts';
import { id, millis, text } from '../domain/arbitraries.ts';
import { attempt, changeable, fallbackReason, notificationRef } from '../domain/notification-arbitraries.ts';

const round = { attempts: fc.array(attempt, { maxLength: 3 }), fallback: fallbackReason };
const ending = { type: fc.constantFrom(...notificationTypes), recipients: fc.array(text), attemptCount: fc.nat() };

type NotificationEvent = Extract<EventType, `Notification${string}`>;

/** Data of every type of event of a notification. */
export const notificationSamples: { readonly [T in NotificationEvent]: fc.Arbitrary<EventData<T>> } = {
  NotificationAccepted: fc.record({
    ...notificationRef,
    type: fc.constantFrom(...notificationTypes),
    ...changeable,
  }),
  NotificationChanged: fc.record(
    { ...notificationRef, ...changeable },
    { requiredKeys: ['workspace', 'notification', 'room'] },
  ),
  NotificationStarted: fc.record(notificationRef),
  NotificationShown: fc.record({
    ...notificationRef,
    room: id,
    subject: changeable.subject,
    content: text,
    priority: changeable.priority,
    meta: changeable.meta,
  }),
  NotificationSent: fc.record({ ...notificationRef, ...round, ...ending, sentAt: millis }),
  NotificationDeferred: fc.record({
    ...notificationRef,
    ...round,
    open: fc.array(text),
    used: fc.nat(),
    retryAt: millis,
    error: text,
  }),
  NotificationFailed: fc.record({
    ...notificationRef,
    ...round,
    ...ending,
    open: fc.array(text),
    used: fc.nat(),
    error: text,
  }),
  NotificationCancelled: fc.record(
    { ...notificationRef, error: text },
    { requiredKeys: ['workspace', 'notification', 'room'] },
  ),
  NotificationRetried: fc.record(notificationRef),
  NotificationErased: fc.record({
    ...notificationRef,
    type: fc.constantFrom(...notificationTypes),
    status: fc.constantFrom(...notificationStatuses),
    priority: fc.constantFrom(...notificationPriorities),
    fallback: fc.option(fc.constantFrom(...fallbackReasons)),
    createdAt: millis,
  }),
};
