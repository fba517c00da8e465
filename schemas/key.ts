import { z } from 'zod';
import { accountRef, id, millis } from './common.ts';
import { defineEvent } from './event.ts';

/**
 * Streams: one per key, which acts as its workspace's service account; scoped keys stand in the stream of the account that
 * they act as.
 */
export const keyEvents = {
  /**
   * `secretHash` is the SHA-256 of the secret, hex. `rateLimit` is in messages an hour; 0: none but the configured limits.
   * `dialect` is the API that the key opens, MessageJS when absent.
   */
  KeyIssued: defineEvent(
    z.object({
      workspace: id,
      key: id,
      name: z.string(),
      mode: z.enum(['live', 'test']),
      secretHash: z.string(),
      rateLimit: z.int().min(0),
      expiresAt: millis.nullable(),
      dialect: z.enum(['messagejs', 'chatapi']).optional(),
    }),
  ),
  KeyRevoked: defineEvent(z.object({ workspace: id, key: id })),
  /**
   * The account's one scoped key: it takes the place of the one before, which fails from here on. `sealed` holds the secret
   * where a wire shape shows it again, `permissions` are null where all that the account may do is allowed.
   */
  ScopedKeyIssued: defineEvent(
    accountRef.extend({
      secretHash: z.string(),
      sealed: z.string().nullable(),
      permissions: z.array(z.string()).nullable(),
      expiresAt: millis.nullable(),
    }),
  ),
  ScopedKeyRevoked: defineEvent(accountRef),
};
