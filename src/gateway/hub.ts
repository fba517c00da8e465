import type { RecordedEvent } from '../log/log.ts';
import { Audiences } from './audience.ts';
import { encodeAll, Sequence } from './frames.ts';
import { join } from './join.ts';
import { Memberships } from './memberships.ts';
import { type Entry, Ring } from './ring.ts';
import type { HubSession, Session, SessionHub } from './session.ts';
import { Sessions } from './sessions.ts';
import { Counts, type Shared } from './shared.ts';
import type { Closing, HistoryItem, Route, SocketDialect, Variant } from './socket-dialect.ts';

/** Whom a frame without a place in the log is for. */
export type Target = Pick<Route, 'workspace' | 'room' | 'accounts' | 'topics' | 'everyone'>;

/** How much there is, and what has happened so far: for metrics. */
export interface HubGauges extends Readonly<Counts> {
  readonly sessions: number;
  /** Sessions that are not live yet. */
  readonly joining: number;
  /** Accounts whose memberships are remembered. */
  readonly accounts: number;
  readonly ringEvents: number;
  readonly ringBytes: number;
  /** Bytes that wait to leave, what sockets share counted for each. */
  readonly bufferedBytes: number;
}

const nothing: ReadonlySet<RecordedEvent> = new Set();

/** The sockets of one dialect: what is shown to whom, and the writing of it. */
export class Hub<Context, Item extends HistoryItem> implements SessionHub<Context> {
  readonly dialect: SocketDialect<Context, Item>;
  readonly shared: Shared;
  readonly ring: Ring;
  readonly audiences = new Audiences<Context>();
  readonly memberships: Memberships<Context>;
  readonly sessions: Sessions<Context, Item>;
  readonly counts = new Counts();
  /** Events that the dialect was told of before they are taken. */
  #prepared: ReadonlySet<RecordedEvent> = nothing;
  #dirty: HubSession<Context>[] = [];
  #root = Sequence.root();
  /** What was offered up to here is written. */
  #flushedTo = 0n;

  constructor(dialect: SocketDialect<Context, Item>, shared: Shared) {
    this.dialect = dialect;
    this.shared = shared;
    this.ring = new Ring(shared.limits.ring, (entry) => {
      this.audiences.drop(entry);
      this.memberships.drop(entry);
    });
    this.memberships = new Memberships(shared, this.audiences, this.ring, (of, since) =>
      dialect.memberships(of, since),
    );
    this.sessions = new Sessions({
      hub: this,
      shared,
      dialect,
      audiences: this.audiences,
      memberships: this.memberships,
      counts: this.counts,
    });
  }

  get position(): bigint {
    return this.shared.position;
  }

  /** The tail begins after this position, and so does the ring. */
  begin(from: bigint): void {
    this.#flushedTo = from;
    this.ring.begin(from);
  }

  gauges(): HubGauges {
    return {
      ...this.counts,
      sessions: this.sessions.size,
      joining: this.sessions.joining,
      accounts: this.memberships.accounts,
      ringEvents: this.ring.length,
      ringBytes: this.ring.bytes,
      bufferedBytes: this.sessions.bufferedBytes(),
    };
  }

  /** To be called every second or so. */
  sweep(): void {
    this.memberships.sweep();
    this.sessions.shed();
  }

  // What the tail says.

  /** Events are about to be taken: the dialect loads what it needs for those that somebody will be shown. */
  prepare(events: readonly RecordedEvent[]): Promise<void> | undefined {
    const { dialect } = this;
    this.#prepared = nothing;
    if (dialect.prepare === undefined || this.sessions.size === 0) return undefined;
    // Rooms that somebody joins among these very events have an audience by the time that what follows is taken.
    const joined = new Set<string>();
    const shown = events.filter((event) => {
      const route = dialect.route(event);
      if (route === null) return false;
      if (route.joined !== undefined) joined.add(roomOf(route));
      return this.#hasAudience(route) || (joined.size > 0 && joined.has(roomOf(route)));
    });
    this.#prepared = new Set(shown);
    return shown.length === 0 ? undefined : dialect.prepare(shown);
  }

  #hasAudience(route: Route): boolean {
    let some = false;
    this.audiences.get(route.workspace)?.eachSet(route, () => {
      some = true;
    });
    return some;
  }

  /**
   * Takes the next event of the log. Answers how much work it was, in sessions offered to. When the dialect fails, nobody can
   * tell who should have been shown what: all sessions are closed, and resume from the read model.
   */
  take(event: RecordedEvent, before: bigint): number {
    try {
      return this.#take(event, before);
    } catch (error) {
      this.shared.onTrouble(error, `${this.dialect.name} failed on an event (${event.type})`);
      this.sessions.closeAll('fault');
      this.memberships.clear();
      this.ring.clear(event.position);
      return 1;
    }
  }

  #take(event: RecordedEvent, before: bigint): number {
    const { dialect, ring } = this;
    const route = dialect.route(event);
    let work = 1;
    if (route !== null) {
      const audience = this.audiences.of(route.workspace);
      const entry = ring.push(event, before, route);
      entry.prepared = dialect.prepare === undefined || this.#prepared.has(event);
      work += audience.push(entry);
      for (const stream of route.voids ?? []) ring.voidStream(stream, entry);
      if (route.voidsWhere !== undefined) ring.voidWhere(route.voidsWhere, entry);
      this.memberships.join(entry);
      audience.eachSet(route, (sessions) => {
        work += sessions.size;
        for (const session of sessions) this.#offer(session, entry);
      });
      this.memberships.leave(entry);
      ring.trim();
    }
    const revocation = dialect.revokes?.(event) ?? null;
    if (revocation !== null) this.sessions.revoke(revocation);
    return work;
  }

  #offer(session: HubSession<Context>, entry: Entry): void {
    if (session.lastSeq === entry.seq || session.stage !== 'live') return;
    session.lastSeq = entry.seq;
    const bytes = this.framesFor(session, entry);
    if (bytes !== null && bytes.length > 0) this.#put(session, bytes);
  }

  #put(session: HubSession<Context>, bytes: Buffer): void {
    if (session.pending === null) {
      this.#dirty.push(session);
      session.pending = this.#root.and(bytes);
    } else {
      session.pending = session.pending.and(bytes);
    }
    this.counts.frames++;
  }

  /** Writes what was offered. `position` is where the tail is. */
  flush(position: bigint): void {
    const dirty = this.#dirty;
    if (dirty.length > 0) {
      const { maxBufferedBytes } = this.shared.limits;
      this.#dirty = [];
      this.#root = Sequence.root();
      for (const session of dirty) {
        const { pending, subscriber } = session;
        if (pending === null) continue;
        const bytes = pending.joined();
        if (subscriber.bufferedBytes + bytes.length > maxBufferedBytes) {
          this.sessions.closeFor(session, 'slow');
        } else {
          session.pending = null;
          subscriber.write(bytes);
          this.counts.writes++;
        }
      }
    }
    this.#flushedTo = position;
  }

  /** The bytes of an entry for a session, spelled at most once per variant; null when it is not shown to it. */
  framesFor(session: HubSession<Context>, entry: Entry): Buffer | null {
    const { event } = entry;
    if (event === null) return null;
    try {
      const variant = this.dialect.variant(event, session);
      if (variant === null) return null;
      return entry.framesOf(variant) ?? this.#spell(entry, event, variant);
    } catch (error) {
      this.shared.onTrouble(error, `an event could not be spelled for a socket (${this.dialect.name}, ${event.type})`);
      this.sessions.closeFor(session, 'fault');
      return null;
    }
  }

  #spell(entry: Entry, event: RecordedEvent, variant: Variant): Buffer {
    const { dialect, ring } = this;
    const bytes = encodeAll(dialect.encoding, dialect.frames(event, variant, entry.positions));
    entry.keepFrames(variant, bytes);
    ring.grown(bytes.length);
    return bytes;
  }

  /**
   * Sends frames that have no place in the log (typing, presence) to live sessions. Nothing is sent while the tail is
   * silent, since who may see what is not certain then.
   *
   * @param frame spells a variant; `position` is the one that such a frame carries
   */
  broadcast(
    target: Target,
    variant: (session: Session<Context>) => Variant | null,
    frame: (variant: Variant, position: string) => string,
  ): void {
    if (!this.shared.fresh) return;
    const spelled = new Map<Variant, Buffer>();
    const given = new Set<HubSession<Context>>();
    const position = this.position.toString();
    this.audiences.get(target.workspace)?.eachSet(target, (sessions) => {
      for (const session of sessions) {
        if (given.has(session) || !session.live) continue;
        given.add(session);
        const named = variant(session);
        if (named === null) continue;
        let bytes = spelled.get(named);
        if (bytes === undefined) {
          bytes = this.dialect.encoding.encode(frame(named, position));
          spelled.set(named, bytes);
        }
        this.#put(session, bytes);
      }
    });
    this.flush(this.#flushedTo);
  }

  // What sessions ask for.

  /** What it missed, then what happens. */
  start(session: HubSession<Context>): void {
    if (session.stage !== 'joining' || session.started) return;
    session.started = true;
    join(this, session).catch((error: unknown) => {
      this.shared.onTrouble(error, `a socket could not be given what it missed (${this.dialect.name})`);
      this.sessions.closeFor(session, 'fault');
    });
  }

  /** It gets the last of what it missed, and from here on what comes. */
  goLive(session: HubSession<Context>, pieces: readonly Buffer[]): void {
    session.lastSeq = this.ring.nextSeq - 1;
    this.sessions.live(session);
    if (pieces.length > 0) this.writePage(session, pieces);
  }

  writePage(session: HubSession<Context>, pieces: readonly Buffer[], onFlushed?: () => void): void {
    session.subscriber.write(pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces), onFlushed);
    this.counts.frames += pieces.length;
    this.counts.writes++;
  }

  sendText(session: HubSession<Context>, text: string): void {
    if (session.closed) return;
    const bytes = this.dialect.encoding.encode(text);
    if (session.subscriber.bufferedBytes + bytes.length > this.shared.limits.maxBufferedBytes) {
      this.sessions.closeFor(session, 'slow');
      return;
    }
    this.writePending(session);
    session.subscriber.write(bytes);
    this.counts.frames++;
    this.counts.writes++;
  }

  /** What was offered to one session, ahead of the others. */
  writePending(session: HubSession<Context>): void {
    if (session.pending === null) return;
    session.subscriber.write(session.pending.joined());
    session.pending = null;
  }

  /** What was offered to a session and not written never is: it stands where the last flush left it. */
  discard(session: HubSession<Context>): void {
    session.pending = null;
    if (session.live) session.heldAt = this.#flushedTo;
  }

  close(session: HubSession<Context>, closing: Closing): void {
    this.sessions.close(session, closing);
  }

  ended(session: HubSession<Context>, clean: boolean): void {
    this.sessions.ended(session, clean);
  }

  due(session: HubSession<Context>, nowMs: number): void {
    this.sessions.due(session, nowMs);
  }

  enterRoom(session: HubSession<Context>, room: number): void {
    if (session.live && session.follows(room)) this.audiences.of(session.workspace).rooms.add(room, session);
  }

  exitRoom(session: HubSession<Context>, room: number): void {
    if (session.live) this.audiences.get(session.workspace)?.rooms.remove(room, session);
  }

  enterTopic(session: HubSession<Context>, topic: string): void {
    if (session.live) this.audiences.of(session.workspace).topics.add(topic, session);
  }

  exitTopic(session: HubSession<Context>, topic: string): void {
    if (session.live) this.audiences.get(session.workspace)?.topics.remove(topic, session);
  }
}

/** Names the room of a route over all workspaces. */
function roomOf({ workspace, room }: Route): string {
  return `${workspace}/${room}`;
}
