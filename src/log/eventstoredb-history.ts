import { type Connection, INVALID_ARGUMENT } from './eventstoredb-connection.ts';
import type { ErasedStreams } from './eventstoredb-erased.ts';
import { classify, type Names, type StoredEvent, serverPosition } from './eventstoredb-records.ts';
import { LogUnavailableError } from './log.ts';

/** Records of one read of `$all`. */
const readRecords = { least: 64, most: 2_000 };
/** Reads of one page at most, when what they find is passed over. */
const maxReads = 20;

/** One page of history. */
export interface HistoryPage {
  readonly stored: readonly { readonly event: StoredEvent; readonly position: bigint }[];
  /** Up to here nothing is missing. */
  readonly position: bigint;
  /** The end of the log was reached. */
  readonly complete: boolean;
}

/**
 * Reads `$all` after `from`, without a filter: what is not ours is passed over. `known` is what had come in before: a read
 * that ends without an error before that was cut short. Rejects with LogUnavailableError, and with RangeError for a
 * position between two records.
 */
export async function readHistory(
  {
    connection,
    names,
    origin,
    readTimeoutMs,
  }: {
    readonly connection: Connection;
    readonly names: Names;
    readonly origin: bigint;
    readonly readTimeoutMs: number;
  },
  from: bigint,
  maxEvents: number,
  erased: ErasedStreams,
  known: { readonly head: bigint; readonly last: bigint },
): Promise<HistoryPage> {
  const stored: { event: StoredEvent; position: bigint }[] = [];
  let own = from;
  let at = from > origin ? from : origin;
  for (let reads = 0; reads < maxReads; reads++) {
    const maxCount = Math.min(Math.max(maxEvents - stored.length, readRecords.least), readRecords.most) + 1;
    const start = at;
    const records = await connection
      .collect(readTimeoutMs, (client) =>
        client.readAll({
          fromPosition: start === 0n ? 'start' : serverPosition(start),
          maxCount,
          requiresLeader: true,
        }),
      )
      .catch((error: unknown) => {
        if ((error as { code?: unknown }).code !== INVALID_ARGUMENT) throw error;
        throw new RangeError(`no record of the log begins at position ${start}`, { cause: error });
      });
    for (const resolved of records) {
      const record = classify(resolved, names);
      // The read begins at its position, not after it.
      if (record.position <= start) continue;
      at = record.position;
      if (record.is === 'foreign') continue;
      own = at;
      if (record.is === 'event' && !erased.has(record.event.stream)) {
        stored.push({ event: record.event, position: at });
        if (stored.length >= maxEvents) return { stored, position: at, complete: false };
      }
    }
    if (records.length >= maxCount) continue;
    if (at >= known.last) return { stored, position: own > known.head ? own : known.head, complete: true };
    if (at === start) throw new LogUnavailableError(new Error('the server ended a read before its end'));
  }
  return { stored, position: at, complete: false };
}
