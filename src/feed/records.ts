/**
 * Records of a topic. Each is a fact about the log: "after `prev` the next event of this partition is this one, at
 * `position`", or, without an event (a mark), "after `prev` there is none up to `position`". A fact stays true in whatever
 * order and however often it is written, so an old relay can only repeat, and a reader judges each by its own position.
 */
import { type EventCodec, type RecordedEvent, UnknownEventError } from '../../schemas/index.ts';

/** A record as a consumer reads it. */
export interface FeedRecord {
  readonly position: bigint;
  readonly prev: bigint;
  /** Null for a mark. */
  readonly event: RecordedEvent | null;
  /** Kafka's offset of the record after it. */
  readonly nextOffset: bigint;
}

/** A mark's value. */
export function encodeMark(position: bigint, prev: bigint): string {
  return `{"position":"${position}","prev":"${prev}"}`;
}

/** An event's value: JSON, its data of the current version. */
export function encodeEvent(event: RecordedEvent, prev: bigint, codec: EventCodec): string {
  const { position, type, stream, revision, commitId, index, at, meta, data } = event;
  return (
    `{"position":"${position}","prev":"${prev}","event":{"type":"${type}","version":${codec.versionOf(type)},` +
    `"stream":${JSON.stringify(stream)},"revision":${revision},"commitId":"${commitId}","index":${index},"at":${at},` +
    `"meta":${JSON.stringify(meta)},"data":${JSON.stringify(data)}}}`
  );
}

interface Value {
  readonly position: string;
  readonly prev: string;
  readonly event?: Omit<RecordedEvent, 'position'> & { readonly version: number };
}

/**
 * Decodes a value and upcasts its event. Null for what is no record of ours: what it stood for is found to be missing and
 * read from the log. Throws UnknownEventError for an event of a type or version that this code does not know.
 */
export function decodeRecord(value: Buffer | null, nextOffset: bigint, codec: EventCodec): FeedRecord | null {
  if (value === null) return null;
  try {
    const { position: at, prev, event } = JSON.parse(value.toString()) as Value;
    const position = BigInt(at);
    if (!event) return { position, prev: BigInt(prev), event: null, nextOffset };
    const { version, data, ...rest } = event;
    const upcast = { ...rest, position, data: codec.upcast(event.type, version, data) } as RecordedEvent;
    return { position, prev: BigInt(prev), event: upcast, nextOffset };
  } catch (error) {
    if (error instanceof UnknownEventError) throw error;
    return null;
  }
}
