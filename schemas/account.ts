import { z } from 'zod';
import { accountRef, millis } from './common.ts';
import { defineEvent } from './event.ts';

/** Service levels of an account: they set rate limits and quotas. */
export const tiers = ['free', 'pro', 'enterprise'] as const;

/** Streams: one per account; one per session. */
export const accountEvents = {
  /** An account exists. Identifiers, credentials and profile are events of their own; none is needed. */
  AccountOpened: defineEvent(accountRef.extend({ kind: z.enum(['person', 'bot', 'service']) })),
  /** An identifier, held by a claim of the same commit; `value` as its owner spelled it. */
  IdentifierAttached: defineEvent(
    accountRef.extend({ kind: z.enum(['email', 'username', 'phone']), value: z.string() }),
  ),
  /** `hash` is an argon2id PHC string. */
  PasswordSet: defineEvent(accountRef.extend({ hash: z.string() })),
  /** Only the fields given change; null clears one. */
  ProfileChanged: defineEvent(accountRef.extend({ displayName: z.string().nullable().optional() })),
  TierChanged: defineEvent(accountRef.extend({ tier: z.enum(tiers) })),
  /** A login (`login`) or the session that comes with opening the account. `refreshHash` is the token's SHA-256, hex. */
  SessionStarted: defineEvent(
    accountRef.extend({ session: z.string(), refreshHash: z.string(), expiresAt: millis, login: z.boolean() }),
  ),
  /** The refresh token was used: `previousHash` gave way to `refreshHash`. */
  SessionRefreshed: defineEvent(
    accountRef.extend({ session: z.string(), refreshHash: z.string(), previousHash: z.string(), expiresAt: millis }),
  ),
  SessionEnded: defineEvent(accountRef.extend({ session: z.string(), reason: z.enum(['logout', 'token-reused']) })),
};

/** How e-mail addresses compare: without case (MessageJS sheet, section 4). Claims and rows hold this form. */
export function normalizeEmail(email: string): string {
  return email.trim().toLowerCase();
}
