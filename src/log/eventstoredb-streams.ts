import { ErrorType, type ReadStreamOptions, type ResolvedEvent } from '@eventstore/db-client';
import { type Connection, isType } from './eventstoredb-connection.ts';

/** What a look at one stream of the server found. */
export interface StreamLook {
  readonly events: readonly ResolvedEvent[];
  /** Tombstoned. */
  readonly closed: boolean;
}

/** Looks at single streams of the server, at its leader. */
export class Streams {
  readonly #connection: Connection;
  readonly #timeoutMs: number;

  constructor(connection: Connection, timeoutMs: number) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
  }

  /** Events from a revision on, oldest first; none where there is no stream. Rejects with LogUnavailableError. */
  from(stream: string, revision: number, maxCount?: number): Promise<StreamLook> {
    return this.#look(stream, { fromRevision: BigInt(revision), ...(maxCount !== undefined && { maxCount }) });
  }

  /** The last event, if there is one. Rejects with LogUnavailableError. */
  last(stream: string): Promise<StreamLook> {
    return this.#look(stream, { direction: 'backwards', fromRevision: 'end', maxCount: 1 });
  }

  async #look(stream: string, options: ReadStreamOptions): Promise<StreamLook> {
    try {
      const events = await this.#connection.collect(this.#timeoutMs, (client) =>
        client.readStream(stream, { ...options, requiresLeader: true }),
      );
      return { events, closed: false };
    } catch (error) {
      if (isType(error, ErrorType.STREAM_NOT_FOUND)) return { events: [], closed: false };
      if (isType(error, ErrorType.STREAM_DELETED)) return { events: [], closed: true };
      throw error;
    }
  }

  /** Closes a stream for ever; one that is closed stays so. Rejects with LogUnavailableError. */
  async tombstone(stream: string): Promise<void> {
    try {
      await this.#connection.run(this.#timeoutMs, (client) =>
        client.tombstoneStream(stream, { expectedRevision: 'any', requiresLeader: true }),
      );
    } catch (error) {
      if (!isType(error, ErrorType.STREAM_DELETED)) throw error;
    }
  }
}

/** The revision of the last event of a look; `NO_STREAM` for none. */
export function revisionOf({ events }: StreamLook): number {
  const last = events.at(-1)?.event;
  return last ? Number(last.revision) : -1;
}
