import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves when it is so: for what tells nobody when it becomes so. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(10);
}
