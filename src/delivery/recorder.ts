import { type DispatchCommands, type DispatchRecord, DomainError } from '../commands/index.ts';
import { sleep } from '../platform/clock.ts';
import { Gather } from './gather.ts';

/** What the recorder needs. */
export interface RecorderOptions {
  readonly commands: Pick<DispatchCommands, 'record'>;
  /** Told of every failure to record. */
  readonly onTrouble: (error: unknown) => void;
}

/** Records of one append at most. */
const maxRecords = 500;
const backoffMs = { first: 50, most: 2_000 } as const;

/** The recorder was stopped before the record was known to be stored. */
export class RecorderStoppedError extends Error {
  constructor() {
    super('stopped before the outcome of an attempt was recorded');
    this.name = 'RecorderStoppedError';
  }
}

/**
 * Records what became of dispatches, many in one append: what comes in while an append is under way goes out in the next
 * one. A record is tried until it is stored; what was sent is never sent again meanwhile.
 */
export class Recorder {
  readonly #options: RecorderOptions;
  readonly #gather = new Gather<DispatchRecord, null>(maxRecords, (records) => this.#append(records));
  readonly #stop = new AbortController();
  #depth = 0;
  #troubled = false;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** Records that are not known to be stored yet. */
  get depth(): number {
    return this.#depth;
  }

  /** The last append failed: nothing more should be sent until one succeeds. */
  get troubled(): boolean {
    return this.#troubled;
  }

  /**
   * Resolves when it is stored, or there was nothing to store because the dispatch stands further or is erased.
   * Rejects with RecorderStoppedError after `abandon` only.
   */
  async record(record: DispatchRecord): Promise<void> {
    this.#depth++;
    try {
      await this.#gather.add(record);
    } finally {
      this.#depth--;
    }
  }

  /** Gives up on what is not stored. */
  abandon(): void {
    this.#stop.abort(new RecorderStoppedError());
  }

  async #append(records: DispatchRecord[]): Promise<null[]> {
    const { signal } = this.#stop;
    for (let waitMs: number = backoffMs.first; ; waitMs = Math.min(waitMs * 2, backoffMs.most)) {
      signal.throwIfAborted();
      try {
        await this.#options.commands.record(records);
        this.#troubled = false;
        return records.map(() => null);
      } catch (error) {
        this.#troubled = true;
        this.#options.onTrouble(error);
        // Not trouble with storage but with a record: the others must not wait for that one.
        if (!(error instanceof DomainError && error.retryable) && records.length > 1)
          return this.#appendSingly(records);
      }
      await sleep(waitMs, signal);
    }
  }

  async #appendSingly(records: readonly DispatchRecord[]): Promise<null[]> {
    await Promise.all(records.map((record) => this.#append([record])));
    return records.map(() => null);
  }
}
