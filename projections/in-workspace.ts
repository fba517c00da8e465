/** Queries of the things that a workspace holds by number: keys, connectors, templates. */
import type { QueryResultRow } from 'pg';
import { listed } from './listed.ts';
import type { Listed, Page, Queryable } from './projection.ts';
import { living } from './sql.ts';

/** A table of such things. All of it is SQL of ours, never of a request. */
export interface ThingTable {
  readonly table: string;
  /** What `columns` and `join` call the table. */
  readonly as: string;
  /** The column of the thing's number. */
  readonly id: string;
  readonly columns: string;
  /** What `columns` need beside the table; it changes neither which rows there are nor how many. */
  readonly join?: string;
}

/** One thing that was not deleted, or null. */
export async function findThing<T extends QueryResultRow>(
  db: Queryable,
  { table, as, id, columns, join = '' }: ThingTable,
  workspace: number,
  number: number,
): Promise<T | null> {
  const { rows } = await db.query<T>({
    text: `SELECT ${columns} FROM ${table} ${as} ${join}
      WHERE ${as}.workspace = $1 AND ${as}.${id} = $2 AND NOT ${as}.deleted AND ${living('$1')}`,
    values: [workspace, number],
  });
  return rows[0] ?? null;
}

/** A workspace's things, newest first; all of them without a page. */
export function listThings<T extends QueryResultRow>(
  db: Queryable,
  { table, as, id, columns, join = '' }: ThingTable,
  workspace: number,
  page?: Page,
): Promise<Listed<T>> {
  const those = `WHERE ${as}.workspace = $1 AND NOT ${as}.deleted AND ${living('$1')}`;
  const [from, order] = [`FROM ${table} ${as}`, `${as}.created_at DESC, ${as}.${id} DESC`];
  const query = { columns, those: `${from} ${join} ${those}`, counted: `${from} ${those}`, order, values: [workspace] };
  return listed(db, query, page);
}
