import { createHash } from 'node:crypto';
import { z } from 'zod';

/** Those of text messages, then those of mail; `smtp` is the mail catcher, the others are reached over HTTP. */
export const providerNames = [
  'whatsapp',
  'telegram',
  'twilio',
  'mailgun',
  'sendgrid',
  'postmark',
  'ses',
  'smtp',
] as const;
export type ProviderName = (typeof providerNames)[number];

/** What can befall a message; the table in `index.ts` tells them in full. */
export const fates = [
  'accept',
  'reject',
  'undelivered',
  'throttle-once',
  'error-once',
  'hang-once',
  'error',
  'lose-answer-once',
  'no-receipt',
  'early-receipt',
  'no-id',
  'throttle',
  'read',
] as const;
export type Fate = (typeof fates)[number];

/** The last four characters of a recipient, and what befalls messages to it, until the control API says otherwise. */
export const magicRecipients: Readonly<Record<string, Fate>> = {
  '0001': 'reject',
  '0002': 'undelivered',
  '0003': 'throttle-once',
  '0004': 'error-once',
  '0005': 'hang-once',
  '0006': 'error',
  '0007': 'lose-answer-once',
  '0008': 'no-receipt',
  '0009': 'early-receipt',
  '0010': 'no-id',
  '0011': 'throttle',
  '0012': 'read',
};

const SUFFIX_CHARACTERS = 4;
const MAX_MAGIC_RECIPIENTS = 1_000;
const MAX_ONCE = 10_000;

/** How one provider behaves at present. */
export interface Behaviour {
  /** Time before every answer. */
  latencyMs: number;
  /** Share of sends answered with a 5xx, 0..1. */
  failureRate: number;
  /** Share of sends answered as throttled, 0..1. */
  throttleRate: number;
  /** What throttled answers ask to wait. */
  retryAfterS: number;
  /** Time between the stages of a message, each of which is a status callback. */
  callbackDelayMs: number;
  /** Whether status callbacks are made for messages accepted from now on. */
  callbacks: boolean;
  /** Everything is answered with 503. */
  down: boolean;
  /** Fates by the last four characters of the recipient. */
  recipients: Record<string, Fate>;
}

const share = z.number().min(0).max(1);
const durationMs = z.int().min(0).max(600_000);

/** Body of `PUT /sandbox/behaviour`: what is present changes, for the named provider or for all. */
export const behaviourChange = z.strictObject({
  provider: z.enum(providerNames).optional(),
  latencyMs: durationMs.optional(),
  failureRate: share.optional(),
  throttleRate: share.optional(),
  retryAfterS: z.int().min(0).max(86_400).optional(),
  callbackDelayMs: durationMs.optional(),
  callbacks: z.boolean().optional(),
  down: z.boolean().optional(),
  /** Merged into the table; `null` takes an entry out. */
  recipients: z.record(z.string().length(SUFFIX_CHARACTERS), z.enum(fates).nullable()).optional(),
  /** Where WhatsApp's callbacks go: the server's own base address; for all providers alike. */
  callbackBaseUrl: z.url({ protocol: /^https?$/ }).optional(),
  /** Secret that WhatsApp's callbacks are signed with; an empty one ends signing. */
  whatsappAppSecret: z.string().max(1_000).optional(),
});
export type BehaviourChange = z.infer<typeof behaviourChange>;

/** The present behaviour of every provider, and which "once" fates have had their turn. */
export class Behaviours {
  readonly #of: Record<ProviderName, Behaviour> = perProvider(initial);
  readonly #once = new Set<string>();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  of(provider: ProviderName): Behaviour {
    return this.#of[provider];
  }

  all(): Readonly<Record<ProviderName, Behaviour>> {
    return this.#of;
  }

  /** @throws RangeError when the table of recipients would grow past its bound */
  change(change: BehaviourChange): void {
    const { provider, recipients, callbackBaseUrl: _url, whatsappAppSecret: _secret, ...plain } = change;
    for (const name of provider === undefined ? providerNames : [provider]) {
      const merged: Record<string, Fate> = { ...this.#of[name].recipients };
      for (const [suffix, fate] of Object.entries(recipients ?? {})) {
        if (fate === null) delete merged[suffix];
        else merged[suffix] = fate;
      }
      if (Object.keys(merged).length > MAX_MAGIC_RECIPIENTS) throw new RangeError('too many recipients');
      const given = Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== undefined));
      this.#of[name] = { ...this.#of[name], ...given, recipients: merged };
    }
  }

  /** The fate that the table has for a recipient; of an e-mail address the part before the sign counts. */
  magicOf(provider: ProviderName, to: string): Fate | undefined {
    const { recipients } = this.#of[provider];
    const at = to.lastIndexOf('@');
    const suffix = (at > 0 ? to.slice(0, at) : to).slice(-SUFFIX_CHARACTERS);
    return Object.hasOwn(recipients, suffix) ? recipients[suffix] : undefined;
  }

  /** What befalls a message now: the recipient's fate first, else the rates. */
  fateOf(provider: ProviderName, to: string): Fate {
    const behaviour = this.#of[provider];
    const magic = this.magicOf(provider, to);
    if (magic !== undefined) return magic;
    if (behaviour.throttleRate > 0 && this.#random() < behaviour.throttleRate) return 'throttle';
    if (behaviour.failureRate > 0 && this.#random() < behaviour.failureRate) return 'error';
    return 'accept';
  }

  /**
   * True at the first attempt of a message, false at the next one, and so on in turn: the trouble ends, and the same text
   * sent anew meets it again. A message is known by its dispatch id, or by recipient and text where none travels.
   */
  firstTime(provider: ProviderName, message: { dispatchId: string | null; to: string; text: string }): boolean {
    const name = message.dispatchId ?? `${message.to}\n${message.text}`;
    const key = createHash('sha1').update(`${provider}\n${name}`).digest('base64');
    if (this.#once.delete(key)) return false;
    if (this.#once.size >= MAX_ONCE) this.#once.delete(this.#once.values().next().value ?? '');
    this.#once.add(key);
    return true;
  }
}

/** One of a kind for every provider. */
export function perProvider<T>(make: (name: ProviderName) => T): Record<ProviderName, T> {
  return Object.fromEntries(providerNames.map((name) => [name, make(name)])) as Record<ProviderName, T>;
}

function initial(): Behaviour {
  return {
    latencyMs: 0,
    failureRate: 0,
    throttleRate: 0,
    retryAfterS: 1,
    callbackDelayMs: 50,
    callbacks: true,
    down: false,
    recipients: { ...magicRecipients },
  };
}
