/** What choosing needs to know of one of a tenant's providers. */
export interface Candidate {
  readonly isPrimary: boolean;
  readonly isBulk: boolean;
  /** Recipients (To, Cc and Bcc together) that it takes with one mail. */
  readonly maxRecipients: number;
  /** Time until its rate limit has room for one more mail; 0 when it has. */
  readonly waitMs: number;
}

export type Choice =
  /** `waitMs` is 0 when it may go now. */
  | { readonly kind: 'provider'; readonly index: number; readonly waitMs: number }
  /** None will ever do; `reason` is text for the notification's `error_message`. */
  | { readonly kind: 'none'; readonly reason: string };

/**
 * Chooses the provider for one mail (ChatAPI's sheet, section 10): for a single recipient one that is primary, for two or
 * more one that is bulk, otherwise any. Among equals the one whose rate limit has room soonest, then the one stored first. A
 * rate limit does not lead to a less suited provider: the mail waits, which costs no attempt.
 *
 * @param candidates in the order in which they are stored
 * @param recipients To, Cc and Bcc together
 * @param tried indices that have failed with this mail: the sheet tries one other, then it is over
 */
export function chooseProvider(
  candidates: readonly Candidate[],
  recipients: number,
  tried: ReadonlySet<number> = new Set(),
): Choice {
  if (candidates.length === 0) return { kind: 'none', reason: 'No email provider is configured' };
  let best: number | null = null;
  for (const [index, candidate] of candidates.entries()) {
    if (tried.has(index) || candidate.maxRecipients < recipients) continue;
    if (best === null || before(candidate, candidates[best]!, recipients)) best = index;
  }
  if (best !== null) return { kind: 'provider', index: best, waitMs: Math.max(0, candidates[best]!.waitMs) };
  const reason = candidates.some(({ maxRecipients }) => maxRecipients >= recipients)
    ? 'Every configured email provider has been tried'
    : `No configured email provider takes ${recipients} recipients`;
  return { kind: 'none', reason };
}

function before(a: Candidate, b: Candidate, recipients: number): boolean {
  const suits = (candidate: Candidate) => (recipients > 1 ? candidate.isBulk : candidate.isPrimary);
  if (suits(a) !== suits(b)) return suits(a);
  return Math.max(0, a.waitMs) < Math.max(0, b.waitMs);
}
