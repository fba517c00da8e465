/**
 * How a webhook proves that it is ours: ChatAPI's own signature and, in the same request, that of Standard Webhooks
 * (standardwebhooks.com, specification 1.0, "Signature scheme").
 */
import { HmacKey } from '../../platform/hmac.ts';

/** What proves one request. */
export interface Proof {
  /** Of the event: what is signed with the body. */
  readonly id: string;
  /** Seconds since the epoch. */
  readonly timestamp: string;
  /** ChatAPI's signature, in hex. */
  readonly own: string;
  /** That of Standard Webhooks, in base64. */
  readonly theirs: string;
}

/** Signs with one secret. */
export interface Signer {
  /** `atMs` is the time of the attempt, in milliseconds since the epoch. */
  sign(id: string, atMs: number, body: string): Proof;
}

const standardPrefix = 'whsec_';

/**
 * Makes a signer. ChatAPI's signature keys with the secret's whole text; Standard Webhooks' with what stands in base64
 * behind `whsec_`, or with the whole text where it does not begin so (ChatAPI sheet, section 13).
 */
export function signer(secret: string): Signer {
  const whole = new HmacKey(Buffer.from(secret, 'utf8'));
  const standard = secret.startsWith(standardPrefix)
    ? new HmacKey(Buffer.from(secret.slice(standardPrefix.length), 'base64'))
    : whole;
  return {
    sign(id, atMs, body) {
      const timestamp = String(Math.floor(atMs / 1_000));
      const own = whole.of(body, 'hex');
      const theirs = standard.of(`${id}.${timestamp}.${body}`, 'base64');
      return { id, timestamp, own, theirs };
    },
  };
}

/** A proof as headers of its request. */
export function proofHeaders({ id, timestamp, own, theirs }: Proof) {
  return {
    'x-chatapi-signature': `sha256=${own}`,
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${theirs}`,
  } as const;
}
