/**
 * How the log is spelled in EventStoreDB: names of streams, events and their metadata.
 *
 * | In the server | What it is |
 * |---|---|
 * | stream `<namespace>.<stream>` | a stream of the port; one event each, data as JSON, the envelope in the metadata |
 * | stream `<namespace>!<name>` | the claims of one name, the last one decides (`eventstoredb-claims.ts`) |
 * | stream `<namespace>*erased` | names of the streams that were erased, so that nobody has to search the log for them |
 * | event `commit-fenced` in a stream of the port | an undecided commit may not be written any more |
 *
 * Everything else (`$...`, other namespaces) is passed over. A position is the commit position of a record: every record
 * that Parley reads was written by an append of this kind of server, whose prepare position is the same number.
 */
import type { AllStreamResolvedEvent, Position, ResolvedEvent } from '@eventstore/db-client';
import type { DomainEvent, EventCodec } from '../../schemas/index.ts';
import { uuidv5 } from '../platform/ids.ts';
import { type EventMeta, type RecordedEvent, TooLargeError } from './log.ts';
import type { Waiting } from './waiting.ts';

/** Type of the event that voids an undecided commit. */
export const FENCE = 'commit-fenced';
/** Type of the events in a claim stream. */
export const CLAIMED = 'claimed';
/** Type of the events that name erased streams. */
export const ERASED = 'streams-erased';
/** Type of the event that the server writes into a stream when it is tombstoned. */
const TOMBSTONE = '$streamDeleted';

/** Bytes of one append at most, by the server's own way of counting: data, metadata, and the type as UTF-16. */
export const maxAppendBytes = 1024 * 1024;

/** One event on its way to the server. */
export interface ProposedEvent {
  readonly id: string;
  readonly type: string;
  readonly data: Buffer;
  readonly metadata: Buffer;
}

/** The metadata of a domain event. */
export interface StoredMetadata {
  readonly commitId: string;
  readonly index: number;
  readonly version: number;
  readonly at: number;
  readonly meta?: EventMeta;
  /** On a commit's first event: which asking wrote it, so that an idempotent answer is told from a first one. */
  readonly asking?: string;
  /** On a commit's first event: the names it lets go. */
  readonly releases?: readonly string[];
}

/** A claim as it stands in its claim stream. */
export interface StoredClaim {
  readonly commitId: string;
  readonly stream: string;
  readonly expected: number;
  readonly made?: string;
  readonly atLeastUntil?: number;
}

/** Names of streams in one namespace of a server. */
export class Names {
  readonly #namespace: string;

  /** Throws TypeError for a namespace that is not lower-case letters, digits and `_`. */
  constructor(namespace: string) {
    if (!/^[a-z0-9_]{1,40}$/.test(namespace))
      throw new TypeError(`a namespace is 1 to 40 of a-z, 0-9 and _, not ${JSON.stringify(namespace)}`);
    this.#namespace = namespace;
  }

  stream(name: string): string {
    return `${this.#namespace}.${name}`;
  }

  claim(name: string): string {
    return `${this.#namespace}!${name}`;
  }

  get erased(): string {
    return `${this.#namespace}*erased`;
  }

  /** Which kind of stream of ours a name of the server is, and its name in the port; null for a stranger's. */
  read(streamId: string): { kind: 'stream' | 'claim' | 'erased'; name: string } | null {
    if (!streamId.startsWith(this.#namespace)) return null;
    const name = streamId.slice(this.#namespace.length + 1);
    switch (streamId[this.#namespace.length]) {
      case '.':
        return { kind: 'stream', name };
      case '!':
        return { kind: 'claim', name };
      case '*':
        return name === 'erased' ? { kind: 'erased', name } : null;
      default:
        return null;
    }
  }
}

/** A record of `$all`, as the tail sees it. */
export type LogRecord =
  | { readonly is: 'event'; readonly position: bigint; readonly event: StoredEvent }
  /** Streams that were erased: from here on nothing of them is given. */
  | { readonly is: 'erased'; readonly position: bigint; readonly streams: readonly string[]; readonly listed: boolean }
  /** Claims and fences: ours, and nobody's business. */
  | { readonly is: 'own'; readonly position: bigint }
  | { readonly is: 'foreign'; readonly position: bigint };

/** A domain event as the server gives it. */
export interface StoredEvent {
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
  readonly data: unknown;
  readonly metadata: StoredMetadata;
}

/** The place of a resolved event in the whole log. Throws when the server gives none (before 22.6). */
export function positionOf(resolved: ResolvedEvent | AllStreamResolvedEvent): bigint {
  const position = resolved.commitPosition ?? resolved.event?.position?.commit;
  if (position === undefined) throw new Error('the server gives no positions: EventStoreDB 22.6 or later is needed');
  return position;
}

/** A position in the server's terms. */
export function serverPosition(position: bigint): Position {
  return { commit: position, prepare: position };
}

/** What a record of `$all` is. */
export function classify(resolved: AllStreamResolvedEvent, names: Names): LogRecord {
  const position = positionOf(resolved);
  const { event } = resolved;
  const place = event ? names.read(event.streamId) : null;
  if (!event || !place) return { is: 'foreign', position };
  if (place.kind === 'claim') return { is: 'own', position };
  if (place.kind === 'erased') return { is: 'erased', position, streams: erasedNames(event.data), listed: true };
  if (event.type === TOMBSTONE) return { is: 'erased', position, streams: [place.name], listed: false };
  const stored = storedEvent(resolved, place.name);
  return stored ? { is: 'event', position, event: stored } : { is: 'own', position };
}

/** A domain event of a stream; null for a fence, and for what no log of ours wrote. */
export function storedEvent({ event }: ResolvedEvent | AllStreamResolvedEvent, stream: string): StoredEvent | null {
  if (!event || event.type === FENCE || !event.isJson) return null;
  const metadata = event.metadata as Partial<StoredMetadata> | undefined;
  if (typeof metadata?.commitId !== 'string' || metadata.version === undefined) return null;
  const { type, data, revision } = event;
  return { stream, revision: Number(revision), type, data, metadata: metadata as StoredMetadata };
}

/** Names of streams that an event of the list of erased streams holds. */
export function erasedNames(data: unknown): readonly string[] {
  return (data as { streams?: readonly string[] }).streams ?? [];
}

/** Decodes and upcasts. Throws UnknownEventError for what this code does not know. */
export function decode(position: bigint, event: StoredEvent, codec: EventCodec): RecordedEvent {
  const { type, stream, revision, metadata } = event;
  const { commitId, index, version, at, meta = {} } = metadata;
  const data = codec.upcast(type, version, event.data) as DomainEvent['data'];
  return { type, data, position, stream, revision, commitId, index, at, meta } as RecordedEvent;
}

/**
 * The events of a commit as they are stored. `asking` names this asking. Throws TooLargeError when, envelopes and all,
 * they are above what the server takes in one append: some 5,000 of the smallest events.
 */
export function proposeCommit({ commit, data, versions }: Waiting, asking: string): ProposedEvent[] {
  const { commitId, at, releases } = commit;
  const meta = commit.meta && (commit.meta.actor || commit.meta.trace) ? commit.meta : undefined;
  let bytes = 0;
  const events = commit.events.map(({ type }, index) => {
    const metadata: StoredMetadata = {
      commitId,
      index,
      version: versions[index] as number,
      at,
      ...(meta && { meta }),
      ...(index === 0 && { asking }),
      ...(index === 0 && releases && releases.length > 0 && { releases }),
    };
    const event = propose(eventId(commitId, index), type, data[index] as string, JSON.stringify(metadata));
    bytes += appendBytes(event);
    return event;
  });
  if (bytes > maxAppendBytes) throw new TooLargeError('commit', bytes, maxAppendBytes);
  return events;
}

/** The id of the `index`-th event of a commit. */
export function eventId(commitId: string, index: number): string {
  return uuidv5(commitId, String(index));
}

/** The event that claims a name. Its id stays the same as long as the commit is asked for at the same revision. */
export function proposeClaim(name: string, claim: StoredClaim): ProposedEvent {
  const { commitId, expected } = claim;
  return propose(uuidv5(commitId, `claim ${name} ${expected}`), CLAIMED, JSON.stringify(claim), '{}');
}

/** The event that takes the place of an undecided commit: the same one, whoever writes it. */
export function proposeFence({ commitId, expected }: StoredClaim): ProposedEvent {
  return propose(uuidv5(commitId, `fence ${expected}`), FENCE, JSON.stringify({ commitId }), '{}');
}

/** An event for the list of erased streams. */
export function proposeErased(id: string, streams: readonly string[]): ProposedEvent {
  return propose(id, ERASED, JSON.stringify({ streams }), '{}');
}

/** Bytes of an event as the server counts them against its limit of an append. */
export function appendBytes({ type, data, metadata }: ProposedEvent): number {
  return data.length + metadata.length + 2 * type.length;
}

function propose(id: string, type: string, data: string, metadata: string): ProposedEvent {
  return { id, type, data: Buffer.from(data), metadata: Buffer.from(metadata) };
}
