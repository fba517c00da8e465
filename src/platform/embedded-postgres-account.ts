/**
 * As whom Postgres runs. It refuses root, so a Parley that runs as root starts it as somebody without rights:
 * the owner of the cluster where there is one, else the owner of the data directory where that is a user of this
 * machine, else `nobody`. Not some unused number, because `initdb` demands that its user has an entry in the system's
 * user table, and Parley adds no users to a machine.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, lchownSync, mkdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The usual number of `nobody`, for a machine that does not list it. */
const NOBODY = 65534;

/** A user and group that Postgres is run as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Whether this process must give up its rights to run Postgres. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Chooses the account for a cluster.
 *
 * @param home the data directory.
 * @param cluster the cluster's directory, `null` when it is still to be made.
 * @returns `null` when Postgres runs as this process's own user.
 * @throws {Error} when an ordinary user asks for somebody else's cluster.
 */
export function accountFor(home: string, cluster: string | null): Account | null {
  if (process.getuid === undefined) return null;
  const owner = cluster === null ? null : statSync(cluster);
  if (!isRoot()) {
    if (owner !== null && owner.uid !== process.getuid()) {
      throw new Error(`The data in ${cluster} belongs to the user ${owner.uid}: start Parley as that user or as root.`);
    }
    return null;
  }
  if (owner !== null && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const { uid } = statSync(home);
  return userTable().find((user) => user.uid === uid && uid !== 0) ?? nobody();
}

/**
 * Gives a file that root made to the owner of its directory, so that a start as root does not shut out the user whose
 * data it is.
 */
export function giveToOwnerOfDirectory(path: string): void {
  if (!isRoot()) return;
  const { uid, gid } = statSync(dirname(path));
  if (uid !== 0) lchownSync(path, uid, gid);
}

/** What `spawn` needs to run a program as the account. It drops all supplementary groups as well. */
export function spawnAs(account: Account | null): { uid?: number; gid?: number } {
  // As signed 32-bit numbers: on macOS nobody is -2.
  return account === null ? {} : { uid: account.uid | 0, gid: account.gid | 0 };
}

/** Gives a file or directory to the account. */
export function giveTo(account: Account | null, path: string): void {
  if (account !== null) lchownSync(path, account.uid, account.gid);
}

/** Whether the account can enter the directory; asked of the system itself, so that access lists and mounts count. */
export function canEnter(account: Account | null, dir: string): boolean {
  return account === null || test(account, '-x', dir);
}

/** Whether a directory of the account's own can stand in `dir`. Tried out, since some file systems refuse `chown`. */
export function canHold(account: Account | null, dir: string): boolean {
  if (account === null) return true;
  const probe = join(dir, `.probe-${randomBytes(6).toString('hex')}`);
  try {
    mkdirSync(probe, { mode: 0o700 });
  } catch {
    return false;
  }
  try {
    giveTo(account, probe);
    return test(account, '-w', probe);
  } catch {
    return false;
  } finally {
    rmdirSync(probe);
  }
}

/**
 * Makes a directory that the account can enter, others cannot list, and that is no longer affected by the umask.
 * A directory that exists is left as it is.
 */
export function makeDirectory(path: string): void {
  const created = mkdirSync(path, { recursive: true });
  if (created !== undefined && process.platform !== 'win32') chmodSync(path, isRoot() ? 0o711 : 0o700);
}

function test(account: Account, operator: string, path: string): boolean {
  const options = { ...spawnAs(account), cwd: '/', stdio: 'ignore', timeout: 10_000 } as const;
  return spawnSync('/bin/sh', ['-c', `test ${operator} "$0"`, path], options).status === 0;
}

function nobody(): Account {
  return userTable().find((user) => user.name === 'nobody') ?? { uid: NOBODY, gid: NOBODY };
}

/** Lines of `/etc/passwd`: "name:password:uid:gid:...". */
function userTable(): (Account & { name: string })[] {
  let text: string;
  try {
    text = readFileSync('/etc/passwd', 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const [name = '', , uid, gid] = line.split(':');
    return uid && gid ? [{ name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }] : [];
  });
}
