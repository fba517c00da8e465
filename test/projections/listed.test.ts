import type pg from 'pg';
import t from 'tap';
import { listed } from '../../projections/listed.ts';
import type { Queryable } from '../../projections/projection.ts';
import { scratchDatabase } from './scratch.ts';

t.test('a total is never at odds with its page, whatever happens between the two', async (t) => {
  const db = await scratchDatabase(t);
  await db.query('CREATE TABLE things (n integer)');
  const fill = async (count: number) => {
    await db.query('TRUNCATE things');
    await db.query('INSERT INTO things SELECT generate_series(1, $1::int)', [count]);
  };
  const query = { columns: 'n', those: 'FROM things WHERE n >= $1', order: 'n', values: [0] };

  /** The page is read when there are `then` things, and counted when there are `now`. */
  const seen = async (then: number, now: number, page?: { limit: number; offset: number }) => {
    await fill(then);
    const changing: Queryable = {
      async query<R extends pg.QueryResultRow>(asked: pg.QueryConfig) {
        if (!asked.text.startsWith('SELECT count')) return db.query<R>(asked);
        await fill(now);
        return db.query<R>(asked);
      },
    };
    const { items, total } = await listed(changing, query, page);
    return [items.length, total];
  };
  const cases: [then: number, now: number, limit: number, offset: number, shown: number, total: number, why: string][] =
    [
      [3, 3, 2, 0, 2, 3, 'a full page: what was counted'],
      [1, 0, 20, 0, 1, 1, 'what is shown counts'],
      [1, 5, 20, 0, 1, 1, 'the last page tells how many there are'],
      [4, 1, 2, 2, 2, 4, 'a full page: no fewer than it ends with'],
      [3, 9, 2, 2, 1, 3, 'the last page, after others'],
      [0, 4, 20, 0, 0, 0, 'nothing is nothing'],
      [3, 3, 2, 8, 0, 3, 'beyond the end: what was counted'],
      [3, 9, 2, 4, 0, 4, 'beyond the end: what comes later is not there yet'],
      [3, 3, 0, 0, 0, 3, 'a page of nothing tells nothing'],
      [3, 3, 0, 8, 0, 3, 'wherever it begins'],
    ];
  for (const [then, now, limit, offset, shown, total, why] of cases)
    t.same(await seen(then, now, { limit, offset }), [shown, total], why);
  t.same(await seen(3, 7), [3, 3], 'without a page all of it is shown');
});
