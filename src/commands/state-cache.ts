import type { DomainEvent } from '../../schemas/index.ts';
import type { Aggregate, Happened } from '../domain/aggregate.ts';
import { DomainError } from '../domain/errors.ts';
import { type Log, LogUnavailableError, NO_STREAM, type RecordedEvent } from '../log/log.ts';
import { type Clock, sleep } from '../platform/clock.ts';

/** A stream's state and the revision it was evolved to; `NO_STREAM` when it does not exist. */
export interface Loaded<State> {
  readonly state: State;
  readonly revision: number;
}

interface Entry {
  readonly state: unknown;
  readonly revision: number;
  /** Asked for since it was last passed over by the one that makes room. */
  used: boolean;
  readonly aggregate: Aggregate<unknown, unknown>;
}

/** A state that one event tells whole, where it stands at this revision of its stream. */
interface Opening {
  readonly aggregate: Aggregate<unknown, unknown>;
  readonly revision: number;
  readonly stateOf: (event: Happened) => unknown;
}

interface Load {
  readonly result: Promise<Entry>;
  /** Highest revision that the tail delivered, or this node wrote, while the load was under way. */
  seen: number;
}

/**
 * Silence of the tail after which what is cached is not trusted. With the 350 ms for which a tail itself goes on the last
 * word of the database, that is within the second of design promise 9.
 */
const trustMs = 600;

/**
 * States of streams, kept true by this node's own appends and by its tail of the log. Bounded; the least recently used
 * goes first. When the tail has been silent for more than a second, the log is asked, or the caller gets `unavailable`.
 */
export class StateCache {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #maxEntries: number;
  readonly #entries = new Map<string, Entry>();
  readonly #loads = new Map<string, Load>();
  readonly #openings = new Map<DomainEvent['type'], Opening>();
  readonly #stop = new AbortController();
  #position = 0n;
  #heardAt = Number.NEGATIVE_INFINITY;
  #checking: Promise<void> | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(log: Log, clock: Clock, maxEntries = 100_000) {
    this.#log = log;
    this.#clock = clock;
    this.#maxEntries = maxEntries;
  }

  /** Begins to follow the log. */
  async start(): Promise<void> {
    this.#position = await this.#log.head();
    this.#heardAt = this.#clock.monotonicMs();
    this.#running = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The state of a stream, from memory where that can be trusted. Throws DomainError `unavailable`. */
  async load<State, Command>(aggregate: Aggregate<State, Command>, stream: string): Promise<Loaded<State>> {
    const known = this.peek<State>(stream);
    if (known) return known;
    await this.#fresh();
    return this.peek<State>(stream) ?? this.#read(aggregate, stream);
  }

  /** What is in memory, when that can be trusted now; synchronous, for the hot path. */
  peek<State>(stream: string): Loaded<State> | undefined {
    if (this.#clock.monotonicMs() - this.#heardAt > trustMs) return undefined;
    const entry = this.#entries.get(stream);
    if (entry) entry.used = true;
    return entry as (Entry & { state: State }) | undefined;
  }

  /**
   * From here on a stream is in memory as soon as the tail delivers an event of this type at this revision, which tells its
   * whole state: for streams that are sure to be asked for right after it.
   */
  openAt<State, Command, Type extends DomainEvent['type']>(
    aggregate: Aggregate<State, Command>,
    type: Type,
    revision: number,
    stateOf: (event: Happened & { readonly type: Type }) => State,
  ): void {
    this.#openings.set(type, { aggregate, revision, stateOf } as unknown as Opening);
  }

  /** A state that was just made here: a new stream, loaded without a read. */
  put<State, Command>(aggregate: Aggregate<State, Command>, stream: string, state: State, revision: number): void {
    this.#saw(stream, revision);
    const known = this.#entries.get(stream);
    if (known && known.revision >= revision) return;
    this.#store(stream, { state, revision, used: false, aggregate: aggregate as Aggregate<unknown, unknown> });
  }

  /** Forgets one stream: the next load reads it. */
  forget(stream: string): void {
    this.#entries.delete(stream);
  }

  async #read<State, Command>(aggregate: Aggregate<State, Command>, stream: string): Promise<Loaded<State>> {
    let load = this.#loads.get(stream);
    if (!load) {
      load = { result: this.#readLog(aggregate as Aggregate<unknown, unknown>, stream), seen: NO_STREAM };
      this.#loads.set(stream, load);
    }
    const entry = await load.result;
    return entry as Entry & { state: State };
  }

  async #readLog(aggregate: Aggregate<unknown, unknown>, stream: string): Promise<Entry> {
    try {
      for (;;) {
        const { events, revision } = await this.#log.read(stream);
        const state = events.reduce((current: unknown, event) => aggregate.evolve(current, event), aggregate.initial);
        const entry: Entry = { state, revision, used: false, aggregate };
        // Something newer went by while we read: what was read may lack it.
        if ((this.#loads.get(stream)?.seen ?? NO_STREAM) > revision) continue;
        if (revision !== NO_STREAM) this.#store(stream, entry);
        return entry;
      }
    } catch (error) {
      throw asUnavailable(error);
    } finally {
      this.#loads.delete(stream);
    }
  }

  #store(stream: string, entry: Entry): void {
    this.#entries.delete(stream);
    // What was used since the last time gets another round: the order of use, without moving an entry at each one.
    for (const [name, oldest] of this.#entries) {
      if (this.#entries.size < this.#maxEntries) break;
      this.#entries.delete(name);
      if (!oldest.used) continue;
      oldest.used = false;
      this.#entries.set(name, oldest);
    }
    this.#entries.set(stream, entry);
  }

  /** Whoever is reading the stream now may have been answered without this revision. */
  #saw(stream: string, revision: number): void {
    const load = this.#loads.get(stream);
    if (load && revision > load.seen) load.seen = revision;
  }

  #take(stream: string, revision: number, event: Happened): void {
    this.#saw(stream, revision);
    const entry = this.#entries.get(stream);
    if (!entry) {
      this.#open(stream, revision, event);
      return;
    }
    if (revision <= entry.revision) return;
    if (revision === entry.revision + 1) {
      // A new entry: who was given the old one keeps what it was given.
      const { aggregate, state, used } = entry;
      this.#entries.set(stream, { aggregate, state: aggregate.evolve(state, event), revision, used });
    } else {
      this.#entries.delete(stream);
    }
  }

  #open(stream: string, revision: number, event: Happened): void {
    const opening = this.#openings.get(event.type);
    if (opening?.revision !== revision) return;
    const { aggregate, stateOf } = opening;
    this.#store(stream, { aggregate, state: stateOf(event), revision, used: false });
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        for await (const { events, position } of this.#log.tail(this.#position, signal)) {
          for (const event of events) this.#takeRecorded(event);
          this.#position = position;
          this.#heardAt = this.#clock.monotonicMs();
        }
      } catch {
        // Silence: `peek` stops trusting the cache, `load` asks the log.
        await sleep(100, signal).catch(() => {});
      }
    }
  }

  #takeRecorded(event: RecordedEvent): void {
    // The first event of a dispatch finds nothing cached, and is nearly all there is: spare it the look-ups.
    if (event.type === 'DispatchAccepted') return;
    this.#take(event.stream, event.revision, event);
  }

  /** Makes sure that what is cached can be trusted now. */
  async #fresh(): Promise<void> {
    if (this.#clock.monotonicMs() - this.#heardAt <= trustMs) return;
    this.#checking ??= this.#check().finally(() => {
      this.#checking = null;
    });
    await this.#checking;
  }

  async #check(): Promise<void> {
    try {
      // The answer may be as old as the question.
      const askedAt = this.#clock.monotonicMs();
      const head = await this.#log.head();
      if (head !== this.#position) this.#entries.clear();
      this.#heardAt = Math.max(this.#heardAt, askedAt);
    } catch (error) {
      throw asUnavailable(error);
    }
  }
}

/** Storage that is away is `unavailable` to the dialects; anything else is a defect and stays what it is. */
export function asUnavailable(error: unknown): unknown {
  return error instanceof LogUnavailableError ? new DomainError('unavailable') : error;
}
