import { z } from 'zod';
import { accountRef, id, millis } from './common.ts';
import { connectorTypes } from './connector.ts';
import { defineEvent } from './event.ts';
import { erasedMessage } from './message.ts';
import { erasedNotification } from './notification.ts';
import { roomKinds } from './room.ts';

/**
 * Streams: one per erased thing or page of things; they stay. Each carries all that rows and roll-ups need, so that
 * history with it, blanked history with it, and it alone give the same rows (design section 4).
 */
export const erasureEvents = {
  WorkspaceErased: defineEvent(
    z.object({
      workspace: id,
      kind: z.enum(['system', 'project', 'client']),
      owner: accountRef.nullable(),
      createdAt: millis,
    }),
  ),
  KeyErased: defineEvent(z.object({ workspace: id, key: id })),
  ConnectorErased: defineEvent(z.object({ workspace: id, connector: id, connectorType: z.enum(connectorTypes) })),
  TemplateErased: defineEvent(z.object({ workspace: id, template: id, connectorType: z.enum(connectorTypes) })),
  WebhookErased: defineEvent(z.object({ workspace: id, webhook: id })),
  /** One page of dispatches, all of one workspace. Times are null where they never came. */
  DispatchesErased: defineEvent(
    z.object({
      workspace: id,
      items: z.array(
        z.object({
          dispatch: z.string(),
          owner: accountRef,
          key: id,
          connector: id,
          connectorType: z.enum(connectorTypes),
          template: id,
          status: z.enum(['pending', 'sent', 'delivered', 'failed']),
          createdAt: millis,
          sentAt: millis.nullable(),
          deliveredAt: millis.nullable(),
        }),
      ),
    }),
  ),
  NotificationErased: defineEvent(erasedNotification),
  /** Who it was is gone; its number stays, and what it said where that is kept. `devices` were its own and go with it. */
  AccountErased: defineEvent(
    accountRef.extend({
      kind: z.enum(['person', 'bot', 'service']),
      openedAt: millis,
      messages: z.enum(['keep', 'erase']),
      devices: z.array(id),
    }),
  ),
  DeviceErased: defineEvent(z.object({ workspace: id, device: id, account: id })),
  /** A room's name, settings and membership. Its messages are erased before it. */
  RoomErased: defineEvent(z.object({ workspace: id, room: id, kind: z.enum(roomKinds), createdAt: millis })),
  /** One page of messages, all of one room. */
  MessagesErased: defineEvent(z.object({ workspace: id, room: id, items: z.array(erasedMessage) })),
};
