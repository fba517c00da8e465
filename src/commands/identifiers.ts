import { normalizeEmail } from '../../schemas/index.ts';
import type { Identifier } from '../domain/account.ts';
import { DomainError } from '../domain/errors.ts';
import type { Claim } from '../log/log.ts';
import { hmac } from '../platform/crypto.ts';
import { ClaimTakenError, type CommandDoor } from './door.ts';
import { accountOf } from './streams.ts';

/**
 * What an account of a workspace is known by, each with the name of the claim that keeps it from others: e-mail addresses
 * compare without case, user names as they are spelled.
 */
export function identifiersOf(
  nameKey: Buffer,
  workspace: number,
  { email, username }: { readonly email?: string | undefined; readonly username?: string | undefined },
): Required<Identifier>[] {
  const named = (kind: Identifier['kind'], value: string, compared: string) => {
    const digest = hmac(nameKey, kind, String(workspace), compared).toString('base64url');
    return { kind, value, claim: `${kind}-${digest}` };
  };
  return [
    ...(email === undefined ? [] : [named('email', email, normalizeEmail(email))]),
    ...(username === undefined ? [] : [named('username', username, username)]),
  ];
}

/**
 * The account that holds an e-mail address in a workspace, however it is spelled; null for nobody. By the word of the log: whoever
 * was told that an account exists can log in, also while its rows are behind. Throws DomainError `unavailable`.
 */
export async function holderOfEmail(
  door: Pick<CommandDoor, 'holder'>,
  nameKey: Buffer,
  workspace: number,
  email: string,
): Promise<number | null> {
  const [identifier] = identifiersOf(nameKey, workspace, { email });
  const holder = identifier && (await door.holder(identifier.claim));
  return holder ? accountOf(holder.stream) : null;
}

/** The claims of identifiers. */
export function claimsOf(identifiers: readonly Required<Identifier>[]): Claim[] {
  return identifiers.map(({ claim }) => ({ name: claim }));
}

/**
 * An error as it is told: `identifier-taken`, with `details.fields`, for identifiers that other accounts than that of `stream`
 * hold. An append names the first that is taken; who holds the others is asked.
 */
export async function asTaken(
  door: Pick<CommandDoor, 'holder'>,
  identifiers: readonly Required<Identifier>[],
  error: unknown,
  stream?: string,
): Promise<unknown> {
  if (!(error instanceof ClaimTakenError) || !identifiers.some(({ claim }) => claim === error.claim)) return error;
  const asked = identifiers.map(async ({ kind, claim }) => {
    const holder = claim === error.claim ? error.by : await door.holder(claim);
    return holder === null || holder.stream === stream ? [] : [kind];
  });
  return new DomainError('identifier-taken', undefined, { details: { fields: (await Promise.all(asked)).flat() } });
}
