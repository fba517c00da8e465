/**
 * What the stand-in holds: streams and `$all`, over the append-only file, with the decisions of the real server's writer
 * (EventStore/EventStore, `IndexWriter.CheckCommit` and `StorageWriterService`): expected revisions, idempotent replay, soft
 * deletion, tombstones, scavenging.
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { type Draft, LogFile, type StoredEvent } from './log-file.ts';

/** What an append expects of its stream: a revision, or one of the three words. */
export type Expected = number | 'any' | 'no_stream' | 'stream_exists';

/** An event as a client proposes it. */
export interface Proposed {
  readonly id: string;
  readonly type: string;
  readonly json: boolean;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

/** What came of a write. `current`: the stream's last revision, -1 without one. */
export type WriteResult =
  | { readonly result: 'written'; readonly position: number; readonly revision: number }
  | { readonly result: 'replayed'; readonly position: number | null; readonly revision: number }
  | { readonly result: 'wrong-expected-version'; readonly current: number }
  | { readonly result: 'stream-deleted' };

interface Stream {
  /** Those that still stand, in order; their revisions are consecutive. */
  events: StoredEvent[];
  last: number;
  /** Readers see nothing below it. Infinity: softly deleted. */
  truncateBefore: number;
  tombstone: StoredEvent | null;
}

/** The limit of one append, the server's default. */
export const maxAppendBytes = 1024 * 1024;

/** `$tb` of a softly deleted stream, and the revision of a tombstone: the largest number of 64 bits with a sign. */
export const deletedRevision = '9223372036854775807';

/** How many ids are remembered for a replay under `any`. */
const recentIds = 10_000;

const none = new Uint8Array();

function jsonBytes(text: string): Uint8Array {
  return Buffer.from(text);
}

/** Emits `written` after each write. */
export class Store extends EventEmitter<{ written: []; scavenged: [] }> {
  readonly #file: LogFile;
  readonly #streams = new Map<string, Stream>();
  readonly #recent = new Map<string, { stream: string; revision: number }>();
  #all: StoredEvent[] = [];
  #sinceStatistics = 0;
  /** A `$statsCollected` event is written after so many events of clients; 0: never. */
  systemEveryRecords = 20;

  constructor(path: string, options: { readonly fsync?: boolean } = {}) {
    super();
    this.setMaxListeners(0);
    this.#file = new LogFile(path, options.fsync);
    const events = this.#file.load();
    for (const event of events) this.#index(event);
    this.#all = events.filter(({ kind }) => kind !== 'system');
    // As at each start of the real one: an epoch, which takes room in the log and is no event.
    this.#file.append([this.#system('$epoch', { epoch: events.length })]);
    if (events.length === 0) {
      this.#write([this.#next('$$$scavenges', '$metadata', '{"$maxAge":2592000}')]);
      this.#write([this.#next('$users', '$User', '"admin"')]);
    }
  }

  get end(): number {
    return this.#file.end;
  }

  get count(): number {
    return this.#all.length;
  }

  /** The position of the last event of `$all`; -1 without one. */
  get head(): number {
    return this.#all.at(-1)?.position ?? -1;
  }

  /** False for a position inside a record: the real server answers that with an error. */
  isReadable(position: number): boolean {
    return position === 0 || position >= this.#file.end || this.#file.isStart(position);
  }

  /** Up to `limit` events of `$all` that begin at the position or behind it. */
  allFrom(position: number, limit: number): StoredEvent[] {
    const from = this.#indexAt(position);
    return this.#all.slice(from, from + limit);
  }

  /** Up to `limit` events of `$all` that begin before the position, the last first. */
  allBefore(position: number, limit: number): StoredEvent[] {
    const to = this.#indexAt(position);
    return this.#all.slice(Math.max(0, to - limit), to).reverse();
  }

  /** The state that readers of a stream meet. */
  stateOf(name: string): 'there' | 'missing' | 'deleted' {
    const stream = this.#streams.get(name);
    if (stream?.tombstone) return 'deleted';
    return stream && stream.last >= 0 && stream.truncateBefore !== Number.POSITIVE_INFINITY ? 'there' : 'missing';
  }

  /** The events of a stream that readers may see. */
  eventsOf(name: string): readonly StoredEvent[] {
    const stream = this.#streams.get(name);
    if (!stream || stream.tombstone) return [];
    return stream.truncateBefore === 0
      ? stream.events
      : stream.events.filter(({ revision }) => revision >= stream.truncateBefore);
  }

  append(name: string, expected: Expected, proposed: readonly Proposed[]): WriteResult {
    const ids = proposed.map(({ id }) => id);
    const refused = this.#check(name, expected, ids);
    if (refused) return refused;
    const stream = this.#stream(name);
    const first = stream.last + 1;
    const drafts: Draft[] = proposed.map((each, index) => ({
      ...each,
      kind: 'event',
      stream: name,
      revision: first + index,
    }));
    if (stream.truncateBefore === Number.POSITIVE_INFINITY) {
      drafts.push(this.#next(`$$${name}`, '$metadata', `{"$tb":${first}}`));
    }
    const written = this.#write(drafts).slice(0, proposed.length);
    for (const { id, revision } of written) this.#remember(id, name, revision);
    this.#statistics(written.length);
    this.emit('written');
    return { result: 'written', position: written.at(-1)?.position ?? this.head, revision: stream.last };
  }

  /** Soft deletion: readers find no stream, an append goes on at the next revision. */
  softDelete(name: string, expected: Expected): WriteResult {
    const refused = this.#check(name, expected, [randomUUID()]);
    if (refused) return refused;
    const { last } = this.#stream(name);
    if (last < 0 && this.#stream(`$$${name}`).last < 0) return { result: 'wrong-expected-version', current: -1 };
    const [event] = this.#write([this.#next(`$$${name}`, '$metadata', `{"$tb":${deletedRevision}}`)]);
    this.emit('written');
    return { result: 'written', position: event!.position, revision: last };
  }

  /** Hard deletion: closed for ever, by an event of its own in `$all`. */
  tombstone(name: string, expected: Expected): WriteResult {
    const refused = this.#check(name, expected, [randomUUID()]);
    if (refused) return refused;
    const [event] = this.#write([
      {
        kind: 'tombstone',
        stream: name,
        revision: -1,
        id: randomUUID(),
        type: '$streamDeleted',
        json: false,
        data: none,
        metadata: none,
      },
    ]);
    this.emit('written');
    return { result: 'written', position: event!.position, revision: -1 };
  }

  /**
   * Takes away the events of tombstoned streams (the tombstones stay) and of their metadata, those below the truncation of
   * others but their last, and old metadata. Writes what the real one writes of it to `$scavenges`.
   */
  scavenge(scavengeId: string): { removed: number; spaceSaved: number } {
    const node = '127.0.0.1';
    const stream = `$scavenges-${scavengeId}`;
    const note = (type: string, body: object): void => {
      const [event] = this.#write([this.#next(stream, type, JSON.stringify(body))]);
      this.#write([{ ...this.#next('$scavenges', '$>', `${event!.revision}@${stream}`), json: false }]);
    };
    note('$scavengeStarted', { scavengeId, nodeEndpoint: node });
    const gone = this.#all.filter((event) => this.#isScavengeable(event));
    const names = new Set(gone.map((event) => event.stream));
    const positions = new Set(gone.map(({ position }) => position));
    let spaceSaved = 0;
    for (const event of gone) {
      this.#file.remove(event);
      spaceSaved += event.data.length + event.metadata.length;
    }
    this.#all = this.#all.filter(({ position }) => !positions.has(position));
    for (const name of names) {
      const kept = this.#stream(name);
      kept.events = kept.events.filter(({ position }) => !positions.has(position));
    }
    const timeTaken = '00:00:00.0100000';
    note('$scavengeCompleted', {
      scavengeId,
      nodeEndpoint: node,
      result: 'Success',
      error: null,
      timeTaken,
      spaceSaved,
    });
    this.emit('scavenged');
    this.emit('written');
    return { removed: gone.length, spaceSaved };
  }

  close(): void {
    this.#file.close();
  }

  #isScavengeable(event: StoredEvent): boolean {
    if (event.kind !== 'event') return false;
    const stream = this.#stream(event.stream);
    if (stream.tombstone) return true;
    const isMetadata = event.stream.startsWith('$$');
    if (isMetadata && this.#streams.get(event.stream.slice(2))?.tombstone) return true;
    if (event.revision === stream.last) return false;
    return isMetadata || event.revision < stream.truncateBefore;
  }

  /** The refusal or the replay that answers a write, or null where it goes on. */
  #check(name: string, expected: Expected, ids: readonly string[]): WriteResult | null {
    const stream = this.#stream(name);
    const wrong: WriteResult = { result: 'wrong-expected-version', current: stream.last };
    if (stream.tombstone) return { result: 'stream-deleted' };
    const deleted = stream.truncateBefore === Number.POSITIVE_INFINITY;
    if (expected === 'stream_exists') {
      if (deleted) return { result: 'stream-deleted' };
      if (stream.last < 0 && this.#stream(`$$${name}`).last < 0) return wrong;
    }
    if (expected === 'any' || expected === 'stream_exists') return this.#checkRecent(name, ids, wrong);
    const revision = expected === 'no_stream' ? -1 : expected;
    if (revision > stream.last) return wrong;
    if (revision === stream.last) return null;
    for (const [index, id] of ids.entries()) {
      const at = this.#eventAt(stream, revision + 1 + index);
      if (at?.id === id) continue;
      return index === 0 && expected === 'no_stream' && deleted ? null : wrong;
    }
    return ids.length > 0 ? this.#replay(name, revision + ids.length) : wrong;
  }

  /** Without an expected revision only the ids that this process wrote lately are known. */
  #checkRecent(name: string, ids: readonly string[], wrong: WriteResult): WriteResult | null {
    let last: number | null = null;
    for (const [index, id] of ids.entries()) {
      const known = this.#recent.get(id);
      if (known?.stream !== name) return index === 0 ? null : wrong;
      last = known.revision;
    }
    return last === null ? null : this.#replay(name, last);
  }

  #replay(name: string, revision: number): WriteResult {
    // Where readers no longer see the event, the real one answers without a position.
    const seen = this.eventsOf(name).find((event) => event.revision === revision);
    return { result: 'replayed', position: seen?.position ?? null, revision };
  }

  #eventAt(stream: Stream, revision: number): StoredEvent | undefined {
    return stream.events[revision - (stream.events[0]?.revision ?? 0)];
  }

  #remember(id: string, stream: string, revision: number): void {
    this.#recent.set(id, { stream, revision });
    if (this.#recent.size > recentIds)
      for (const oldest of this.#recent.keys()) return void this.#recent.delete(oldest);
  }

  #statistics(count: number): void {
    if (this.systemEveryRecords === 0) return;
    this.#sinceStatistics += count;
    if (this.#sinceStatistics < this.systemEveryRecords) return;
    this.#sinceStatistics = 0;
    this.#write([this.#next('$stats-127.0.0.1:2113', '$statsCollected', '{"proc-cpu":0}')]);
  }

  #write(drafts: readonly Draft[]): StoredEvent[] {
    const events = this.#file.append(drafts);
    for (const event of events) {
      this.#index(event);
      this.#all.push(event);
    }
    return events;
  }

  #index(event: StoredEvent): void {
    if (event.kind === 'system') return;
    const stream = this.#stream(event.stream);
    if (event.kind === 'tombstone') {
      stream.tombstone = event;
      return;
    }
    stream.events.push(event);
    stream.last = event.revision;
    if (event.type === '$metadata' && event.stream.startsWith('$$')) this.#applyMetadata(event);
  }

  #applyMetadata(event: StoredEvent): void {
    const text = Buffer.from(event.data).toString();
    const [, before] = /"\$tb"\s*:\s*(\d+)/.exec(text) ?? [];
    const of = this.#stream(event.stream.slice(2));
    of.truncateBefore = before === deletedRevision ? Number.POSITIVE_INFINITY : Number(before ?? 0);
  }

  #stream(name: string): Stream {
    let stream = this.#streams.get(name);
    if (!stream) {
      stream = { events: [], last: -1, truncateBefore: 0, tombstone: null };
      this.#streams.set(name, stream);
    }
    return stream;
  }

  #next(stream: string, type: string, json: string): Draft {
    const revision = this.#stream(stream).last + 1;
    return {
      kind: 'event',
      stream,
      revision,
      id: randomUUID(),
      type,
      json: true,
      data: jsonBytes(json),
      metadata: none,
    };
  }

  #system(type: string, body: object): Draft {
    const data = jsonBytes(JSON.stringify(body));
    return { kind: 'system', stream: '', revision: -1, id: randomUUID(), type, json: true, data, metadata: none };
  }

  #indexAt(position: number): number {
    let low = 0;
    let high = this.#all.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#all[middle]!.position < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
