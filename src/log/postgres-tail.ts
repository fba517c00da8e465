import pg from 'pg';
import { UnknownEventError } from '../../schemas/index.ts';
import { LogUnavailableError, type RecordedEvent, type TailBatch } from './log.ts';

/** Positions kept in memory: what a tail that keeps up is served from. 20,000 sends take about 20 MB. */
const ringPositions = 20_000;
/** Events of one batch at most. */
const maxBatchEvents = 2_000;
/** How often the head is asked for, and tails that wait say how far they are: within the progress interval of the port. */
const pollIntervalMs = 200;
/** Time between two wakes of the tails while there is always something new. */
const wakeIntervalMs = 5;
/**
 * What is in memory is served only while the database said, not longer ago than this, that nothing else was erased.
 * `erase` returns no sooner: from then on nobody gives the content, in whatever process.
 */
export const trustMemoryMs = 500;
/**
 * For so long it is awaited what a peer tells of its flush before it is read: the word of it by NOTIFY is quicker. A flush
 * told of out of turn is kept for as long.
 */
const peerPatienceMs = 20;
/** Without word from the database for this long, tails say nothing; after `unavailableMs` they throw. */
const silenceMs = 350;
const unavailableMs = 2_000;

/** What the database said, and when it was asked. */
export interface Word {
  /** Streams erased so far. */
  readonly erasures: number;
  /** `performance.now()`. */
  readonly askedAt: number;
}

/** Ends a connection at once, whatever it is doing and however silent the other side is. */
export function destroyClient(client: pg.Client): void {
  const { connection } = client as unknown as { connection?: { stream?: { destroy(): void } } };
  connection?.stream?.destroy();
  client.end().catch(() => {});
}

/** A tail that waits, or does not at the moment. */
interface Waiter {
  wake: ((woken: boolean) => void) | null;
}

type History = (from: bigint, max: number) => Promise<{ events: (RecordedEvent | null)[]; position: bigint }>;

/**
 * What all tails of one process share: the last positions in memory, fed by the process's own appends, by NOTIFY of
 * others' and, when nothing is heard, by asking. Places in the ring are positions: an erased event is null there.
 */
export class TailHub {
  readonly #url: string;
  readonly #history: History;
  #ring: (RecordedEvent | null)[] = [];
  /** Position before the first of the ring; the ring's last stands at `#head`. */
  #ringFrom = 0n;
  #head = 0n;
  #known = 0n;
  /** When the latest word of the database was asked for. */
  #heardAt = 0;
  /** Erasures that the ring has been told of. */
  #erasures = 0;
  #catchingUp = false;
  /** Flushes of this log under way. */
  #flushes = 0;
  readonly #hasPeer: boolean;
  /** Flushes told of before what stands in front of them is known, by the position before each. */
  readonly #early = new Map<bigint, readonly RecordedEvent[]>();
  #patience: NodeJS.Timeout | undefined;
  #failed: Error | null = null;
  readonly #waiters = new Set<(woken: boolean) => void>();
  #wokenAt = 0;
  #wakeTimer: NodeJS.Timeout | undefined;
  #listener: pg.Client | null = null;
  #connecting: Promise<pg.Client> | null = null;
  #pollTimer: NodeJS.Timeout | undefined;
  #polling: Promise<bigint> | null = null;
  #closed = false;
  gaps = 0;

  /** @param hasPeer another thread's log tells of its flushes, which need not be read then */
  constructor(url: string, history: History, { hasPeer = false } = {}) {
    this.#url = url;
    this.#history = history;
    this.#hasPeer = hasPeer;
  }

  async open(): Promise<void> {
    const head = await this.checkHead();
    // What a peer told of meanwhile is read like everything before it.
    this.#ring = [];
    this.#early.clear();
    if (head > this.#head) this.#head = head;
    this.#ringFrom = this.#head;
    this.#pollTimer = setInterval(() => {
      this.#poll().catch(() => {});
      this.#wake(false);
    }, pollIntervalMs).unref();
  }

  #connect(): Promise<pg.Client> {
    if (this.#listener) return Promise.resolve(this.#listener);
    this.#connecting ??= this.#connectAnew().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #connectAnew(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'parley-log-tail',
      connectionTimeoutMillis: 2_000,
      query_timeout: 2_000,
    });
    client.on('error', () => this.#drop(client));
    client.on('end', () => this.#drop(client));
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel === 'parley_log') return this.#hear(BigInt(payload));
      const [nth = '', position = '', stream = ''] = payload.split(':', 3);
      if (Number(nth) === this.#erasures + 1) {
        this.#erasures++;
        this.#forget(stream);
      }
      this.#hear(BigInt(position));
    });
    try {
      await client.connect();
      await client.query('LISTEN parley_log; LISTEN parley_log_erased');
    } catch (error) {
      destroyClient(client);
      throw error;
    }
    this.#listener = client;
    return client;
  }

  #drop(client: pg.Client): void {
    if (this.#listener !== client) return;
    this.#listener = null;
    destroyClient(client);
  }

  /** The head as the database has it now. Rejects with LogUnavailableError. */
  async checkHead(): Promise<bigint> {
    // One question at a time on the connection; one that is under way may be answered with what was before ours.
    await this.#polling?.catch(() => {});
    return this.#poll();
  }

  /** Asks for the head; who asks while a question is under way shares its answer. */
  #poll(): Promise<bigint> {
    this.#polling ??= this.#ask().finally(() => {
      this.#polling = null;
    });
    return this.#polling;
  }

  async #ask(): Promise<bigint> {
    const askedAt = performance.now();
    try {
      const client = await this.#connect();
      const { rows } = await client.query<{ position: string; erasures: string }>(
        'SELECT position, erasures FROM log.head',
      );
      const head = BigInt(rows[0]?.position ?? 0);
      this.#verify({ erasures: Number(rows[0]?.erasures ?? 0), askedAt });
      this.#hear(head);
      return head;
    } catch (error) {
      if (this.#listener) this.#drop(this.#listener);
      throw new LogUnavailableError(error);
    }
  }

  /** Takes the database's word of how much was erased when it was asked: whoever missed one forgets everything. */
  #verify({ erasures, askedAt }: Word): boolean {
    const upToDate = erasures === this.#erasures;
    if (erasures > this.#erasures) {
      this.#erasures = erasures;
      this.#ring = [];
      this.#ringFrom = this.#head;
    }
    if (askedAt > this.#heardAt) this.#heardAt = askedAt;
    return upToDate;
  }

  #hear(head: bigint): void {
    if (head > this.#known) this.#known = head;
    // The word of an own flush overtakes its answer: what it wrote is about to be pushed, and need not be read.
    if (this.#known > this.#head && this.#flushes === 0) this.#catchUpSoon();
  }

  /** Reads what is missing; where a peer may be about to tell it, only when that makes no progress. */
  #catchUpSoon(): void {
    if (!this.#hasPeer) return void this.#catchUp();
    if (this.#patience) return;
    const before = this.#head;
    this.#patience = setTimeout(() => {
      this.#patience = undefined;
      if (this.#head >= this.#known) return;
      if (this.#head > before) return this.#catchUpSoon();
      void this.#catchUp();
    }, peerPatienceMs);
  }

  /** A flush of this process is on its way: `flushEnds` follows, after `push` of what it wrote. */
  flushBegins(): void {
    this.#flushes++;
  }

  /** What a flush wrote was pushed; or nobody knows what it wrote, and the next word of the database tells. */
  flushEnds(): void {
    this.#flushes--;
    if (this.#flushes === 0 && this.#known > this.#head) this.#catchUpSoon();
  }

  /** Takes what this process just appended after `base`. What was erased since is not in it: then it is read anew. */
  push(base: bigint, events: readonly RecordedEvent[], word: Word): void {
    const upToDate = this.#verify(word);
    const last = events.at(-1);
    if (!last) return;
    if (last.position > this.#known) this.#known = last.position;
    if (this.#closed || last.position <= this.#head) return;
    if (!upToDate || base < this.#head) {
      void this.#catchUp();
      return;
    }
    if (base > this.#head) {
      this.#early.set(base, events);
      this.#catchUpSoon();
      return;
    }
    this.#take(events);
    for (let next = this.#early.get(this.#head); next; next = this.#early.get(this.#head)) {
      this.#early.delete(this.#head);
      this.#take(next);
    }
  }

  #take(events: readonly RecordedEvent[]): void {
    for (const event of events) this.#ring.push(event);
    this.#advance((events.at(-1) as RecordedEvent).position);
  }

  #advance(head: bigint): void {
    this.#head = head;
    if (this.#early.size > 0) for (const base of this.#early.keys()) if (base < head) this.#early.delete(base);
    if (this.#ring.length > 2 * ringPositions) {
      const drop = this.#ring.length - ringPositions;
      this.#ring = this.#ring.slice(drop);
      this.#ringFrom += BigInt(drop);
    }
    this.#wakeSoon();
  }

  /** At once after a rest; in a stream of flushes now and then, so that each tail takes several at a time. */
  #wakeSoon(): void {
    if (this.#waiters.size === 0 || this.#wakeTimer) return;
    const restMs = wakeIntervalMs - (performance.now() - this.#wokenAt);
    if (restMs <= 0) this.#wake(true);
    else this.#wakeTimer = setTimeout(() => this.#wake(true), restMs);
  }

  #wake(woken: boolean): void {
    clearTimeout(this.#wakeTimer);
    this.#wakeTimer = undefined;
    this.#wokenAt = performance.now();
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake(woken);
  }

  async #catchUp(): Promise<void> {
    if (this.#catchingUp || this.#closed) return;
    this.#catchingUp = true;
    try {
      while (this.#head < this.#known && !this.#closed) {
        const from = this.#head;
        const erasures = this.#erasures;
        const { events, position } = await this.#history(from, maxBatchEvents);
        if (events.length === 0) break;
        // Erased while it was read: read again.
        if (erasures !== this.#erasures) continue;
        // Own appends may have come in meanwhile: only what follows the head is new.
        const behind = Number(this.#head - from);
        if (BigInt(events.length) !== position - from) this.gaps++;
        if (events.length <= behind) continue;
        for (const event of events.slice(behind)) this.#ring.push(event);
        this.#advance(position);
      }
    } catch (error) {
      // Storage away: the next poll tries again. Events this code cannot read: every tail has to say so.
      if (error instanceof UnknownEventError) {
        this.#failed = error;
        this.#wake(true);
      }
    } finally {
      this.#catchingUp = false;
    }
  }

  /** Forgets the content of an erased stream. */
  #forget(stream: string): void {
    for (let i = 0; i < this.#ring.length; i++) {
      if (this.#ring[i]?.stream === stream) this.#ring[i] = null;
    }
  }

  async *tail(from: bigint, signal: AbortSignal): AsyncGenerator<TailBatch, void, undefined> {
    const waiter: Waiter = { wake: null };
    const abort = () => waiter.wake?.(true);
    signal.addEventListener('abort', abort, { once: true });
    try {
      yield* this.#follow(from, signal, waiter);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async *#follow(from: bigint, signal: AbortSignal, waiter: Waiter): AsyncGenerator<TailBatch, void, undefined> {
    let position = from;
    while (!signal.aborted && !this.#closed) {
      if (position < this.#ringFrom) {
        const { events, position: to } = await this.#history(position, maxBatchEvents);
        // A ring that began after the poll can lie ahead of what is read; the read is what counts.
        if (to === position) await this.#wait(waiter);
        position = to;
        if (events.length > 0) yield { events: events.filter((event) => event !== null), position };
        continue;
      }
      if (position < this.#head) {
        if (performance.now() - this.#heardAt > trustMemoryMs) {
          await this.#poll().catch(() => this.#wait(waiter));
          this.#complainWhenSilent();
          continue;
        }
        const start = Number(position - this.#ringFrom);
        const slice = this.#ring.slice(start, start + maxBatchEvents);
        position += BigInt(slice.length);
        yield {
          events: slice.includes(null) ? slice.filter((event) => event !== null) : (slice as RecordedEvent[]),
          position,
        };
        continue;
      }
      if (this.#failed) throw this.#failed;
      const woken = await this.#wait(waiter);
      if (woken || signal.aborted) continue;
      const silentMs = performance.now() - this.#heardAt;
      if (silentMs > unavailableMs)
        throw new LogUnavailableError(new Error(`no word from the database for ${Math.round(silentMs)} ms`));
      // Where more is known of than was read yet, nothing is said: whoever hears this trusts what is in memory.
      const isWhole = position >= this.#head && this.#head >= this.#known;
      if (silentMs <= silenceMs && isWhole) yield { events: [], position };
    }
  }

  #complainWhenSilent(): void {
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs > unavailableMs)
      throw new LogUnavailableError(new Error(`no word from the database for ${Math.round(silentMs)} ms`));
  }

  /** Until something new or the end of the tail (true), or for a while (false): one timer serves all who wait. */
  #wait(waiter: Waiter): Promise<boolean> {
    return new Promise((resolve) => {
      const wake = (woken: boolean) => {
        this.#waiters.delete(wake);
        waiter.wake = null;
        resolve(woken);
      };
      waiter.wake = wake;
      this.#waiters.add(wake);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#pollTimer);
    clearTimeout(this.#patience);
    this.#wake(true);
    const listener = this.#listener;
    this.#listener = null;
    await listener?.end().catch(() => {});
  }
}
