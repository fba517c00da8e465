/** Spelled ids: reversible, not to be guessed, and nothing else decodes (design section 7). */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { base36Of, base36OfHex, IdSpeller, isBase36Id, randomId, uuidv5 } from '../../src/platform/ids.ts';

const key = Buffer.alloc(32, 7);
const speller = new IdSpeller(key);
const parts = fc.record({
  kind: fc.integer({ min: 0, max: 255 }),
  workspace: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  id: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});

t.test('what is spelled is read back', async (t) => {
  const edges = [0, 1, 2 ** 31 - 1, 2 ** 32 - 1].flatMap((id) =>
    [0, 1, 2 ** 32 - 1].flatMap((workspace) => [0, 1, 255].map((kind) => ({ kind, workspace, id }))),
  );
  const other = new IdSpeller(key);
  const check = (each: { kind: number; workspace: number; id: number }) => {
    const text = speller.spell(each);
    const hex = speller.spellHex(each);
    if (!/^[0-9a-z]{24}$/.test(text)) throw new Error(`${text} is not 24 characters of base 36`);
    if (!/^[0-9a-f]{12}8[0-9a-f]{3}[89ab][0-9a-f]{15}$/.test(hex)) throw new Error(`${hex} is no UUID of version 8`);
    if (base36OfHex(hex) !== text) throw new Error(`${hex} and ${text} are not one number`);
    for (const read of [speller.read(text), speller.read(text), other.read(text), other.readHex(hex)]) {
      if (fc.stringify(read) !== fc.stringify(each))
        throw new Error(`${fc.stringify(each)} became ${fc.stringify(read)}`);
    }
  };
  for (const each of edges) t.doesNotThrow(() => check(each), fc.stringify(each));
  fc.assert(
    fc.property(parts, (each) => check({ ...each })),
    { numRuns: 300 },
  );
});

t.test('ids stay what they are', async (t) => {
  t.equal(speller.spell({ kind: 2, workspace: 1, id: 1 }), '5g1cq8t9zi8sdd4lv77jw6i8', 'every stored id hangs on this');
  t.equal(speller.spellHex({ kind: 2, workspace: 1, id: 1 }), 'a38581a36e0d8e689251994d545087f0');
});

t.test('what somebody made up does not decode', async (t) => {
  const text = speller.spell({ kind: 2, workspace: 1, id: 1 });
  const hex = speller.spellHex({ kind: 3, workspace: 7, id: 9 });
  let passed = 0;
  for (let at = 0; at < text.length; at++) {
    for (const digit of '0123456789abcdefghijklmnopqrstuvwxyz') {
      const changed = text.slice(0, at) + digit + text.slice(at + 1);
      if (changed !== text && speller.read(changed) !== null) passed++;
    }
  }
  for (let at = 0; at < hex.length; at++) {
    for (const digit of '0123456789abcdef') {
      const changed = hex.slice(0, at) + digit + hex.slice(at + 1);
      if (changed !== hex && speller.readHex(changed) !== null) passed++;
    }
  }
  t.equal(passed, 0, 'no change of one digit gives another id');
  t.equal(new IdSpeller(Buffer.alloc(32, 8)).read(text), null, 'nor does another key');
  for (const none of [
    '',
    'x',
    text.slice(1),
    `${text}0`,
    text.toUpperCase(),
    ` ${text.slice(1)}`,
    'z'.repeat(24),
    '__proto__',
    hex,
  ])
    t.equal(speller.read(none), null, none);
  for (const none of ['', text, hex.toUpperCase(), `${hex}0`, '0'.repeat(32), 'f'.repeat(32)])
    t.equal(speller.readHex(none), null, none);
});

t.test('neighbours do not look alike', async (t) => {
  const texts = Array.from({ length: 1_000 }, (_, i) => speller.spell({ kind: 3, workspace: 1, id: i + 1 }));
  t.equal(new Set(texts.map((text) => text.slice(0, 8))).size, 1_000, 'the first 8 characters already differ');
  t.equal(new Set(texts.map((text) => text.slice(16))).size, 1_000, 'and the last');
});

t.test('ids of 122 bits', async (t) => {
  t.equal(base36Of(Buffer.alloc(16, 0)), '0'.repeat(24));
  t.equal(base36Of(Buffer.alloc(16, 255)), (2n ** 122n - 1n).toString(36), 'the greatest');
  t.equal(base36Of(Buffer.alloc(32, 255)), base36Of(Buffer.alloc(16, 255)), 'what comes after 16 bytes is left out');
  t.equal(isBase36Id(base36Of(Buffer.alloc(16, 255))), true);
  t.equal(isBase36Id((2n ** 122n).toString(36)), false, 'beyond the greatest');
  for (const none of ['', 'a'.repeat(23), 'a'.repeat(25), `${'a'.repeat(23)}A`, `${'a'.repeat(24)}\n`])
    t.equal(isBase36Id(none), false, JSON.stringify(none));
  const random = Array.from({ length: 1_000 }, () => randomId());
  t.ok(random.every(isBase36Id));
  t.equal(new Set(random).size, 1_000);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => isBase36Id(base36Of(Buffer.from(bytes)))),
  );
  t.not(base36Of(randomBytes(16)), base36Of(randomBytes(16)));
});

t.test('UUIDs of names', async (t) => {
  const dns = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
  t.equal(uuidv5(dns, 'www.example.com'), '2ed6657d-e927-568b-95e1-2665a8aea6a2', 'RFC 9562, appendix A.4');
  t.equal(uuidv5(dns, 'python.org'), '886313e1-3b8a-5372-9b90-0c9aee199e5d', "the example of Python's uuid module");
  t.not(uuidv5(dns, 'a'), uuidv5('6ba7b811-9dad-11d1-80b4-00c04fd430c8', 'a'), 'the namespace counts');
});
