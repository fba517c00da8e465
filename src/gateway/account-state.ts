import type { MembershipSpan } from './socket-dialect.ts';

/** A membership that has ended. */
interface EndedSpan extends MembershipSpan {
  readonly to: bigint;
}

/** Ended memberships of one account that are kept before those that no ring reaches back to are dropped. */
const maxEndedUnpruned = 32;

/**
 * What an account is a member of, by positions: loaded from the read model, brought up to the tail, kept so by it. Good for
 * every position that the ring reaches back to.
 */
export class AccountState<S> {
  readonly workspace: number;
  readonly account: number;
  /** Every session of it that is not closed. */
  readonly sessions = new Set<S>();
  loading: Promise<void> | null = null;
  /** When the last session ended, monotonic milliseconds. */
  idleSinceMs = 0;
  /** Memberships that last: the room, and the position they began at. */
  readonly rooms = new Map<number, bigint>();
  /** What the read model had said already when the tail says it: changes up to here. Null before it said anything. */
  #loadedUpTo: bigint | null = null;
  #ended: EndedSpan[] = [];

  constructor(workspace: number, account: number) {
    this.workspace = workspace;
    this.account = account;
  }

  /** The position from which on memberships are known, kept by the tail; null before they are loaded. */
  get knownFrom(): bigint | null {
    return this.#loadedUpTo;
  }

  /** Takes what the read model says, true at `upTo`. What began before `since` needs no exact position. */
  load(spans: readonly MembershipSpan[], since: bigint, upTo: bigint): void {
    for (const span of spans) {
      if (span.to === null) this.rooms.set(span.room, span.from <= since ? 0n : span.from);
      else if (span.to > since) this.#ended.push({ room: span.room, from: span.from, to: span.to });
    }
    this.#loadedUpTo = upTo;
  }

  /** False when that was known. */
  joined(room: number, position: bigint): boolean {
    if (this.#loadedUpTo === null || position <= this.#loadedUpTo || this.rooms.has(room)) return false;
    this.rooms.set(room, position);
    return true;
  }

  /** False when that was known. No membership that ended up to `ringFrom` is asked for. */
  left(room: number, position: bigint, ringFrom: bigint): boolean {
    if (this.#loadedUpTo === null || position <= this.#loadedUpTo) return false;
    const from = this.rooms.get(room);
    if (from === undefined) return false;
    this.rooms.delete(room);
    if (this.#ended.length >= maxEndedUnpruned) this.#ended = this.#ended.filter(({ to }) => to > ringFrom);
    this.#ended.push({ room, from, to: position });
    return true;
  }

  /** Memberships that have ended, as far as the ring reaches back. */
  get ended(): readonly EndedSpan[] {
    return this.#ended;
  }
}
