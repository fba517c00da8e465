/**
 * The log: the only source of truth (design section 4). The port, implemented by `postgres.ts` (embedded
 * default) and `eventstoredb.ts`.
 *
 * Promises: a commit answered `written` is durable and whole. Positions rise, none twice, and a tail misses nothing that
 * was acknowledged, under any number of writers and processes. Positions are opaque beyond their order: never subtract
 * them (Postgres's are also consecutive). 0 stands before the first event.
 *
 * Limits: `maxEventBytes` per event, `maxCommitBytes` per commit, refused (`TooLargeError`) before anything is written.
 * Failure: an append that cannot be settled answers `unknown` (asking again with the same commit finds out); reads and
 * tails throw `LogUnavailableError` while storage is away, and a tail resumes from the last position it delivered.
 */
import type { DomainEvent, EventMeta, RecordedEvent } from '../../schemas/index.ts';

export type { EventMeta, RecordedEvent } from '../../schemas/index.ts';

/** `expected` of a stream that must not exist yet, and the revision of a stream without events. */
export const NO_STREAM = -1;

/** Bytes of one event (its data and metadata as JSON, UTF-8). */
export const maxEventBytes = 256 * 1024;
/** Bytes of all events of one commit. */
export const maxCommitBytes = 768 * 1024;
/** Silence of a tail at most, milliseconds: it says `progress` when nothing else. */
export const progressIntervalMs = 250;

/** A name that one commit holds alone. Names carry no personal data: HMACs of it (design promise 12). */
export interface Claim {
  readonly name: string;
  /** What was made under this name, told to whoever meets it; for idempotency keys, JSON text. */
  readonly made?: string;
  /**
   * Milliseconds since the epoch. Marks a claim of an idempotency key: it outlives the erasure of its stream until then.
   */
  readonly atLeastUntil?: number;
}

/** The stream that holds a name, and what its claim says of what was made. */
export interface Holder {
  readonly stream: string;
  readonly made: string | null;
}

/** What one command writes. */
export interface Commit {
  /** UUID, random per execution of a command and kept through its retries. */
  readonly commitId: string;
  readonly stream: string;
  /** The revision the stream must be at: that of its last event, `NO_STREAM` for none. */
  readonly expected: number;
  /** At least one. */
  readonly events: readonly DomainEvent[];
  readonly claims?: readonly Claim[];
  /** Names to let go; only those that this stream holds are. */
  readonly releases?: readonly string[];
  /** Time of the events, milliseconds since the epoch. */
  readonly at: number;
  readonly meta?: EventMeta;
}

/** How an append ended. `position` and `revision` are those of the commit's last event. */
export type Outcome =
  | { readonly outcome: 'written' | 'replayed'; readonly position: bigint; readonly revision: number }
  /** The stream is not at `expected` (or closed by erasure): nothing written. `revision` is where it is. */
  | { readonly outcome: 'conflict'; readonly revision: number }
  /** A claim is held by another stream: nothing written. */
  | {
      readonly outcome: 'taken';
      readonly name: string;
      readonly by: Holder;
    }
  /** Not known to be stored: ask again with the same commit. */
  | { readonly outcome: 'unknown'; readonly reason: string };

/** What a tail yields: events in the order of the log (possibly none) and the position up to which nothing is missing. */
export interface TailBatch {
  readonly events: readonly RecordedEvent[];
  readonly position: bigint;
}

/** The log. */
export interface Log {
  /**
   * Appends commits, each for itself: the outcomes stand in the same order. Never rejects but with TooLargeError
   * (or a ZodError, a defect of the caller): trouble with storage is the outcome `unknown`.
   */
  append(commits: readonly Commit[]): Promise<Outcome[]>;
  /**
   * The events of one stream from a revision on, oldest first; none when it does not exist or was erased.
   * `revision` is that of the stream's last event, `closed` whether it was erased.
   */
  read(stream: string, from?: number): Promise<{ events: RecordedEvent[]; revision: number; closed: boolean }>;
  /**
   * Who holds a name at a time (milliseconds since the epoch), and what was made under it; null for nobody. Decided, not
   * guessed: of a commit that is being written it waits for the end. Rejects with LogUnavailableError.
   */
  holder(name: string, at: number): Promise<Holder | null>;
  /**
   * Everything after `from`, history first, then live, until `signal` aborts (then it returns). Erased events are
   * passed over: `position` moves past them. Says something at least every `progressIntervalMs`.
   * Throws LogUnavailableError when storage stays away; the caller begins again at the last position it was given.
   */
  tail(from: bigint, signal: AbortSignal): AsyncIterable<TailBatch>;
  /** One bounded page of history after `from`: for rebuilds and repairs. `position` is where the next page begins. */
  page(from: bigint, maxEvents: number): Promise<TailBatch & { readonly atHead: boolean }>;
  /** The last position that the tail would deliver. */
  head(): Promise<bigint>;
  /** How many events stand after `from` and not after `to`, counted up to `most`. Erased ones may be among them. */
  count(from: bigint, to: bigint, most: number): Promise<number>;
  /**
   * Closes streams for ever (appends to them are `conflict`); no read and no tail gives their content from the return on.
   * Ends their claims, but for those of idempotency keys that have not passed. Idempotent; one that rejects may have
   * erased some of them. It may take half a second, for one stream as for a thousand.
   */
  erase(streams: readonly string[]): Promise<void>;
  /** Lets go of connections; what is being appended is finished first. */
  close(): Promise<void>;
}

/** An event or commit above the limits; nothing was written. */
export class TooLargeError extends Error {
  readonly bytes: number;
  readonly maxBytes: number;
  constructor(what: 'event' | 'commit', bytes: number, maxBytes: number) {
    super(`${what} of ${bytes} bytes is above the limit of ${maxBytes}`);
    this.name = 'TooLargeError';
    this.bytes = bytes;
    this.maxBytes = maxBytes;
  }
}

/** Storage cannot be reached. Retryable. */
export class LogUnavailableError extends Error {
  constructor(cause: unknown) {
    super('the log cannot be reached', { cause });
    this.name = 'LogUnavailableError';
  }
}
