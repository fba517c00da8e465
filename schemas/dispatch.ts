import { z } from 'zod';
import { accountRef, id, millis } from './common.ts';
import { connectorTypes } from './connector.ts';
import { defineEvent } from './event.ts';

const dispatchRef = z.object({ workspace: id, dispatch: z.string() });

/** Streams: one per dispatch; one per receipt that matched nothing yet. */
export const dispatchEvents = {
  /** Accepted for delivery. `text` is rendered; `owner` is whose quota it counts against; `key` is the API key's id. */
  DispatchAccepted: defineEvent(
    dispatchRef.extend({
      owner: accountRef,
      key: id,
      connector: id,
      connectorType: z.enum(connectorTypes),
      template: id,
      to: z.string(),
      text: z.string(),
    }),
  ),
  /** The provider took it, under its own `externalId`. */
  DispatchSent: defineEvent(
    dispatchRef.extend({ connector: id, externalId: z.string(), attempt: z.int(), sentAt: millis }),
  ),
  /** Delivered or read, by the provider's word. */
  DispatchDelivered: defineEvent(dispatchRef.extend({ deliveredAt: millis })),
  /** It ended without delivery; `error` is the provider's text, or ours. */
  DispatchFailed: defineEvent(dispatchRef.extend({ error: z.string(), attempt: z.int() })),
  /** An attempt failed and another follows at `retryAt`. `attempt` counts those used up (throttling uses none). */
  DispatchDeferred: defineEvent(dispatchRef.extend({ attempt: z.int(), retryAt: millis, error: z.string() })),
  /** A receipt that matches no dispatch yet: kept for a day, applied when its external id becomes known. */
  ReceiptHeld: defineEvent(
    z.object({
      connectorType: z.enum(connectorTypes),
      /** HMAC of the provider's id. */
      externalHash: z.string(),
      /** Hash of the sender the receipt names, null when it names none. */
      senderHash: z.string().nullable(),
      status: z.enum(['sent', 'delivered', 'failed']),
      error: z.string().nullable(),
      receivedAt: millis,
    }),
  ),
};
