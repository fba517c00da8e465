/**
 * How ids are spelled (design section 7): reversible, without a table, and not to be guessed from one another.
 * An integer id with its workspace and kind is put through a keyed permutation of 122 bits, the free bits of a UUID
 * version 8, and written in base 36 or as a UUID. What does not decode is no id.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { BoundedMap } from './bounded-map.ts';
import { SipKey } from './siphash.ts';

/** What a spelled id stands for. */
export interface IdParts {
  /** Below 256. */
  readonly kind: number;
  /** Below 2^32. */
  readonly workspace: number;
  /** Below 2^32. */
  readonly id: number;
}

/** Values are halves of 61 bits: a number of 29 and one of 32, which is read without its sign. */
const halfBits = 61n;
const highMask = 0x1fff_ffff;
const rounds = 6;
/** Digits of 122 bits in base 36. */
const base36Digits = 24;
const maxValue = (1n << 122n) - 1n;
/** Spellings that are remembered, each way. */
const maxRemembered = 50_000;

/** Where a UUID is put together. */
const words = Buffer.alloc(16);

/** Spells ids and reads them back. The key never changes: all ids hang on it. */
export class IdSpeller {
  readonly #rounds: SipKey[];
  readonly #decoded = new BoundedMap<string, IdParts>(maxRemembered);
  readonly #spelled = new BoundedMap<string, string>(maxRemembered);

  constructor(key: Buffer) {
    this.#rounds = Array.from(
      { length: rounds },
      (_, round) => new SipKey(createHmac('sha256', key).update(`id round ${round}`).digest()),
    );
  }

  /** 24 characters of base 36. */
  spell(parts: IdParts): string {
    const name = `${parts.kind}/${parts.workspace}/${parts.id}`;
    let text = this.#spelled.get(name);
    if (text === undefined) {
      const { leftHigh, leftLow, high, low } = this.#encode(parts);
      text = toBase36((wide(leftHigh, leftLow) << halfBits) | wide(high, low));
      this.#spelled.set(name, text);
    }
    return text;
  }

  /** The parts of a base 36 spelling; null when it is none of ours. */
  read(text: string): IdParts | null {
    const known = this.#decoded.get(text);
    if (known !== undefined) return known;
    const value = fromBase36(text);
    const parts = value === null ? null : this.#decode(value);
    if (parts) this.#decoded.set(text, parts);
    return parts;
  }

  /** 32 hexadecimal digits, a UUID of version 8 without its dashes. */
  spellHex(parts: IdParts): string {
    return uuidOf(this.#encode(parts));
  }

  /** The parts of a spelling by `spellHex`; null when it is none of ours. */
  readHex(text: string): IdParts | null {
    const known = this.#decoded.get(text);
    if (known !== undefined) return known;
    const value = fromHex(text);
    const parts = value === null ? null : this.#decode(value);
    if (parts) this.#decoded.set(text, parts);
    return parts;
  }

  #encode({ kind, workspace, id }: IdParts): Halves {
    let leftHigh = 0;
    let leftLow = (kind << 3) | (workspace >>> 29);
    let high = workspace & highMask;
    let low = id | 0;
    for (const round of this.#rounds) {
      round.mix(high, low);
      const mixedHigh = leftHigh ^ (round.high & highMask);
      const mixedLow = leftLow ^ round.low;
      leftHigh = high;
      leftLow = low;
      high = mixedHigh;
      low = mixedLow;
    }
    return { leftHigh, leftLow, high, low };
  }

  #decode(value: bigint): IdParts | null {
    let { leftHigh, leftLow, high, low } = halvesOf(value);
    for (let i = rounds - 1; i >= 0; i--) {
      const round = this.#rounds[i] as SipKey;
      round.mix(leftHigh, leftLow);
      [leftHigh, high] = [high ^ (round.high & highMask), leftHigh];
      [leftLow, low] = [low ^ round.low, leftLow];
    }
    // 50 bits that are zero in every id of ours: a spelling made up by somebody does not pass.
    if (leftHigh !== 0 || leftLow >>> 11 !== 0) return null;
    return { kind: leftLow >>> 3, workspace: ((leftLow << 29) | high) >>> 0, id: low >>> 0 };
  }
}

/** Two numbers of 61 bits, each of 29 and of 32, which has a sign. */
interface Halves {
  readonly leftHigh: number;
  readonly leftLow: number;
  readonly high: number;
  readonly low: number;
}

function halvesOf(value: bigint): Halves {
  const left = value >> halfBits;
  return {
    leftHigh: Number(left >> 32n),
    leftLow: Number(left & 0xffffffffn) | 0,
    high: Number((value >> 32n) & BigInt(highMask)),
    low: Number(value & 0xffffffffn) | 0,
  };
}

/**
 * 122 bits as the free bits of a UUID of version 8 (RFC 9562, section 5.8), without dashes: the version stands behind the first
 * 48, the variant behind the next 12.
 */
function uuidOf({ leftHigh, leftLow, high, low }: Halves): string {
  words.writeInt32BE((leftHigh << 3) | (leftLow >>> 29), 0);
  words.writeInt32BE(((leftLow >>> 13) << 16) | 0x8000 | ((leftLow >>> 1) & 0xfff), 4);
  words.writeInt32BE(0x8000_0000 | ((leftLow & 1) << 29) | high, 8);
  words.writeInt32BE(low, 12);
  return words.toString('hex');
}

function wide(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

/** 24 characters of base 36 from the first 122 bits of 16 bytes or more. */
export function base36Of(bytes: Buffer): string {
  return toBase36(((bytes.readBigUInt64BE(0) << 64n) | bytes.readBigUInt64BE(8)) >> 6n);
}

/** A random id of 122 bits: 24 characters of base 36. */
export function randomId(): string {
  return base36Of(randomBytes(16));
}

/** True for what `base36Of` can give. */
export function isBase36Id(text: string): boolean {
  return /^[0-9a-z]{24}$/.test(text) && fromBase36(text) !== null;
}

/** An id of 122 bits in base 36 as 32 hexadecimal digits, a UUID of version 8 without its dashes; null for what is no id. */
export function hexOfBase36(text: string): string | null {
  const value = fromBase36(text);
  return value === null ? null : uuidOf(halvesOf(value));
}

/** The same back; null for what is no such UUID. */
export function base36OfHex(text: string): string | null {
  const value = fromHex(text);
  return value === null ? null : toBase36(value);
}

/** The 122 bits of such a UUID; null for any other text. */
function fromHex(text: string): bigint | null {
  if (!/^[0-9a-f]{12}8[0-9a-f]{3}[89ab][0-9a-f]{15}$/.test(text)) return null;
  const bits = BigInt(`0x${text}`);
  return ((bits >> 80n) << 74n) | (((bits >> 64n) & 0xfffn) << 62n) | (bits & ((1n << 62n) - 1n));
}

function toBase36(value: bigint): string {
  return value.toString(36).padStart(base36Digits, '0');
}

function fromBase36(text: string): bigint | null {
  if (!/^[0-9a-z]{24}$/.test(text)) return null;
  let value = 0n;
  // Ten digits at a time are below 2^53.
  for (let at = 0; at < base36Digits; at += 8)
    value = value * 2_821_109_907_456n + BigInt(Number.parseInt(text.slice(at, at + 8), 36));
  return value > maxValue ? null : value;
}

/** UUID version 5 (RFC 9562, section 5.5) of a name in the namespace of a UUID. */
export function uuidv5(namespace: string, name: string): string {
  const digest = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest();
  digest[6] = ((digest[6] as number) & 0x0f) | 0x50;
  digest[8] = ((digest[8] as number) & 0x3f) | 0x80;
  const hex = digest.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
