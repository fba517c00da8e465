import type pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import { BoundedMap } from '../platform/bounded-map.ts';
import type { Clock } from '../platform/clock.ts';
import { isConnectionTrouble } from '../platform/postgres.ts';
import { LeaseSize } from './lease-size.ts';

/** Accepted messages of an account in a calendar month (`YYYY-MM`, UTC), as the log has them. */
export type MonthCount = (workspace: number, account: number, month: string) => Promise<number>;

interface Block {
  points: number;
  /** All points of the month are given out. */
  exhausted: boolean;
  lease: Promise<void> | null;
  /** Tentative takers who are not through. */
  pending: number;
  /** Who waits for the next of them to be through. */
  readonly waiting: (() => void)[];
  readonly size: LeaseSize;
  readonly month: string;
}

const maxBlocks = 100_000;
const firstLease = 100;

/**
 * The monthly quota over all processes. Points are leased in small blocks from a durable row that starts at what the log
 * counts: together the processes never let more through than the quota says. Points of a block that a crash took with it
 * come back when a process starts alone (`settle`).
 */
export class Quota {
  readonly #pool: pg.Pool;
  readonly #clock: Clock;
  readonly #count: MonthCount;
  readonly #blocks = new BoundedMap<string, Block>(maxBlocks);
  /** The month of the latest look: it is asked with every send. */
  #month = { name: '', from: 0, to: 0 };

  constructor(pool: pg.Pool, clock: Clock, count: MonthCount) {
    this.#pool = pool;
    this.#clock = clock;
    this.#count = count;
  }

  /**
   * Takes points of this month; the number given, at most those asked for. A limit of 0 is no limit. `tentative`: some may be
   * given back, and `through` follows; whoever finds too few waits for that.
   */
  take(
    workspace: number,
    account: number,
    limit: number,
    points = 1,
    { tentative = false }: { readonly tentative?: boolean } = {},
  ): number | Promise<number> {
    if (limit === 0) return points;
    const block = this.#block(workspace, account);
    if (block.points < points) return this.#leaseAndTake(block, { workspace, account, limit, points, tentative });
    block.points -= points;
    if (tentative) block.pending++;
    return points;
  }

  /** Takes one point of this month, tentatively, when that needs no lease; false when it does. */
  takeOne(workspace: number, account: number, limit: number): boolean {
    if (limit === 0) return true;
    const block = this.#block(workspace, account);
    if (block.points < 1) return false;
    block.points--;
    block.pending++;
    return true;
  }

  /** What was taken tentatively, in this month (see `giveBack`), is spent or was given back. */
  through(workspace: number, account: number, limit: number, month: string): void {
    if (limit === 0) return;
    const block = this.#block(workspace, account);
    if (block.month !== month) return;
    block.pending--;
    wake(block);
  }

  /**
   * Gives points back that were taken for what was not accepted after all. `month` is the one that `month()` named when
   * they were taken: to the next one they do not belong.
   */
  giveBack(workspace: number, account: number, limit: number, points: number, month: string): void {
    if (limit === 0 || points === 0) return;
    const block = this.#block(workspace, account);
    if (block.month === month) block.points += points;
  }

  /** The current month, `YYYY-MM`, UTC. */
  month(): string {
    const now = this.#clock.now();
    if (now < this.#month.from || now >= this.#month.to) {
      const date = new Date(now);
      const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
      this.#month = {
        name: date.toISOString().slice(0, 7),
        from: Date.UTC(year, month),
        to: Date.UTC(year, month + 1),
      };
    }
    return this.#month.name;
  }

  /** The end of the current month, milliseconds since the epoch. */
  monthEndsAt(): number {
    this.month();
    return this.#month.to;
  }

  /** Forgets what other processes were given: only for a process that is alone, before it takes the first point. */
  async settle(): Promise<void> {
    await this.#pool.query('DELETE FROM work.quotas');
  }

  /** Gives back to the row what this process leased and did not use. */
  async close(): Promise<void> {
    for (const [name, block] of this.#blocks) {
      const [workspace, account] = name.split(':').map(Number);
      if (block.points === 0) continue;
      await this.#pool
        .query('UPDATE work.quotas SET granted = granted - $4 WHERE workspace = $1 AND account = $2 AND month = $3', [
          workspace,
          account,
          block.month,
          block.points,
        ])
        .catch(() => {});
      block.points = 0;
    }
  }

  #block(workspace: number, account: number): Block {
    const name = `${workspace}:${account}`;
    const month = this.month();
    let block = this.#blocks.get(name);
    if (block?.month !== month) {
      // Of a month that is over nobody is told to be through.
      if (block) letGo(block);
      const size = new LeaseSize(firstLease);
      block = { points: 0, exhausted: false, lease: null, pending: 0, waiting: [], size, month };
      this.#blocks.delete(name);
      this.#blocks.set(name, block);
    }
    return block;
  }

  async #leaseAndTake(
    block: Block,
    want: { workspace: number; account: number; limit: number; points: number; tentative: boolean },
  ): Promise<number> {
    block.exhausted = false;
    while (block.points < want.points && !block.exhausted) {
      block.lease ??= this.#lease(block, want).finally(() => {
        block.lease = null;
      });
      await block.lease;
    }
    // Not longer than for those who have or want points already: others come meanwhile.
    let before = block.pending + block.waiting.length;
    for (; before > 0 && block.pending > 0 && block.points < want.points; before--) {
      await new Promise<void>((resolve) => block.waiting.push(resolve));
    }
    const taken = Math.min(want.points, block.points);
    block.points -= taken;
    if (want.tentative) block.pending++;
    return taken;
  }

  async #lease(
    block: Block,
    want: { workspace: number; account: number; limit: number; points: number },
  ): Promise<void> {
    const { workspace, account, limit, points } = want;
    const wanted = block.size.next(limit, points, this.#clock.monotonicMs());
    try {
      const found = await this.#pool.query(
        'SELECT FROM work.quotas WHERE workspace = $1 AND account = $2 AND month = $3',
        [workspace, account, block.month],
      );
      const counted = found.rowCount ? 0 : await this.#count(workspace, account, block.month);
      const { rows } = await this.#pool.query<{ taken: string }>(
        'SELECT work.take_quota($1, $2, $3, $4, $5, $6) AS taken',
        [workspace, account, block.month, wanted, limit, counted],
      );
      const taken = Number(rows[0]?.taken ?? 0);
      block.points += taken;
      if (taken < wanted) block.exhausted = true;
    } catch (error) {
      if (isConnectionTrouble(error)) throw new DomainError('unavailable');
      throw error;
    }
  }
}

function letGo(block: Block): void {
  block.pending = 0;
  wake(block);
}

function wake({ waiting }: Block): void {
  for (const each of waiting.splice(0)) each();
}
