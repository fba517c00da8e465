import type { PendingDispatch } from '../../projections/dispatches/queries.ts';
import type { ConnectorType } from '../commands/index.ts';
import type { SendResult } from './connectors/provider.ts';
import { ChatPace, type Pace, TokenBucket } from './pacing.ts';
import type { SlotTaker, Trust } from './slots.ts';

/** A claimed dispatch that waits for its turn. `verify`: its stream is read before it is sent. */
export interface ReadyDispatch {
  readonly row: PendingDispatch;
  readonly verify: boolean;
}

/** Attempts of a new lane that may be under way. Each that is answered allows one more: twice as many every time around. */
const firstLimit = 1;
/** Throttled answers in a row after which the whole lane waits for what the provider asks. */
const throttlesToPause = 3;
/** An attempt that takes longer makes its lane suspect. */
const slowMs = 1_000;

/** What may happen next in a lane. */
export type Next = { readonly next: ReadyDispatch } | { readonly waitMs: number } | null;

/**
 * One connector on its way out: what is claimed for it, what is under way, its pace, and how much of either its provider
 * takes just now. Times are milliseconds of a monotonic clock.
 */
export class Lane implements SlotTaker {
  readonly workspace: number;
  readonly connector: number;
  /** Known from the first dispatch on. */
  type: ConnectorType | null = null;
  /** Something may be due that is not claimed. */
  dirty = true;
  /** When something comes due, as far as this process knows. */
  dirtyAt = Number.POSITIVE_INFINITY;
  /** The fill under way. */
  filling: Promise<void> | null = null;
  timer: NodeJS.Timeout | null = null;
  timerAt = Number.POSITIVE_INFINITY;
  /** Nothing is sent before this. */
  pausedUntil = 0;
  usedAt = 0;
  /** Dispatches held for it, settled ones included. */
  held = 0;
  /** Suspect: the provider has been slow, away or throttling here lately. */
  trust: Trust = 'new';
  readonly #most: number;
  readonly #pace: Pace;
  readonly #ready: ReadyDispatch[] = [];
  readonly #startedAt = new Map<string, number>();
  #limit = firstLimit;
  #throttles = 0;
  #bucket: TokenBucket | null = null;
  #chats: ChatPace | null = null;

  constructor(workspace: number, connector: number, most: number, pace: Pace) {
    this.workspace = workspace;
    this.connector = connector;
    this.#most = most;
    this.#pace = pace;
  }

  get readyCount(): number {
    return this.#ready.length;
  }

  /** Each chat has a pace of its own. */
  get pacesChats(): boolean {
    return this.#chats !== null;
  }

  get inFlight(): number {
    return this.#startedAt.size;
  }

  get idle(): boolean {
    return !this.dirty && !this.filling && !this.timer && this.held === 0;
  }

  /** Attempts that may be under way. */
  get limit(): number {
    return this.#limit;
  }

  /** How many more dispatches are worth claiming now. */
  get wanted(): number {
    const half = this.#limit;
    return this.#ready.length > half / 2 ? 0 : 2 * half - this.#ready.length;
  }

  /** Above 0 when a dispatch should not be claimed yet: its chat is not to be written to, or has one that is ready. */
  chatWaitMs(row: PendingDispatch, now: number): number {
    this.#learn(row.connectorType);
    if (!this.#chats) return 0;
    const waitMs = this.#chats.waitMs(row.to, now);
    return waitMs > 0 || !this.#ready.some((ready) => ready.row.to === row.to) ? waitMs : 1;
  }

  add(ready: ReadyDispatch): void {
    this.#learn(ready.row.connectorType);
    this.#ready.push(ready);
  }

  /** The dispatch whose turn it is, how long until there is one, or null when none is to be sent before something ends. */
  next(now: number): Next {
    if (this.pausedUntil > now) return { waitMs: this.pausedUntil - now };
    if (this.#ready.length === 0 || this.inFlight >= this.#limit) return null;
    const paceMs = this.#bucket?.waitMs(now) ?? 0;
    if (paceMs > 0) return { waitMs: paceMs };
    let waitMs = Number.POSITIVE_INFINITY;
    for (const ready of this.#ready) {
      const chatMs = this.#chats?.waitMs(ready.row.to, now) ?? 0;
      if (chatMs === 0) return { next: ready };
      waitMs = Math.min(waitMs, chatMs);
    }
    return { waitMs };
  }

  begin(ready: ReadyDispatch, now: number): void {
    this.#ready.splice(this.#ready.indexOf(ready), 1);
    this.#startedAt.set(ready.row.dispatch, now);
    this.#bucket?.take(now);
    this.#chats?.take(ready.row.to, now);
  }

  end(dispatch: string): void {
    this.#startedAt.delete(dispatch);
  }

  /** Takes out what waits beyond `keep`. */
  shed(keep: number): ReadyDispatch[] {
    return this.#ready.splice(keep);
  }

  /** Takes out one that waits, if it does. */
  drop(dispatch: string): void {
    const at = this.#ready.findIndex(({ row }) => row.dispatch === dispatch);
    if (at >= 0) this.#ready.splice(at, 1);
  }

  /** Learns from an answer: fewer at once when it was none, a pause when the provider keeps asking for one. */
  answered(result: SendResult, now: number, pauseMs: number): void {
    if (result.outcome === 'sent' || result.outcome === 'rejected') {
      this.#limit = Math.min(this.#most, this.#limit + 1);
      this.#throttles = 0;
      this.trust = 'proven';
      return;
    }
    this.#limit = Math.max(1, Math.floor(this.#limit / 2));
    this.trust = 'suspect';
    if (result.outcome !== 'throttled') return;
    this.#throttles++;
    if (this.#throttles >= throttlesToPause) this.pausedUntil = Math.max(this.pausedUntil, now + pauseMs);
  }

  /** Looks for attempts that take long. */
  watchSlow(now: number): void {
    // The one that began first stands first.
    const oldest = this.#startedAt.values().next();
    if (!oldest.done && now - oldest.value > slowMs) this.trust = 'suspect';
  }

  #learn(type: ConnectorType): void {
    if (this.type !== null) return;
    this.type = type;
    const rate = this.#pace.perConnector[type];
    if (rate > 0) this.#bucket = new TokenBucket(rate);
    if (type === 'telegram' && this.#pace.perTelegramChat > 0) this.#chats = new ChatPace(this.#pace.perTelegramChat);
  }
}
