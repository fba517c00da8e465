import { z } from 'zod';
import { id, millis } from './common.ts';
import { defineEvent } from './event.ts';

const deviceRef = z.object({ workspace: id, device: id });

/** Streams: one per device. Its token signs in the account that it is bound to. */
export const deviceEvents = {
  /** `identifier` is what the client calls it, held by a claim of the same commit. */
  DeviceRegistered: defineEvent(deviceRef.extend({ account: id, identifier: z.string(), claim: z.string() })),
  /** Only the fields given change; another `account` binds it to that one. */
  DeviceChanged: defineEvent(
    deviceRef.extend({
      account: id.optional(),
      deviceType: z.string().nullable().optional(),
      name: z.string().nullable().optional(),
      osName: z.string().nullable().optional(),
      osVersion: z.string().nullable().optional(),
      appVersion: z.string().nullable().optional(),
      pushToken: z.string().nullable().optional(),
    }),
  ),
  /** In place of the token before, which fails from here on. SHA-256 of it, hex, and itself sealed, as it is shown again. */
  DeviceTokenIssued: defineEvent(
    deviceRef.extend({ secretHash: z.string(), sealed: z.string(), expiresAt: millis.nullable() }),
  ),
  DeviceTokenEnded: defineEvent(deviceRef),
  /** It does not exist from here on; erasing what was known of it follows. */
  DeviceDeleted: defineEvent(deviceRef),
};
