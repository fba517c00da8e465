import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { stopChild } from '../children.ts';

/** A forked server. */
export interface ForkedTarget {
  readonly pid: number;
  readonly port: number;
  tell(message: string): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Forks a file beside this one, which says `{port}` when it listens.
 *
 * @param profileDir for a processor profile of its whole life
 */
export async function forkTarget(
  file: string,
  args: readonly string[],
  profileDir = process.env.BENCH_CPU_PROF,
): Promise<ForkedTarget> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [...args], {
    execArgv: profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`],
  });
  const [{ port }] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => {
      throw new Error(`${file} ended before it listened`);
    }),
  ])) as [{ port: number }];
  return {
    pid: child.pid as number,
    port,
    tell: (message) =>
      new Promise((resolve, reject) => child.send(message, (error) => (error ? reject(error) : resolve()))),
    stop: () => stopChild(child),
  };
}
