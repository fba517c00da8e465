import type { PendingDispatch } from '../../projections/dispatches/queries.ts';
import type { ConnectorType } from '../commands/index.ts';
import { Gather } from '../platform/gather.ts';
import type { AttemptEnd } from './attempt.ts';
import { untilHead } from './catch-up.ts';
import type { Held } from './held.ts';
import type { Lane } from './lane.ts';
import { Recorder, type RecorderOptions } from './recorder.ts';

/** How an attempt ended, for metrics. `retried` used up an attempt, `throttled` did not; both are tried again. */
export type DispatchOutcome = 'sent' | 'failed' | 'retried' | 'throttled';

/** What settling needs. */
export interface SettlingOptions extends RecorderOptions {
  readonly held: Pick<Held, 'letGo'>;
  /** The last position of the log. */
  readonly head: () => Promise<bigint>;
  /** Aborts when nothing is waited for any more. */
  readonly ended: AbortSignal;
  /** A dispatch was let go of; `retryAt` is when it is due again, milliseconds since the epoch, null when it is not to wait. */
  readonly onReleased: (lane: Lane, retryAt: number | null) => void;
  readonly onOutcome?: (type: ConnectorType, outcome: DispatchOutcome) => void;
}

/** What follows on an attempt: it is recorded, and its dispatch let go of when the rows show what became of it. */
export class Settling {
  readonly #options: SettlingOptions;
  readonly #recorder: Recorder;
  readonly #heads: Gather<null, bigint>;

  constructor(options: SettlingOptions) {
    this.#options = options;
    this.#recorder = new Recorder(options);
    const { head, ended, onTrouble } = options;
    this.#heads = new Gather(1_000, async (asked) => {
      const now = await untilHead(head, ended, onTrouble);
      return asked.map(() => now);
    });
  }

  /** Ended attempts that are not known to be recorded. */
  get depth(): number {
    return this.#recorder.depth;
  }

  /** The last record was not stored: nothing more should be sent until one is. */
  get troubled(): boolean {
    return this.#recorder.troubled;
  }

  /** Resolves when the end of an attempt is recorded, or has nothing to record. Never rejects. */
  async settle(lane: Lane, row: PendingDispatch, end: AttemptEnd): Promise<void> {
    if (end.end === 'unavailable') {
      this.#options.onTrouble(end.error);
      this.putBack(lane, row);
      return;
    }
    let retryAt: number | null = null;
    let recordedAt: bigint | null = null;
    if (end.end === 'record') {
      try {
        recordedAt = await this.#recorder.record(end.record);
      } catch {
        // Stopped before it was stored: the lease stays, and whoever takes it over reads the stream.
        return;
      }
      const { command } = end.record;
      if (command.command === 'RecordDeferred') retryAt = command.retryAt;
      this.#options.onOutcome?.(row.connectorType, outcomeOf(end));
    }
    this.#letGo(lane, row, recordedAt, retryAt);
  }

  /** Gives back a dispatch that was not sent. */
  putBack(lane: Lane, row: PendingDispatch): void {
    lane.dirty = true;
    this.#release(lane, row, 0n, null);
  }

  /**
   * Lets a dispatch go when the rows show what became of it: what was recorded here, or, where something else had recorded
   * it before (a receipt), everything that the log holds now.
   */
  #letGo(lane: Lane, row: PendingDispatch, recordedAt: bigint | null, retryAt: number | null): void {
    if (recordedAt !== null) this.#release(lane, row, recordedAt, retryAt);
    else
      this.#heads.ask(null).then(
        (head) => this.#release(lane, row, head, retryAt),
        () => {},
      );
  }

  /** Lets go once the rows stand at a position. */
  #release(lane: Lane, { dispatch }: PendingDispatch, position: bigint, retryAt: number | null): void {
    this.#options.held.letGo(dispatch, position).then(
      () => this.#options.onReleased(lane, retryAt),
      () => {},
    );
  }

  /** Gives up on what is not recorded. */
  abandon(): void {
    this.#recorder.abandon();
  }
}

function outcomeOf({ record, result }: Extract<AttemptEnd, { end: 'record' }>): DispatchOutcome {
  switch (record.command.command) {
    case 'RecordSent':
      return 'sent';
    case 'RecordFailed':
      return 'failed';
    case 'RecordDeferred':
      return result?.outcome === 'throttled' ? 'throttled' : 'retried';
  }
}
