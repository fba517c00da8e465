/**
 * How a webhook proves that it is ours: ChatAPI's own signature and, in the same request, that of Standard Webhooks
 * (standardwebhooks.com, specification 1.0, "Signature scheme").
 */
import { HmacKey } from '../../platform/hmac.ts';

/** Signs with one secret. */
export interface Signer {
  /** The headers of a signed request. `atS` is the time of the attempt, in seconds since the epoch. */
  headers(id: string, atS: number, body: Buffer): Record<string, string>;
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
    headers(id, atS, body) {
      const timestamp = String(Math.floor(atS));
      const own = whole.of('', body, 'hex');
      const theirs = standard.of(`${id}.${timestamp}.`, body, 'base64');
      return {
        'x-chatapi-signature': `sha256=${own}`,
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${theirs}`,
      };
    },
  };
}
