/**
 * The embedded Postgres: a real PostgreSQL 18 server, our child process, on loopback, with its data in a directory
 * that this process owns while it runs.
 *
 * - `startEmbeddedPostgres` is the server's door, `openPostgres` the one of every other command: it borrows the running
 *   server's Postgres, or starts one for its own duration. Nobody reaches the data otherwise.
 * - A start needs no hand after any crash: it ends what an earlier life left, then recovers from the write-ahead log.
 *   An orphaned Postgres (its Parley was killed) does no harm until then: it serves nobody and loses nothing.
 * - A Postgres that ends unasked is restarted on the same address until it runs again.
 */
import { accessSync, constants, lstatSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { acquireDataLock, DataInUseError, type DataLock, dataLockHolder } from './data-lock.ts';
import { type Account, accountFor, canEnter, giveTo, isRoot, makeDirectory } from './embedded-postgres-account.ts';
import { type Binaries, usableBinaries } from './embedded-postgres-binaries.ts';
import { endLeftovers, type PostgresLog } from './embedded-postgres-orphans.ts';
import {
  adoptCluster,
  clusterMajor,
  findCluster,
  newPassword,
  paths,
  placeForCluster,
  readRecord,
  writeRecord,
} from './embedded-postgres-place.ts';
import {
  freePort,
  makeCluster,
  PG_NAME,
  PostgresStartError,
  Postmaster,
  resetPassword,
} from './embedded-postgres-server.ts';
import { type EmbeddedPostgres, Supervisor } from './embedded-postgres-supervisor.ts';

export { DataInUseError } from './data-lock.ts';
export type { PostgresLog } from './embedded-postgres-orphans.ts';
export type { EmbeddedPostgres, PostgresDown } from './embedded-postgres-supervisor.ts';

const MAX_START_ATTEMPTS = 5;
const CONNECT_TIMEOUT_MS = 5_000;
const FIND_TIMEOUT_MS = 15_000;
const FIND_RETRY_MS = 100;

/** What a start can be told. */
export interface EmbeddedPostgresOptions {
  /** The data directory (`PARLEY_DATA`); made if missing. */
  readonly dataDir: string;
  /** Server settings that replace ours, by name, such as `{ max_connections: '200' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly log: PostgresLog;
  /** Directory with the `bin`, `lib` and `share` of a Postgres; default: the npm package for this platform. */
  readonly binariesDir?: string;
}

/**
 * Starts Postgres on a data directory and takes the directory for this process.
 *
 * @throws {DataInUseError} when a living process has it.
 * @throws {Error} one line for people: unsupported platform, another major version's data, a directory that cannot be used.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  makeDirectory(options.dataDir);
  const home = realpathSync(options.dataDir);
  const locks = [await acquireDataLock(home)];
  try {
    const prepared = await prepare(home, options);
    locks.push(await lockCluster(prepared.cluster, prepared.account));
    return await start(home, prepared, options, locks);
  } catch (error) {
    for (const lock of locks) lock.release();
    throw error;
  }
}

/**
 * The Postgres of the living server that owns a data directory.
 *
 * @returns `null` when no living server does.
 * @throws {Error} when there is one whose Postgres does not answer within 15 s.
 */
export async function findRunningPostgres(dataDir: string): Promise<{ readonly url: string } | null> {
  if (lstatSync(dataDir, { throwIfNoEntry: false }) === undefined) return null;
  const home = realpathSync(dataDir);
  const deadline = Date.now() + FIND_TIMEOUT_MS;
  for (;;) {
    const holder = dataLockHolder(home);
    if (holder === null) return null;
    const record = readRecord(home);
    const url = record === null ? null : urlOf(record);
    const problem = url === null ? 'it has none yet' : await connectionProblem(url);
    if (url !== null && problem === null) return { url };
    if (Date.now() > deadline) {
      throw new Error(
        `The running Parley process ${holder.heldBy ?? ''} has the data in ${home}, but its Postgres does not answer: ${problem}`,
      );
    }
    await sleep(FIND_RETRY_MS);
  }
}

/**
 * Postgres for a command beside the server: the running server's, else one of its own until `close()`.
 * What is borrowed ends with its owner: a command must expect its connections to break.
 *
 * @throws {Error} as `startEmbeddedPostgres` and `findRunningPostgres` do.
 */
export async function openPostgres(
  options: EmbeddedPostgresOptions,
): Promise<{ readonly url: string; readonly borrowed: boolean; close(): Promise<void> }> {
  for (;;) {
    const running = await findRunningPostgres(options.dataDir);
    if (running !== null) return { url: running.url, borrowed: true, close: async () => {} };
    try {
      const own = await startEmbeddedPostgres(options);
      return { url: own.url, borrowed: false, close: () => own.stop() };
    } catch (error) {
      // Somebody was quicker: borrow from them. Not so when it is the cluster that another data directory's owner has.
      if (!(error instanceof DataInUseError) || error.dir !== realpathSync(options.dataDir)) throw error;
    }
  }
}

interface Prepared {
  readonly cluster: string;
  readonly account: Account | null;
  readonly binaries: Binaries;
  readonly password: string;
}

/** Everything up to a cluster that can be started, with a known password. */
async function prepare(home: string, { log, binariesDir }: EmbeddedPostgresOptions): Promise<Prepared> {
  const existing = findCluster(home);
  const account = accountFor(home, existing);
  if (existing === null) return createCluster(home, account, binariesDir);
  if (isRoot() && lstatSync(existing).uid === 0) giveAllTo(account, existing);
  if (!canEnter(account, existing)) {
    throw new Error(
      `Postgres, which runs as the user ${account?.uid}, cannot enter ${existing}: move it to where it can, or open the way.`,
    );
  }
  const binaries = usableBinaries(account, placeForCopy(home, existing, account), binariesDir);
  const major = clusterMajor(existing);
  if (major !== binaries.major) {
    throw new Error(
      `The data in ${existing} is PostgreSQL ${major}'s and this is PostgreSQL ${binaries.major}: upgrade it with pg_upgrade, or set PARLEY_DATA to another directory.`,
    );
  }
  const record = readRecord(home);
  if (record !== null) return { cluster: existing, account, binaries, password: record.password };
  log.warn({ cluster: existing }, 'the password of Postgres is gone: setting a new one');
  const lock = await lockCluster(existing, account);
  try {
    await endLeftovers({ cluster: existing, account }, binaries.pgCtl, log);
    const password = newPassword();
    resetPassword({ cluster: existing, account }, binaries, password);
    writeRecord(home, { port: await freePort(null), password });
    return { cluster: existing, account, binaries, password };
  } finally {
    lock.release();
  }
}

/**
 * The cluster has a lock of its own, because two data directories can lead to it (a link, or a copy of one). It is
 * beside the cluster and not in it: as root nothing is written where Postgres's own user could put a link. Only for an
 * ordinary user, who may have no rights there, it can be inside.
 */
async function lockCluster(cluster: string, account: Account | null): Promise<DataLock> {
  const parent = dirname(cluster);
  if (account === null && !isWritable(parent)) return acquireDataLock(cluster);
  return acquireDataLock(parent, basename(cluster));
}

function isWritable(dir: string): boolean {
  try {
    accessSync(dir, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

async function createCluster(
  home: string,
  account: Account | null,
  binariesDir: string | undefined,
): Promise<Prepared> {
  const place = placeForCluster(home, account);
  const binaries = usableBinaries(account, place, binariesDir);
  const password = newPassword();
  const made = await makeCluster(place, account, binaries, password);
  try {
    // First the password, then the cluster that only it opens.
    writeRecord(home, { port: await freePort(null), password });
    return { cluster: adoptCluster(home, place, made.finished), account, binaries, password };
  } finally {
    made.cleanUp();
  }
}

/** Where a copy of the binaries goes when one is needed: the data directory, or else beside a cluster that left it. */
function placeForCopy(home: string, cluster: string, account: Account | null): string {
  return canEnter(account, home) ? home : dirname(cluster);
}

/** A cluster that root owns (unpacked from a backup, say) can be run by nobody: it goes to whom Postgres runs as. */
function giveAllTo(account: Account | null, path: string): void {
  if (account === null) return;
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) giveAllTo(account, join(path, name));
  giveTo(account, path);
}

async function start(
  home: string,
  { cluster, account, binaries, password }: Prepared,
  { log, settings = {} }: EmbeddedPostgresOptions,
  locks: readonly DataLock[],
): Promise<EmbeddedPostgres> {
  let wanted = readRecord(home)?.port ?? null;
  for (let attempt = 1; ; attempt += 1) {
    await endLeftovers({ cluster, account }, binaries.pgCtl, log);
    const port = await freePort(wanted);
    const launch = { cluster, account, binaries, port, settings, logPath: paths.log(home) };
    const postmaster = new Postmaster(launch);
    try {
      await postmaster.ready();
      writeRecord(home, { port, password });
      const url = urlOf({ port, password });
      await ensureDatabase(url, home);
      return new Supervisor(url, launch, postmaster, log, locks);
    } catch (error) {
      await postmaster.stop();
      if (!(error instanceof PostgresStartError && error.portTaken) || attempt === MAX_START_ATTEMPTS) throw error;
      // Between our look and its bind somebody took the port.
      wanted = null;
    }
  }
}

function urlOf({ port, password }: { port: number; password: string }, database = PG_NAME): string {
  return `postgres://${PG_NAME}:${password}@127.0.0.1:${port}/${database}`;
}

/** Asked at every start: a first one can have been killed between the cluster and its database. */
async function ensureDatabase(url: string, home: string): Promise<void> {
  const client = new pg.Client({
    connectionString: url.replace(/[^/]+$/, 'postgres'),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  try {
    await client.connect();
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [PG_NAME]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${PG_NAME}`);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== '28P01') throw error;
    throw new Error(
      `Postgres does not take the password in ${paths.record(home)}: remove that file, and the next start sets a new one.`,
    );
  } finally {
    await client.end();
  }
}

/** @returns `null` when the server answers. */
async function connectionProblem(url: string): Promise<string | null> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  try {
    await client.connect();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}
