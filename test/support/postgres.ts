/**
 * Databases for tests. One throwaway Postgres serves a whole run: the runner starts it and names it in
 * `PARLEY_TEST_DATABASE_URL`; a test file that is run alone starts its own at the first database it asks for, and
 * stops it when the file has ended.
 */
import { createHash, randomBytes } from 'node:crypto';
import pg from 'pg';
import t, { type Test } from 'tap';
import { startTestPostgres, TEST_DATABASE_URL, type TestPostgres } from './postgres-server.ts';

export {
  removeData,
  silentLog,
  startTestPostgres,
  TEST_DATABASE_URL,
  type TestPostgres,
  temporaryDirectory,
} from './postgres-server.ts';

/** A database that many test databases begin as a copy of. */
export interface TestTemplate {
  /** Names its content: the same name is built once per server. */
  readonly name: string;
  /** Fills an empty database. Must have closed its connections when it resolves, since a template in use cannot be copied. */
  build(url: string): Promise<void>;
}

/**
 * A database of a test's own, dropped when the test ends, whoever is still connected.
 *
 * @param template what it begins with; default: nothing.
 */
export async function testDatabase(
  test: Test,
  { template }: { template?: TestTemplate } = {},
): Promise<{ url: string }> {
  const server = await serverUrl();
  const name = `t_${randomBytes(8).toString('hex')}`;
  const source = template === undefined ? null : await templateDatabase(server, template);
  await onServer(server, (client) =>
    client.query(`CREATE DATABASE ${name}${source === null ? '' : ` TEMPLATE ${source}`}`),
  );
  test.teardown(() => onServer(server, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)));
  return { url: databaseUrl(server, name) };
}

let own: Promise<TestPostgres> | null = null;

async function serverUrl(): Promise<string> {
  const given = process.env[TEST_DATABASE_URL];
  if (given !== undefined && given !== '') return given;
  own ??= startOwn();
  return (await own).url;
}

function startOwn(): Promise<TestPostgres> {
  const starting = startTestPostgres();
  // The file's own end, not that of the test that asked first.
  t.teardown(async () => (await starting).stop());
  return starting;
}

/** Builds the template unless it is there. Under a lock, and renamed when complete: another file may ask at the same moment. */
async function templateDatabase(server: string, { name, build }: TestTemplate): Promise<string> {
  const database = `template_${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
  const unfinished = `${database}_unfinished`;
  await onServer(server, async (client) => {
    await client.query('SELECT pg_advisory_lock(hashtext($1))', [database]);
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (rowCount !== 0) return;
    await client.query(`DROP DATABASE IF EXISTS ${unfinished} WITH (FORCE)`);
    await client.query(`CREATE DATABASE ${unfinished}`);
    await build(databaseUrl(server, unfinished));
    await client.query(`ALTER DATABASE ${unfinished} RENAME TO ${database}`);
  });
  return database;
}

async function onServer(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

function databaseUrl(server: string, name: string): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}
