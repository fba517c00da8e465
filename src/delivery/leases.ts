import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { Gather } from '../platform/gather.ts';
import { bigintArray, textArray } from '../platform/pg-arrays.ts';

/** How a claim ended: `taken-over` when another holder had the dispatch and ran out; `refused` while one has it. */
export type Claimed = 'claimed' | 'taken-over' | 'refused';

/** What leases need. */
export interface LeasesOptions {
  readonly pool: pg.Pool;
  /** Life of a lease that is not renewed, by the database's clock. */
  readonly lifeMs: number;
  /** Consumer group of the projector, by whose checkpoint a settled dispatch is let go. */
  readonly projectorGroup: string;
}

interface Release {
  readonly dispatch: string;
  readonly position: bigint;
}

/** Dispatches of one statement at most. */
const maxItems = 1_000;

/** Ends the leases of all who came before: for the only process there is, before it sends. What they had is taken over. */
export async function endLeases(pool: pg.Pool): Promise<void> {
  await pool.query(`UPDATE work.dispatch_leases SET until = '-infinity' WHERE until > '-infinity'`);
}

/**
 * Leases on dispatches: one process at a time sends a dispatch. They are hints for processes among each other, not the
 * truth: what is due is told by the log. Every statement carries many dispatches and commits synchronously, which is
 * what `release` relies on.
 */
export class Leases {
  /** Names this process, until it ends. */
  readonly holder = randomUUID();
  readonly #pool: pg.Pool;
  readonly #lifeMs: number;
  readonly #group: string;
  readonly #claims = new Gather<string, Claimed>(maxItems, (items) => this.#claim(items));
  readonly #releases = new Gather<Release, boolean>(maxItems, (items) => this.#release(items));

  constructor({ pool, lifeMs, projectorGroup }: LeasesOptions) {
    this.#pool = pool;
    this.#lifeMs = lifeMs;
    this.#group = projectorGroup;
  }

  /** Claims dispatches, each for itself, in the order given. */
  claim(dispatches: readonly string[]): Promise<Claimed[]> {
    return Promise.all(dispatches.map((dispatch) => this.#claims.ask(dispatch)));
  }

  /**
   * Lets a dispatch go once the projector's checkpoint, as the database has it now, stands at `position` or later; false
   * when it does not yet. True means that the rows show it and that no crash of the database takes that back: the projector
   * does not wait for the disk, but this commit comes after its own and does.
   */
  release(dispatch: string, position: bigint): Promise<boolean> {
    return this.#releases.ask({ dispatch, position });
  }

  /** Those of some dispatches that another process has. */
  async taken(dispatches: readonly string[]): Promise<ReadonlySet<string>> {
    if (dispatches.length === 0) return new Set();
    const { rows } = await this.#pool.query<{ dispatch: string }>({
      name: 'lease-taken',
      text: `SELECT dispatch FROM work.dispatch_leases
        WHERE dispatch = ANY ($1::text[]) AND holder <> $2 AND until >= now()`,
      values: [textArray(dispatches), this.holder],
    });
    return new Set(rows.map(({ dispatch }) => dispatch));
  }

  /** Renews; answers those that are not ours any more. */
  async renew(dispatches: readonly string[]): Promise<string[]> {
    const { rows } = await this.#pool.query<{ dispatch: string }>(
      `UPDATE work.dispatch_leases SET until = now() + $3::float8 * interval '1 millisecond'
        WHERE dispatch = ANY ($1::text[]) AND holder = $2 RETURNING dispatch`,
      [textArray(dispatches), this.holder, this.#lifeMs],
    );
    const kept = new Set(rows.map(({ dispatch }) => dispatch));
    return dispatches.filter((dispatch) => !kept.has(dispatch));
  }

  /** Removes leases that ran out `ageMs` ago: of dispatches that nobody will send any more. */
  async sweep(ageMs: number): Promise<void> {
    await this.#pool.query(
      `DELETE FROM work.dispatch_leases WHERE until < now() - $1::float8 * interval '1 millisecond'`,
      [ageMs],
    );
  }

  async #claim(dispatches: string[]): Promise<Claimed[]> {
    const { rows } = await this.#pool.query<{ dispatch: string; replaced: boolean }>({
      name: 'lease-claim',
      text: `INSERT INTO work.dispatch_leases AS l (dispatch, holder, until)
          SELECT u.dispatch, $2, now() + $3::float8 * interval '1 millisecond'
            FROM unnest($1::text[]) AS u(dispatch) ORDER BY u.dispatch
        ON CONFLICT (dispatch) DO UPDATE SET holder = excluded.holder, until = excluded.until
          WHERE l.until < now() OR l.holder = excluded.holder
        RETURNING l.dispatch, l.xmax::text <> '0' AS replaced`,
      values: [textArray(dispatches), this.holder, this.#lifeMs],
    });
    const replaced = new Map(rows.map((row) => [row.dispatch, row.replaced]));
    return dispatches.map((dispatch) => {
      const known = replaced.get(dispatch);
      return known === undefined ? 'refused' : known ? 'taken-over' : 'claimed';
    });
  }

  async #release(items: Release[]): Promise<boolean[]> {
    const { rows } = await this.#pool.query<{ position: string | null }>({
      name: 'lease-release',
      text: `WITH projected AS (SELECT min(position) AS position FROM work.checkpoints WHERE "group" = $3),
          gone AS (DELETE FROM work.dispatch_leases l
            USING unnest($1::text[], $2::bigint[]) AS u(dispatch, position), projected p
            WHERE l.dispatch = u.dispatch AND l.holder = $4 AND u.position <= coalesce(p.position, 0))
        SELECT position FROM projected`,
      values: [
        textArray(items.map(({ dispatch }) => dispatch)),
        bigintArray(items.map(({ position }) => position)),
        this.#group,
        this.holder,
      ],
    });
    const projected = BigInt(rows[0]?.position ?? 0);
    return items.map(({ position }) => position <= projected);
  }
}
