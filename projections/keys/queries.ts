import { findThing, listThings, type ThingTable } from '../in-workspace.ts';
import type { Listed, Page, Queryable } from '../projection.ts';
import { ms } from '../sql.ts';

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

const things: ThingTable = {
  table: 'keys',
  as: 'k',
  id: 'key',
  columns,
  join: 'LEFT JOIN key_usage u USING (workspace, key)',
};

/** One key that was not revoked, or null. */
export function findKey(db: Queryable, workspace: number, key: number): Promise<KeyView | null> {
  return findThing<KeyView>(db, things, workspace, key);
}

/** A workspace's keys, newest first; all of them without a page. */
export function listKeys(db: Queryable, workspace: number, page?: Page): Promise<Listed<KeyView>> {
  return listThings<KeyView>(db, things, workspace, page);
}
