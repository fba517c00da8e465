/**
 * What stands in a data directory, and where the cluster really is.
 *
 * ```
 * <PARLEY_DATA>/parley.lock, parley.pid   who owns it (data-lock.ts)
 * <PARLEY_DATA>/postgres.json             port and password, 0600
 * <PARLEY_DATA>/postgres.log(.1)          what Postgres says, at most twice 16 MiB
 * <PARLEY_DATA>/postgres                  the cluster, or a link to it
 * beside the cluster: postgres.lock, .pid who owns the cluster
 * ```
 * The link is made when Parley runs as root and Postgres, as somebody else, cannot enter the data directory: its
 * cluster then stands under `/var/lib/parley` (or the next place that will do), and no existing mode is changed.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Account, canEnter, canHold, giveToOwnerOfDirectory, makeDirectory } from './embedded-postgres-account.ts';

/** Where a cluster goes that cannot stand in its data directory, first choice first. */
const ELSEWHERE = ['/var/lib/parley', '/srv/parley', '/usr/local/var/parley', '/var/tmp/parley'];

/** How to reach the cluster's server. */
export interface PostgresRecord {
  readonly port: number;
  readonly password: string;
}

/** Files of a data directory. */
export const paths = {
  cluster: (home: string) => join(home, 'postgres'),
  record: (home: string) => join(home, 'postgres.json'),
  log: (home: string) => join(home, 'postgres.log'),
};

/**
 * Finds the cluster of a data directory.
 *
 * @param home real path of the data directory.
 * @returns the cluster's real path, or `null` when there is none yet.
 * @throws {Error} when what is there is no cluster, or a link to nowhere.
 */
export function findCluster(home: string): string | null {
  const place = paths.cluster(home);
  if (lstatSync(place, { throwIfNoEntry: false }) === undefined) return null;
  let cluster: string;
  try {
    cluster = realpathSync(place);
  } catch {
    throw new Error(`${place} leads to a directory that is gone: bring that back, or remove the link to start empty.`);
  }
  const names = namesIn(cluster);
  if (names.includes('PG_VERSION')) return cluster;
  if (names.length > 0 || cluster !== place) throw new Error(`${place} holds no Postgres cluster: remove it first.`);
  rmdirSync(cluster);
  return null;
}

function namesIn(cluster: string): string[] {
  try {
    return readdirSync(cluster);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The cluster in ${cluster} is not open to this user (${why}): start Parley as its owner or as root.`,
    );
  }
}

/** The major version that made the cluster. */
export function clusterMajor(cluster: string): number {
  return Number(readFileSync(join(cluster, 'PG_VERSION'), 'utf8').trim());
}

/**
 * A directory in which the account can have a cluster: the data directory itself when the account can work there,
 * else a new one of root's that everybody can enter.
 */
export function placeForCluster(home: string, account: Account | null): string {
  if (canHold(account, home)) return home;
  for (const base of ELSEWHERE) {
    try {
      makeDirectory(base);
      const stat = lstatSync(base);
      // In /var/tmp anybody can have made it first.
      if (!stat.isDirectory() || stat.uid !== 0 || stat.mode & 0o022 || !canEnter(account, base)) continue;
      const name = createHash('sha256').update(home).digest('hex').slice(0, 12);
      const place = mkdtempSync(join(base, `${name}-`));
      chmodSync(place, 0o711);
      if (canHold(account, place)) return place;
      rmdirSync(place);
    } catch {
      // Read-only or otherwise closed: the next one.
    }
  }
  throw new Error(
    `Postgres, which does not run as root, cannot enter ${home}: set PARLEY_DATA to a directory that others can enter.`,
  );
}

/** Puts a finished cluster in its place, and only then, with one rename, makes it the data directory's. */
export function adoptCluster(home: string, place: string, finished: string): string {
  const cluster = paths.cluster(place);
  renameSync(finished, cluster);
  syncDirectory(place);
  if (place !== home) {
    symlinkSync(cluster, paths.cluster(home));
    syncDirectory(home);
  }
  return cluster;
}

/** @returns `null` when there is no such file or it is not readable as one. */
export function readRecord(home: string): PostgresRecord | null {
  let text: string;
  try {
    text = readFileSync(paths.record(home), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('port' in value) || !('password' in value)) return null;
    const { port, password } = value;
    return typeof port === 'number' && typeof password === 'string' ? { port, password } : null;
  } catch {
    return null;
  }
}

/** Writes the record whole or not at all, for this user's eyes only. */
export function writeRecord(home: string, record: PostgresRecord): void {
  const path = paths.record(home);
  const staging = `${path}.${randomBytes(4).toString('hex')}`;
  const file = openSync(staging, 'wx', 0o600);
  try {
    writeFileSync(file, `${JSON.stringify(record)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  giveToOwnerOfDirectory(staging);
  renameSync(staging, path);
  syncDirectory(home);
}

/** A password of 192 bits that needs no escaping in a URL. */
export function newPassword(): string {
  return randomBytes(24).toString('base64url');
}

function syncDirectory(path: string): void {
  if (process.platform === 'win32') return;
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
