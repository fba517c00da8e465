import type { QueryResultRow } from 'pg';
import type { Listed, Page, Queryable } from './projection.ts';

/** What a list is made of. All of it is SQL of ours; what a request says is in `values`. */
export interface ListQuery {
  readonly columns: string;
  /** `FROM` and `WHERE`: which rows there are. */
  readonly those: string;
  /** The same for the count, where columns need a join that changes nothing of how many there are; `those` unless told. */
  readonly counted?: string;
  /** What of `ORDER BY` comes after the words. */
  readonly order: string;
  /** Of the parameters in `those`, and no others. */
  readonly values: readonly unknown[];
}

/**
 * How many there are in all, of a page that shows some of them and of what was counted at another moment: never fewer than are
 * shown, and where the page is the last, as many as it ends with.
 */
export function totalOf(shown: number, counted: number, page?: Page): number {
  const { offset, limit } = page ?? { offset: 0, limit: Number.POSITIVE_INFINITY };
  if (limit === 0) return counted;
  if (shown === 0 && offset > 0) return Math.min(counted, offset);
  return shown < limit ? offset + shown : Math.max(counted, offset + shown);
}

/**
 * One page of what there is, all of it without a page, and how many there are in all. Two statements side by side, so that
 * neither waits for the other.
 */
export async function listed<T extends QueryResultRow>(
  db: Queryable,
  { columns, those, counted = those, order, values }: ListQuery,
  page?: Page,
): Promise<Listed<T>> {
  const [limit, offset] = [values.length + 1, values.length + 2];
  const [{ rows }, total] = await Promise.all([
    db.query<T>({
      text: `SELECT ${columns} ${those} ORDER BY ${order} LIMIT $${limit} OFFSET $${offset}`,
      values: [...values, page?.limit ?? null, page?.offset ?? 0],
    }),
    db.query<{ count: number }>({ text: `SELECT count(*)::int AS count ${counted}`, values: [...values] }),
  ]);
  return { items: rows, total: totalOf(rows.length, total.rows[0]?.count ?? 0, page) };
}
