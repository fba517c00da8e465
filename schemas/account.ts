import { z } from 'zod';
import { accountRef, fileId, millis } from './common.ts';
import { defineEvent } from './event.ts';

/** Service levels of an account: they set rate limits and quotas. */
export const tiers = ['free', 'pro', 'enterprise'] as const;

/** What an account can be found by. */
export const identifierKinds = ['email', 'username', 'phone'] as const;

/** Streams: one per account; one per session; one per account's declared presence. */
export const accountEvents = {
  /** An account exists. Identifiers, credentials and profile are events of their own; none is needed. */
  AccountOpened: defineEvent(accountRef.extend({ kind: z.enum(['person', 'bot', 'service']) })),
  /**
   * An identifier, held by a claim of the same commit; `value` as its owner spelled it. It takes the place of the one of its
   * kind, unverified. `claim` is the name that was claimed, by the comparison rule of the dialect that claimed (an HMAC):
   * whoever replaces or deletes the identifier releases it.
   */
  IdentifierAttached: defineEvent(
    accountRef.extend({ kind: z.enum(identifierKinds), value: z.string(), claim: z.string().optional() }),
  ),
  /** A code went out to the identifier, which counts as unverified until it comes back. `codeHash` is an HMAC. */
  VerificationStarted: defineEvent(accountRef.extend({ kind: z.enum(identifierKinds), codeHash: z.string() })),
  IdentifierVerified: defineEvent(accountRef.extend({ kind: z.enum(identifierKinds) })),
  /** `hash` is an argon2id PHC string. */
  PasswordSet: defineEvent(accountRef.extend({ hash: z.string() })),
  /** Only the fields given change; null clears one. */
  ProfileChanged: defineEvent(
    accountRef.extend({
      displayName: z.string().nullable().optional(),
      givenName: z.string().nullable().optional(),
      familyName: z.string().nullable().optional(),
      job: z.string().nullable().optional(),
      bio: z.string().nullable().optional(),
      avatar: fileId.nullable().optional(),
    }),
  ),
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
  /** It can do nothing until it is activated: its credentials fail meanwhile. */
  AccountDeactivated: defineEvent(accountRef),
  AccountActivated: defineEvent(accountRef),
  /**
   * It does not exist from here on, its credentials die and its claims end; erasing its profile follows, and with
   * `messages: 'erase'` all that it ever said, which nobody is shown from here on.
   */
  AccountDeleted: defineEvent(accountRef.extend({ messages: z.enum(['keep', 'erase']) })),
  /** What a client says of itself (Omni Chat's switch). Connections are no events. */
  PresenceDeclared: defineEvent(accountRef.extend({ online: z.boolean() })),
};

/** How e-mail addresses compare: without case (MessageJS sheet, section 4). Claims and rows hold this form. */
export function normalizeEmail(email: string): string {
  return email.trim().toLowerCase();
}
