import type { Ripe } from './ripe.ts';

/** A first attempt, on its way or waiting. */
export interface TrackItem {
  readonly ripe: Ripe;
  /** A position before the event's, after which nothing else of the track stands. */
  readonly after: bigint;
  /** What came of it goes into the log with the record at hand. */
  settled: boolean;
  /** Given out by `next`. */
  begun: boolean;
}

/** What a track is made of. */
export interface TrackOptions {
  /** 0: the webhook's own deliveries. */
  readonly replay: number;
  readonly upTo: bigint;
  readonly beyond: readonly bigint[];
  /** The last position, null for none. */
  readonly endsAt: bigint | null;
  /** Times of events, both ends included; milliseconds since the epoch. */
  readonly since: number | null;
  readonly until: number | null;
}

/** What of a track is settled, as a record says it. */
export interface Mark {
  readonly replay: number;
  readonly upTo: string;
  readonly beyond: string[];
}

/** Most that waits: events, and characters of their bodies. */
export interface TrackRoom {
  readonly events: number;
  readonly characters: number;
}

/**
 * First attempts of a webhook, or of one of its replays, in the order of the log: what was taken from it and waits, what is
 * under way, and up to where everything is settled.
 */
export class Track {
  readonly replay: number;
  readonly endsAt: bigint | null;
  readonly since: number | null;
  readonly #until: number | null;
  /** Everything up to here was taken, or is none of ours. */
  taken: bigint;
  /** Asked of the scanner, and not answered yet. */
  scanning = false;
  /** False for a replay of a time whose beginning is not found yet. */
  located: boolean;
  /** It is being looked for. */
  locating = false;
  /** Taken and not settled, in order; those begun stand before those that wait, but for what is settled between. */
  #open: TrackItem[] = [];
  /** Of `#open`, the first that is not settled, and the first that waits. */
  #first = 0;
  #firstWaiting = 0;
  #waitingCharacters = 0;
  /** Begun, and not known to be recorded. */
  #pending = 0;
  /** Settled before this process took the track up. */
  readonly #known: Set<bigint>;
  /** Settled since the last mark. */
  #fresh: bigint[] = [];
  #marked: bigint;
  /** What was marked last and stands in the log. */
  #confirmed: bigint;

  constructor({ replay, upTo, beyond, endsAt, since, until }: TrackOptions) {
    this.replay = replay;
    this.endsAt = endsAt;
    this.since = since;
    this.located = since === null || upTo > 0n;
    this.#until = until;
    this.taken = upTo;
    this.#marked = upTo;
    this.#confirmed = upTo;
    this.#known = new Set(beyond);
  }

  get waiting(): number {
    return this.#open.length - this.#firstWaiting;
  }

  /** Everything up to here is settled. */
  get upTo(): bigint {
    return this.#open[this.#first]?.after ?? this.taken;
  }

  /** Everything up to here is settled, and that is known to be in the log. */
  get recordedUpTo(): bigint {
    return this.#pending === 0 ? this.upTo : this.#confirmed;
  }

  /** A replay that has got to its end, and all of it is recorded. */
  get through(): boolean {
    return (
      this.endsAt !== null && this.taken >= this.endsAt && this.#first === this.#open.length && this.#pending === 0
    );
  }

  /** There is more to take. */
  get unfinished(): boolean {
    return this.endsAt === null || this.taken < this.endsAt;
  }

  /** True while there is room for more. */
  hasRoom(room: TrackRoom): boolean {
    return this.waiting < room.events && this.#waitingCharacters < room.characters;
  }

  /**
   * Takes events after `taken` for which `wants` holds, as far as there is room; all of the log up to `upTo` is in `events`.
   * Moves `taken`.
   */
  take(events: readonly Ripe[], upTo: bigint, wants: (ripe: Ripe) => boolean, room: TrackRoom): void {
    for (const ripe of events) {
      const { position } = ripe;
      if (position <= this.taken) continue;
      if (this.endsAt !== null && position > this.endsAt) break;
      if (!this.hasRoom(room)) return;
      const after = this.taken;
      this.taken = position;
      if (this.#known.has(position) || !this.#isInTime(ripe) || !wants(ripe)) continue;
      this.#open.push({ ripe, after, settled: false, begun: false });
      this.#waitingCharacters += ripe.head.length;
    }
    if (upTo > this.taken) this.taken = this.endsAt !== null && upTo > this.endsAt ? this.endsAt : upTo;
  }

  #isInTime({ at }: Ripe): boolean {
    return (this.since === null || at >= this.since) && (this.#until === null || at <= this.#until);
  }

  /** The next to begin, in order. */
  next(): TrackItem | null {
    const item = this.#open[this.#firstWaiting];
    if (!item) return null;
    this.#firstWaiting++;
    this.#pending++;
    item.begun = true;
    this.#waitingCharacters -= item.ripe.head.length;
    return item;
  }

  /** Gives back what waits beyond `keep`: it is taken again later. */
  trim(keep: number): void {
    const from = this.#firstWaiting + keep;
    const first = this.#open[from];
    if (!first) return;
    for (const { ripe } of this.#open.splice(from)) this.#waitingCharacters -= ripe.head.length;
    this.taken = first.after;
  }

  /** Begins after a position, before anything was taken. */
  startAt(position: bigint): void {
    this.located = true;
    if (position <= this.taken) return;
    this.taken = position;
    this.#marked = position;
    this.#confirmed = position;
  }

  /** Lets go of what waits of streams that were erased. */
  forget(streams: ReadonlySet<string>): void {
    const kept: TrackItem[] = [];
    for (const [i, item] of this.#open.entries()) {
      if (i < this.#firstWaiting || !streams.has(item.ripe.stream)) kept.push(item);
      else this.#waitingCharacters -= item.ripe.head.length;
    }
    this.#open = kept;
  }

  /** What came of an item is about to be recorded. */
  settle(item: TrackItem): void {
    item.settled = true;
    this.#fresh.push(item.ripe.position);
    while (this.#open[this.#first]?.settled) this.#first++;
    // Let go of in larger pieces: each moves all that is left.
    if (this.#first < 256 || this.#first * 2 < this.#open.length) return;
    this.#open = this.#open.slice(this.#first);
    this.#firstWaiting -= this.#first;
    this.#first = 0;
  }

  /** What came of an item stands in the log, with all that was marked by then. */
  recorded(): void {
    this.#pending--;
    this.#confirmed = this.#marked;
  }

  /** What is settled now, for the record at hand; null when that is nothing new. */
  mark(): Mark | null {
    const { upTo } = this;
    if (this.#fresh.length === 0 && upTo === this.#marked) return null;
    const beyond = this.#fresh.filter((position) => position > upTo).map(String);
    this.#fresh = [];
    this.#marked = upTo;
    return { replay: this.replay, upTo: String(upTo), beyond };
  }
}
