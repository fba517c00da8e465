/**
 * The log on EventStoreDB (server 22.6 or later; `EVENTSTOREDB_URL`), for more than one machine. One append of the server is
 * one commit; claims are a protocol over several (`eventstoredb-claims.ts`); erasure is a tombstone, a list of what was
 * erased, and a scavenge at an interval for the disk (`eventstoredb-scavenge.ts`).
 *
 * Two clients: one appends, one reads and listens, so that neither is thrown away for the other's sake. The user of the
 * connection string has to be allowed to read `$all` (by default: of `$admins`).
 */
import { randomBytes } from 'node:crypto';
import type { EventCodec } from '../../schemas/index.ts';
import { sleep } from '../platform/clock.ts';
import { type AnswerReport, type AppendAnswer, Appender } from './eventstoredb-appender.ts';
import { Claims } from './eventstoredb-claims.ts';
import { Connection } from './eventstoredb-connection.ts';
import { ErasedStreams } from './eventstoredb-erased.ts';
import { TailHub, trustMemoryMs } from './eventstoredb-hub.ts';
import {
  decode,
  Names,
  type ProposedEvent,
  positionOf,
  proposeCommit,
  type StoredMetadata,
  storedEvent,
} from './eventstoredb-records.ts';
import { revisionOf, Streams } from './eventstoredb-streams.ts';
import {
  type Commit,
  type Holder,
  type Log,
  LogUnavailableError,
  NO_STREAM,
  type Outcome,
  type RecordedEvent,
  type TailBatch,
  TooLargeError,
} from './log.ts';
import { type Waiting, waiting } from './waiting.ts';

/** How the adapter runs. Times in milliseconds. */
export interface EventStoreLogOptions {
  /** Connection string: `esdb://` for one node, `esdb+discover://` or several hosts for a cluster. */
  readonly url: string;
  readonly codec: EventCodec;
  /**
   * First part of the names of all streams, so that several logs can live on one server: letters a-z, digits, `_`. Default
   * `parley`.
   */
  readonly namespace?: string;
  /** Position of any record before the first event of this log: what stands before it is not read. Default 0. */
  readonly origin?: bigint;
  /**
   * An append without an answer for this long is asked again on a new client; still without one for as long again it is
   * `unknown`. Default 2500.
   */
  readonly appendTimeoutMs?: number;
  /** A read without an answer for this long is given up. Default 5000. */
  readonly readTimeoutMs?: number;
  /** Appends in flight at most. Default 64: by measure, 15,000 of 200 bytes a second; one at a time makes 3,500. */
  readonly maxInFlightCommits?: number;
  /** Bytes of the appends in flight at most. Default 4 MiB. */
  readonly maxInFlightBytes?: number;
  /** Commits that may wait at most; beyond that an append is `unknown` at once. Default 50 000. */
  readonly maxWaitingCommits?: number;
  /** Bytes of the commits that wait at most. Default 128 MiB. */
  readonly maxWaitingBytes?: number;
  readonly onAppend?: (append: AppendReport) => void;
  /** Told of every append that the server answered, before anything follows from it. */
  readonly onAnswer?: (answer: AnswerReport) => void;
}

/** What one commit's way took, for metrics. */
export interface AppendReport {
  readonly outcome: Outcome['outcome'];
  readonly events: number;
  readonly durationMs: number;
}

/** Tombstones on their way at once. */
const maxTombstones = 32;
/** Events read at once to be counted. */
const countedAtOnce = 1_000;
/** How long the subscription is given to tell what an append wrote, before the stream is read for it. */
const tellMs = 100;

/** Waits for what the subscription tells of one commit. */
interface Watch {
  readonly lastIndex: number;
  /** Which asking wrote it. */
  asking: string | null;
  position: bigint | null;
}

/** Opens the log. Rejects with LogUnavailableError when the server cannot be reached. */
export async function openEventStoreLog(options: EventStoreLogOptions): Promise<EventStoreLog> {
  const log = new EventStoreLog(options);
  try {
    await log.open();
  } catch (error) {
    await log.close();
    throw error;
  }
  return log;
}

/** The EventStoreDB adapter of the log port. */
export class EventStoreLog implements Log {
  readonly #codec: EventCodec;
  readonly #onAppend: ((append: AppendReport) => void) | undefined;
  readonly #maxWaitingCommits: number;
  readonly #appends: Connection;
  readonly #reads: Connection;
  readonly #names: Names;
  readonly #streams: Streams;
  readonly #appender: Appender;
  readonly #claims: Claims;
  readonly #hub: TailHub;
  /** Commits whose writing the subscription is about to tell of, by their ids. */
  readonly #watches = new Map<string, Set<Watch>>();
  /** Of this handle: first part of the names of its askings. */
  readonly #self = randomBytes(6).toString('base64url');
  #askings = 0;
  #open = 0;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(options: EventStoreLogOptions) {
    const { url, codec, readTimeoutMs = 5_000 } = options;
    this.#codec = codec;
    this.#onAppend = options.onAppend;
    this.#maxWaitingCommits = options.maxWaitingCommits ?? 50_000;
    this.#names = new Names(options.namespace ?? 'parley');
    this.#appends = new Connection(url);
    this.#reads = new Connection(url);
    this.#streams = new Streams(this.#reads, readTimeoutMs);
    this.#appender = new Appender(this.#appends, {
      timeoutMs: options.appendTimeoutMs ?? 2_500,
      maxInFlight: options.maxInFlightCommits ?? 64,
      maxInFlightBytes: options.maxInFlightBytes ?? 4 * 1024 * 1024,
      maxWaiting: this.#maxWaitingCommits,
      maxWaitingBytes: options.maxWaitingBytes ?? 128 * 1024 * 1024,
      onAnswer: options.onAnswer,
    });
    this.#claims = new Claims(this.#names, this.#streams, this.#appender);
    this.#hub = new TailHub({
      connection: this.#reads,
      names: this.#names,
      codec,
      origin: options.origin ?? 0n,
      readTimeoutMs,
      onEvent: ({ metadata }, position) => this.#tell(metadata, position),
    });
  }

  /** Appends waiting to be sent. */
  get waitingCommits(): number {
    return this.#appender.waiting;
  }

  /** Appends sent and not answered. */
  get inFlightCommits(): number {
    return this.#appender.inFlight;
  }

  /** Their bytes. */
  get inFlightBytes(): number {
    return this.#appender.inFlightBytes;
  }

  /** Names in the list of erased streams. */
  get erasedStreams(): number {
    return this.#hub.erased.size;
  }

  /** Clients thrown away because the server kept silent. */
  get renewals(): number {
    return this.#appends.renewals + this.#reads.renewals;
  }

  /** Undecided commits that this process fenced. */
  get fences(): number {
    return this.#claims.fences;
  }

  /** Connects, learns the head and what was erased. Rejects with LogUnavailableError. */
  async open(): Promise<void> {
    await this.#hub.open();
  }

  async append(commits: readonly Commit[]): Promise<Outcome[]> {
    // All are measured before the first is written.
    const entries = commits.map((commit) => this.#spell(commit));
    const [only] = entries;
    if (only && entries.length === 1) return [await this.#appendOne(only)];
    const outcomes: Outcome[] = [];
    const byStream = Map.groupBy(entries.entries(), ([, { waiting }]) => waiting.commit.stream);
    const groups = [...byStream.values()].map(async (group) => {
      for (const [number, entry] of group) outcomes[number] = await this.#appendOne(entry);
    });
    await Promise.all(groups);
    return outcomes;
  }

  /** `append` of one commit, for the hot path. */
  async appendOne(commit: Commit): Promise<Outcome> {
    return this.#appendOne(this.#spell(commit));
  }

  #spell(commit: Commit): Spelled {
    const spelled = waiting(commit, this.#codec);
    const asking = `${this.#self}.${(++this.#askings).toString(36)}`;
    return { waiting: spelled, asking, events: proposeCommit(spelled, asking) };
  }

  async #appendOne(entry: Spelled): Promise<Outcome> {
    if (this.#closed) return { outcome: 'unknown', reason: 'closed' };
    if (this.#open >= this.#maxWaitingCommits) return { outcome: 'unknown', reason: 'too many commits are waiting' };
    const startedAt = performance.now();
    this.#open++;
    try {
      const outcome = await this.#write(entry).catch(unknownOutcome);
      this.#onAppend?.({
        outcome: outcome.outcome,
        events: entry.events.length,
        durationMs: performance.now() - startedAt,
      });
      return outcome;
    } finally {
      this.#open--;
      if (this.#open === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  async #write(entry: Spelled): Promise<Outcome> {
    const { commit } = entry.waiting;
    const refusal = await this.#claims.take(commit);
    if (refusal) return refusal;
    const watch = this.#watch(commit);
    try {
      const answer = await this.#appender.append(this.#names.stream(commit.stream), entry.events, commit.expected);
      if (answer.is === 'stored') return await this.#stored(entry, watch, answer);
      if (answer.is === 'conflict') return await this.#claims.refused(commit, answer.actual);
      if (answer.is === 'deleted') return { outcome: 'conflict', revision: NO_STREAM };
      if (answer.is === 'too-large') throw new TooLargeError('commit', entry.waiting.bytes, answer.maxBytes);
      return { outcome: 'unknown', reason: answer.reason };
    } finally {
      this.#unwatch(commit, watch);
    }
  }

  /**
   * The outcome of a commit that is stored. The server's answer is the same whether this asking wrote it or one before, and
   * does not always tell where; the subscription does, and when it is late, the stream.
   */
  async #stored(entry: Spelled, watch: Watch, answer: AppendAnswer & { is: 'stored' }): Promise<Outcome> {
    const { commit } = entry.waiting;
    const revision = commit.expected + commit.events.length;
    if (answer.position !== null) await this.#hub.reached(answer.position, tellMs).catch(() => {});
    let asking = watch.asking;
    let position = answer.position ?? watch.position;
    // What came in since the watch began and was not told stood there before.
    const before = asking === null && answer.position !== null && this.#hub.seen >= answer.position;
    if (position === null || (asking === null && !before)) {
      const stream = this.#names.stream(commit.stream);
      const first = await this.#streams.from(stream, commit.expected + 1, 1);
      const last = commit.events.length === 1 ? first : await this.#streams.from(stream, revision, 1);
      const metadata = first.events[0]?.event?.metadata as Partial<StoredMetadata> | undefined;
      if (asking === null) asking = metadata?.asking ?? null;
      if (last.events[0]) position ??= positionOf(last.events[0]);
      // Erased as soon as it was written: what could tell by whom is gone.
      if (position === null || (asking === null && first.closed)) return { outcome: 'conflict', revision: NO_STREAM };
    }
    return { outcome: asking === entry.asking ? 'written' : 'replayed', position, revision };
  }

  #watch(commit: Commit): Watch {
    const watch: Watch = { lastIndex: commit.events.length - 1, asking: null, position: null };
    const watches = this.#watches.get(commit.commitId);
    if (watches) watches.add(watch);
    else this.#watches.set(commit.commitId, new Set([watch]));
    return watch;
  }

  #unwatch({ commitId }: Commit, watch: Watch): void {
    const watches = this.#watches.get(commitId);
    watches?.delete(watch);
    if (watches?.size === 0) this.#watches.delete(commitId);
  }

  #tell({ commitId, index, asking }: StoredMetadata, position: bigint): void {
    for (const watch of this.#watches.get(commitId) ?? []) {
      if (index === 0) watch.asking = asking ?? '';
      if (index === watch.lastIndex) watch.position = position;
    }
  }

  async read(stream: string, from = 0): Promise<{ events: RecordedEvent[]; revision: number; closed: boolean }> {
    const name = this.#names.stream(stream);
    const look = await this.#streams.from(name, from);
    if (look.closed) return { events: [], revision: NO_STREAM, closed: true };
    const events: RecordedEvent[] = [];
    for (const resolved of look.events) {
      const event = storedEvent(resolved, stream);
      if (event) events.push(decode(positionOf(resolved), event, this.#codec));
    }
    const end = look.events.length === 0 && from > 0 ? await this.#streams.last(name) : look;
    return { events: end.closed ? [] : events, revision: revisionOf(end), closed: end.closed };
  }

  holder(name: string, at: number): Promise<Holder | null> {
    return this.#claims.holder(name, at);
  }

  tail(from: bigint, signal: AbortSignal): AsyncIterable<TailBatch> {
    return this.#hub.tail(from, signal);
  }

  page(from: bigint, maxEvents: number): Promise<TailBatch & { readonly atHead: boolean }> {
    return this.#hub.page(from, maxEvents);
  }

  head(): Promise<bigint> {
    return this.#hub.checkHead();
  }

  async count(from: bigint, to: bigint, most: number): Promise<number> {
    let count = 0;
    for (let at = from; at < to && count < most; ) {
      const page = await this.page(at, Math.min(countedAtOnce, most - count));
      count += page.events.filter(({ position }) => position <= to).length;
      if (page.atHead) break;
      at = page.position;
    }
    return count;
  }

  async erase(streams: readonly string[]): Promise<void> {
    const closing = new Set(streams);
    const queue = closing.values();
    const closeSome = async (): Promise<void> => {
      for (const stream of queue) {
        await this.#streams.tombstone(this.#names.stream(stream));
        this.#hub.forget([stream]);
      }
    };
    await Promise.all(Array.from({ length: Math.min(maxTombstones, closing.size) }, closeSome));
    const { erased } = this.#hub;
    const unlisted = [...closing].filter((stream) => !erased.isListed(stream));
    for (const event of ErasedStreams.propose(unlisted)) {
      const answer = await this.#appender.append(this.#names.erased, [event], 'any');
      if (answer.is !== 'stored') throw new LogUnavailableError(new Error(reasonOf(answer)));
    }
    erased.add(unlisted, true);
    // From then on no process serves what it has not asked about since.
    if (closing.size > 0) await sleep(trustMemoryMs);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#open > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#hub.close();
    this.#appender.close();
    this.#appends.close();
    this.#reads.close();
  }
}

/** A commit ready to be asked for. */
interface Spelled {
  readonly waiting: Waiting;
  readonly asking: string;
  readonly events: readonly ProposedEvent[];
}

function unknownOutcome(error: unknown): Outcome {
  if (!(error instanceof LogUnavailableError)) throw error;
  const { cause } = error;
  return { outcome: 'unknown', reason: cause instanceof Error ? cause.message : error.message };
}

function reasonOf(answer: AppendAnswer): string {
  return answer.is === 'unknown' ? answer.reason : `the list of erased streams could not be written: ${answer.is}`;
}
