/** What runs of benchmarks have in common, around what they measure. */
import { chmodSync, mkdtempSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

/** Does one step of a run; tells on the terminal how long it took. */
export async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  process.stderr.write(`${name} ... `);
  try {
    const result = await work();
    process.stderr.write(`${((performance.now() - began) / 1_000).toFixed(1)} s\n`);
    return result;
  } catch (error) {
    process.stderr.write('failed\n');
    throw error;
  }
}

/** A new directory that Postgres, which does not run as root, can enter. */
export function workDirectory(below: string): string {
  const dir = realpathSync(mkdtempSync(join(below, 'parley-bench-')));
  chmodSync(dir, 0o711);
  return dir;
}

const signals = ['SIGINT', 'SIGTERM'] as const;

/** What has to be undone at the end of a run, the last thing first; a signal that ends the process undoes it as well. */
export class Closing {
  readonly #undo: (() => unknown)[] = [];
  readonly #interrupted = (): void => void this.close().finally(() => process.exit(1));

  constructor() {
    for (const signal of signals) process.once(signal, this.#interrupted);
  }

  push(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  /** Undoes it all. Twice is the same as once. */
  async close(): Promise<void> {
    for (const signal of signals) process.off(signal, this.#interrupted);
    for (const each of this.#undo.splice(0).reverse()) await each();
  }
}
