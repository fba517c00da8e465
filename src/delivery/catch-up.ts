import { sleep } from '../platform/clock.ts';
import type { Reached } from './reached.ts';

/** Between two attempts at what cannot be reached. */
export const unavailableMs = 1_000;

/** What a sender that starts waits for. */
export interface CatchUpOptions {
  readonly reached: Pick<Reached, 'until'>;
  /** The last position of the log. */
  readonly head: () => Promise<bigint>;
  readonly signal: AbortSignal;
  readonly onTrouble: (error: unknown) => void;
}

/**
 * Rows may be behind what an earlier process recorded: resolves when they are not, and nothing is to be sent before. Tries
 * until it succeeds; rejects when the signal aborts.
 */
export async function rowsCaughtUp(options: CatchUpOptions): Promise<void> {
  const { reached, head, signal, onTrouble } = options;
  for (;;) {
    signal.throwIfAborted();
    try {
      await reached.until(await head());
      return;
    } catch (error) {
      signal.throwIfAborted();
      onTrouble(error);
      await sleep(unavailableMs, signal);
    }
  }
}

/** The last position of the log, asked for until it is answered. Rejects when the signal aborts. */
export async function untilHead(
  head: () => Promise<bigint>,
  signal: AbortSignal,
  onTrouble: (error: unknown) => void,
): Promise<bigint> {
  for (;;) {
    try {
      return await head();
    } catch (error) {
      onTrouble(error);
      await sleep(unavailableMs, signal);
    }
  }
}
