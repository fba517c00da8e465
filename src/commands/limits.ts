import type pg from 'pg';
import { BoundedMap } from '../platform/bounded-map.ts';
import type { Clock } from '../platform/clock.ts';
import { LeaseSize } from './lease-size.ts';

/** A rate limit: a fixed window from the first request on. */
export interface RateLimit {
  /** Names the counter; no personal data beyond an address. */
  readonly scope: string;
  /** Points in a window; 0 switches the limit off. */
  readonly limit: number;
  readonly windowMs: number;
  /** Who goes over the limit is refused for this long from then on. */
  readonly blockMs?: number;
}

/** What came of asking for points. */
export interface RateTaken {
  /** Points given, at most those asked for. */
  readonly granted: number;
  readonly limit: number;
  readonly remaining: number;
  /** End of the window, milliseconds since the epoch. */
  readonly resetAt: number;
}

interface Block {
  /** Points leased by this process and not given yet. */
  points: number;
  /** Points that all processes together can still lease, as last heard. */
  open: number;
  /** End of the window, milliseconds since the epoch; 0 until the first lease has told. */
  endsAt: number;
  /** The limit at which a lease found nothing left in this window; 0 while none did. */
  spentAt: number;
  lease: Promise<void> | null;
  readonly size: LeaseSize;
}

/** Windows that are remembered here. */
const maxBlocks = 100_000;
const firstLease = 100;

/**
 * Rate limits over all processes: each leases points in blocks from an unlogged table and gives them out from memory.
 * A single process is exact; several never exceed the limit together, and may fall short by a block each.
 * Storage that fails lets requests through (MessageJS sheet, section 15).
 */
export class RateLimiter {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;
  readonly #blocks = new BoundedMap<string, Block>(maxBlocks);

  constructor(pool: pg.Pool, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** Removes the counters of windows that ended. */
  async sweep(): Promise<void> {
    await this.#pool.query('DELETE FROM work.rate_windows WHERE ends_at < $1', [this.#clock.now() - 3_600_000]);
  }

  /** Takes points; synchronous while a block lasts, and when the window is known to be used up. */
  take(limit: RateLimit, points = 1): RateTaken | Promise<RateTaken> {
    if (limit.limit === 0) return { granted: points, limit: 0, remaining: 0, resetAt: 0 };
    const now = this.#clock.now();
    let block = this.#blocks.get(limit.scope);
    if (!block || (block.endsAt !== 0 && block.endsAt <= now)) {
      block = { points: 0, open: limit.limit, endsAt: 0, spentAt: 0, lease: null, size: new LeaseSize(firstLease) };
      // Anew, so that the windows that go first are the oldest.
      this.#blocks.delete(limit.scope);
      this.#blocks.set(limit.scope, block);
    }
    if (block.points >= points || block.spentAt >= limit.limit) return give(block, limit, points);
    return this.#leaseAndTake(block, limit, points);
  }

  async #leaseAndTake(block: Block, limit: RateLimit, points: number): Promise<RateTaken> {
    // Who waited for another's lease may find it used up: each round leases anew until a lease finds nothing left. Asking
    // until then, and not just until all is given out, is what makes storage notice who goes over the limit (`blockMs`).
    while (block.points < points && block.spentAt < limit.limit) {
      block.lease ??= this.#lease(block, limit, points).finally(() => {
        block.lease = null;
      });
      await block.lease;
    }
    return give(block, limit, points);
  }

  async #lease(block: Block, limit: RateLimit, points: number): Promise<void> {
    const now = this.#clock.now();
    const wanted = block.size.next(limit.limit, points, this.#clock.monotonicMs());
    try {
      const { rows } = await this.#pool.query<{ granted: string; used: string; ends_at: string }>(
        'SELECT granted, used, ends_at FROM work.take_points($1, $2, $3, $4, $5, $6)',
        [limit.scope, wanted, limit.limit, limit.windowMs, limit.blockMs ?? 0, now],
      );
      const row = rows[0] as (typeof rows)[number];
      const granted = Number(row.granted);
      const endsAt = Number(row.ends_at);
      // Points of a window that has ended meanwhile end with it.
      if (block.endsAt !== 0 && block.endsAt !== endsAt) block.points = 0;
      block.points += granted;
      block.open = Math.max(0, limit.limit - Number(row.used));
      block.endsAt = endsAt;
      if (granted === 0) block.spentAt = limit.limit;
    } catch {
      block.points += wanted;
      block.endsAt ||= now + limit.windowMs;
    }
  }
}

function give(block: Block, limit: RateLimit, points: number): RateTaken {
  const granted = Math.min(points, block.points);
  block.points -= granted;
  return { granted, limit: limit.limit, remaining: block.points + block.open, resetAt: block.endsAt };
}
