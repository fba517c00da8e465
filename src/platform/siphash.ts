/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012) of 8 bytes: a keyed function for short input whose answers tell nothing of the
 * key. A tenth of what an HMAC of so little takes. Numbers of 64 bits are two of 32, which are read without their sign.
 */

/** A key, ready. */
export class SipKey {
  readonly #k0Low: number;
  readonly #k0High: number;
  readonly #k1Low: number;
  readonly #k1High: number;
  /** The answer of the last `mix`: its upper and its lower half, with a sign. Here, so that no object is made for it. */
  high = 0;
  low = 0;

  /** @param key 16 bytes; what follows them is left out */
  constructor(key: Buffer) {
    this.#k0Low = key.readInt32LE(0);
    this.#k0High = key.readInt32LE(4);
    this.#k1Low = key.readInt32LE(8);
    this.#k1High = key.readInt32LE(12);
  }

  /** Leaves the hash of a number of 64 bits, written with its lowest byte first, in `high` and `low`. */
  mix(high: number, low: number): void {
    let v0l = this.#k0Low ^ 0x70736575;
    let v0h = this.#k0High ^ 0x736f6d65;
    let v1l = this.#k1Low ^ 0x6e646f6d;
    let v1h = this.#k1High ^ 0x646f7261;
    let v2l = this.#k0Low ^ 0x6e657261;
    let v2h = this.#k0High ^ 0x6c796765;
    let v3l = this.#k1Low ^ 0x79746573 ^ low;
    let v3h = this.#k1High ^ 0x74656462 ^ high;
    // Two rounds take up the number, two the block that tells its length (8), four end it.
    for (let round = 0; round < 8; round++) {
      if (round === 2) {
        v0l ^= low;
        v0h ^= high;
        v3h ^= 0x08000000;
      } else if (round === 4) {
        v0h ^= 0x08000000;
        v2l ^= 0xff;
      }
      let sum = (v0l >>> 0) + (v1l >>> 0);
      let l = sum | 0;
      let h = (v0h + v1h + (sum > 0xffffffff ? 1 : 0)) | 0;
      let rotated = (v1l << 13) | (v1h >>> 19);
      v1h = ((v1h << 13) | (v1l >>> 19)) ^ h;
      v1l = rotated ^ l;
      v0l = h;
      v0h = l;

      sum = (v2l >>> 0) + (v3l >>> 0);
      l = sum | 0;
      h = (v2h + v3h + (sum > 0xffffffff ? 1 : 0)) | 0;
      rotated = (v3l << 16) | (v3h >>> 16);
      v3h = ((v3h << 16) | (v3l >>> 16)) ^ h;
      v3l = rotated ^ l;
      v2l = l;
      v2h = h;

      sum = (v0l >>> 0) + (v3l >>> 0);
      l = sum | 0;
      h = (v0h + v3h + (sum > 0xffffffff ? 1 : 0)) | 0;
      rotated = (v3l << 21) | (v3h >>> 11);
      v3h = ((v3h << 21) | (v3l >>> 11)) ^ h;
      v3l = rotated ^ l;
      v0l = l;
      v0h = h;

      sum = (v2l >>> 0) + (v1l >>> 0);
      l = sum | 0;
      h = (v2h + v1h + (sum > 0xffffffff ? 1 : 0)) | 0;
      rotated = (v1l << 17) | (v1h >>> 15);
      v1h = ((v1h << 17) | (v1l >>> 15)) ^ h;
      v1l = rotated ^ l;
      v2l = h;
      v2h = l;
    }
    this.low = v0l ^ v1l ^ v2l ^ v3l;
    this.high = v0h ^ v1h ^ v2h ^ v3h;
  }
}
