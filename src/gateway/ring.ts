import type { RecordedEvent } from '../log/log.ts';
import type { FramePositions, Route, Variant } from './socket-dialect.ts';

/** What an entry takes beside its content: the event's envelope, the route, places in lists. */
const entryBytes = 600;
const bytesPerAddress = 48;
const bytesPerField = 24;

/** Bytes that a value takes in memory, roughly: cheaper than spelling it out. */
function roughBytes(value: unknown): number {
  if (typeof value === 'string') return value.length + bytesPerField;
  if (typeof value !== 'object' || value === null) return bytesPerField;
  let bytes = bytesPerField;
  for (const each of Object.values(value)) bytes += roughBytes(each);
  return bytes;
}

/** One event that somebody could be shown, with what was spelled of it so far. */
export class Entry {
  /** Counts entries of a ring: comparing it is cheaper than comparing positions. */
  readonly seq: number;
  /** Null once its content does not exist any more: then it is shown to nobody. */
  event: RecordedEvent | null;
  readonly position: bigint;
  /** Position of the event before it in the log. */
  readonly before: bigint;
  readonly route: Route;
  /** Whether the dialect was told that it is about to be spelled. */
  prepared = false;
  /** Bytes that it takes, roughly. */
  bytes: number;
  #variant: Variant | undefined;
  #frames: Buffer | undefined;
  #others: Map<Variant, Buffer> | null = null;

  constructor(seq: number, event: RecordedEvent, before: bigint, route: Route) {
    this.seq = seq;
    this.event = event;
    this.position = event.position;
    this.before = before;
    this.route = route;
    const addresses = (route.accounts?.length ?? 0) + (route.topics?.length ?? 0);
    this.bytes = entryBytes + roughBytes(event.data) + addresses * bytesPerAddress;
  }

  /** What its frames say of where they stand. */
  get positions(): FramePositions {
    return { before: this.before.toString(), at: this.position.toString() };
  }

  /** The frames of a variant, if they have been spelled. */
  framesOf(variant: Variant): Buffer | undefined {
    return variant === this.#variant ? this.#frames : this.#others?.get(variant);
  }

  keepFrames(variant: Variant, frames: Buffer): void {
    this.bytes += frames.length;
    if (this.#variant === undefined) {
      this.#variant = variant;
      this.#frames = frames;
      return;
    }
    this.#others ??= new Map();
    this.#others.set(variant, frames);
  }

  /** Forgets the content. */
  blank(): void {
    this.event = null;
    this.#variant = undefined;
    this.#frames = undefined;
    this.#others = null;
  }
}

/** A list that grows at the end and shrinks at the beginning. */
export class Queue<T> {
  #items: T[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  at(index: number): T {
    return this.#items[this.#head + index] as T;
  }

  first(): T | undefined {
    return this.#items[this.#head];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head] = undefined as T;
    this.#head++;
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Index of the first item for which `is` holds; it holds for all after one for which it does. */
  firstWhere(is: (item: T) => boolean): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (is(this.at(middle))) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** How much a ring keeps. */
export interface RingLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** The recent events that somebody could be shown, in the order of the log. What falls out at the beginning is told. */
export class Ring {
  readonly #limits: RingLimits;
  readonly #entries = new Queue<Entry>();
  /** Entries by stream, so that those whose content is gone are found. */
  readonly #byStream = new Map<string, Queue<Entry>>();
  readonly #onDropped: (entry: Entry) => void;
  #from = 0n;
  #bytes = 0;
  #seq = 0;

  constructor(limits: RingLimits, onDropped: (entry: Entry) => void) {
    this.#limits = limits;
    this.#onDropped = onDropped;
  }

  /** What comes follows this position. To be called before anything is pushed. */
  begin(from: bigint): void {
    this.#from = from;
  }

  /** Everything after this position that somebody could be shown is here. */
  get from(): bigint {
    return this.#from;
  }

  get length(): number {
    return this.#entries.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The number that the next entry gets. */
  get nextSeq(): number {
    return this.#seq;
  }

  push(event: RecordedEvent, before: bigint, route: Route): Entry {
    const entry = new Entry(this.#seq++, event, before, route);
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    let ofStream = this.#byStream.get(event.stream);
    if (ofStream === undefined) {
      ofStream = new Queue();
      this.#byStream.set(event.stream, ofStream);
    }
    ofStream.push(entry);
    return entry;
  }

  /** An entry takes more than when it was pushed. */
  grown(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Lets go of the oldest until the limits are kept. */
  trim(): void {
    const { maxEvents, maxBytes } = this.#limits;
    while (this.#entries.length > maxEvents || (this.#bytes > maxBytes && this.#entries.length > 0)) {
      const entry = this.#entries.shift() as Entry;
      this.#bytes -= entry.bytes;
      this.#from = entry.position;
      this.#forgetStream(entry);
      this.#onDropped(entry);
    }
  }

  /** Lets go of everything: what comes follows this position. */
  clear(from: bigint): void {
    for (let entry = this.#entries.shift(); entry !== undefined; entry = this.#entries.shift()) this.#onDropped(entry);
    this.#byStream.clear();
    this.#bytes = 0;
    this.#from = from;
  }

  #forgetStream(entry: Entry): void {
    const stream = entry.event?.stream;
    if (stream === undefined) return;
    const ofStream = this.#byStream.get(stream);
    if (ofStream?.first() !== entry) return;
    ofStream.shift();
    if (ofStream.length === 0) this.#byStream.delete(stream);
  }

  /** Forgets the content of what was pushed before `end`. */
  voidStream(stream: string, end: Entry): void {
    const ofStream = this.#byStream.get(stream);
    if (ofStream === undefined) return;
    while (ofStream.length > 0 && (ofStream.first() as Entry).seq < end.seq) ofStream.shift()?.blank();
    if (ofStream.length === 0) this.#byStream.delete(stream);
  }

  /** As `voidStream`, for events that a test finds. */
  voidWhere(test: (event: RecordedEvent) => boolean, end: Entry): void {
    const streams = new Set<string>();
    for (let i = 0; i < this.#entries.length; i++) {
      const entry = this.#entries.at(i);
      if (entry.seq >= end.seq) break;
      if (entry.event === null || !test(entry.event)) continue;
      streams.add(entry.event.stream);
      entry.blank();
    }
    for (const stream of streams) this.#forgetBlank(stream);
  }

  #forgetBlank(stream: string): void {
    const left = new Queue<Entry>();
    const ofStream = this.#byStream.get(stream);
    for (let i = 0; i < (ofStream?.length ?? 0); i++) {
      const entry = ofStream?.at(i) as Entry;
      if (entry.event !== null) left.push(entry);
    }
    if (left.length > 0) this.#byStream.set(stream, left);
    else this.#byStream.delete(stream);
  }

  /** The number of the first entry after a position; `nextSeq` when there is none. */
  seqAfter(position: bigint): number {
    const index = this.#entries.firstWhere((entry) => entry.position > position);
    return index < this.#entries.length ? this.#entries.at(index).seq : this.#seq;
  }
}
