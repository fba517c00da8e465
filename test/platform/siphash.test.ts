/** SipHash-2-4 of 8 bytes, against its definition in whole numbers and against its authors' vector. */
import fc from 'fast-check';
import t from 'tap';
import { SipKey } from '../../src/platform/siphash.ts';

const mask = (1n << 64n) - 1n;
const rotate = (value: bigint, bits: bigint): bigint => ((value << bits) | (value >> (64n - bits))) & mask;

/** As the paper has it (section 2.1 to 2.4). */
function definition(key: Uint8Array, message: bigint): bigint {
  const bytes = Buffer.from(key);
  const [k0, k1] = [bytes.readBigUInt64LE(0), bytes.readBigUInt64LE(8)];
  let [v0, v1, v2, v3] = [
    k0 ^ 0x736f6d6570736575n,
    k1 ^ 0x646f72616e646f6dn,
    k0 ^ 0x6c7967656e657261n,
    k1 ^ 0x7465646279746573n,
  ];
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v0 = (v0 + v1) & mask;
      v2 = (v2 + v3) & mask;
      v1 = rotate(v1, 13n) ^ v0;
      v3 = rotate(v3, 16n) ^ v2;
      v0 = rotate(v0, 32n);
      v2 = (v2 + v1) & mask;
      v0 = (v0 + v3) & mask;
      v1 = rotate(v1, 17n) ^ v2;
      v3 = rotate(v3, 21n) ^ v0;
      v2 = rotate(v2, 32n);
    }
  };
  for (const block of [message, 8n << 56n]) {
    v3 ^= block;
    rounds(2);
    v0 ^= block;
  }
  v2 ^= 0xffn;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

function hash(key: Uint8Array, message: bigint): bigint {
  const ready = new SipKey(Buffer.from(key));
  ready.mix(Number(message >> 32n) | 0, Number(message & 0xffff_ffffn) | 0);
  return (BigInt(ready.high >>> 0) << 32n) | BigInt(ready.low >>> 0);
}

t.test("the authors' vector of 8 bytes", async (t) => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i);
  t.equal(hash(key, 0x0706050403020100n).toString(16), '93f5f5799a932462');
});

t.test('any key and number, as defined', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.bigInt(0n, mask), (key, message) => {
      if (hash(key, message) !== definition(key, message)) throw new Error(`${message} is hashed differently`);
    }),
    { numRuns: 1_000 },
  );
});
