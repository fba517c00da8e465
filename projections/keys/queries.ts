import type { Listed, Page, Queryable } from '../projection.ts';
import { living, ms } from '../sql.ts';

/** An API key as it can be read. Times are milliseconds since the epoch. */
export interface KeyView {
  readonly workspace: number;
  readonly key: number;
  readonly name: string;
  readonly mode: 'live' | 'test';
  /** Messages an hour. */
  readonly rateLimit: number;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  /** Null before the first dispatch accepted with it. */
  readonly lastUsedAt: number | null;
}

const columns = `k.workspace, k.key, k.name, k.mode, k.rate_limit AS "rateLimit", ${ms('k.created_at')} AS "createdAt",
  ${ms('k.expires_at')} AS "expiresAt", ${ms('u.last_used_at')} AS "lastUsedAt"`;

/** One key that was not revoked, or null. */
export async function findKey(db: Queryable, workspace: number, key: number): Promise<KeyView | null> {
  const { rows } = await db.query<KeyView>({
    text: `SELECT ${columns} FROM keys k LEFT JOIN key_usage u USING (workspace, key)
      WHERE k.workspace = $1 AND k.key = $2 AND NOT k.deleted AND ${living('$1')}`,
    values: [workspace, key],
  });
  return rows[0] ?? null;
}

/** A workspace's keys, newest first; all of them without a page. */
export async function listKeys(db: Queryable, workspace: number, page?: Page): Promise<Listed<KeyView>> {
  const [{ rows }, total] = await Promise.all([
    db.query<KeyView>({
      text: `SELECT ${columns} FROM keys k LEFT JOIN key_usage u USING (workspace, key)
        WHERE k.workspace = $1 AND NOT k.deleted AND ${living('$1')}
        ORDER BY k.created_at DESC, k.key DESC LIMIT $2 OFFSET $3`,
      values: [workspace, page?.limit ?? null, page?.offset ?? 0],
    }),
    db.query<{ count: number }>({
      text: `SELECT count(*)::int AS count FROM keys k WHERE k.workspace = $1 AND NOT k.deleted AND ${living('$1')}`,
      values: [workspace],
    }),
  ]);
  return { items: rows, total: total.rows[0]?.count ?? 0 };
}
