/**
 * The stand-in's append-only file. One frame per append, written by one call, so that an append is whole or absent after
 * kill -9: `length, entries, length` (32 bits each, the length of the entries). An entry is
 * `state (8 bits), length of head, of data, of metadata (32 bits each), head as JSON, data, metadata`. The offset of an entry
 * is its position; a frame that is not whole, at the end, is cut off on opening.
 */
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';

/** What an entry is: an event of a stream, the end of a stream, or a record that no reader sees (it only takes room). */
export type Kind = 'event' | 'tombstone' | 'system';

/** An event that is to be written. */
export interface Draft {
  readonly kind: Kind;
  readonly stream: string;
  /** Its number in the stream, from 0. -1 where it has none (tombstone, system). */
  readonly revision: number;
  readonly id: string;
  readonly type: string;
  readonly json: boolean;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

/** An event as it stands in the file. */
export interface StoredEvent extends Draft {
  /** Offset of its entry: commit and prepare position at once. */
  readonly position: number;
  readonly createdMs: number;
}

type Head = Omit<Draft, 'data' | 'metadata'> & { readonly createdMs: number };

const lengthBytes = 4;
const fixedBytes = 1 + 3 * lengthBytes;
const live = 1;
const removed = 2;

function encode(draft: Draft, createdMs: number): Buffer {
  const { kind, stream, revision, id, type, json } = draft;
  const head = Buffer.from(JSON.stringify({ kind, stream, revision, id, type, json, createdMs } satisfies Head));
  const fixed = Buffer.alloc(fixedBytes);
  fixed.writeUInt8(live, 0);
  fixed.writeUInt32LE(head.length, 1);
  fixed.writeUInt32LE(draft.data.length, 1 + lengthBytes);
  fixed.writeUInt32LE(draft.metadata.length, 1 + 2 * lengthBytes);
  return Buffer.concat([fixed, head, draft.data, draft.metadata]);
}

function lengthsAt(bytes: Buffer, offset: number): { head: number; data: number; metadata: number; all: number } {
  const head = bytes.readUInt32LE(offset + 1);
  const data = bytes.readUInt32LE(offset + 1 + lengthBytes);
  const metadata = bytes.readUInt32LE(offset + 1 + 2 * lengthBytes);
  return { head, data, metadata, all: fixedBytes + head + data + metadata };
}

/** The file, open for one process. */
export class LogFile {
  readonly #file: number;
  readonly #fsync: boolean;
  /** The start of each entry that was ever written, scavenged ones too. */
  readonly #starts = new Set<number>();
  #end = 0;

  /** Opens or creates the file. `fsync`: each append waits for the disk (the stand-in promises no durability, so: false). */
  constructor(path: string, fsync = false) {
    this.#file = openSync(path, 'a+');
    closeSync(this.#file);
    this.#file = openSync(path, 'r+');
    this.#fsync = fsync;
  }

  /** The offset at which the next frame begins. */
  get end(): number {
    return this.#end;
  }

  /** Whether a record begins, or once began, at the position. */
  isStart(position: number): boolean {
    return this.#starts.has(position);
  }

  /** Reads what is there, once, before the first append. Cuts off what is not whole at the end. */
  load(): StoredEvent[] {
    const bytes = readFileSync(this.#file);
    const events: StoredEvent[] = [];
    let frame = 0;
    while (frame + lengthBytes <= bytes.length) {
      const length = bytes.readUInt32LE(frame);
      const first = frame + lengthBytes;
      const next = first + length + lengthBytes;
      if (next > bytes.length || bytes.readUInt32LE(first + length) !== length) break;
      for (let at = first; at < first + length; at += lengthsAt(bytes, at).all) {
        this.#starts.add(at);
        if (bytes.readUInt8(at) === live) events.push(this.#decode(bytes, at));
      }
      frame = next;
    }
    this.#end = frame;
    if (frame < bytes.length) ftruncateSync(this.#file, frame);
    return events;
  }

  #decode(bytes: Buffer, position: number): StoredEvent {
    const { head, data, metadata } = lengthsAt(bytes, position);
    const headAt = position + fixedBytes;
    const dataAt = headAt + head;
    return {
      ...(JSON.parse(bytes.toString('utf8', headAt, dataAt)) as Head),
      position,
      data: bytes.subarray(dataAt, dataAt + data),
      metadata: bytes.subarray(dataAt + data, dataAt + data + metadata),
    };
  }

  /** Writes the drafts as one frame. */
  append(drafts: readonly Draft[]): StoredEvent[] {
    const createdMs = Date.now();
    const entries = drafts.map((draft) => encode(draft, createdMs));
    const length = Buffer.alloc(lengthBytes);
    length.writeUInt32LE(entries.reduce((sum, entry) => sum + entry.length, 0));
    const frame = Buffer.concat([length, ...entries, length]);
    for (let written = 0; written < frame.length; ) {
      written += writeSync(this.#file, frame, written, frame.length - written, this.#end + written);
    }
    if (this.#fsync) fsyncSync(this.#file);
    let position = this.#end + lengthBytes;
    this.#end += frame.length;
    return drafts.map((draft, index) => {
      const event = { ...draft, position, createdMs };
      this.#starts.add(position);
      position += entries[index]!.length;
      return event;
    });
  }

  /** Wipes an entry from the file. What stands behind it keeps its position. */
  remove(event: StoredEvent): void {
    const blank = encode(event, event.createdMs);
    blank.fill(0, fixedBytes);
    blank.writeUInt8(removed, 0);
    writeSync(this.#file, blank, 0, blank.length, event.position);
  }

  close(): void {
    closeSync(this.#file);
  }
}
