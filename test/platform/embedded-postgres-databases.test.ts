import pg from 'pg';
import t from 'tap';
import { type TestTemplate, testDatabase } from '../support/postgres.ts';

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

t.test('each test database begins as its template, is its own, and is dropped', async (t) => {
  let builds = 0;
  const template: TestTemplate = {
    name: `one number, for process ${process.pid}`,
    async build(url) {
      builds += 1;
      await query(url, 'CREATE TABLE number AS SELECT 1 AS n');
    },
  };
  let dropped = '';
  await t.test('two at once', async (t) => {
    const [one, two] = await Promise.all([testDatabase(t, { template }), testDatabase(t, { template })]);
    t.equal(builds, 1, 'the template was built once');
    await query(one.url, 'UPDATE number SET n = 2');
    t.strictSame(await query(one.url, 'SELECT n FROM number'), [{ n: 2 }]);
    t.strictSame(await query(two.url, 'SELECT n FROM number'), [{ n: 1 }]);
    dropped = one.url;
  });
  await t.rejects(query(dropped, 'SELECT 1'), { code: '3D000' }, 'gone with its test');
  const empty = await testDatabase(t);
  const tables = `SELECT FROM information_schema.tables WHERE table_schema = 'public'`;
  t.strictSame(await query(empty.url, tables), [], 'without a template it is empty');
});

t.test('a template whose building failed is built again', async (t) => {
  let attempts = 0;
  const template: TestTemplate = {
    name: `at the second attempt, for process ${process.pid}`,
    async build(url) {
      attempts += 1;
      await query(url, 'CREATE TABLE half_done ()');
      if (attempts === 1) throw new Error('no luck');
    },
  };
  await t.rejects(testDatabase(t, { template }), { message: 'no luck' });
  const { url } = await testDatabase(t, { template });
  t.strictSame(await query(url, 'SELECT count(*)::int AS n FROM half_done'), [{ n: 0 }]);
});
