/** How a session gets what it missed, and then goes live: from history as far as the ring does not reach, then from the ring. */
import { entriesFor } from './audience.ts';
import { encodeAll } from './frames.ts';
import type { Hub } from './hub.ts';
import type { Entry } from './ring.ts';
import type { HubSession } from './session.ts';
import type { HistoryItem } from './socket-dialect.ts';

/** Pause after a read that failed. */
const retryMs = 200;

/**
 * Brings a session up to the tail, page by page, each when the one before has left; the last step and going live are one
 * turn of the event loop. Closes the session when that cannot be done. Rejects when the dialect cannot spell an item.
 */
export async function join<Context, Item extends HistoryItem>(
  hub: Hub<Context, Item>,
  session: HubSession<Context>,
): Promise<void> {
  const joining = new Joining(hub, session);
  while (!session.closed && !session.live) await joining.step();
}

class Joining<Context, Item extends HistoryItem> {
  readonly #hub: Hub<Context, Item>;
  readonly #session: HubSession<Context>;
  #patienceMs: number;
  #fromHistory = false;
  #limited: boolean;

  constructor(hub: Hub<Context, Item>, session: HubSession<Context>) {
    this.#hub = hub;
    this.#session = session;
    this.#patienceMs = hub.shared.limits.maxLagMs;
    this.#limited = session.maxItems > 0;
  }

  /** One thing at a time; what it stands on is looked at anew afterwards. */
  step(): Promise<unknown> | undefined {
    const { shared, ring } = this.#hub;
    const session = this.#session;
    const { knownFrom } = session.state;
    if (!shared.fresh) return this.#wait(() => shared.fresh);
    if (knownFrom === null) return this.#learn();
    if (session.sentUpTo < ring.from) return this.#history();
    // The read model, or the peer, is ahead of this process's tail.
    const target = knownFrom > session.sentUpTo ? knownFrom : session.sentUpTo;
    if (target > shared.position) return this.#wait(() => shared.position >= target);
    return this.#ring();
  }

  async #learn(): Promise<void> {
    const { memberships } = this.#hub;
    const { state } = this.#session;
    if (!(await this.#read(() => memberships.learn(state)))) return;
    if (state.knownFrom === null) await this.#readModelMoves();
  }

  async #history(): Promise<void> {
    const { dialect, shared } = this.#hub;
    const session = this.#session;
    const after = session.sentUpTo;
    if (this.#limited && dialect.latest !== undefined) {
      const latest = await this.#read(() =>
        shared.turns.take(async () => dialect.latest?.(session, after, session.maxItems)),
      );
      if (latest === null) return;
      this.#limited = false;
      if (latest.value !== undefined && latest.value > after) session.sentUpTo = latest.value;
      return;
    }
    const read = await this.#read(() =>
      shared.turns.take(() => dialect.history(session, after, shared.limits.pageItems)),
    );
    if (read === null || session.closed) return;
    this.#fromHistory = true;
    const { items, upTo } = read.value;
    if (items.length === 0 && upTo <= after) return this.#readModelMoves();
    const pieces: Buffer[] = [];
    let before = after;
    for (const item of items) {
      if (item.room !== undefined && !session.wants(item.room) && !session.extraRooms.has(item.room)) continue;
      const positions = { before: before.toString(), at: item.position.toString() };
      const bytes = encodeAll(dialect.encoding, dialect.itemFrames(item, session, positions));
      if (bytes.length > 0) pieces.push(bytes);
      before = item.position;
    }
    session.sentUpTo = upTo > after ? upTo : after;
    await this.#page(pieces);
  }

  #ring(): Promise<unknown> | undefined {
    const { dialect, shared, ring, audiences } = this.#hub;
    const session = this.#session;
    const missed = entriesFor(audiences.of(session.workspace), session, ring.seqAfter(session.sentUpTo));
    // Whether an event is shown at all may hang on what is prepared: it comes before the choice of the latest.
    const unprepared = missed.filter(({ prepared, event }) => !prepared && event !== null);
    if (unprepared.length > 0 && dialect.prepare !== undefined) return this.#prepare(unprepared);
    const entries = this.#limited ? this.#latest(missed) : missed;
    const pieces: Buffer[] = [];
    let bytes = 0;
    let taken = 0;
    for (const entry of entries) {
      if (bytes >= shared.limits.pageBytes) break;
      taken++;
      const frames = this.#hub.framesFor(session, entry);
      if (frames === null || frames.length === 0) continue;
      pieces.push(frames);
      bytes += frames.length;
    }
    if (session.closed) return undefined;
    this.#limited = false;
    if (taken < entries.length) {
      session.sentUpTo = (entries[taken - 1] as Entry).position;
      return this.#page(pieces);
    }
    this.#hub.goLive(session, pieces);
    this.#hub.counts[this.#fromHistory ? 'joinedFromHistory' : 'joinedFromRing']++;
    return undefined;
  }

  /** The last of the entries that the session is shown at all. */
  #latest(entries: readonly Entry[]): Entry[] {
    const { dialect } = this.#hub;
    const shown = entries.filter(({ event }) => event !== null && dialect.variant(event, this.#session) !== null);
    return shown.slice(-this.#session.maxItems);
  }

  async #prepare(entries: readonly Entry[]): Promise<void> {
    const { dialect, shared } = this.#hub;
    try {
      await dialect.prepare?.(entries.flatMap(({ event }) => (event === null ? [] : [event])));
    } catch (error) {
      shared.onTrouble(error, `${dialect.name} could not load what it spells events with`);
    }
    for (const entry of entries) entry.prepared = true;
  }

  /** Writes a page and waits for it to leave. */
  async #page(pieces: readonly Buffer[]): Promise<void> {
    if (pieces.length === 0) return;
    const session = this.#session;
    const { shared } = this.#hub;
    let left = false;
    this.#hub.writePage(session, pieces, () => {
      left = true;
    });
    if (await shared.patience.until(() => left || session.closed, shared.limits.pageTimeoutMs)) return;
    this.#hub.sessions.closeFor(session, 'slow');
  }

  /** Reads; null when that failed, after a pause. */
  async #read<T>(read: () => Promise<T>): Promise<{ readonly value: T } | null> {
    try {
      return { value: await read() };
    } catch (error) {
      const { shared, dialect } = this.#hub;
      shared.onTrouble(error, `what a socket missed could not be read (${dialect.name})`);
      const untilMs = shared.nowMs() + retryMs;
      await this.#wait(() => shared.nowMs() >= untilMs);
      return null;
    }
  }

  /** Until the read model has reached the ring, and has been asked to. */
  async #readModelMoves(): Promise<void> {
    const { shared, ring } = this.#hub;
    const unwatch = shared.readModel.watch(() => {});
    let looks = 0;
    await this.#wait(() => looks++ > 0 && shared.readModel.reached() >= ring.from);
    unwatch();
  }

  /** Waits, out of the session's patience; closes it as in a drain when that is used up. */
  async #wait(isTrue: () => boolean): Promise<void> {
    const { shared, sessions } = this.#hub;
    const session = this.#session;
    const beganMs = shared.nowMs();
    const inTime = await shared.patience.until(() => session.closed || isTrue(), this.#patienceMs);
    this.#patienceMs = Math.max(0, this.#patienceMs - (shared.nowMs() - beganMs));
    if (!inTime) sessions.closeFor(session, 'drained');
  }
}
