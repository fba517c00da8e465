import type { DomainEvent, EventCodec } from '../../schemas/index.ts';
import type { EventMeta, RecordedEvent } from './log.ts';

/** A row of `log.events` as node-postgres reads it. */
export interface EventRow {
  readonly position: string;
  readonly stream: string;
  readonly revision: number;
  readonly commit_id: string;
  readonly index: number;
  readonly version: number;
  readonly at: string;
  readonly type: string;
  /** JSON; null once erased. */
  readonly data: string | null;
  readonly meta: string | null;
}

/** The columns that `decodeRow` needs. */
export const eventColumns = 'position, stream, revision, commit_id, index, version, at, type, data, meta';

/** Decodes and upcasts; null for an erased event. Throws UnknownEventError for what this code does not know. */
export function decodeRow(row: EventRow, codec: EventCodec): RecordedEvent | null {
  if (row.data === null) return null;
  const data = codec.upcast(row.type, row.version, JSON.parse(row.data)) as DomainEvent['data'];
  return {
    type: row.type,
    data,
    position: BigInt(row.position),
    stream: row.stream,
    revision: row.revision,
    commitId: row.commit_id,
    index: row.index,
    at: Number(row.at),
    meta: row.meta === null ? {} : (JSON.parse(row.meta) as EventMeta),
  } as RecordedEvent;
}
