import type pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import { isConnectionTrouble } from '../platform/postgres.ts';

/** Kinds of things that integers count, per workspace. The number of a kind never changes: spelled ids hold it. */
export const idKinds = { workspace: 1, account: 2, key: 3, connector: 4, template: 5 } as const;

/** A kind of id. */
export type IdKind = keyof typeof idKinds;

/** The highest id of a kind that the log holds; 0 for none. Asked once per counter, when its row is missing. */
export type HighestId = (workspace: number, kind: IdKind) => Promise<number>;

/** Time a transaction that holds a counter may take: longer than an append's own (design section 7). */
const transactionTimeoutMs = 15_000;
/** Numbers tried when the streams of the next ones exist already (a counter older than the log). */
const maxUsedNumbers = 1_000;

/**
 * Ids that rise with the log on every node: the row of the counter is locked while the thing it numbers is appended.
 * A number is used up only when `make` succeeded.
 */
export class IdAllocator {
  readonly #pool: pg.Pool;
  readonly #highest: HighestId;

  constructor(pool: pg.Pool, highest: HighestId) {
    this.#pool = pool;
    this.#highest = highest;
  }

  /**
   * Draws the next id and appends under it. `make` throws DomainError `already-exists` when the stream of that number
   * exists: the next number is tried. Throws `unavailable` when the counters cannot be reached.
   */
  async next<T>(workspace: number, kind: IdKind, make: (id: number) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    let broken: Error | undefined;
    try {
      await client.query('BEGIN');
      await client.query(`SET LOCAL transaction_timeout = ${transactionTimeoutMs}`);
      let id = await this.#draw(client, workspace, kind);
      for (let tries = 0; ; tries++) {
        try {
          const made = await make(id);
          await client.query('UPDATE work.counters SET last = $3 WHERE workspace = $1 AND kind = $2', [
            workspace,
            idKinds[kind],
            id,
          ]);
          await client.query('COMMIT');
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

  /** Locks the counter and answers the next number. */
  async #draw(client: pg.PoolClient, workspace: number, kind: IdKind): Promise<number> {
    const values = [workspace, idKinds[kind]];
    const lock = 'SELECT last FROM work.counters WHERE workspace = $1 AND kind = $2 FOR UPDATE';
    const found = await client.query<{ last: number }>(lock, values);
    if (found.rows[0]) return found.rows[0].last + 1;
    const highest = await this.#highest(workspace, kind);
    await client.query('INSERT INTO work.counters (workspace, kind, last) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [
      ...values,
      highest,
    ]);
    const locked = await client.query<{ last: number }>(lock, values);
    return (locked.rows[0]?.last ?? highest) + 1;
  }
}
