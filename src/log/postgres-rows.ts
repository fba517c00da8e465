import type { DomainEvent, EventCodec } from '../../schemas/index.ts';
import type { EventMeta, RecordedEvent } from './log.ts';

/** A row of `log.events` as node-postgres reads it in `rowMode: 'array'`, which takes half the time of objects. */
export type EventRow = readonly [
  position: string,
  stream: string,
  revision: number,
  commitId: string,
  index: number,
  version: number,
  at: string,
  type: string,
  /** JSON; null once erased. */
  data: string | null,
  meta: string | null,
  /** Where several streams were asked for: which of them, from 1. */
  nth?: string,
];

/** The columns that `decodeRow` needs. */
export const eventColumns = 'position, stream, revision, commit_id, index, version, at, type, data, meta';

/** Decodes and upcasts; null for an erased event. Throws UnknownEventError for what this code does not know. */
export function decodeRow(row: EventRow, codec: EventCodec): RecordedEvent | null {
  const [position, stream, revision, commitId, index, version, at, type, json, meta] = row;
  if (json === null) return null;
  return {
    type,
    data: codec.upcast(type, version, JSON.parse(json)) as DomainEvent['data'],
    position: BigInt(position),
    stream,
    revision,
    commitId,
    index,
    at: Number(at),
    meta: meta === null ? {} : (JSON.parse(meta) as EventMeta),
  } as RecordedEvent;
}

/** Where a row's event stands in the log. */
export function positionOf([position]: EventRow): bigint {
  return BigInt(position);
}

/** Of which of the streams that were asked for together a row is: from 1. */
export function askedOf([, , , , , , , , , , nth]: EventRow): number {
  return Number(nth);
}

/** Where a row's event stands in its stream. */
export function revisionOf([, , revision]: EventRow): number {
  return revision;
}

/** True for an event whose stream was erased. */
export function isErased([, , , , , , , , data]: EventRow): boolean {
  return data === null;
}
