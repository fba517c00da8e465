import pg from 'pg';
import type { Test } from 'tap';

/**
 * Holds the rows of a product as they are, until what it answers is called or the test ends: the projector writes its checkpoint
 * in the transaction of the rows, and stands still while that is locked.
 */
export async function heldRows(test: Test, databaseUrl: string): Promise<() => Promise<void>> {
  const holder = new pg.Client({ connectionString: databaseUrl });
  holder.on('error', () => {});
  test.teardown(() => holder.end());
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query(`SELECT FROM work.checkpoints WHERE "group" = 'projector' FOR UPDATE`);
  return async () => {
    await holder.query('COMMIT');
  };
}
