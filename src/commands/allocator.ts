import type pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import { isConnectionTrouble } from '../platform/postgres.ts';
import { type AppendOnce, type Draft, type Drawn, GroupDraw } from './draws.ts';

/**
 * Kinds of things that integers count, per workspace. The number of a kind never changes: spelled ids hold it. The last two
 * are spelled only: a room's invite code and an account's scoped key, each of the other's number.
 */
export const idKinds = {
  workspace: 1,
  account: 2,
  key: 3,
  connector: 4,
  template: 5,
  device: 6,
  room: 7,
  message: 8,
  webhook: 16,
  inviteCode: 17,
  scopedKey: 18,
} as const;

/** A kind of id that is counted. */
export type IdKind = Exclude<keyof typeof idKinds, 'inviteCode' | 'scopedKey'>;

/** The highest id of a kind that the log holds; 0 for none. Asked once per counter, when its row is missing. */
export type HighestId = (workspace: number, kind: IdKind) => Promise<number>;

/** Time a transaction that holds a counter may take: longer than an append's own, asked again (design section 7). */
const defaultTransactionTimeoutMs = 20_000;
/** Numbers tried when the streams of the next ones exist already (a counter older than the log). */
const maxUsedNumbers = 1_000;

/**
 * Ids that rise with the log on every node: the row of the counter is locked while the thing it numbers is appended.
 * A number is used up only when `make` succeeded.
 */
export class IdAllocator {
  readonly #pool: pg.Pool;
  readonly #highest: HighestId;
  readonly #transactionTimeoutMs: number;
  readonly #draws = new Map<string, GroupDraw>();

  constructor(pool: pg.Pool, highest: HighestId, { transactionTimeoutMs = defaultTransactionTimeoutMs } = {}) {
    this.#pool = pool;
    this.#highest = highest;
    this.#transactionTimeoutMs = transactionTimeoutMs;
  }

  /**
   * Appends one commit under the next number, together with those that others make of the same kind just now: for what is
   * made by the thousand. See `draws.ts`. Throws DomainError `unavailable` and `too-large`, and ClaimTakenError.
   */
  append(workspace: number, kind: IdKind, append: AppendOnce, draft: Draft): Promise<Drawn> {
    const name = `${workspace}/${kind}`;
    let draw = this.#draws.get(name);
    if (!draw) {
      draw = new GroupDraw(
        {
          pool: this.#pool,
          lock: (client) => this.#begin(client, workspace, kind),
          settle: (client, last) => this.#end(client, workspace, kind, last),
          highest: () => this.#highest(workspace, kind),
        },
        () => this.#draws.delete(name),
      );
      this.#draws.set(name, draw);
    }
    return draw.next(append, draft);
  }

  /**
   * Draws the next id and appends under it. `make` throws DomainError `already-exists` when the stream of that number
   * exists: the next number is tried. Throws `unavailable` when the counters cannot be reached.
   */
  async next<T>(workspace: number, kind: IdKind, make: (id: number) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    let broken: Error | undefined;
    try {
      let id = (await this.#begin(client, workspace, kind)) + 1;
      for (let tries = 0; ; tries++) {
        try {
          const made = await make(id);
          await this.#end(client, workspace, kind, id);
          return made;
        } catch (error) {
          if (!(error instanceof DomainError) || error.code !== 'already-exists' || tries >= maxUsedNumbers)
            throw error;
          id++;
        }
      }
    } catch (error) {
      await client.query('ROLLBACK').catch((failed: Error) => {
        broken = failed;
      });
      throw isConnectionTrouble(error) ? new DomainError('unavailable') : error;
    } finally {
      client.release(broken);
    }
  }

  async #connect(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect();
    } catch {
      throw new DomainError('unavailable');
    }
  }

  /**
   * Begins a transaction, locks the counter and answers the last number given. It need not be durable: the log knows better,
   * and its next flush takes the counter along.
   */
  async #begin(client: pg.PoolClient, workspace: number, kind: IdKind): Promise<number> {
    // One text, one turn: integers of ours, checked. The time runs from the lock on: waiting for it is not holding it, and who
    // waits for one that stands still must outlast it.
    const lock = `SELECT last FROM work.counters WHERE workspace = ${integer(workspace)} AND kind = ${idKinds[kind]} FOR UPDATE`;
    const untimed = 'BEGIN; SET LOCAL transaction_timeout = 0; SET LOCAL synchronous_commit = off';
    const begin = `${untimed}; ${lock}; SET LOCAL transaction_timeout = ${this.#transactionTimeoutMs}`;
    const answers = (await client.query(begin)) as unknown as pg.QueryResult<{ last: number }>[];
    const found = answers.at(-2)?.rows[0];
    if (found) return found.last;
    const highest = await this.#highest(workspace, kind);
    await client.query('INSERT INTO work.counters (workspace, kind, last) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [
      workspace,
      idKinds[kind],
      highest,
    ]);
    const locked = await client.query<{ last: number }>(lock);
    return locked.rows[0]?.last ?? highest;
  }

  async #end(client: pg.PoolClient, workspace: number, kind: IdKind, last: number): Promise<void> {
    const where = `workspace = ${integer(workspace)} AND kind = ${idKinds[kind]}`;
    await client.query(`UPDATE work.counters SET last = ${integer(last)} WHERE ${where}; COMMIT`);
  }
}

function integer(value: number): number {
  if (!Number.isSafeInteger(value)) throw new TypeError('an id is an integer');
  return value;
}
