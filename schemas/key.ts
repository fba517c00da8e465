import { z } from 'zod';
import { id, millis } from './common.ts';
import { defineEvent } from './event.ts';

/** Streams: one per key. A key acts as its workspace's service account. */
export const keyEvents = {
  /** `secretHash` is the SHA-256 of the secret, hex. `rateLimit` is in messages an hour. */
  KeyIssued: defineEvent(
    z.object({
      workspace: id,
      key: id,
      name: z.string(),
      mode: z.enum(['live', 'test']),
      secretHash: z.string(),
      rateLimit: z.int().min(1),
      expiresAt: millis.nullable(),
    }),
  ),
  KeyRevoked: defineEvent(z.object({ workspace: id, key: id })),
};
