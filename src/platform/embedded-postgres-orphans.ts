/**
 * What is left of an earlier life: a postmaster whose Parley was killed, or backends whose postmaster was killed.
 *
 * Nothing is believed that a file says. A process belongs to a cluster when it is called `postgres` and works in the
 * cluster's directory (every Postgres process does, and nobody else's can: the directory is closed to others), so a
 * recycled process id is never taken for ours.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Account, spawnAs } from './embedded-postgres-account.ts';

/** How long a fast shutdown may take (it writes a checkpoint) before it becomes an immediate one. */
const FAST_SHUTDOWN_MS = 20_000;
/** How long a postmaster may take for an immediate shutdown: it gives its backends 5 s itself. */
const IMMEDIATE_SHUTDOWN_MS = 6_000;
/** How long backends without a postmaster may take to leave on SIGQUIT, and anybody on SIGKILL. */
const LEAVE_MS = 1_500;
const POLL_MS = 20;
const COMMAND_TIMEOUT_MS = 10_000;

/** Where log lines go; pino's shape. */
export interface PostgresLog {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
}

/** A cluster, and as whom its processes run. */
export interface ClusterOwner {
  /** Real path of the cluster's directory. */
  readonly cluster: string;
  readonly account: Account | null;
}

/** The lines of `postmaster.pid` that matter here. */
export interface PostmasterFile {
  readonly pid: number;
  readonly port: number;
  /** `starting`, `stopping`, `ready` or `standby`; empty while it is being written. */
  readonly status: string;
}

/** Reads `postmaster.pid` (its lines: pid, directory, start, port, socket, address, shared memory, status). */
export function readPostmasterFile(cluster: string): PostmasterFile | null {
  let lines: string[];
  try {
    lines = readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return null;
  }
  const pid = Number(lines[0]?.trim());
  if (!Number.isInteger(pid) || pid <= 0) return null;
  return { pid, port: Number(lines[3]?.trim()), status: lines[7]?.trim() ?? '' };
}

/** The ids of all living Postgres processes of the cluster. Always empty on Windows, which has no such list. */
export function clusterProcesses(owner: ClusterOwner): number[] {
  if (process.platform === 'linux') return onLinux(owner);
  return process.platform === 'win32' ? [] : onMacOs(owner);
}

/**
 * Ends whatever still runs in the cluster and waits until it is gone: a postmaster by a fast shutdown, and what does
 * not leave in time by force (the write-ahead log makes that safe). Then removes a `postmaster.pid` that would keep
 * the next one from starting because a stranger has its number now. The caller holds the data lock.
 *
 * @throws {Error} when a process does not even end on SIGKILL.
 */
export async function endLeftovers(owner: ClusterOwner, pgCtl: string, log: PostgresLog): Promise<void> {
  const file = readPostmasterFile(owner.cluster);
  if (process.platform === 'win32') {
    if (file !== null) await stopByPgCtl(owner.cluster, pgCtl);
    return;
  }
  const pids = clusterProcesses(owner);
  if (pids.length > 0) {
    const postmaster = file !== null && pids.includes(file.pid) ? file.pid : null;
    log.warn({ cluster: owner.cluster, pids, postmaster }, 'ending Postgres processes left by an earlier run');
    await end(owner, postmaster);
  }
  const left = readPostmasterFile(owner.cluster);
  if (left !== null && isAlive(left.pid)) rmSync(join(owner.cluster, 'postmaster.pid'), { force: true });
}

/** Stops a postmaster with the tool that works everywhere. Resolves when it has ended; failures are for the caller's next step. */
export async function stopByPgCtl(cluster: string, pgCtl: string): Promise<void> {
  const args = ['stop', '-D', cluster, '-m', 'fast', '-w', '-t', String(FAST_SHUTDOWN_MS / 1000)];
  await promisify(execFile)(pgCtl, args, { timeout: FAST_SHUTDOWN_MS + IMMEDIATE_SHUTDOWN_MS }).catch(() => undefined);
}

async function end(owner: ClusterOwner, postmaster: number | null): Promise<void> {
  if (postmaster !== null) {
    signal(postmaster, 'SIGINT');
    if (await allGone(owner, FAST_SHUTDOWN_MS)) return;
    signal(postmaster, 'SIGQUIT');
    if (await allGone(owner, IMMEDIATE_SHUTDOWN_MS)) return;
  }
  for (const name of ['SIGQUIT', 'SIGKILL'] as const) {
    for (const pid of clusterProcesses(owner)) signal(pid, name);
    if (await allGone(owner, LEAVE_MS)) return;
  }
  throw new Error(`Postgres processes of ${owner.cluster} do not end: ${clusterProcesses(owner).join(', ')}.`);
}

async function allGone(owner: ClusterOwner, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs;
  while (clusterProcesses(owner).length > 0) {
    if (Date.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone in the meantime; the list is asked again.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function onLinux({ cluster, account }: ClusterOwner): number[] {
  const home = statSync(cluster);
  const found: number[] = [];
  const closed: number[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || !isLivingPostgres(pid)) continue;
    try {
      const cwd = statSync(`/proc/${pid}/cwd`);
      if (cwd.dev === home.dev && cwd.ino === home.ino) found.push(pid);
    } catch {
      closed.push(pid);
    }
  }
  return [...found, ...askAs(account, cluster, closed)];
}

/** By `/proc/<pid>/stat`: "pid (name) state ...". A zombie has left already, whenever it is collected. */
function isLivingPostgres(pid: number): boolean {
  try {
    const [, name, state] = /\((.*)\) (.)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return name === 'postgres' && state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}

/** Root without `CAP_SYS_PTRACE` (in most containers) may not see where others' processes work; their own user may. */
function askAs(account: Account | null, cluster: string, pids: readonly number[]): number[] {
  if (account === null || pids.length === 0) return [];
  const script = 'for pid do test "/proc/$pid/cwd" -ef "$0" && echo "$pid"; done';
  const options = { ...spawnAs(account), cwd: '/', encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS } as const;
  const { stdout } = spawnSync('/bin/sh', ['-c', script, cluster, ...pids.map(String)], options);
  return (stdout ?? '').split('\n').filter(Boolean).map(Number);
}

function onMacOs({ cluster }: ClusterOwner): number[] {
  let listing: string;
  try {
    const args = ['-a', '-c', 'postgres', '-d', 'cwd', '-F', 'pn'];
    listing = execFileSync('lsof', args, { encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS, stdio: 'pipe' });
  } catch {
    // Its exit status is 1 when it finds none.
    return [];
  }
  const pids: number[] = [];
  let pid = 0;
  for (const line of listing.split('\n')) {
    if (line.startsWith('p')) pid = Number(line.slice(1));
    if (line === `n${cluster}`) pids.push(pid);
  }
  return pids;
}
