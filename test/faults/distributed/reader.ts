/**
 * The verifying reader: gives a command to one api process and reads it through another, with the position that was answered.
 * The answer is the message, or 503; never that there is none, and never stale (design promise 8).
 */
import { sleep } from '../../../src/platform/clock.ts';
import type { World } from '../load.ts';
import { ask, type Probes } from './probes.ts';

const pauseMs = 400;
const giveUpMs = 30_000;

/** Reads until it is stopped. */
export class Reader {
  readonly problems: string[] = [];
  /** Reads that were answered with the message, and those with 503 or nothing. */
  readonly counts = { seen: 0, refused: 0 };
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  start(probes: Probes, bases: readonly string[], { token }: World): void {
    this.#running = this.#run(probes, bases, token);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(probes: Probes, bases: readonly string[], token: string): Promise<void> {
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      const [writes, reads] = turn % 2 === 0 ? bases : bases.toReversed();
      const sent = await probes.send(writes ?? '', Date.now() + giveUpMs);
      if (sent) await this.#read(reads ?? '', token, sent);
      await sleep(pauseMs, this.#stop.signal).catch(() => {});
    }
  }

  async #read(base: string, token: string, { number, id, position }: { number: number; id: string; position: bigint }) {
    const headers = { 'x-parley-position': String(position) };
    const answer = await ask(base, 'GET', `/messages/${id}`, token, { headers });
    if (answer === null || answer.status === 503) this.counts.refused++;
    else if (answer.status === 200 && !answer.stale) this.counts.seen++;
    else
      this.problems.push(
        `number ${number}, acknowledged at ${position}, was read with ${answer.status}${answer.stale ? ', stale' : ''}: ${answer.text.slice(0, 200)}`,
      );
  }
}
