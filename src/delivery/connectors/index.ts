/**
 * Connectors: how a dispatch leaves, one file per provider (`whatsapp.ts`, `telegram.ts`, `twilio.ts`), each no more than
 * the provider's facts; `http-provider.ts` turns facts into calls and endings, `texts.ts` makes foreign text harmless.
 *
 * Promises
 * - `send` and `check` never throw and end within their time: every ending is a result. One call of `send` is one
 *   request; retrying is the schedule's work.
 * - `sent` only when the provider gave an id; 429 and the provider's own throttling codes are `throttled`, with the hint of
 *   the body or of `Retry-After`; network trouble, time-outs and 5xx are `unreachable`; anything else is `rejected`,
 *   with the provider's text.
 * - No credential leaves but to its provider: not in an error or message (provider texts that quote one are blacked out),
 *   and a value that could change the path or a header is refused before anything is sent.
 * - `parseReceipt` takes any bytes and never throws; `verifyReceipt` compares in constant time and is false without a
 *   signature or a secret.
 *
 * Limits: each provider has a pool of its own with `connections` at most, so that a slow one holds up no other. A call that
 * waits for a connection waits on its own time-out: keep no more dispatches in flight than there are connections.
 * Of an answer 64 KiB are read. Texts are cut to 1,000 characters, ids longer than 256 are not taken.
 * A text longer than a provider allows is sent as it is, and the provider refuses it.
 */

import type { ConnectorType } from '../../commands/providers.ts';
import type { HttpProviderOptions } from './http-provider.ts';
import type { Provider } from './provider.ts';
import { telegram } from './telegram.ts';
import { twilio } from './twilio.ts';
import { type WhatsappOptions, whatsapp } from './whatsapp.ts';

export { CALLBACK_MESSAGE_PARAMETER } from './twilio.ts';
export { telegram, twilio, whatsapp };

/** Where each provider is reached. */
export interface ProvidersConfig {
  readonly whatsapp: WhatsappOptions;
  readonly telegram: HttpProviderOptions;
  readonly twilio: HttpProviderOptions;
}

/**
 * All providers, by the type of connector they serve.
 * @throws TypeError when a base address is not a plain http(s) address
 */
export function providers(config: ProvidersConfig): Record<ConnectorType, Provider> {
  return {
    whatsapp: whatsapp(config.whatsapp),
    telegram: telegram(config.telegram),
    twilio: twilio(config.twilio),
  };
}
