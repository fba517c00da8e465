/** Reads processor profiles of V8 (`--cpu-prof`): which functions took the time. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { figure, table } from './report.ts';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Time in a function itself, not in what it calls. */
export interface SelfTime {
  readonly name: string;
  readonly ms: number;
  /** Of the time that was not idle. */
  readonly share: number;
}

const notWork = new Set(['(idle)', '(root)']);

/** The functions of a profile by self time, most first. */
export function selfTimes(profile: CpuProfile): SelfTime[] {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const us = new Map<string, number>();
  profile.samples.forEach((id, i) => {
    const name = names.get(id) ?? '(unknown)';
    us.set(name, (us.get(name) ?? 0) + (profile.timeDeltas[i] ?? 0));
  });
  for (const name of notWork) us.delete(name);
  const all = [...us.values()].reduce((sum, each) => sum + each, 0);
  return [...us].map(([name, each]) => ({ name, ms: each / 1_000, share: each / all })).sort((a, b) => b.ms - a.ms);
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const file = url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/(?=node_modules\/|src\/|projections\/|schemas\/|test\/)/, '');
  return `${name} ${file}:${lineNumber + 1}`;
}

/** Prints the first functions of every profile in a directory that is longer than a second. */
export function printProfiles(dir: string, functions: number): void {
  for (const file of readdirSync(dir).filter((name) => name.endsWith('.cpuprofile'))) {
    const profile = JSON.parse(readFileSync(join(dir, file), 'utf8')) as CpuProfile;
    const times = selfTimes(profile);
    const allMs = times.reduce((sum, { ms }) => sum + ms, 0);
    if (allMs < 1_000) continue;
    console.log(`\n${file}: ${figure(allMs / 1_000)} s of work`);
    const rows = times.slice(0, functions).map(({ name, ms, share }) => [name, figure(ms), `${figure(share * 100)} %`]);
    console.log(table(['function', 'self ms', ''], rows));
  }
}
