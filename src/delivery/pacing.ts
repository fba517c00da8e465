import type { ConnectorType } from '../commands/index.ts';

/** Sends per second; 0 is off. */
export interface Pace {
  /** Of one connector, by its type. */
  readonly perConnector: Readonly<Record<ConnectorType, number>>;
  /** To one Telegram chat. */
  readonly perTelegramChat: number;
  /** Of all connectors together. */
  readonly overall: number;
}

/** The sheet's figures (section 12). */
export const defaultPace: Pace = {
  perConnector: { whatsapp: 80, telegram: 30, twilio: 10 },
  perTelegramChat: 1,
  overall: 0,
};

/** Share of a second's tokens that may be saved up: in no second more than a tenth above the rate leaves. */
const burstShare = 0.1;

/**
 * A bucket that ran empty rests until it holds this long's tokens: what leaves together is answered, recorded and reported
 * together, which costs a fraction of one at a time (200/s: 35 % of a core one by one, 15 % in tens).
 */
const restMs = 50;

/** A token bucket. Times are milliseconds of a monotonic clock, handed in. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #most: number;
  /** Tokens that end a rest. */
  readonly #rested: number;
  #resting = false;
  #tokens: number;
  #at = Number.NEGATIVE_INFINITY;

  /** `perSecond` of 0 lets everything through. */
  constructor(perSecond: number) {
    this.#perMs = perSecond / 1_000;
    this.#most = Math.max(1, perSecond * burstShare);
    this.#rested = Math.min(this.#most, Math.max(1, this.#perMs * restMs));
    this.#tokens = this.#most;
  }

  /** Time until a token is there; 0 when one is. */
  waitMs(nowMs: number): number {
    if (this.#perMs === 0) return 0;
    this.#refill(nowMs);
    if (this.#tokens < 1) this.#resting = true;
    else if (this.#tokens >= this.#rested) this.#resting = false;
    return this.#resting ? (this.#rested - this.#tokens) / this.#perMs : 0;
  }

  take(nowMs: number): void {
    if (this.#perMs === 0) return;
    this.#refill(nowMs);
    this.#tokens -= 1;
  }

  #refill(nowMs: number): void {
    // A fraction that rounding leaves missing would otherwise be waited for again.
    if (nowMs > this.#at) this.#tokens = Math.min(this.#most, this.#tokens + (nowMs - this.#at) * this.#perMs + 1e-9);
    this.#at = Math.max(this.#at, nowMs);
  }
}

/** Chats remembered at most; those that may be written to again go first. */
const maxChats = 10_000;

/** When each chat of a connector may be written to again. */
export class ChatPace {
  readonly #gapMs: number;
  readonly #nextAt = new Map<string, number>();

  constructor(perSecond: number) {
    this.#gapMs = perSecond === 0 ? 0 : 1_000 / perSecond;
  }

  waitMs(chat: string, nowMs: number): number {
    if (this.#gapMs === 0) return 0;
    return Math.max(0, (this.#nextAt.get(chat) ?? 0) - nowMs);
  }

  take(chat: string, nowMs: number): void {
    if (this.#gapMs === 0) return;
    // Entries stand in the order of their time, as every one has the same gap.
    this.#nextAt.delete(chat);
    this.#nextAt.set(chat, nowMs + this.#gapMs);
    for (const [old, at] of this.#nextAt) {
      if (at > nowMs && this.#nextAt.size <= maxChats) break;
      this.#nextAt.delete(old);
    }
  }
}
