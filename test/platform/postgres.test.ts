/** Pools that survive the server's going away, and telling that trouble from others. */
import type pg from 'pg';
import t, { type Test } from 'tap';
import { inTransaction, isConnectionTrouble, openPool } from '../../src/platform/postgres.ts';
import { testDatabase } from '../support/postgres.ts';

async function pool(t: Test, options: { transactionTimeoutMs?: number; statementTimeoutMs?: number } = {}) {
  const { url } = await testDatabase(t);
  const opened = openPool({ url, name: 'test', maxConnections: 2, searchPath: 'shop,public', ...options });
  t.teardown(() => opened.end());
  await opened.query('CREATE SCHEMA shop');
  await opened.query('CREATE TABLE notes (n int)');
  return opened;
}

/** Ends a backend, on another connection of the pool, and waits until it is gone. */
async function end(pool: pg.Pool, pid: number): Promise<void> {
  await pool.query('SELECT pg_terminate_backend($1, 5000)', [pid]);
}

async function pidOf(client: pg.PoolClient): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return (rows[0] as { pid: number }).pid;
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

t.test('a pool', async (t) => {
  const notes = await pool(t);
  const { rows } = await notes.query(
    `SELECT current_setting('application_name') AS name, current_setting('search_path') AS path, current_setting('jit') AS jit`,
  );
  t.strictSame(rows, [{ name: 'parley-test', path: 'shop,public', jit: 'off' }]);
  const client = await notes.connect();
  const pid = await pidOf(client);
  const broken = new Promise((resolve) => notes.once('error', resolve));
  const other = await notes.connect();
  client.release();
  await other.query('SELECT pg_terminate_backend($1, 5000)', [pid]);
  await broken;
  other.release();
  t.equal(notes.totalCount, 1);
  t.equal((await notes.query('SELECT 1')).rowCount, 1, 'a connection that broke while idle is replaced');
});

t.test('a transaction is whole or absent', async (t) => {
  const notes = await pool(t);
  t.equal(
    await inTransaction(notes, async (client) => {
      await client.query('INSERT INTO notes VALUES (1)');
      return 'done';
    }),
    'done',
  );
  await t.rejects(
    inTransaction(notes, async (client) => {
      await client.query('INSERT INTO notes VALUES (2)');
      throw new Error('changed my mind');
    }),
    { message: 'changed my mind' },
  );
  await t.rejects(
    inTransaction(notes, (client) => client.query('SELECT 1 / 0')),
    { code: '22012' },
  );
  t.strictSame((await notes.query('SELECT n FROM notes')).rows, [{ n: 1 }]);
  t.equal(notes.idleCount, notes.totalCount, 'every connection is given back');
});

t.test('a connection that breaks while its transaction waits for something else', async (t) => {
  const notes = await pool(t);
  const error = await failure(
    inTransaction(notes, async (client) => {
      await client.query('INSERT INTO notes VALUES (1)');
      const broken = new Promise((resolve) => client.once('end', resolve));
      await end(notes, await pidOf(client));
      await broken;
      await client.query('INSERT INTO notes VALUES (2)');
    }),
  );
  t.equal(isConnectionTrouble(error), true, String(error));
  t.strictSame((await notes.query('SELECT n FROM notes')).rows, []);
});

t.test('a transaction that takes too long is ended by the server', async (t) => {
  const notes = await pool(t, { transactionTimeoutMs: 100 });
  const error = await failure(inTransaction(notes, (client) => client.query('SELECT pg_sleep(10)')));
  t.equal(isConnectionTrouble(error), true, String(error));
  t.equal((await notes.query('SELECT 1')).rowCount, 1);
});

t.test('trouble with the connection, and with a statement', async (t) => {
  const notes = await pool(t);
  const sleeping = failure(notes.query('SELECT pg_sleep(60)'));
  const backend = `SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity
                    WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)'`;
  while ((await notes.query<{ done: boolean }>(backend)).rowCount === 0);
  t.equal(isConnectionTrouble(await sleeping), true, 'ended by an administrator');

  const nobody = openPool({ url: 'postgres://nobody@127.0.0.1:1/none', name: 'test', maxConnections: 1 });
  t.equal(isConnectionTrouble(await failure(nobody.query('SELECT 1'))), true, 'nobody listens');
  await nobody.end();

  for (const statement of ['SELECT 1 / 0', 'nonsense', 'SELECT * FROM nothing'])
    t.equal(isConnectionTrouble(await failure(notes.query(statement))), false, statement);
  t.equal(isConnectionTrouble(new Error('something else')), false);
  t.equal(isConnectionTrouble('Connection terminated'), false);
  t.equal(isConnectionTrouble(undefined), false);
});
