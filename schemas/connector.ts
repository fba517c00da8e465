import { z } from 'zod';
import { id } from './common.ts';
import { defineEvent } from './event.ts';

/** The third-party channels. */
export const connectorTypes = ['whatsapp', 'telegram', 'twilio'] as const;

/** Streams: one per connector. `sealed` holds the credentials (AES-256-GCM, design promise 10). */
export const connectorEvents = {
  /** `senderId` is what the provider calls the sender in its receipts, where it does (WhatsApp's phone_number_id), hashed. */
  ConnectorCreated: defineEvent(
    z.object({
      workspace: id,
      connector: id,
      connectorType: z.enum(connectorTypes),
      name: z.string(),
      sealed: z.string(),
      senderHash: z.string().nullable(),
    }),
  ),
  /** Only the fields given change. */
  ConnectorChanged: defineEvent(
    z.object({
      workspace: id,
      connector: id,
      name: z.string().optional(),
      isActive: z.boolean().optional(),
      sealed: z.string().optional(),
      senderHash: z.string().nullable().optional(),
    }),
  ),
  ConnectorDeleted: defineEvent(z.object({ workspace: id, connector: id })),
};
