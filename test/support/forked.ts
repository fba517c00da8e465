import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Forks a module of the tests. What it prints goes through this process: when this one is ended, a child that stands frozen
 * must not hold the runner's pipes open, or the runner waits for it for ever.
 */
export function forkModule(url: string, options: Omit<ForkOptions, 'silent'> = {}): ChildProcess {
  const child = fork(fileURLToPath(url), { ...options, silent: true });
  child.stdout?.pipe(process.stdout, { end: false });
  child.stderr?.pipe(process.stderr, { end: false });
  return child;
}
