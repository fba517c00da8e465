import type { EventCodec } from '../../schemas/index.ts';
import { partsOf, type RecordedEvent } from './feed.ts';
import type { Gathered } from './gatherer.ts';
import type { RelayState } from './lease.ts';
import { encodeEvent, encodeMark } from './records.ts';

/** One partition's share of a send at most: about what its leader appends in one go. */
export const maxSendEvents = 1_000;
export const maxSendBytes = 512 * 1024;
/** A partition that stays behind others is marked this long after its last record, one that nothing moves this long. */
const markBehindMs = 20;
const markIdleMs = 1_000;

/** Records of one send, and how far the relay has got when all of them are acknowledged. */
export interface Send {
  readonly messages: readonly { readonly partition: number; readonly value: Buffer }[];
  readonly events: number;
  readonly state: RelayState;
}

/** Cuts what the log says into sends. Each is a stretch of the log: when it is acknowledged, nothing before it is missing. */
export class Sends {
  readonly #codec: EventCodec;
  readonly #now: () => number;
  readonly #latest: bigint[];
  readonly #writtenAt: number[];
  #position: bigint;

  /** @param now milliseconds that only rise */
  constructor({ position, latest }: RelayState, codec: EventCodec, now: () => number = () => performance.now()) {
    this.#codec = codec;
    this.#now = now;
    this.#position = position;
    this.#latest = [...latest];
    this.#writtenAt = latest.map(() => Number.NEGATIVE_INFINITY);
  }

  /** The sends of what was gathered; marks that are due go with the last of them. */
  *of({ events, to }: Pick<Gathered, 'events' | 'to'>): Generator<Send> {
    let stretch = this.#stretch();
    for (const event of events) {
      const parts = this.#encode(event);
      if (!stretch.holds(parts)) {
        yield this.#end(stretch);
        stretch = this.#stretch();
      }
      for (const { partition, value } of parts) {
        stretch.add(partition, value);
        this.#latest[partition] = event.position;
      }
      stretch.events++;
      this.#position = event.position;
    }
    if (to > this.#position) this.#position = to;
    this.#mark(stretch);
    yield this.#end(stretch);
  }

  /** Milliseconds until a mark is due. */
  get markDueInMs(): number {
    const now = this.#now();
    return this.#latest.reduce((least, _, partition) => Math.min(least, this.#dueAt(partition) - now), markIdleMs);
  }

  /** The marks that are due. */
  marks(): Send {
    const stretch = this.#stretch();
    this.#mark(stretch);
    return this.#end(stretch);
  }

  #stretch(): Stretch {
    return new Stretch(this.#latest.length);
  }

  #encode(event: RecordedEvent): { partition: number; value: Buffer }[] {
    const parts: { partition: number; value: Buffer }[] = [];
    for (const [partition, part] of partsOf(event, this.#latest.length)) {
      parts.push({ partition, value: Buffer.from(encodeEvent(part, this.#latest[partition] ?? 0n, this.#codec)) });
    }
    return parts;
  }

  #end(stretch: Stretch): Send {
    const now = this.#now();
    for (const { partition } of stretch.messages) this.#writtenAt[partition] = now;
    const { messages, events } = stretch;
    return { messages, events, state: { position: this.#position, latest: [...this.#latest] } };
  }

  #dueAt(partition: number): number {
    const behind = (this.#latest[partition] ?? 0n) < this.#position;
    return (this.#writtenAt[partition] ?? 0) + (behind ? markBehindMs : markIdleMs);
  }

  #mark(stretch: Stretch): void {
    const now = this.#now();
    for (let partition = 0; partition < this.#latest.length; partition++) {
      if (stretch.counts[partition] !== 0 || this.#dueAt(partition) > now) continue;
      stretch.add(partition, Buffer.from(encodeMark(this.#position, this.#latest[partition] ?? 0n)));
      this.#latest[partition] = this.#position;
    }
  }
}

/** What a send will hold. */
class Stretch {
  readonly messages: { partition: number; value: Buffer }[] = [];
  readonly counts: number[];
  readonly #bytes: number[];
  events = 0;

  constructor(partitions: number) {
    this.counts = new Array<number>(partitions).fill(0);
    this.#bytes = new Array<number>(partitions).fill(0);
  }

  /** Whether there is room for records that belong together; always in an empty one. */
  holds(parts: readonly { readonly partition: number; readonly value: Buffer }[]): boolean {
    return parts.every(({ partition, value }) => {
      const count = this.counts[partition] ?? 0;
      return count === 0 || (count < maxSendEvents && (this.#bytes[partition] ?? 0) + value.length <= maxSendBytes);
    });
  }

  add(partition: number, value: Buffer): void {
    this.messages.push({ partition, value });
    this.counts[partition] = (this.counts[partition] ?? 0) + 1;
    this.#bytes[partition] = (this.#bytes[partition] ?? 0) + value.length;
  }
}
