import type { Audiences } from './audience.ts';
import { beat, firstBeatMs } from './heartbeat.ts';
import type { Memberships } from './memberships.ts';
import { Revocations } from './revocations.ts';
import { HubSession, type Session, type SessionHub } from './session.ts';
import type { Counts, Shared } from './shared.ts';
import type { CloseCause, Closing, HistoryItem, Revocation, SocketDialect } from './socket-dialect.ts';
import type { Subscriber } from './subscriber.ts';

/** A session that is asked for. */
export interface OpenRequest<Context> {
  readonly subscriber: Subscriber;
  readonly workspace: number;
  readonly account: number;
  readonly context: Context;
  /** Names what it was authenticated with, as `revokes` names it; no secret. */
  readonly credential: string;
  /** When the dialect began to authenticate it, monotonic milliseconds: what was revoked since then ends it. */
  readonly authenticatedAtMs: number;
  /** When its credential expires, milliseconds since the epoch; never when null or absent. */
  readonly expiresAt?: number | null;
  /** Connections that `scope` may have, in all processes; 0: no limit. */
  readonly limit?: { readonly scope: string; readonly max: number };
  /**
   * Where to go on: a position, or where the account's last connection ended (from now on if another is open or none was).
   * Absent: from now on.
   */
  readonly after?: bigint | 'last-ended';
  /** Of what was missed, so many items at most, the latest, from history and from the ring each; 0 or absent: all. */
  readonly maxItems?: number;
  /** Only these of the rooms that the account is a member of. */
  readonly rooms?: readonly number[];
  /** Names of the dialect's own that it follows. */
  readonly topics?: readonly string[];
}

/** How opening ended. */
export type Opened<Context> =
  | {
      readonly outcome: 'opened';
      readonly session: Session<Context>;
      /** `after` lies beyond the end of the log: it goes on from now. */
      readonly positionInvalid: boolean;
    }
  | {
      readonly outcome: 'refused';
      /**
       * `full`: this process has as many as it may have. `unavailable`: storage is away. For all but `gone` (the peer went, or its credential was revoked meanwhile), the
       * dialect closes what it wanted to open.
       */
      readonly reason: 'limit' | 'full' | 'draining' | 'unavailable' | 'gone';
    };

/** Sessions of one dialect, from their opening to their end. */
export class Sessions<Context, Item extends HistoryItem> {
  readonly #shared: Shared;
  readonly #dialect: SocketDialect<Context, Item>;
  readonly #audiences: Audiences<Context>;
  readonly #memberships: Memberships<Context>;
  readonly #counts: Counts;
  readonly #revocations: Revocations;
  readonly #hub: SessionHub<Context>;
  /** Those that are not closed. */
  readonly #open = new Set<HubSession<Context>>();
  #joining = 0;

  constructor(parts: {
    readonly hub: SessionHub<Context>;
    readonly shared: Shared;
    readonly dialect: SocketDialect<Context, Item>;
    readonly audiences: Audiences<Context>;
    readonly memberships: Memberships<Context>;
    readonly counts: Counts;
  }) {
    this.#hub = parts.hub;
    this.#shared = parts.shared;
    this.#dialect = parts.dialect;
    this.#audiences = parts.audiences;
    this.#memberships = parts.memberships;
    this.#counts = parts.counts;
    this.#revocations = new Revocations(() => parts.shared.nowMs());
  }

  get size(): number {
    return this.#open.size;
  }

  /** Those that are not live yet. */
  get joining(): number {
    return this.#joining;
  }

  bufferedBytes(): number {
    let bytes = 0;
    for (const { subscriber } of this.#open) bytes += subscriber.bufferedBytes;
    return bytes;
  }

  /** Opens a session. Never rejects. */
  async open(request: OpenRequest<Context>): Promise<Opened<Context>> {
    const shared = this.#shared;
    if (shared.draining) return { outcome: 'refused', reason: 'draining' };
    if (this.#open.size >= shared.limits.maxSessions) return { outcome: 'refused', reason: 'full' };
    const session = this.#make(request);
    try {
      await shared.ready;
      const { after = null } = request;
      const claim = await shared.connections.claim({
        workspace: session.workspace,
        account: session.account,
        credential: session.credential,
        limit: request.limit ?? null,
        position: typeof after === 'bigint' && after < shared.position ? after : shared.position,
      });
      if (!claim.claimed) return this.#refuse(session, 'limit');
      session.lease = claim.number;
      session.first = claim.first;
      const from = after === 'last-ended' ? claim.lastPosition : after;
      const positionInvalid = from !== null && from > shared.position && from > (await shared.head());
      const position = from === null || positionInvalid ? shared.position : from;
      if (session.closed) return this.#refuse(session, 'gone');
      session.sentUpTo = position;
      session.confirmed = position;
      session.stage = 'joining';
      return { outcome: 'opened', session, positionInvalid };
    } catch (error) {
      shared.onTrouble(error, 'a connection could not be claimed');
      return this.#refuse(session, 'unavailable');
    }
  }

  #make(request: OpenRequest<Context>): HubSession<Context> {
    const shared = this.#shared;
    const { workspace, credential, expiresAt = null } = request;
    const state = this.#memberships.stateOf(workspace, request.account);
    const session = new HubSession<Context>({
      hub: this.#hub,
      state,
      subscriber: request.subscriber,
      context: request.context,
      credential,
      expiresAtMs: expiresAt === null ? Number.POSITIVE_INFINITY : shared.nowMs() + expiresAt - shared.epochMs(),
      only: request.rooms ?? null,
      topics: request.topics ?? [],
      maxItems: request.maxItems ?? 0,
    });
    session.sentUpTo = shared.position;
    session.confirmed = shared.position;
    state.sessions.add(session);
    this.#open.add(session);
    this.#joining++;
    this.#audiences.of(workspace).addCredential(credential, session);
    session.subscriber.bind(session);
    const nowMs = shared.nowMs();
    session.heardMs = nowMs;
    this.#remind(session, firstBeatMs(this.#dialect.heartbeat, nowMs, shared.random()));
    if (this.#revocations.includes(request)) this.closeFor(session, 'revoked');
    return session;
  }

  #refuse(
    session: HubSession<Context>,
    reason: 'limit' | 'unavailable' | 'gone',
  ): { readonly outcome: 'refused'; readonly reason: typeof reason } {
    const gone = session.closed;
    this.#leave(session);
    session.stage = 'ended';
    this.#shared.wheel.cancel(session);
    void this.#release(session, session.confirmed);
    return { outcome: 'refused', reason: gone ? 'gone' : reason };
  }

  /** A session has what it missed. */
  live(session: HubSession<Context>): void {
    session.stage = 'live';
    this.#joining--;
    const audience = this.#audiences.of(session.workspace);
    audience.all.sessions.add(session);
    for (const topic of session.topics) audience.topics.add(topic, session);
    for (const room of session.state.rooms.keys()) if (session.wants(room)) audience.rooms.add(room, session);
    for (const room of session.extraRooms.keys()) audience.rooms.add(room, session);
  }

  // Ends.

  /** Closes those whose credential an event ended, and remembers it for those that are being authenticated. */
  revoke(revocation: Revocation): void {
    this.#revocations.note(revocation);
    const audience = this.#audiences.get(revocation.workspace);
    if (audience === undefined) return;
    const { credential, account, spares } = revocation;
    let ended: readonly HubSession<Context>[];
    if (credential !== undefined) ended = audience.withCredential(credential);
    else if (account !== undefined) ended = [...(audience.states.get(account)?.sessions ?? [])];
    else ended = [...audience.states.values()].flatMap(({ sessions }) => [...sessions]);
    for (const session of ended) {
      if (account !== undefined && session.account !== account) continue;
      if (spares?.(session.credential) !== true) this.closeFor(session, 'revoked');
    }
  }

  /** Closes a session as the dialect words it; one that drains is told first where to go on. */
  closeFor(session: HubSession<Context>, cause: CloseCause): void {
    if (session.closed) return;
    this.#counts[cause]++;
    // One that is being opened has been told nothing yet, and knows best where it stands.
    if (cause === 'drained' && session.stage !== 'opening') this.#sayDrained(session);
    // What was offered to a slow one and not written is not sent any more.
    if (cause === 'slow') this.#hub.discard(session);
    this.close(session, this.#dialect.closing(cause));
  }

  #sayDrained(session: HubSession<Context>): void {
    const shared = this.#shared;
    this.#hub.writePending(session);
    const frame = this.#dialect.drainFrame?.(session, {
      reconnectAfterMs: Math.floor(shared.random() * (shared.limits.maxReconnectMs + 1)),
      position: session.position.toString(),
    });
    if (typeof frame === 'string') session.subscriber.write(this.#dialect.encoding.encode(frame));
  }

  close(session: HubSession<Context>, { code, reason }: Closing): void {
    if (session.closed) return;
    this.#hub.writePending(session);
    session.sentUpTo = session.position;
    this.#leave(session);
    session.subscriber.close(code, reason);
    this.#remind(session, this.#shared.nowMs() + this.#shared.limits.closeTimeoutMs);
  }

  /** The subscriber has ended. */
  ended(session: HubSession<Context>, clean: boolean): void {
    if (session.stage === 'ended') return;
    // A peer that answered our close has read all that came before it; one that goes by itself may have left some unread.
    const position = session.stage === 'closing' && clean ? session.sentUpTo : session.confirmed;
    this.#leave(session);
    this.#shared.wheel.cancel(session);
    // One that is being opened ends there.
    if (session.lease < 0) return;
    session.stage = 'ended';
    void this.#release(session, position).then((last) => this.#dialect.ended?.(session, { last }));
  }

  /** Ends its lease. True when its account has no other connection. */
  async #release(session: HubSession<Context>, position: bigint): Promise<boolean> {
    const number = session.lease;
    if (number < 0) return false;
    session.lease = -1;
    return this.#shared.connections.end(number, position);
  }

  /** Takes it out of everything but the wheel. */
  #leave(session: HubSession<Context>): void {
    if (session.closed) return;
    const { stage, state } = session;
    session.stage = 'closing';
    session.pending = null;
    this.#open.delete(session);
    const audience = this.#audiences.of(session.workspace);
    if (stage === 'live') {
      audience.all.sessions.delete(session);
      for (const topic of session.topics) audience.topics.remove(topic, session);
      for (const room of state.rooms.keys()) audience.rooms.remove(room, session);
      for (const room of session.extraRooms.keys()) audience.rooms.remove(room, session);
    } else {
      this.#joining--;
    }
    audience.removeCredential(session.credential, session);
    state.sessions.delete(session);
    if (state.sessions.size === 0) this.#memberships.idle(state);
  }

  // Time.

  /** A session is due: for a look at its life, for its credential's end, or for its own when it is closing. */
  due(session: HubSession<Context>, nowMs: number): void {
    const { subscriber, lease } = session;
    if (session.closed) {
      subscriber.terminate();
      return;
    }
    if (nowMs >= session.expiresAtMs) {
      this.closeFor(session, 'revoked');
      return;
    }
    const { heartbeat, encoding } = this.#dialect;
    const next = beat(session, heartbeat, encoding, nowMs);
    if (next === null) {
      this.#counts.silent++;
      subscriber.terminate();
      return;
    }
    if (lease >= 0) this.#shared.connections.confirm(lease, session.confirmed);
    this.#remind(session, next);
  }

  #remind(session: HubSession<Context>, atMs: number): void {
    this.#shared.wheel.schedule(session, session.closed ? atMs : Math.min(atMs, session.expiresAtMs));
  }

  /** Closes the largest while all together have more waiting than they may. */
  shed(): void {
    const { maxTotalBufferedBytes } = this.#shared.limits;
    let total = this.bufferedBytes();
    if (total <= maxTotalBufferedBytes) return;
    const largest = [...this.#open].sort((a, b) => b.subscriber.bufferedBytes - a.subscriber.bufferedBytes);
    for (const session of largest) {
      if (total <= maxTotalBufferedBytes) break;
      total -= session.subscriber.bufferedBytes;
      this.closeFor(session, 'slow');
    }
  }

  closeAll(cause: CloseCause): void {
    for (const session of [...this.#open]) this.closeFor(session, cause);
  }

  /** Closes all, each told a moment of its own to come back. */
  async drain(): Promise<void> {
    let closed = 0;
    for (const session of [...this.#open]) {
      this.closeFor(session, 'drained');
      closed++;
      if (closed % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
