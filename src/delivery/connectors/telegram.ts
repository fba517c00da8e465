import { type HttpProviderOptions, httpProvider, PATH_SEGMENT, type Problem } from './http-provider.ts';
import type { Provider } from './provider.ts';
import { boundWait, isObject, numberOf, textOf } from './texts.ts';

/**
 * Telegram Bot API (sheet, section 13). Credential: `botToken`, which stands in the path, appended to the base address
 * directly. An accepted message counts as delivered: there are no receipts. `message_id` is unique inside one chat only.
 */
export function telegram(options: HttpProviderOptions): Provider {
  return httpProvider(options, {
    type: 'telegram',
    label: 'Telegram',
    credentials: { botToken: PATH_SEGMENT },
    // The part after the colon is the secret; an error that quotes it alone must not show it either.
    secrets: ({ botToken = '' }) => [botToken, botToken.slice(botToken.indexOf(':') + 1)],
    sendCall: (credentials, dispatch) => ({
      method: 'POST',
      path: `${credentials.botToken}/sendMessage`,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ chat_id: dispatch.to, text: dispatch.text }),
    }),
    checkCall: (credentials) => ({ method: 'GET', path: `${credentials.botToken}/getMe` }),
    problem,
    throttlingCodes: new Set(),
    externalId: (body) => resultOf(body)?.message_id,
    delivered: true,
    connected: (body) => {
      const username = textOf(resultOf(body)?.username);
      return username === undefined ? undefined : `Connected as @${username}`;
    },
    parseReceipt: () => [],
    verifyReceipt: () => false,
  });
}

/** `ok` is what decides (Bot API, "Making requests"); `error_code` repeats HTTP's status. */
function problem(body: unknown): Problem | undefined {
  if (!isObject(body) || body.ok !== false) return undefined;
  const seconds = isObject(body.parameters) ? numberOf(body.parameters.retry_after) : undefined;
  return {
    text: textOf(body.description),
    status: numberOf(body.error_code),
    retryAfterMs: seconds === undefined ? undefined : boundWait(seconds * 1_000),
  };
}

function resultOf(body: unknown): Readonly<Record<string, unknown>> | undefined {
  return isObject(body) && body.ok === true && isObject(body.result) ? body.result : undefined;
}
