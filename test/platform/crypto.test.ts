/** Sealing, hashing, comparing (design promise 10). */
import { createHmac } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { equalSecrets, hmac, keyId, PasswordHasher, randomHex, Sealer, sha256 } from '../../src/platform/crypto.ts';

const oldKey = Buffer.alloc(32, 1);
const newKey = Buffer.alloc(32, 2);

t.test('what was sealed is opened', async (t) => {
  const sealer = new Sealer([newKey]);
  for (const plain of ['', 'secret', '🎉 ünïcode', 'x'.repeat(100_000), '{"botToken":"1:a"}']) {
    const sealed = sealer.seal(plain);
    t.equal(sealer.open(sealed), plain);
    t.match(sealed, /^v1\.[0-9a-f]{8}\.[\w-]{22}\.[\w-]{22}\.[\w-]*$/, 'a 16-byte IV, a 16-byte tag');
    t.not(sealer.seal(plain), sealed, 'never twice the same');
  }
  t.notMatch(sealer.seal('secret'), Buffer.from('secret').toString('base64url'));
});

t.test('rotated keys', async (t) => {
  const before = new Sealer([oldKey]).seal('secret');
  const rotated = new Sealer([newKey, oldKey]);
  t.equal(rotated.open(before), 'secret');
  t.equal(rotated.seal('x').split('.')[1], keyId(newKey), 'the first key seals');
  t.throws(() => new Sealer([newKey]).open(before), { message: /ENCRYPTION_KEY/ });
  t.throws(() => new Sealer([]), TypeError);
  t.throws(() => new Sealer([newKey, Buffer.alloc(16)]), TypeError);
});

t.test('what was changed is not opened', async (t) => {
  const sealer = new Sealer([newKey]);
  const parts = sealer.seal('secret').split('.');
  const withPart = (at: number, part: string) => parts.with(at, part).join('.');
  for (let at = 2; at < parts.length; at++) {
    const bytes = Buffer.from(parts[at] as string, 'base64url');
    for (let byte = 0; byte < bytes.length; byte++) {
      const changed = Buffer.from(bytes);
      changed[byte] = (changed[byte] as number) ^ 1;
      t.throws(() => sealer.open(withPart(at, changed.toString('base64url'))), `part ${at}, byte ${byte}`);
    }
  }
  const tag = Buffer.from(parts[3] as string, 'base64url');
  for (const length of [0, 4, 8, 12, 15]) {
    const short = tag.subarray(0, length).toString('base64url');
    t.throws(() => sealer.open(withPart(3, short)), `a tag cut to ${length} bytes`);
  }
  for (const text of ['', 'v1', 'v1....', 'secret', withPart(0, 'v2'), withPart(1, keyId(oldKey)), withPart(4, '')])
    t.throws(() => sealer.open(text), text);
});

t.test('hashes and comparing', async (t) => {
  t.equal(sha256('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', 'FIPS 180-4');
  t.equal(equalSecrets('a', 'a'), true);
  t.equal(equalSecrets('', ''), true);
  for (const [a, b] of [
    ['a', 'b'],
    ['a', 'aa'],
    ['', 'a'],
    ['a', 'A'],
  ] as const)
    t.equal(equalSecrets(a, b), false);
  t.match(randomHex(32), /^[0-9a-f]{64}$/);
  t.not(randomHex(32), randomHex(32));
});

t.test('the parts of a MAC do not run together', async (t) => {
  const expected = createHmac('sha256', oldKey).update('1:a3:bcd').digest('hex');
  t.equal(hmac(oldKey, 'a', 'bcd').toString('hex'), expected);
  const lists = [
    ['ab', 'c'],
    ['a', 'bc'],
    ['abc'],
    ['a', 'b', 'c'],
    ['a1:b', 'c'],
    ['', 'abc'],
    ['abc', ''],
    ['ü'],
    ['u'],
  ];
  t.equal(new Set(lists.map((parts) => hmac(oldKey, ...parts).toString('hex'))).size, lists.length);
  t.not(hmac(oldKey, 'a').toString('hex'), hmac(newKey, 'a').toString('hex'));
});

t.test('passwords', async (t) => {
  const passwords = new PasswordHasher(2);
  const hash = await passwords.hash('pässword ☃');
  t.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  t.not(await passwords.hash('pässword ☃'), hash, 'salted');
  t.equal(await passwords.verify('pässword ☃', hash), true);
  t.equal(await passwords.verify('pässword', hash), false);
  t.equal(await passwords.verify('', null), false);
  t.equal(await passwords.verify('x', 'not a hash'), false);
});

// Made with the reference implementation of argon2 (argon2-cffi), not with this code.
const vectors = [
  ['pässword ☃', '$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$gK9GHfqQgeLrMlAkj0Vhv351IVD1vt7596R5tTEcCHQ'],
  ['correct horse', '$argon2id$v=19$m=4096,t=3,p=2$c2FsdHNhbHRzYWx0c2FsdA$zGhqlEKh80UrZQ/y/zIk3bEXCwaG93Wd'],
] as const;

t.test('passwords hashed elsewhere, with other parameters', async (t) => {
  const passwords = new PasswordHasher();
  for (const [password, phc] of vectors) {
    t.equal(await passwords.verify(password, phc), true);
    t.equal(await passwords.verify(`${password}x`, phc), false);
  }
});

t.test('a bounded number at a time, off the event loop, in order', async (t) => {
  const passwords = new PasswordHasher(2);
  const ended: number[] = [];
  let turns = 0;
  const all = Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      await passwords.hash(`password ${i}`);
      ended.push(i);
    }),
  );
  while (ended.length < 8) {
    await turn();
    turns++;
  }
  await all;
  t.ok(turns > 8, 'the loop turned meanwhile');
  // One begins when at most one that came before it is still under way.
  const overtaken = ended.map((number, place) => ended.slice(place).filter((later) => later < number).length);
  t.ok(Math.max(...overtaken) <= 1, `they ended in the order ${ended}`);
});
