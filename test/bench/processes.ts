/** Processor time and memory of processes, from Linux's /proc. Other systems have none: `canSample` tells. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** Whether processes can be looked at here. */
export const canSample = process.platform === 'linux';

let ticks: number | undefined;

function ticksPerSecond(): number {
  ticks ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return ticks;
}

interface Stat {
  readonly pid: number;
  readonly name: string;
  readonly parent: number;
  readonly ownTicks: number;
  readonly ticksOfEndedChildren: number;
}

/** Null for a process that is gone. */
function statOf(pid: number): Stat | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  // The name stands in brackets and may hold anything; the fields are counted from behind it.
  const close = text.lastIndexOf(')');
  const fields = text.slice(close + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    pid,
    name: text.slice(text.indexOf('(') + 1, close),
    parent: field(4),
    ownTicks: field(14) + field(15),
    ticksOfEndedChildren: field(16) + field(17),
  };
}

function allStats(): Stat[] {
  return readdirSync('/proc').flatMap((name) => {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : null;
    return stat === null ? [] : [stat];
  });
}

/** The process id of the Postgres server that a process has started; null when there is none. */
export function postgresOf(parent: number): number | null {
  const all = allStats();
  const below = new Set([parent]);
  // Children have higher ids as a rule, not always: look until nobody is added.
  for (let size = 0; size !== below.size; ) {
    size = below.size;
    for (const { pid, parent: above } of all) if (below.has(above)) below.add(pid);
  }
  const found = all.find(({ pid, name, parent: above }) => {
    const byPostgres = all.find((each) => each.pid === above)?.name === 'postgres';
    return below.has(pid) && name === 'postgres' && !byPostgres;
  });
  return found?.pid ?? null;
}

/** Processor time of one process so far, milliseconds; 0 when it is gone. */
export function cpuMs(pid: number): number {
  return ((statOf(pid)?.ownTicks ?? 0) * 1_000) / ticksPerSecond();
}

/** Processor time so far of a server and the processes under it, ended ones included, milliseconds. */
export function treeCpuMs(root: number): number {
  let sum = 0;
  for (const { pid, parent, ownTicks, ticksOfEndedChildren } of allStats()) {
    if (pid === root) sum += ownTicks + ticksOfEndedChildren;
    else if (parent === root) sum += ownTicks;
  }
  return (sum * 1_000) / ticksPerSecond();
}

/**
 * Processor time that all processors have spent at work so far, milliseconds. Time that the host of a virtual machine gave
 * to others counts as work: it is as lost as theirs.
 */
export function machineCpuMs(): number {
  const first = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0] ?? '';
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = first.split(/\s+/).slice(1).map(Number);
  return ((user + nice + system + irq + softirq + steal) * 1_000) / ticksPerSecond();
}

/** Resident memory of one process, bytes; 0 when it is gone. */
export function residentBytes(pid: number): number {
  return kilobytes(`/proc/${pid}/status`, 'VmRSS') * 1_024;
}

/** Memory of a server and the processes under it, what they share counted once, bytes. */
export function treeBytes(root: number): number {
  const pids = allStats().flatMap(({ pid, parent }) => (pid === root || parent === root ? [pid] : []));
  return pids.reduce((sum, pid) => sum + kilobytes(`/proc/${pid}/smaps_rollup`, 'Pss') * 1_024, 0);
}

function kilobytes(file: string, name: string): number {
  try {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(file, 'latin1'));
    return Number(found?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Processor time of groups of processes over a window. */
export class CpuWatch<Group extends string> {
  readonly #groups: Readonly<Record<Group, () => number>>;
  #before: Map<Group, number> = new Map();
  #used: Map<Group, number> = new Map();

  /** @param groups functions that tell the time used so far, milliseconds */
  constructor(groups: Readonly<Record<Group, () => number>>) {
    this.#groups = groups;
  }

  begins(): void {
    this.#before = this.#read();
  }

  ends(): void {
    const after = this.#read();
    this.#used = new Map([...after].map(([group, ms]) => [group, Math.max(0, ms - (this.#before.get(group) ?? 0))]));
  }

  /** Milliseconds that a group used in the window. */
  usedMs(group: Group): number {
    return this.#used.get(group) ?? 0;
  }

  #read(): Map<Group, number> {
    return new Map((Object.keys(this.#groups) as Group[]).map((group) => [group, this.#groups[group]()]));
  }
}

/** Holds a process still for the time of some work, so that it takes nothing from what is measured meanwhile. */
export async function heldStill<T>(pid: number, work: () => Promise<T>): Promise<T> {
  process.kill(pid, 'SIGSTOP');
  try {
    return await work();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}
