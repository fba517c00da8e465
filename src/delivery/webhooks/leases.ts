import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { WebhookRef } from '../../../projections/webhooks/queries.ts';
import { bigintArray, intArray } from '../../platform/pg-arrays.ts';

/** A webhook that this process has, and up to where nothing of it is open: what a later holder begins after. */
export interface Holding extends WebhookRef {
  readonly position: bigint;
}

/**
 * Leases on webhooks: one process at a time delivers to a webhook. Hints of processes to each other, not the truth: what is to
 * be delivered is told by the log. A lease keeps a position that spares its next holder the log's beginning.
 */
export class WebhookLeases {
  /** Names this process, until it ends. */
  readonly holder = randomUUID();
  readonly #pool: pg.Pool;
  readonly #lifeMs: number;

  constructor(pool: pg.Pool, lifeMs: number) {
    this.#pool = pool;
    this.#lifeMs = lifeMs;
  }

  /** Says that this process lives; answers how many do. */
  async alive(): Promise<number> {
    const { rows } = await this.#pool.query<{ count: number }>({
      name: 'webhook-holders',
      text: `WITH mine AS (INSERT INTO work.webhook_holders AS h (holder, until)
            VALUES ($1, now() + $2::float8 * interval '1 millisecond')
            ON CONFLICT (holder) DO UPDATE SET until = excluded.until)
        SELECT 1 + count(*)::int AS count FROM work.webhook_holders WHERE holder <> $1 AND until > now()`,
      values: [this.holder, this.#lifeMs],
    });
    return rows[0]?.count ?? 1;
  }

  /** Webhooks that other processes have now. */
  async elsewhere(): Promise<WebhookRef[]> {
    const { rows } = await this.#pool.query<WebhookRef>({
      name: 'webhook-leases-elsewhere',
      text: 'SELECT workspace, webhook FROM work.webhook_leases WHERE holder <> $1 AND until >= now()',
      values: [this.holder],
    });
    return rows;
  }

  /** Claims webhooks that nobody has; answers those it got, with the position to begin after. */
  async claim(webhooks: readonly WebhookRef[]): Promise<Holding[]> {
    if (webhooks.length === 0) return [];
    const { rows } = await this.#pool.query<WebhookRef & { position: string }>({
      name: 'webhook-lease-claim',
      text: `INSERT INTO work.webhook_leases AS l (workspace, webhook, holder, until, position)
          SELECT u.workspace, u.webhook, $3, now() + $4::float8 * interval '1 millisecond', 0
            FROM unnest($1::int[], $2::int[]) AS u(workspace, webhook) ORDER BY u.workspace, u.webhook
        ON CONFLICT (workspace, webhook) DO UPDATE SET holder = excluded.holder, until = excluded.until
          WHERE l.until < now() OR l.holder = excluded.holder
        RETURNING l.workspace, l.webhook, l.position`,
      values: [...refs(webhooks), this.holder, this.#lifeMs],
    });
    return rows.map((row) => ({ ...row, position: BigInt(row.position) }));
  }

  /** Renews; answers those that are still ours. */
  async renew(holdings: readonly Holding[]): Promise<WebhookRef[]> {
    if (holdings.length === 0) return [];
    const { rows } = await this.#pool.query<WebhookRef>({
      name: 'webhook-lease-renew',
      text: `UPDATE work.webhook_leases l SET until = now() + $5::float8 * interval '1 millisecond',
            position = greatest(l.position, u.position)
          FROM unnest($1::int[], $2::int[], $3::bigint[]) AS u(workspace, webhook, position)
          WHERE l.workspace = u.workspace AND l.webhook = u.webhook AND l.holder = $4
          RETURNING l.workspace, l.webhook`,
      values: [...refs(holdings), bigintArray(holdings.map(({ position }) => position)), this.holder, this.#lifeMs],
    });
    return rows;
  }

  /** Lets go. */
  async release(holdings: readonly Holding[]): Promise<void> {
    if (holdings.length === 0) return;
    await this.#pool.query({
      name: 'webhook-lease-release',
      text: `UPDATE work.webhook_leases l SET until = '-infinity', position = greatest(l.position, u.position)
          FROM unnest($1::int[], $2::int[], $3::bigint[]) AS u(workspace, webhook, position)
          WHERE l.workspace = u.workspace AND l.webhook = u.webhook AND l.holder = $4`,
      values: [...refs(holdings), bigintArray(holdings.map(({ position }) => position)), this.holder],
    });
  }

  /** Ends this process's own standing. */
  async leave(): Promise<void> {
    await this.#pool.query('DELETE FROM work.webhook_holders WHERE holder = $1 OR until < now()', [this.holder]);
  }

  /** Ends the leases of all who came before: for the only process there is. */
  async endAll(): Promise<void> {
    await this.#pool.query(
      `WITH gone AS (DELETE FROM work.webhook_holders) UPDATE work.webhook_leases SET until = '-infinity'
        WHERE until > '-infinity'`,
    );
  }

  /** Forgets a webhook that was deleted. */
  async forget({ workspace, webhook }: WebhookRef): Promise<void> {
    await this.#pool.query('DELETE FROM work.webhook_leases WHERE workspace = $1 AND webhook = $2 AND holder = $3', [
      workspace,
      webhook,
      this.holder,
    ]);
  }
}

function refs(webhooks: readonly WebhookRef[]): [Buffer, Buffer] {
  return [intArray(webhooks.map(({ workspace }) => workspace)), intArray(webhooks.map(({ webhook }) => webhook))];
}
