import type { Revocation } from './socket-dialect.ts';

/** How long a revocation is remembered: longer than an authentication takes. */
const keepMs = 30_000;
const maxKept = 10_000;
/**
 * The state that a credential was authenticated by may be this old (design promise 9). Taken off for what is revoked by its
 * name, which nothing new ever has; an account may have begun anew.
 */
const maxStateAgeMs = 1_000;

/** What identifies a session to revocations. */
export interface Revocable {
  readonly workspace: number;
  readonly account: number;
  readonly credential: string;
  /** When its authentication began, monotonic milliseconds. */
  readonly authenticatedAtMs: number;
}

/** Credentials that were revoked a moment ago: whoever was being authenticated meanwhile is caught. */
export class Revocations {
  readonly #nowMs: () => number;
  #kept: { readonly revocation: Revocation; readonly atMs: number }[] = [];

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  note(revocation: Revocation): void {
    const atMs = this.#nowMs();
    if (this.#kept.length >= maxKept) this.#kept = this.#kept.slice(maxKept / 2);
    this.#kept.push({ revocation, atMs });
  }

  /** Whether one that was noted since then ends this. */
  includes({ workspace, account, credential, authenticatedAtMs }: Revocable): boolean {
    const nowMs = this.#nowMs();
    while (this.#kept[0] !== undefined && nowMs - this.#kept[0].atMs > keepMs) this.#kept.shift();
    return this.#kept.some(({ revocation, atMs }) => {
      if (revocation.workspace !== workspace) return false;
      if (revocation.account !== undefined && revocation.account !== account) return false;
      if (revocation.credential !== undefined && revocation.credential !== credential) return false;
      if (revocation.spares?.(credential) === true) return false;
      const isByName = revocation.credential !== undefined || revocation.spares !== undefined;
      return atMs >= authenticatedAtMs - (isByName ? maxStateAgeMs : 0);
    });
  }
}
