/** HMACs with prepared keys, against Node's. */
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { HmacKey } from '../../src/platform/hmac.ts';

const bytes = (most: number) => fc.uint8Array({ maxLength: most }).map((array) => Buffer.from(array));

function check(key: Buffer, text: string): boolean {
  return (['hex', 'base64'] as const).every(
    (encoding) => new HmacKey(key).of(text, encoding) === createHmac('sha256', key).update(text).digest(encoding),
  );
}

t.test('it is HMAC-SHA-256, whatever the key and the message', async (t) => {
  fc.assert(fc.property(bytes(200), fc.string({ unit: 'grapheme', maxLength: 300 }), check), { numRuns: 500 });
  for (const length of [0, 32, 63, 64, 65])
    for (const fill of [0, 255])
      t.ok(check(Buffer.alloc(length, fill), 'a text'), `a key of ${length} bytes, all ${fill}`);
  t.ok(check(Buffer.alloc(32, 1), ''), 'nothing');
  t.ok(check(Buffer.alloc(32, 1), 'aß🌍'.repeat(70_000)), 'much');
});

t.test('one HMAC leaves nothing behind for the next', async (t) => {
  const [one, other] = [new HmacKey(Buffer.from('one')), new HmacKey(Buffer.from('other'))];
  const first = one.of('a text', 'hex');
  other.of('another, and longer', 'hex');
  t.equal(one.of('a text', 'hex'), first);
});
