/**
 * Who owns a data directory: an operating-system lock that the kernel itself releases when its holder dies, however
 * it dies, so that no stale lock ever needs a hand.
 *
 * The lock is SQLite's: an exclusive transaction on an empty file (`fcntl` on Unix, `LockFileEx` on Windows), which Node
 * carries with it on every platform. Two rules follow from `fcntl`:
 * - the file is never opened by any other means in this process, since closing that other descriptor would drop the lock;
 * - the file is never removed, since the next process would then lock another one.
 * The holder's process id stands beside it in a plain file, for messages only; nothing is decided by it.
 */
import { chmodSync, lstatSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { giveToOwnerOfDirectory } from './embedded-postgres-account.ts';

/** The usual names: `parley.lock`, and `parley.pid` beside it. */
const USUAL_NAME = 'parley';

/** A look at the lock takes it for a moment; a start waits this long before it calls the data taken. */
const PATIENCE_MS = 500;
const RETRY_MS = 25;

/** SQLite's primary result code for "another connection holds the lock". */
const SQLITE_BUSY = 5;

/** The ownership of one directory. It ends with `release()` or with the process. */
export interface DataLock {
  /** The real path of the directory (links resolved). */
  readonly dir: string;
  /** Gives the directory back. Calling it again does nothing. */
  release(): void;
}

/** The data belongs to a process that lives. The message is one line, for people. */
export class DataInUseError extends Error {
  override readonly name = 'DataInUseError';
  /** The real path of the directory that is taken. */
  readonly dir: string;
  /** The process id of the holder, as far as it is known. */
  readonly heldBy: number | null;

  constructor(dir: string, heldBy: number | null) {
    const holder = heldBy === null ? 'a running Parley process' : `the running Parley process ${heldBy}`;
    super(`The data in ${dir} is in use by ${holder}: stop it, or set PARLEY_DATA to another directory.`);
    this.dir = dir;
    this.heldBy = heldBy;
  }
}

// A database that nobody refers to is closed by the garbage collector, and its lock with it.
const held = new Set<DatabaseSync>();

/**
 * Takes an existing directory for this process.
 *
 * The same directory reached by another path is the same lock: it is taken on the real path. It is exclusive within
 * one process, too.
 *
 * @param name of the lock, for a directory in which several things are owned apart.
 * @throws {DataInUseError} when a living process holds it (told after half a second at most).
 * @throws {Error} when the directory does not exist or its lock file cannot be opened.
 */
export async function acquireDataLock(dataDir: string, name = USUAL_NAME): Promise<DataLock> {
  const dir = realpathSync(dataDir);
  const database = openLockFile(dir, name);
  const pidFile = join(dir, `${name}.pid`);
  const deadline = Date.now() + PATIENCE_MS;
  while (!tryLock(database)) {
    if (Date.now() > deadline) {
      database.close();
      throw new DataInUseError(dir, readHolder(pidFile));
    }
    await sleep(RETRY_MS);
  }
  held.add(database);
  noteHolder(pidFile);
  let released = false;
  return {
    dir,
    release() {
      if (released) return;
      released = true;
      // First the note, then the lock: the other way round the note of the next holder could be lost.
      rmSync(pidFile, { force: true });
      held.delete(database);
      database.close();
    },
  };
}

/**
 * Tells whether a living process holds the directory, without keeping it.
 *
 * @returns `null` when nobody does, else the holder's process id as far as it is known.
 */
export function dataLockHolder(dataDir: string): { readonly heldBy: number | null } | null {
  const dir = realpathSync(dataDir);
  const database = openLockFile(dir, USUAL_NAME);
  try {
    return tryLock(database) ? null : { heldBy: readHolder(join(dir, `${USUAL_NAME}.pid`)) };
  } finally {
    database.close();
  }
}

function openLockFile(dir: string, name: string): DatabaseSync {
  const path = join(dir, `${name}.lock`);
  try {
    // As root in somebody's directory: what is opened, and given away below, must not be another place's file.
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) throw new Error(`${path} is a link`);
    const database = new DatabaseSync(path, { timeout: 0 });
    // Whoever may read the file may lock it for reading, and so keep its owner out. By path: see the rules above.
    chmodSync(path, 0o600);
    giveToOwnerOfDirectory(path);
    return database;
  } catch (error) {
    throw new Error(`Cannot lock the data in ${dir}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function tryLock(database: DatabaseSync): boolean {
  try {
    // Nothing is ever written; in memory, so that a killed holder leaves no journal behind either.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  }
}

function isBusy(error: unknown): boolean {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return false;
  return (error.errcode & 0xff) === SQLITE_BUSY;
}

function noteHolder(path: string): void {
  try {
    // A new file: the one of a holder that was killed may be somebody else's.
    rmSync(path, { force: true });
    writeFileSync(path, `${process.pid}\n`, { mode: 0o600, flag: 'wx' });
    giveToOwnerOfDirectory(path);
  } catch {
    // Messages will name no process then; the lock holds all the same.
  }
}

function readHolder(path: string): number | null {
  try {
    const pid = Number(readFileSync(path, 'utf8').trim());
    return Number.isInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}
