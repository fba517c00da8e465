/** How keys of ChatAPI are spelled: a prefix, 24 characters that name what the key is of, 43 of 32 random bytes. */
import { randomBytes } from 'node:crypto';
import { DomainError } from '../domain/errors.ts';
import type { IdParts, IdSpeller } from '../platform/ids.ts';

const nameCharacters = 24;

/** A key that was presented, read. */
export interface PresentedSecret {
  readonly workspace: number;
  readonly id: number;
  readonly secret: string;
}

/** 32 bytes, random unless given, as URL-safe text. */
export function newSecret(bytes: Buffer = randomBytes(32)): string {
  return bytes.toString('base64url');
}

/** The key as its owner gets it. */
export function spellSecret(prefix: string, speller: IdSpeller, parts: IdParts, secret: string): string {
  return prefix + speller.spell(parts) + secret;
}

/** What a presented key names. Throws `credential-invalid` for what is none of ours. */
export function readSecret(prefix: string, speller: IdSpeller, kind: number, presented: string): PresentedSecret {
  const rest = presented.startsWith(prefix) ? presented.slice(prefix.length) : '';
  const secret = rest.slice(nameCharacters);
  const parts = /^[A-Za-z0-9_-]{43}$/.test(secret) ? speller.read(rest.slice(0, nameCharacters)) : null;
  if (parts?.kind !== kind) throw new DomainError('credential-invalid');
  return { workspace: parts.workspace, id: parts.id, secret };
}
