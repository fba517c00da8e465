import type { AllStreamResolvedEvent, AllStreamSubscription } from '@eventstore/db-client';
import { type EventCodec, UnknownEventError } from '../../schemas/index.ts';
import { backoff, type Connection } from './eventstoredb-connection.ts';
import { ErasedStreams } from './eventstoredb-erased.ts';
import { readHistory } from './eventstoredb-history.ts';
import {
  classify,
  decode,
  type LogRecord,
  type Names,
  positionOf,
  type StoredEvent,
  serverPosition,
} from './eventstoredb-records.ts';
import { Ring } from './eventstoredb-ring.ts';
import { LogUnavailableError, progressIntervalMs, type TailBatch } from './log.ts';

/** Events of one batch at most. */
const maxBatchEvents = 2_000;
/** How often the server is asked for its last record. */
const pollIntervalMs = 200;
/**
 * What is in memory, or was read, is served only while the server said, not longer ago than this, that nothing else was
 * erased. `erase` returns no sooner: from then on nobody gives the content, in whatever process.
 */
export const trustMemoryMs = 500;
/** Without word from the server for this long, tails say nothing; after `unavailableMs` they throw. */
const silenceMs = 400;
const unavailableMs = 2_000;
/** A subscription that gives nothing for this long, while the log goes on, is opened anew. */
const stallMs = 1_000;
/** Times that the list of erased streams is asked for anew before that is given up. */
const maxLooks = 5;
/** Records that a subscription which goes on gives once more. */
const overlapRecords = 16;
/** Records of one look backwards for the last one that is ours. */
const lookBack = [16, 256, 2_000];

/** What the hub needs. */
export interface HubOptions {
  readonly connection: Connection;
  readonly names: Names;
  readonly codec: EventCodec;
  readonly origin: bigint;
  readonly readTimeoutMs: number;
  /** Told of every domain event as it comes in. */
  readonly onEvent: (event: StoredEvent, position: bigint) => void;
}

/**
 * What all tails of one process share: one subscription to `$all`, the last events in memory, and the list of erased
 * streams. The server is asked for its last record all the time; when everything up to there has come in, the list is
 * known to be as it was when the question was asked (`#heardAt`).
 */
export class TailHub {
  readonly #options: HubOptions;
  readonly #ring = new Ring();
  readonly erased: ErasedStreams;
  /** Position of the last record that is ours: the last that a tail would deliver. */
  #head = 0n;
  /** Position of the last record that came in, ours or not. */
  #seen = 0n;
  #heardAt = Number.NEGATIVE_INFINITY;
  /** Last records that the server named and that have not come in. */
  #words: { readonly last: bigint; readonly askedAt: number }[] = [];
  #behindSince = 0;
  /** Positions of the last records that came in, `#seen` last. */
  #recent: bigint[] = [];
  #subscribing = false;
  #subscription: AllStreamSubscription | null = null;
  #failures = 0;
  #retryTimer: NodeJS.Timeout | undefined;
  #pollTimer: NodeJS.Timeout | undefined;
  #polling: Promise<bigint> | null = null;
  readonly #waiters = new Set<() => void>();
  #waking = false;
  #closed = false;

  constructor(options: HubOptions) {
    this.#options = options;
    this.erased = new ErasedStreams(options);
    options.connection.onRenew = () => this.#lose(this.#subscription);
  }

  /** Position of the last record that came in. */
  get seen(): bigint {
    return this.#seen;
  }

  /** Events in memory. */
  get remembered(): number {
    return this.#ring.length;
  }

  /** Learns the head and the list of erased streams, and begins to listen. Rejects with LogUnavailableError. */
  async open(): Promise<void> {
    this.#head = await this.#findHead();
    this.#ring.begin(this.#head);
    await this.#subscribe();
    await this.erased.load();
    await this.checkHead();
    this.#pollTimer = setInterval(() => void this.#poll().catch(() => {}), pollIntervalMs).unref();
  }

  /** The last record that is ours, and by the way the last of all (`#seen`). */
  async #findHead(): Promise<bigint> {
    const { connection, names, origin, readTimeoutMs } = this.#options;
    let at: bigint | null = null;
    for (let look = 0; ; look++) {
      const maxCount = lookBack[Math.min(look, lookBack.length - 1)] as number;
      const before: bigint | null = at;
      const records = await connection.collect(readTimeoutMs, (client) =>
        client.readAll({
          direction: 'backwards',
          fromPosition: before === null ? 'end' : serverPosition(before),
          maxCount,
          requiresLeader: true,
        }),
      );
      if (look === 0) this.#recent = records.map(positionOf).toReversed();
      for (const record of records) {
        const { is, position } = classify(record, names);
        if (at === null) this.#seen = position;
        if (position <= origin) return 0n;
        if (is !== 'foreign') return position;
        at = position;
      }
      if (records.length < maxCount) return 0n;
    }
  }

  /**
   * Goes on after the last record that came in. When that one was scavenged meanwhile, a subscription that begins there
   * would leave out the next one that was not: so what was missed is read, and the subscription begins a few records
   * before; what comes twice is dropped.
   */
  async #subscribe(): Promise<void> {
    if (this.#closed || this.#subscription || this.#subscribing) return;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    this.#subscribing = true;
    try {
      await this.#readOn();
      const from = this.#recent[0];
      const fromPosition = from === undefined ? 'start' : serverPosition(from);
      this.#listen(this.#options.connection.client.subscribeToAll({ fromPosition, requiresLeader: true }));
    } catch {
      this.#retry();
    } finally {
      this.#subscribing = false;
    }
  }

  /** Reads up to the head what a subscription would have given. */
  async #readOn(): Promise<void> {
    const { connection, readTimeoutMs } = this.#options;
    for (const maxCount = maxBatchEvents; ; ) {
      const from = this.#seen;
      const records = await connection.collect(readTimeoutMs, (client) =>
        client.readAll({ fromPosition: from === 0n ? 'start' : serverPosition(from), maxCount, requiresLeader: true }),
      );
      for (const record of records) this.#take(record);
      if (records.length < maxCount || this.#closed) return;
    }
  }

  #listen(subscription: AllStreamSubscription): void {
    if (this.#closed) {
      subscription.on('error', () => {});
      subscription.unsubscribe().catch(() => {});
      return;
    }
    this.#subscription = subscription;
    subscription.on('data', (record) => {
      if (this.#subscription === subscription) this.#take(record);
    });
    subscription.on('confirmation', () => {
      this.#failures = 0;
    });
    // It can end without an error, and fail more than once: the listeners stay.
    for (const end of ['error', 'end', 'close']) subscription.on(end, () => this.#lose(subscription));
  }

  /** A subscription is over: another goes on where it was. */
  #lose(subscription: AllStreamSubscription | null): void {
    if (!subscription || this.#subscription !== subscription) return;
    this.#subscription = null;
    subscription.unsubscribe().catch(() => {});
    this.#retry();
  }

  #retry(): void {
    if (this.#closed || this.#retryTimer) return;
    this.#failures++;
    this.#retryTimer = setTimeout(() => void this.#subscribe(), backoff(this.#failures)).unref();
  }

  #take(resolved: AllStreamResolvedEvent): void {
    const record = classify(resolved, this.#options.names);
    if (record.position <= this.#seen) return;
    this.#seen = record.position;
    this.#recent.push(record.position);
    if (this.#recent.length > overlapRecords) this.#recent.shift();
    if (record.is !== 'foreign') {
      this.#remember(record);
      this.#head = record.position;
    }
    while (this.#words[0] && this.#words[0].last <= this.#seen) this.#hear((this.#words.shift() as Word).askedAt);
    this.#wakeSoon();
  }

  #remember(record: LogRecord): void {
    const { position } = record;
    if (record.is === 'erased') {
      this.erased.add(record.streams, record.listed);
      this.#ring.forget(new Set(record.streams));
    }
    const event = record.is === 'event' ? record.event : null;
    if (event) this.#options.onEvent(event, position);
    try {
      if (event && !this.erased.has(event.stream)) this.#ring.push(decode(position, event, this.#options.codec));
      else this.#ring.pass(position);
    } catch (error) {
      // Whoever comes to it has to say so.
      if (!(error instanceof UnknownEventError)) throw error;
      this.#ring.stop(position, error);
    }
  }

  #hear(askedAt: number): void {
    if (askedAt > this.#heardAt) this.#heardAt = askedAt;
  }

  /** These streams were just erased by this process. */
  forget(streams: readonly string[]): void {
    this.erased.add(streams, false);
    this.#ring.forget(new Set(streams));
  }

  /** The head as the server has it now. Rejects with LogUnavailableError. */
  async checkHead(): Promise<bigint> {
    // A question that is under way may be answered with what was before ours.
    await this.#polling?.catch(() => {});
    const last = await this.#poll();
    await this.reached(last, this.#options.readTimeoutMs);
    return this.#head;
  }

  /** Asks for the last record; who asks while a question is under way shares its answer. */
  #poll(): Promise<bigint> {
    this.#polling ??= this.#ask().finally(() => {
      this.#polling = null;
    });
    return this.#polling;
  }

  async #ask(): Promise<bigint> {
    const askedAt = performance.now();
    const { connection, readTimeoutMs } = this.#options;
    const [record] = await connection.collect(Math.min(readTimeoutMs, stallMs), (client) =>
      client.readAll({ direction: 'backwards', fromPosition: 'end', maxCount: 1, requiresLeader: true }),
    );
    const last = record ? positionOf(record) : 0n;
    if (last <= this.#seen) {
      this.#behindSince = 0;
      this.#hear(askedAt);
      return last;
    }
    this.#words.push({ last, askedAt });
    if (this.#words.length > 50) this.#words.shift();
    if (!this.#subscription) void this.#subscribe();
    else if (this.#behindSince === 0) this.#behindSince = askedAt;
    else if (askedAt - this.#behindSince > stallMs) {
      this.#behindSince = 0;
      this.#lose(this.#subscription);
    }
    return last;
  }

  /** Resolves when everything up to `position` has come in. Rejects with LogUnavailableError. */
  async reached(position: bigint, timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs;
    while (this.#seen < position) {
      const leftMs = until - performance.now();
      if (leftMs <= 0 || this.#closed)
        throw new LogUnavailableError(new Error('the subscription to $all gives nothing'));
      await this.wait(leftMs);
    }
  }

  get #trusted(): boolean {
    return performance.now() - this.#heardAt <= trustMemoryMs;
  }

  /** Resolves when the list of erased streams is as of now. Rejects with LogUnavailableError. */
  async trust(): Promise<void> {
    for (let looks = 0; !this.#trusted; looks++) {
      if (looks === maxLooks) throw new LogUnavailableError(new Error('EventStoreDB answers too slowly'));
      await this.checkHead();
    }
  }

  /** As Log.page. */
  async page(from: bigint, maxEvents: number): Promise<TailBatch & { readonly atHead: boolean }> {
    const known = { head: this.#head, last: this.#seen };
    const { stored, position, complete } = await readHistory(this.#options, from, maxEvents, this.erased, known);
    await this.trust();
    const given = stored.filter(({ event }) => !this.erased.has(event.stream));
    const events = given.map(({ event, position }) => decode(position, event, this.#options.codec));
    return { events, position, atHead: complete };
  }

  async *tail(from: bigint, signal: AbortSignal): AsyncGenerator<TailBatch, void, undefined> {
    let position = from;
    while (!signal.aborted && !this.#closed) {
      if (position < this.#ring.from) {
        const page = await this.page(position, maxBatchEvents);
        if (page.position === position) await this.wait(progressIntervalMs, signal);
        else if (!signal.aborted) {
          position = page.position;
          yield { events: page.events, position };
        }
        continue;
      }
      if (position < this.#head) {
        if (!this.#trusted) {
          await this.#poll().catch(() => this.wait(pollIntervalMs, signal));
          if (!this.#trusted) await this.wait(pollIntervalMs / 4, signal);
          this.#complainWhenSilent();
          continue;
        }
        const batch = this.#ring.after(position, maxBatchEvents);
        position = batch.position;
        yield batch;
        continue;
      }
      const woken = await this.wait(pollIntervalMs, signal);
      if (woken || signal.aborted) continue;
      this.#complainWhenSilent();
      const silentMs = performance.now() - this.#heardAt;
      if (silentMs <= silenceMs && position >= this.#head) yield { events: [], position };
    }
  }

  #complainWhenSilent(): void {
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs > unavailableMs)
      throw new LogUnavailableError(new Error(`no word from EventStoreDB for ${Math.round(silentMs)} ms`));
  }

  /** Until something new, the signal, or the time is over; true for the first two. */
  wait(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (woken: boolean) => {
        this.#waiters.delete(wake);
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        resolve(woken);
      };
      const wake = () => done(true);
      const timer = setTimeout(() => done(false), timeoutMs);
      this.#waiters.add(wake);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }

  /** Wakes who waits, once for all that comes in together. */
  #wakeSoon(): void {
    if (this.#waking) return;
    this.#waking = true;
    setImmediate(() => {
      this.#waking = false;
      this.#wake();
    });
  }

  #wake(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#pollTimer);
    clearTimeout(this.#retryTimer);
    const subscription = this.#subscription;
    this.#subscription = null;
    subscription?.unsubscribe().catch(() => {});
    this.#wake();
  }
}

type Word = { readonly last: bigint; readonly askedAt: number };
