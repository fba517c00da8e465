import { randomUUID } from 'node:crypto';
import { ErrorType } from '@eventstore/db-client';
import { type Connection, isType } from './eventstoredb-connection.ts';
import { erasedNames, type Names, type ProposedEvent, proposeErased } from './eventstoredb-records.ts';

/** Streams that one event of the list names at most. */
const maxNames = 1_000;
/** Characters of the names in one event at most. */
const maxCharacters = 100_000;

/**
 * The streams that were erased. Readers of `$all` go on getting the events of a tombstoned stream until a scavenge; so who
 * reads has to know, before he reads, what was tombstoned up to the head. The list is a stream of its own, written after
 * the tombstones and before `erase` returns: loading it does not take a walk through the log. What is tombstoned while
 * the process runs comes in with the subscription, list and tombstone alike. A name takes about 100 bytes of memory.
 */
export class ErasedStreams {
  readonly #connection: Connection;
  readonly #names: Names;
  readonly #readTimeoutMs: number;
  /** And whether the list names them, or only their tombstone was seen. */
  readonly #streams = new Map<string, boolean>();

  constructor(options: { readonly connection: Connection; readonly names: Names; readonly readTimeoutMs: number }) {
    this.#connection = options.connection;
    this.#names = options.names;
    this.#readTimeoutMs = options.readTimeoutMs;
  }

  get size(): number {
    return this.#streams.size;
  }

  has(stream: string): boolean {
    return this.#streams.has(stream);
  }

  /** True when the list names it: it need not be named again. */
  isListed(stream: string): boolean {
    return this.#streams.get(stream) === true;
  }

  add(streams: readonly string[], listed: boolean): void {
    for (const stream of streams) if (listed || !this.#streams.has(stream)) this.#streams.set(stream, listed);
  }

  /** Reads the list to its end. Rejects with LogUnavailableError. */
  async load(): Promise<void> {
    const maxCount = 500;
    for (let from = 0n; ; ) {
      const at = from;
      const page = await this.#connection
        .collect(this.#readTimeoutMs, (client) =>
          client.readStream(this.#names.erased, { fromRevision: at, maxCount, requiresLeader: true }),
        )
        .catch((error: unknown) => {
          if (isType(error, ErrorType.STREAM_NOT_FOUND)) return [];
          throw error;
        });
      for (const { event } of page) if (event) this.add(erasedNames(event.data), true);
      const last = page.at(-1)?.event;
      if (!last || page.length < maxCount) return;
      from = last.revision + 1n;
    }
  }

  /** Events for the list that name these streams. */
  static propose(streams: readonly string[]): ProposedEvent[] {
    const events: ProposedEvent[] = [];
    let names: string[] = [];
    let characters = 0;
    for (const stream of streams) {
      if (names.length >= maxNames || characters + stream.length > maxCharacters) {
        events.push(proposeErased(randomUUID(), names));
        names = [];
        characters = 0;
      }
      names.push(stream);
      characters += stream.length;
    }
    if (names.length > 0) events.push(proposeErased(randomUUID(), names));
    return events;
  }
}
