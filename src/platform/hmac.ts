/**
 * HMAC-SHA-256 (RFC 2104) with a key that stays. Most of what Node's own takes goes into the objects that it makes each time:
 * two hashes in one go each take less than half of that.
 */
import { hash } from 'node:crypto';

const blockBytes = 64;
const digestBytes = 32;

/** Where a message of ordinary size is put behind its key. */
const shared = Buffer.allocUnsafeSlow(64 * 1024);

/** A key, ready. */
export class HmacKey {
  readonly #inner: Buffer;
  /** The outer block, and room for the inner hash. */
  readonly #outer: Buffer;

  constructor(key: Buffer) {
    const block = Buffer.alloc(blockBytes);
    (key.length > blockBytes ? hash('sha256', key, 'buffer') : key).copy(block);
    this.#inner = Buffer.from(block.map((byte) => byte ^ 0x36));
    this.#outer = Buffer.alloc(blockBytes + digestBytes);
    Buffer.from(block.map((byte) => byte ^ 0x5c)).copy(this.#outer);
  }

  /** The HMAC of a text in UTF-8. */
  of(text: string, encoding: 'hex' | 'base64' | 'base64url' | 'binary'): string {
    const most = blockBytes + text.length * 3;
    const input = most <= shared.length ? shared : Buffer.allocUnsafe(most);
    this.#inner.copy(input);
    const end = blockBytes + (text === '' ? 0 : input.write(text, blockBytes));
    this.#outer.write(hash('sha256', input.subarray(0, end), 'binary'), blockBytes, 'latin1');
    return hash('sha256', this.#outer, encoding);
  }
}
