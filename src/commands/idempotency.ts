/**
 * Idempotency keys of creates (design promise 4). The commit that makes something claims the key with it: of two that come at
 * once, from whatever processes, one is written, and the other is told what it made.
 *
 * A key's scope is (workspace, acting account, route). It lives as long as what it made, and a day at least. What this
 * process made lately it answers from memory; beyond that the append tells, and, before a refusal is answered, the log is asked
 * who holds the key: the first request may have been accepted, and what has changed since refuses it now.
 */
import { randomBytes } from 'node:crypto';
import { DomainError } from '../domain/errors.ts';
import type { Claim } from '../log/log.ts';
import { hmac } from '../platform/crypto.ts';
import { type Actor, ClaimTakenError, type CommandDoor } from './door.ts';

/** The key of a request, and the route that it came to. */
export interface Keyed {
  readonly key: string;
  readonly route: string;
}

/** What idempotency needs. */
export interface IdempotencyOptions {
  /** Key of the names of claims, and of secrets that a replay shows again. It never changes. */
  readonly nameKey: Buffer;
  readonly door: Pick<CommandDoor, 'clock' | 'holder'>;
}

/** How something is made once. `made` is what a replay is told: ids. */
export interface MakeOnce<Made, Result> {
  /** `claims` are for the commit that makes it. */
  readonly make: (claims: (made: Made) => Claim[]) => Promise<Result>;
  /** Answers a request whose key has made this. */
  readonly replay: (made: Made) => Promise<Result>;
}

const livesMs = 24 * 3_600_000;
const maxRemembered = 20_000;
/** Sorts before every other claim of ours, so that a replay is told of its key and not of an identifier it took itself. */
const prefix = '0key-';

/** Makes things once per key. */
export class Idempotency {
  readonly #options: IdempotencyOptions;
  /** What was made under a claim, as JSON; the oldest goes first. */
  readonly #made = new Map<string, string>();
  readonly #running = new Map<string, Promise<void>>();

  constructor(options: IdempotencyOptions) {
    this.#options = options;
  }

  /** Makes something, once per key; every time without one. */
  async once<Made, Result>(
    actor: Actor,
    keyed: Keyed | undefined,
    { make, replay }: MakeOnce<Made, Result>,
  ): Promise<Result> {
    if (!keyed) return make(() => []);
    const name = this.#nameOf(actor, keyed);
    for (let running = this.#running.get(name); running; running = this.#running.get(name)) await running;
    const known = this.#made.get(name);
    if (known !== undefined) return replay(JSON.parse(known) as Made);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running.set(name, promise);
    try {
      return await this.#makeOnce(name, { make, replay });
    } finally {
      this.#running.delete(name);
      resolve();
    }
  }

  async #makeOnce<Made, Result>(name: string, { make, replay }: MakeOnce<Made, Result>): Promise<Result> {
    const { clock } = this.#options.door;
    let making = '';
    try {
      const result = await make((made) => {
        making = JSON.stringify(made);
        return [{ name, made: making, atLeastUntil: clock.now() + livesMs }];
      });
      if (making !== '') this.#remember(name, making);
      return result;
    } catch (error) {
      let made: string | null = null;
      if (error instanceof ClaimTakenError && error.claim === name) made = error.by.made;
      else if (error instanceof DomainError && !error.retryable)
        made = (await this.#options.door.holder(name))?.made ?? null;
      if (made === null) throw error;
      this.#remember(name, made);
      return replay(JSON.parse(made) as Made);
    }
  }

  /** 32 bytes of a secret that the answer shows: the same ones for the same key, random without one. */
  secretBytes(actor: Actor, keyed: Keyed | undefined): Buffer {
    if (!keyed) return randomBytes(32);
    return hmac(this.#options.nameKey, 'keyed secret', ...scopeOf(actor, keyed));
  }

  #nameOf(actor: Actor, keyed: Keyed): string {
    return `${prefix}${hmac(this.#options.nameKey, 'idempotency', ...scopeOf(actor, keyed)).toString('base64url')}`;
  }

  #remember(name: string, made: string): void {
    this.#made.set(name, made);
    if (this.#made.size <= maxRemembered) return;
    for (const oldest of this.#made.keys()) {
      this.#made.delete(oldest);
      break;
    }
  }
}

function scopeOf(actor: Actor, { route, key }: Keyed): string[] {
  return [String(actor.workspace), String(actor.account), route, key];
}
