import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LoadJob, LoadMessage, LoadResult } from './load-job.ts';

/** Above this share of a core the generator may be the limit, and not what it measures. */
export const maxOwnCpuShare = 0.85;

/** Called at the ends of the measured window, a few milliseconds late at most. */
export interface Window {
  begins?(): void;
  ends?(): void;
}

/** The load generator: one process for a whole benchmark, so that both sides meet it equally warm. */
export class LoadGenerator {
  readonly #child: ChildProcess;
  #busy = false;

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./load.ts', import.meta.url)), { serialization: 'advanced' });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Runs one job. Rejects, with a sample of the answer, when any request failed. One at a time. */
  run(job: LoadJob, window: Window = {}): Promise<LoadResult> {
    if (this.#busy) throw new Error('the load generator does one job at a time');
    this.#busy = true;
    return new Promise<LoadResult>((resolve, reject) => {
      const onMessage = (message: LoadMessage): void => {
        if (message.kind === 'window-begins') window.begins?.();
        else if (message.kind === 'window-ends') window.ends?.();
        else {
          finish();
          if (message.kind === 'result') resolve(message.result);
          else reject(new Error(`${job.target} on port ${job.port}: ${message.message}`));
        }
      };
      const onExit = (): void => {
        finish();
        reject(new Error('the load generator ended'));
      };
      const finish = (): void => {
        this.#busy = false;
        this.#child.off('message', onMessage);
        this.#child.off('exit', onExit);
      };
      this.#child.on('message', onMessage);
      this.#child.on('exit', onExit);
      this.#child.send(job);
    });
  }

  close(): void {
    this.#child.kill();
  }
}
