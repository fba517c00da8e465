/** Migrations: forward only, one process at a time, never over a newer schema. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import pg from 'pg';
import t, { type Test } from 'tap';
import { type Migration, migrate } from '../../src/platform/migrate.ts';
import { testDatabase } from '../support/postgres.ts';

const first: Migration = {
  component: 'shop',
  number: 1,
  sql: 'CREATE TABLE notes (n int); INSERT INTO notes VALUES (1)',
};
const second: Migration = { component: 'shop', number: 2, sql: 'INSERT INTO notes VALUES (2)' };
const other: Migration = { component: 'yard', number: 1, sql: 'CREATE TABLE sheds (n int)' };

async function database(t: Test): Promise<{ url: string; notes: () => Promise<number[]>; client: pg.Client }> {
  const { url } = await testDatabase(t);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.teardown(() => client.end());
  const notes = async () => {
    const { rows } = await client.query<{ n: number }>('SELECT n FROM notes ORDER BY n');
    return rows.map(({ n }) => n);
  };
  return { url, notes, client };
}

t.test('forward, each step once', async (t) => {
  const { url, notes, client } = await database(t);
  await migrate(url, [first]);
  t.strictSame(await notes(), [1]);
  await migrate(url, [first]);
  t.strictSame(await notes(), [1], 'twice changes nothing');
  await migrate(url, [first, second, other]);
  t.strictSame(await notes(), [1, 2]);
  await migrate(url, [first, second, other]);
  t.strictSame(await notes(), [1, 2]);
  const { rows } = await client.query('SELECT component, number FROM public.parley_migrations ORDER BY 1, 2');
  t.strictSame(rows, [
    { component: 'shop', number: 1 },
    { component: 'shop', number: 2 },
    { component: 'yard', number: 1 },
  ]);
});

t.test('a newer schema is left alone', async (t) => {
  const { url, notes } = await database(t);
  await migrate(url, [first, second]);
  const newer = { name: 'SchemaTooNewError', message: /shop schema is at 2, this version of Parley knows up to 1/ };
  await t.rejects(migrate(url, [other, first]), newer);
  await t.rejects(migrate(url, [other]), { name: 'SchemaTooNewError' }, 'a component that this code does not know');
  t.strictSame(await notes(), [1, 2]);
  const { client } = { client: new pg.Client({ connectionString: url }) };
  await client.connect();
  const { rows } = await client.query("SELECT to_regclass('sheds') AS sheds");
  await client.end();
  t.strictSame(rows, [{ sheds: null }], 'nothing was changed');
});

t.test('a step that fails leaves the steps before it and nothing of its own', async (t) => {
  const { url, notes } = await database(t);
  const broken: Migration = { component: 'shop', number: 2, sql: 'INSERT INTO notes VALUES (9); SELECT 1 / 0' };
  await t.rejects(migrate(url, [first, broken]), { code: '22012' });
  t.strictSame(await notes(), [1]);
  await migrate(url, [first, second]);
  t.strictSame(await notes(), [1, 2], 'the repaired step goes on from there');
});

t.test('several processes at once', async (t) => {
  const { url, notes } = await database(t);
  const slow: Migration = { component: 'shop', number: 3, sql: 'SELECT pg_sleep(0.1); INSERT INTO notes VALUES (3)' };
  const program = `
    import { migrate } from ${JSON.stringify(new URL('../../src/platform/migrate.ts', import.meta.url).href)};
    await migrate(process.argv[1], JSON.parse(process.argv[2]));
  `;
  const steps = JSON.stringify([first, second, slow]);
  const codes = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program, url, steps], { stdio: 'inherit' });
      return (await once(child, 'exit'))[0] as number;
    }),
  );
  t.strictSame(codes, [0, 0, 0]);
  t.strictSame(await notes(), [1, 2, 3]);
});
