import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const killAfterMs = 20_000;

/** A process of the benchmark that listens on a port of its own. */
export interface ListeningChild {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

/** Forks a file beside this one that says `{port}` when it listens. */
export async function forkListening(file: string): Promise<ListeningChild> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)));
  const said = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => {
      throw new Error(`${file} ended before it listened`);
    }),
  ])) as [{ port: number }];
  return { pid: child.pid as number, port: said[0].port, stop: () => stopChild(child) };
}

/** SIGTERM, and SIGKILL when that is not enough; also for one that is held still. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  child.kill('SIGCONT');
  const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  await ended;
  clearTimeout(timer);
}
