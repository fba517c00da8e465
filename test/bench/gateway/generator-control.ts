import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Window } from '../load-control.ts';
import type { Job, JobMessage, JobResult } from './job.ts';

/** The generator of sockets: one process for a whole benchmark. */
export class SocketGenerator {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./generator.ts', import.meta.url)));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Runs one job, one at a time. Rejects with what went wrong. */
  run(job: Job, window: Window = {}): Promise<JobResult> {
    return new Promise((resolve, reject) => {
      const onMessage = (message: JobMessage): void => {
        if (message.kind === 'window-begins') window.begins?.();
        else if (message.kind === 'window-ends') window.ends?.();
        else {
          finish();
          if (message.kind === 'result') resolve(message.result);
          else reject(new Error(`${job.kind} on port ${job.port}: ${message.message}`));
        }
      };
      const onExit = (): void => {
        finish();
        reject(new Error('the generator ended'));
      };
      const finish = (): void => {
        this.#child.off('message', onMessage);
        this.#child.off('exit', onExit);
      };
      this.#child.on('message', onMessage);
      this.#child.on('exit', onExit);
      this.#child.send(job);
    });
  }

  /** Closes the sockets of the last job. */
  closeSockets(): void {
    this.#child.send('close');
  }

  close(): void {
    this.#child.kill();
  }
}
