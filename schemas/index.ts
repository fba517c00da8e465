/**
 * The language: every event as a zod schema, with its version and the upcasters from older ones, and the commands of rooms
 * and messages.
 * Imports nothing of ours. An event says what happened, in the words of design section 1; stored events are never
 * rewritten, a changed shape is a new version with an upcaster. The command door checks events against their schemas before
 * it appends them, but for dispatches, whose rate forbids it: tests hold the rules of dispatches against their schemas.
 *
 * Ids are integers counted per (workspace, kind); dispatch and session ids are spelled, unguessable texts.
 * Times inside data are milliseconds since the epoch; the time of an event itself is in its envelope (`at`).
 */
import type { z } from 'zod';
import { accountEvents } from './account.ts';
import { connectorEvents } from './connector.ts';
import { deviceEvents } from './device.ts';
import { dispatchEvents } from './dispatch.ts';
import { emailProviderEvents } from './email-provider.ts';
import { erasureEvents } from './erasure.ts';
import { type EventDefinition, eventCodec } from './event.ts';
import { keyEvents } from './key.ts';
import { messageEvents } from './message.ts';
import { notificationEvents } from './notification.ts';
import { roomEvents } from './room.ts';
import { templateEvents } from './template.ts';
import { webhookEvents } from './webhook.ts';
import { workspaceEvents } from './workspace.ts';

export { identifierKinds, normalizeEmail, tiers } from './account.ts';
export { SERVICE_ACCOUNT } from './common.ts';
export { connectorTypes } from './connector.ts';
export type { EventMeta, RecordedEvent } from './envelope.ts';
export { defineEvent, type EventCodec, type EventDefinition, eventCodec, UnknownEventError } from './event.ts';
export {
  type MessageBody,
  type MessageCommand,
  mediaKinds,
  messageBody,
  messageCommand,
  type ReceiptCommand,
  receiptCommand,
} from './message.ts';
export { fallbackReasons, notificationPriorities, notificationStatuses, notificationTypes } from './notification.ts';
export {
  AUTO_INACTIVE,
  inactiveAfterDays,
  joinPolicies,
  postPolicies,
  type RoomCommand,
  roomCommand,
  roomKinds,
  roomRoles,
  visibilities,
} from './room.ts';

/** Every event type there is. */
export const eventDefinitions = {
  ...accountEvents,
  ...workspaceEvents,
  ...keyEvents,
  ...deviceEvents,
  ...roomEvents,
  ...messageEvents,
  ...connectorEvents,
  ...templateEvents,
  ...dispatchEvents,
  ...webhookEvents,
  ...emailProviderEvents,
  ...notificationEvents,
  ...erasureEvents,
} satisfies Record<string, EventDefinition>;

type Definitions = typeof eventDefinitions;

/** Name of an event type. */
export type EventType = keyof Definitions;

/** The data of one event type, current version. */
export type EventData<T extends EventType> = z.infer<Definitions[T]['schema']>;

/** One event: its type and its data. */
export type DomainEvent<T extends EventType = EventType> = {
  [K in T]: { readonly type: K; readonly data: EventData<K> };
}[T];

/** The codec of all event types, for the log. */
export const codec = eventCodec(eventDefinitions);

/** Throws a ZodError when the event's data is not of its type's shape. */
export function checkEvent(event: DomainEvent): void {
  (eventDefinitions[event.type].schema as z.ZodType).parse(event.data);
}

/** Makes one event; the compiler checks the data. */
export function event<T extends EventType>(type: T, data: EventData<T>): DomainEvent<T> {
  return { type, data } as DomainEvent<T>;
}
