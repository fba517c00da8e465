/** How much of the processor a thread asks for. */
import { constants, setPriority } from 'node:os';

/**
 * Lets other threads come first: who waits for an answer does. On Linux this is the priority of the calling thread alone,
 * elsewhere it would be that of the whole process, and nothing is changed.
 */
export function giveWay(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // Where it may not be set, all are equals.
  }
}
