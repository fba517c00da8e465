import { type DispatchRecord, type DispatchRecords, DomainError } from '../commands/index.ts';
import { Gather } from '../platform/gather.ts';
import { Persisting } from './persisting.ts';

/** What the recorder needs. */
export interface RecorderOptions {
  readonly commands: Pick<DispatchRecords, 'record'>;
  /** Told of every failure to record. */
  readonly onTrouble: (error: unknown) => void;
}

/** Records of one append at most. */
const maxRecords = 500;

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
  readonly #commands: RecorderOptions['commands'];
  readonly #log: Persisting;
  readonly #gather = new Gather<DispatchRecord, bigint | null>(maxRecords, (records) => this.#append(records));
  #depth = 0;

  constructor({ commands, onTrouble }: RecorderOptions) {
    this.#commands = commands;
    this.#log = new Persisting(onTrouble);
  }

  /** Records that are not known to be stored yet. */
  get depth(): number {
    return this.#depth;
  }

  /** The last append failed: nothing more should be sent until one succeeds. */
  get troubled(): boolean {
    return this.#log.troubled;
  }

  /**
   * Resolves when it is stored, with its position; with null when there was nothing to store because the dispatch stands
   * further or is erased.
   * Rejects with RecorderStoppedError after `abandon` only.
   */
  async record(record: DispatchRecord): Promise<bigint | null> {
    this.#depth++;
    try {
      return await this.#gather.ask(record);
    } finally {
      this.#depth--;
    }
  }

  /** Gives up on what is not stored. */
  abandon(): void {
    this.#log.abandon(new RecorderStoppedError());
  }

  async #append(records: DispatchRecord[]): Promise<(bigint | null)[]> {
    // Not trouble with storage but with a record: the others must not wait for that one.
    const isOfOne = (error: unknown) => !(error instanceof DomainError && error.retryable) && records.length > 1;
    try {
      return await this.#log.append(() => this.#commands.record(records), isOfOne);
    } catch {
      this.#log.signal.throwIfAborted();
      return (await Promise.all(records.map((record) => this.#append([record])))).flat();
    }
  }
}
