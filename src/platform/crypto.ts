import { argon2, createCipheriv, createDecipheriv, createHash, hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { HmacKey } from './hmac.ts';

/** Hex SHA-256 of a text: how key secrets and refresh tokens are kept. */
export function sha256(text: string): string {
  return hash('sha256', text);
}

/** Compares two texts of any length in constant time. */
export function equalSecrets(a: string, b: string): boolean {
  const left = createHash('sha256').update(a).digest();
  const right = createHash('sha256').update(b).digest();
  return timingSafeEqual(left, right);
}

/** HMAC-SHA-256 of labelled parts; no two lists of parts give the same input. */
export function hmac(key: Buffer, ...parts: readonly string[]): Buffer {
  let input = '';
  for (const part of parts) input += `${Buffer.byteLength(part)}:${part}`;
  let ready = hmacKeys.get(key);
  if (!ready) {
    ready = new HmacKey(key);
    hmacKeys.set(key, ready);
  }
  return Buffer.from(ready.of(input, 'binary'), 'latin1');
}

const hmacKeys = new WeakMap<Buffer, HmacKey>();

/** Hex of n random bytes. */
export function randomHex(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}

const authTagLength = 16;

/**
 * Seals secrets before they become events: AES-256-GCM with a 16-byte random IV. The text is
 * `v1.<key id>.<iv>.<tag>.<ciphertext>`, base64url; the key id tells which key opens it.
 */
export class Sealer {
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #current: string;

  /** The first key seals; all of them open. Each is 32 bytes. */
  constructor(keys: readonly Buffer[]) {
    if (keys.length === 0 || keys.some((key) => key.length !== 32)) throw new TypeError('encryption keys are 32 bytes');
    this.#keys = new Map(keys.map((key) => [keyId(key), key]));
    this.#current = keyId(keys[0] as Buffer);
  }

  seal(plain: string): string {
    const iv = randomBytes(16);
    const cipher = createCipheriv('aes-256-gcm', this.#keys.get(this.#current) as Buffer, iv);
    const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
    return [
      'v1',
      this.#current,
      iv.toString('base64url'),
      cipher.getAuthTag().toString('base64url'),
      sealed.toString('base64url'),
    ].join('.');
  }

  /** Throws when no key opens it or it was changed. */
  open(text: string): string {
    const [version, id = '', iv = '', tag = '', sealed = ''] = text.split('.');
    const key = this.#keys.get(id);
    if (version !== 'v1' || !key) throw new Error('sealed with a key that is not configured (ENCRYPTION_KEY)');
    // A shorter tag would be taken for what it is: one of 4 bytes is guessed.
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(iv, 'base64url'), { authTagLength });
    decipher.setAuthTag(Buffer.from(tag, 'base64url'));
    return Buffer.concat([decipher.update(Buffer.from(sealed, 'base64url')), decipher.final()]).toString('utf8');
  }
}

/** What tells one key from another without giving it away. */
export function keyId(key: Buffer): string {
  return createHash('sha256').update('parley key id').update(key).digest('hex').slice(0, 8);
}

/** argon2id by OWASP's recommendation: 19 MiB, two passes, one lane. */
const argonParameters = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 } as const;

/** Hashes passwords off the event loop, a bounded number at a time; the others wait in order. */
export class PasswordHasher {
  readonly #maxConcurrent: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(maxConcurrent = 2) {
    this.#maxConcurrent = maxConcurrent;
  }

  /** An argon2id PHC string. */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(16);
    const tag = await this.#derive(password, salt, argonParameters);
    const { memory, passes, parallelism } = argonParameters;
    return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(tag)}`;
  }

  /** True when the password made this PHC string. With `null` it takes as long and answers false. */
  async verify(password: string, phc: string | null): Promise<boolean> {
    const parsed = phc === null ? null : parsePhc(phc);
    if (!parsed) {
      await this.#derive(password, randomBytes(16), argonParameters);
      return false;
    }
    const tag = await this.#derive(password, parsed.salt, { ...parsed.parameters, tagLength: parsed.tag.length });
    return timingSafeEqual(tag, parsed.tag);
  }

  async #derive(
    password: string,
    nonce: Buffer,
    parameters: { memory: number; passes: number; parallelism: number; tagLength: number },
  ): Promise<Buffer> {
    if (this.#running >= this.#maxConcurrent) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        argon2('argon2id', { message: password, nonce, ...parameters }, (error, tag) =>
          error ? reject(error) : resolve(tag),
        );
      });
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

function parsePhc(
  phc: string,
): { salt: Buffer; tag: Buffer; parameters: { memory: number; passes: number; parallelism: number } } | null {
  const match = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(phc);
  if (!match) return null;
  const [, memory, passes, parallelism, salt = '', tag = ''] = match;
  return {
    salt: Buffer.from(salt, 'base64'),
    tag: Buffer.from(tag, 'base64'),
    parameters: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
  };
}
