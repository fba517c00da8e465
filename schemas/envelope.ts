import type { DomainEvent } from './index.ts';

/** Who did it, and the trace it happened in. */
export interface EventMeta {
  /** The acting account, as [workspace, account]. */
  readonly actor?: readonly [number, number];
  /** W3C `traceparent` of the span that appended. */
  readonly trace?: string;
}

/** An event as the log gives it back, upcast to the current version. */
export type RecordedEvent<E extends DomainEvent = DomainEvent> = E & {
  /** Place in the whole log. Opaque beyond its order. */
  readonly position: bigint;
  readonly stream: string;
  /** Place in its stream, from 0. */
  readonly revision: number;
  readonly commitId: string;
  /** Place in its commit, from 0. The event's id is `uuidv5(commitId, index)`. */
  readonly index: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly meta: EventMeta;
};
