/**
 * One life of one Postgres: making a cluster, starting a postmaster in it, waiting until it is ready, stopping it.
 * Who owns the data, and what happens when it ends unasked, is decided in embedded-postgres.ts.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { giveTo, giveToOwnerOfDirectory, spawnAs } from './embedded-postgres-account.ts';
import type { Binaries } from './embedded-postgres-binaries.ts';
import { type ClusterOwner, readPostmasterFile, stopByPgCtl } from './embedded-postgres-orphans.ts';

/** The superuser and the database of every cluster. */
export const PG_NAME = 'parley';

const INITDB_TIMEOUT_MS = 60_000;
/** Long, since a start after a crash replays up to `max_wal_size` of log. */
const READY_TIMEOUT_MS = 120_000;
const FAST_STOP_MS = 30_000;
const IMMEDIATE_STOP_MS = 5_000;
const READY_POLL_MS = 10;
const MAX_LOG_BYTES = 16 * 1024 * 1024;
/** No links: as root in somebody's directory, one could lead to any file. (Windows has no such flag.) */
const LOG_FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0);
const STAGING_PREFIX = '.initdb-';

/** Below the range from which systems usually take ports for outgoing connections, so that a restart finds its own free. */
const PORTS = { from: 20_000, to: 32_000 };

const MiB = 1024 * 1024;

/**
 * Of the memory that this process may have a thirty-second part, 128 MiB to 1 GiB: new rows meet some indexes at random places,
 * and where these do not fit, each row costs half as much again (from about a million messages on with 128 MiB).
 */
function sharedBuffers(): string {
  // 0: not known.
  const bytes = Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem());
  return `${Math.min(1024, Math.max(128, Math.round(bytes / 32 / MiB)))}MB`;
}

/** Durable always; otherwise sized for a development machine. */
const SETTINGS: Readonly<Record<string, string>> = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_compression: 'off',
  // Else appends stand still for some 60 ms whenever 16 MB that are new are filled with zeros: once a second where much comes in.
  wal_init_zero: 'off',
  shared_buffers: sharedBuffers(),
  max_wal_size: '2GB',
  checkpoint_timeout: '15min',
  max_connections: '100',
  jit: 'off',
  autovacuum: 'on',
  log_checkpoints: 'off',
  log_line_prefix: '%m [%p] ',
  log_timezone: 'UTC',
  timezone: 'UTC',
};

/** Why a postmaster did not become ready. */
export class PostgresStartError extends Error {
  override readonly name = 'PostgresStartError';
  /** Another program listens on the port. */
  readonly portTaken: boolean;

  constructor(message: string, portTaken: boolean) {
    super(message);
    this.portTaken = portTaken;
  }
}

/** How a postmaster ended: an exit status, or the signal that killed it, or why it could not be run at all. */
export interface PostgresEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly error: Error | null;
}

/** What a postmaster is started with. */
export interface LaunchOptions extends ClusterOwner {
  readonly binaries: Binaries;
  readonly port: number;
  readonly logPath: string;
  /** Server settings that replace the usual ones. */
  readonly settings: Readonly<Record<string, string>>;
}

/** Children that are to be asked to leave when this process exits without having stopped them. */
const living = new Set<ChildProcess>();
let exitHook = false;

function stopAtExit(child: ChildProcess): void {
  living.add(child);
  child.once('exit', () => living.delete(child));
  if (exitHook) return;
  exitHook = true;
  process.on('exit', () => {
    for (const one of living) one.kill('SIGINT');
  });
}

/**
 * A postmaster, our child, in a session of its own: what is sent to our process group (Ctrl-C, a group's SIGTERM) does
 * not reach it. It does not keep this process alive.
 */
export class Postmaster {
  readonly ended: Promise<PostgresEnd>;
  readonly #child: ChildProcess;
  readonly #options: LaunchOptions;
  readonly #logStart: number;

  constructor(options: LaunchOptions) {
    this.#options = options;
    boundLog(options.logPath);
    const log = openSync(options.logPath, LOG_FLAGS, 0o600);
    giveToOwnerOfDirectory(options.logPath);
    this.#logStart = statSync(options.logPath).size;
    const settings = {
      ...SETTINGS,
      ...options.settings,
      listen_addresses: '127.0.0.1',
      port: String(options.port),
      unix_socket_directories: '',
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    this.#child = spawn(options.binaries.postgres, ['-D', options.cluster, ...args], {
      ...spawnAs(options.account),
      cwd: '/',
      detached: process.platform !== 'win32',
      env: serverEnvironment(),
      stdio: ['ignore', log, log],
      windowsHide: true,
    });
    closeSync(log);
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve({ code: null, signal: null, error }));
      this.#child.once('exit', (code, signal) => resolve({ code, signal, error: null }));
    });
    this.#child.unref();
    stopAtExit(this.#child);
  }

  /** Its process id, 0 when it could not be run. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /**
   * Waits until it accepts connections.
   *
   * @throws {PostgresStartError} when it ends before, or takes more than two minutes; it is stopped then.
   */
  async ready(): Promise<void> {
    let end: PostgresEnd | null = null;
    void this.ended.then((how) => {
      end = how;
    });
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (end === null) {
      const file = readPostmasterFile(this.#options.cluster);
      if (file?.pid === this.pid && file.status === 'ready') return;
      if (Date.now() > deadline) {
        await this.stop();
        throw new PostgresStartError(`Postgres was not ready after ${READY_TIMEOUT_MS / 1000} s.`, false);
      }
      await sleep(READY_POLL_MS);
    }
    throw this.#startError(end);
  }

  /** Ends it by a fast shutdown, with more force when that takes too long. Resolves when it has ended. */
  async stop(): Promise<void> {
    if (process.platform === 'win32') await stopByPgCtl(this.#options.cluster, this.#options.binaries.pgCtl);
    this.#child.kill('SIGINT');
    if (await settles(this.ended, FAST_STOP_MS)) return;
    this.#child.kill('SIGQUIT');
    if (await settles(this.ended, IMMEDIATE_STOP_MS)) return;
    this.#child.kill('SIGKILL');
    await settles(this.ended, IMMEDIATE_STOP_MS);
  }

  #startError(end: PostgresEnd): PostgresStartError {
    const said = end.error === null ? readFrom(this.#options.logPath, this.#logStart) : '';
    const fatal = /(?:FATAL|PANIC): +(.*)/.exec(said)?.[1];
    const why = end.error?.message ?? fatal ?? said.trim().split('\n').at(-1) ?? '';
    const message = `Postgres did not start (${describeEnd(end)}): ${why} (see ${this.#options.logPath})`;
    return new PostgresStartError(message, said.includes('could not bind'));
  }
}

/** In words, for log lines. */
export function describeEnd(end: PostgresEnd): string {
  if (end.error !== null) return end.error.message;
  return end.signal === null ? `exit status ${end.code}` : `killed by ${end.signal}`;
}

/**
 * Makes a cluster beside its place, synced to disk, and hands back where; the caller renames it into place, so that
 * there is a whole cluster or none. UTF-8, ordered by code point on every platform, data checksums on, passwords by
 * SCRAM only.
 *
 * @param place the directory that shall hold the cluster.
 * @throws {Error} with initdb's own words.
 */
export async function makeCluster(
  place: string,
  account: ClusterOwner['account'],
  binaries: Binaries,
  password: string,
): Promise<{ readonly finished: string; cleanUp(): void }> {
  for (const name of readdirSync(place)) {
    if (name.startsWith(STAGING_PREFIX)) rmSync(join(place, name), { recursive: true, force: true, maxRetries: 5 });
  }
  const staging = join(place, `${STAGING_PREFIX}${randomBytes(4).toString('hex')}`);
  const cleanUp = () => rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { mode: 0o700 });
  try {
    const passwordFile = join(staging, 'password');
    const finished = join(staging, 'cluster');
    writeFileSync(passwordFile, password, { mode: 0o600 });
    giveTo(account, passwordFile);
    giveTo(account, staging);
    const args = ['-D', finished, '-U', PG_NAME, `--pwfile=${passwordFile}`, '-A', 'scram-sha-256', '-E', 'UTF8'];
    const locale = ['--no-locale', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
    await promisify(execFile)(binaries.initdb, [...args, ...locale, '--no-instructions'], {
      ...spawnAs(account),
      cwd: '/',
      env: serverEnvironment(),
      timeout: INITDB_TIMEOUT_MS,
      windowsHide: true,
    });
    return { finished, cleanUp };
  } catch (error) {
    cleanUp();
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    const why = said || (error instanceof Error ? error.message : String(error));
    throw new Error(`Could not create the database cluster in ${place}: ${why}`);
  }
}

/**
 * Sets the password of a cluster that nobody runs, through a server without connections.
 *
 * @throws {Error} when that server refuses.
 */
export function resetPassword({ cluster, account }: ClusterOwner, binaries: Binaries, password: string): void {
  const run = spawnSync(binaries.postgres, ['--single', '-D', cluster, 'postgres'], {
    ...spawnAs(account),
    cwd: '/',
    env: serverEnvironment(),
    input: `ALTER ROLE ${PG_NAME} PASSWORD '${password}'\n`,
    encoding: 'utf8',
    timeout: READY_TIMEOUT_MS,
  });
  // It ends with status 0 even when the statement failed.
  const problem = /(?:ERROR|FATAL|PANIC): +(.*)/.exec(run.stderr ?? '')?.[1] ?? run.error?.message;
  if (problem !== undefined) throw new Error(`Could not set a new password in ${cluster}: ${problem}`);
}

/**
 * A port of the loopback address on which nobody listens now.
 *
 * @param wanted taken when it is free.
 */
export async function freePort(wanted: number | null): Promise<number> {
  if (wanted !== null && (await canListen(wanted)) !== null) return wanted;
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    if ((await canListen(port)) !== null) return port;
  }
  const any = await canListen(0);
  if (any === null) throw new Error('There is no free port on 127.0.0.1 for Postgres.');
  return any;
}

/** Keeps what Postgres wrote within two files of 16 MiB. Cut in place: the server goes on appending to the same file. */
export function boundLog(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= MAX_LOG_BYTES) return;
  rmSync(`${path}.1`, { force: true });
  copyFileSync(path, `${path}.1`, constants.COPYFILE_EXCL);
  giveToOwnerOfDirectory(`${path}.1`);
  truncateSync(path, 0);
}

function canListen(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = server.address();
      const found = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve(found));
    });
  });
}

/** Nothing of ours goes along: no secret from our environment, no `PG*` variable that would change what Postgres does. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const fixed = { LC_ALL: 'C', TZ: 'UTC' };
  if (process.platform === 'win32') {
    const own = Object.entries(process.env).filter(([name]) => !name.toUpperCase().startsWith('PG'));
    return { ...Object.fromEntries(own), ...fixed };
  }
  const { PATH = '/usr/bin:/bin', LD_LIBRARY_PATH } = process.env;
  return { PATH, ...(LD_LIBRARY_PATH === undefined ? {} : { LD_LIBRARY_PATH }), ...fixed };
}

/** What a file holds from a byte on, at most 64 KiB. */
function readFrom(path: string, start: number): string {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(64 * 1024);
    return buffer.toString('utf8', 0, readSync(file, buffer, 0, buffer.length, start));
  } finally {
    closeSync(file);
  }
}

/** Whether the promise settles in time. The timer keeps this process alive meanwhile, and not longer. */
async function settles(promise: Promise<unknown>, withinMs: number): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(withinMs, false, { signal: timer.signal }).catch(() => false);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    timer.abort();
  }
}
