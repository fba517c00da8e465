/** Frames as bytes: encoded once, joined once for all who get the same ones, written to many. */

/** Spells texts as the bytes that a transport carries. */
export interface Encoding {
  encode(text: string): Buffer;
}

const textOpcode = 0x81;

/** Whole, unmasked text frames of the WebSocket protocol (RFC 6455, section 5.2), as a server sends them. */
export const webSocketText: Encoding = {
  encode(text) {
    const bytes = Buffer.byteLength(text);
    const header = bytes < 126 ? 2 : bytes < 65_536 ? 4 : 10;
    const frame = Buffer.allocUnsafe(header + bytes);
    frame[0] = textOpcode;
    if (header === 2) {
      frame[1] = bytes;
    } else if (header === 4) {
      frame[1] = 126;
      frame.writeUInt16BE(bytes, 2);
    } else {
      frame[1] = 127;
      frame.writeBigUInt64BE(BigInt(bytes), 2);
    }
    frame.write(text, header);
    return frame;
  },
};

/** Events of an event stream that have data and nothing else (HTML standard, section 9.2); a line of data per line of text. */
export const eventStreamData: Encoding = {
  encode: (text) => Buffer.from(`data: ${text.replace(/\r\n|\r|\n/g, '\ndata: ')}\n\n`),
};

const nothing = Buffer.alloc(0);

/** The bytes of several texts, in one piece. */
export function encodeAll(encoding: Encoding, texts: readonly string[]): Buffer {
  if (texts.length === 1) return encoding.encode(texts[0] as string);
  return texts.length === 0 ? nothing : Buffer.concat(texts.map((text) => encoding.encode(text)));
}

/**
 * What a session is sent in one flush. Sessions that get the same things in the same order share one sequence, so that
 * its bytes are joined once, however many they are written to.
 */
export class Sequence {
  readonly #before: Sequence | null;
  readonly #bytes: Buffer;
  #joined: Buffer | null;
  /** The continuation that was asked for last: as a rule everybody asks for the same one. */
  #next: Sequence | null = null;
  #others: Map<Buffer, Sequence> | null = null;

  private constructor(before: Sequence | null, bytes: Buffer) {
    this.#before = before;
    this.#bytes = bytes;
    this.#joined = before === null ? bytes : null;
  }

  /** Where the sequences of one flush begin. */
  static root(): Sequence {
    return new Sequence(null, nothing);
  }

  /** This, and then those bytes. */
  and(bytes: Buffer): Sequence {
    const last = this.#next;
    if (last !== null && last.#bytes === bytes) return last;
    let next = this.#others?.get(bytes);
    if (next === undefined) {
      next = new Sequence(this, bytes);
      if (last !== null) {
        this.#others ??= new Map([[last.#bytes, last]]);
        this.#others.set(bytes, next);
      }
    }
    this.#next = next;
    return next;
  }

  /** All bytes in one piece. */
  joined(): Buffer {
    if (this.#joined !== null) return this.#joined;
    const pieces: Buffer[] = [];
    let at: Sequence = this;
    while (at.#before !== null) {
      pieces.push(at.#bytes);
      at = at.#before;
    }
    this.#joined = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces.reverse());
    return this.#joined;
  }
}
