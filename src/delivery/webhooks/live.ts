import type { RecordedEvent } from '../../../schemas/index.ts';
import { erasedStreams } from '../../commands/index.ts';
import type { Feed, FeedBatch, History } from '../../feed/feed.ts';
import { type Clock, sleep } from '../../platform/clock.ts';
import type { Reached } from '../reached.ts';
import { controlEvents } from './control.ts';
import type { WebhookDialect } from './dialect.ts';
import { type Ripe, ripen, workspaceOf } from './ripe.ts';

/** What the live source needs. */
export interface LiveOptions {
  readonly feed: Feed;
  readonly history: History;
  readonly dialect: WebhookDialect;
  readonly clock: Clock;
  readonly reached: Pick<Reached, 'until'>;
  readonly signal: AbortSignal;
  /** Name of this process's group where the feed has partitions: each process hears everything. */
  readonly group: string;
  /** Recent events kept in memory, of all workspaces together: number and characters. */
  readonly maxEvents?: number;
  readonly maxCharacters?: number;
  /** There is something new of these workspaces. */
  readonly onRipe: (workspaces: ReadonlySet<number>) => void;
  /** An event about webhooks themselves, or the end of a workspace. */
  readonly onControl: (event: RecordedEvent) => void;
  /** Streams that were erased: what waits of them is not sent. */
  readonly onErased: (streams: ReadonlySet<string>) => void;
  readonly onTrouble: (error: unknown) => void;
}

/** Recent events of a workspace: everything after `from`. */
interface Ring {
  /** How many follow it. */
  followers: number;
  from: bigint;
  events: Ripe[];
  /** Of `events`, the first that is still there. */
  first: number;
}

const pageEvents = 1_000;
const pollMs = 1_000;

/**
 * The log as it grows: consumer group `webhooks`, without a checkpoint, since where each webhook stands is told by rows. Keeps
 * the latest events of workspaces that have webhooks here, rendered once for all of them.
 *
 * Where the feed has partitions, which come in no common order and may still hold what was erased, the feed only tells that
 * there is something: it is read from the log.
 */
export class Live {
  readonly #options: LiveOptions;
  readonly #rings = new Map<number, Ring>();
  /** The rings of what is kept, oldest event first; an entry whose ring was ended since stands for nothing. */
  #order: Ring[] = [];
  #orderFirst = 0;
  #characters = 0;
  /** Everything up to here was heard, and up to `#hearing` is being rendered. */
  #to = 0n;
  #hearing = 0n;
  #reading: Promise<void> | null = null;
  #again = false;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  /** Everything up to here was heard. */
  get to(): bigint {
    return this.#to;
  }

  /** Hears from a position on, until the signal aborts. Rejects with an event that this code cannot read. */
  hear(from: bigint): Promise<void> {
    this.#to = from;
    this.#hearing = from;
    const { feed, signal, group } = this.#options;
    const whole = feed.partitions === 1;
    if (!whole) void this.#poll();
    const done = feed.consume(
      {
        group: whole ? 'webhooks' : group,
        hasCheckpoint: false,
        maxBatchEvents: 2_000,
        start: async () => this.#to,
        handle: async (batch) => {
          if (whole) await this.#take(batch.events, batch.to);
          else if (this.#isNews(batch)) this.#read();
          return batch.to;
        },
      },
      signal,
    );
    done.catch(() => {});
    return done;
  }

  /** Keeps events of a workspace from now on, until as many `unfollow`. */
  follow(workspace: number): void {
    const ring = this.#rings.get(workspace);
    if (ring) ring.followers++;
    else this.#rings.set(workspace, { followers: 1, from: this.#hearing, events: [], first: 0 });
  }

  unfollow(workspace: number): void {
    const ring = this.#rings.get(workspace);
    if (!ring || --ring.followers > 0) return;
    this.#rings.delete(workspace);
    for (let i = ring.first; i < ring.events.length; i++) this.#characters -= (ring.events[i] as Ripe).head.length;
    ring.events = [];
    ring.first = 0;
  }

  /**
   * Events of a workspace after a position, `most` at most, and the position up to which nothing is missing; null when what
   * follows on the position is not here any more.
   */
  after(workspace: number, position: bigint, most: number): { events: readonly Ripe[]; upTo: bigint } | null {
    const ring = this.#rings.get(workspace);
    if (!ring || position < ring.from) return null;
    const { events } = ring;
    let low = ring.first;
    let high = events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((events[middle] as Ripe).position <= position) low = middle + 1;
      else high = middle;
    }
    const found = events.slice(low, low + most);
    const last = found.at(-1);
    return { events: found, upTo: last && low + most < events.length ? last.position : this.#to };
  }

  #isNews({ events }: FeedBatch): boolean {
    const { eventTypes } = this.#options.dialect;
    return events.some(({ type }) => eventTypes.has(type) || controlEvents.has(type) || type.endsWith('Erased'));
  }

  async #poll(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      this.#read();
      await sleep(pollMs, signal).catch(() => {});
    }
  }

  /** Reads the log up to its head. */
  #read(): void {
    this.#again = true;
    this.#reading ??= this.#readOn().finally(() => {
      this.#reading = null;
    });
  }

  async #readOn(): Promise<void> {
    const { history, signal, onTrouble } = this.#options;
    while (this.#again && !signal.aborted) {
      this.#again = false;
      try {
        for (let atHead = false; !atHead && !signal.aborted; ) {
          const page = await history.page(this.#to, pageEvents);
          await this.#take(page.events, page.position);
          atHead = page.atHead;
        }
      } catch (error) {
        onTrouble(error);
        await sleep(pollMs, signal).catch(() => {});
        this.#again = true;
      }
    }
  }

  async #take(events: readonly RecordedEvent[], to: bigint): Promise<void> {
    const { dialect, reached, onControl, onRipe } = this.#options;
    this.#hearing = to;
    const told: RecordedEvent[] = [];
    const controls: RecordedEvent[] = [];
    const gone: string[] = [];
    for (const event of events) {
      const { type } = event;
      if (dialect.eventTypes.has(type) && this.#rings.has(workspaceOf(event) ?? -1)) told.push(event);
      if (controlEvents.has(type)) controls.push(event);
      else if (type.endsWith('Erased')) gone.push(...erasedStreams(event));
    }
    this.#erase(gone);
    const there = gone.length === 0 ? told : told.filter(({ stream }) => !gone.includes(stream));
    const ripe = await ripen(dialect, there, reached);
    const workspaces = new Set<number>();
    for (const event of ripe) if (this.#keep(event)) workspaces.add(event.workspace);
    this.#to = to;
    this.#evict();
    for (const event of controls) onControl(event);
    if (workspaces.size > 0) onRipe(workspaces);
  }

  #keep(ripe: Ripe): boolean {
    const ring = this.#rings.get(ripe.workspace);
    // Followed, or followed anew, while it was rendered: the history has it.
    if (!ring || ripe.position <= ring.from) return false;
    ring.events.push(ripe);
    this.#characters += ripe.head.length;
    this.#order.push(ring);
    return true;
  }

  #evict(): void {
    const { maxEvents = 20_000, maxCharacters = 64 * 1024 * 1024 } = this.#options;
    while (this.#order.length - this.#orderFirst > maxEvents || this.#characters > maxCharacters) {
      const ring = this.#order[this.#orderFirst++];
      const oldest = ring?.events[ring.first];
      if (!ring || !oldest) {
        if (this.#orderFirst >= this.#order.length) break;
        continue;
      }
      ring.first++;
      ring.from = oldest.position;
      this.#characters -= oldest.head.length;
      if (ring.first > 1_024 && ring.first * 2 > ring.events.length) {
        ring.events = ring.events.slice(ring.first);
        ring.first = 0;
      }
    }
    if (this.#orderFirst > 1_024 && this.#orderFirst * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#orderFirst);
      this.#orderFirst = 0;
    }
  }

  /** Nothing of what was erased stays: the log does not give it any more either. */
  #erase(streams: readonly string[]): void {
    if (streams.length === 0) return;
    const gone = new Set(streams);
    for (const ring of this.#rings.values()) {
      const kept = ring.events.slice(ring.first).filter(({ stream }) => !gone.has(stream));
      if (kept.length === ring.events.length - ring.first) continue;
      for (const { stream, head } of ring.events.slice(ring.first))
        if (gone.has(stream)) this.#characters -= head.length;
      ring.events = kept;
      ring.first = 0;
    }
    this.#options.onErased(gone);
  }
}
