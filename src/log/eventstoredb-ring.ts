import type { RecordedEvent, TailBatch } from './log.ts';

/** Places kept in memory: what a tail that keeps up is served from. */
const maxPlaces = 20_000;
/** About what they hold at most; 20,000 sends take about 20 MB. */
const maxRingBytes = 64 * 1024 * 1024;

interface Place {
  readonly position: bigint;
  /** Null for what no tail gives. */
  event: RecordedEvent | null;
  bytes: number;
  /** What every tail that comes here throws. */
  readonly error?: Error;
}

/** The last events of the log, as they came in. Everything after `from` is in it. */
export class Ring {
  #places: Place[] = [];
  #bytes = 0;
  #from = 0n;

  get from(): bigint {
    return this.#from;
  }

  get length(): number {
    return this.#places.length;
  }

  /** Empty, after `position`. */
  begin(position: bigint): void {
    this.#places = [];
    this.#bytes = 0;
    this.#from = position;
  }

  push(event: RecordedEvent): void {
    this.#add({ position: event.position, event, bytes: roughBytes(event.data) });
  }

  /** A record that no tail gives. */
  pass(position: bigint): void {
    const last = this.#places.at(-1);
    // One place for many of them in a row.
    if (last && last.event === null && !last.error) this.#places.pop();
    this.#add({ position, event: null, bytes: 0 });
  }

  /** A record that no tail gets past. */
  stop(position: bigint, error: Error): void {
    this.#add({ position, event: null, bytes: 0, error });
  }

  #add(place: Place): void {
    this.#places.push(place);
    this.#bytes += place.bytes;
    if (this.#places.length > 2 * maxPlaces || this.#bytes > maxRingBytes) this.#shorten();
  }

  #shorten(): void {
    let keep = this.#places.length;
    for (let bytes = 0; keep > 0 && this.#places.length - keep < maxPlaces; keep--) {
      bytes += (this.#places[keep - 1] as Place).bytes;
      if (bytes > maxRingBytes / 2) break;
    }
    const dropped = this.#places.slice(0, keep);
    for (const { bytes } of dropped) this.#bytes -= bytes;
    this.#places = this.#places.slice(keep);
    const last = dropped.at(-1);
    if (last) this.#from = last.position;
  }

  /** The content of these streams is given no more. */
  forget(streams: ReadonlySet<string>): void {
    for (const place of this.#places) {
      if (!place.event || !streams.has(place.event.stream)) continue;
      place.event = null;
      this.#bytes -= place.bytes;
      place.bytes = 0;
    }
  }

  /** What stands after `position`, which is not before `from`. Throws at a record that no tail gets past. */
  after(position: bigint, maxEvents: number): TailBatch {
    const events: RecordedEvent[] = [];
    let to = position;
    for (let at = this.#firstAfter(position); at < this.#places.length && events.length < maxEvents; at++) {
      const place = this.#places[at] as Place;
      if (place.error) {
        if (to === position) throw place.error;
        break;
      }
      to = place.position;
      if (place.event) events.push(place.event);
    }
    return { events, position: to };
  }

  #firstAfter(position: bigint): number {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#places[middle] as Place).position > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** About the bytes that data takes in memory. */
function roughBytes(value: unknown): number {
  if (typeof value === 'string') return 2 * value.length;
  if (typeof value !== 'object' || value === null) return 8;
  let bytes = 64;
  for (const each of Object.values(value)) bytes += 16 + roughBytes(each);
  return bytes;
}
