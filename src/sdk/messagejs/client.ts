import {
  afterRefusal,
  attempt,
  baseUrlOf,
  type Failure,
  isObject,
  networkText,
  retriesOf,
  retry,
  statusText,
} from '../shared/http.ts';
import { MessageJSError } from './error.ts';
import type { MessageJSClient, MessageJSConfig, SendParams, SendResult } from './public.d.ts';

type Settings = { readonly apiKey: string; readonly baseUrl: string; readonly retries: number };

/**
 * Makes a client with settings of its own (sheet section 17). It talks through the global `fetch`, looked up at each attempt.
 *
 * @param newUuid a new random UUID at each call: where randomness comes from differs between platforms
 */
export function createClient(newUuid: () => string): MessageJSClient {
  let settings: Settings | undefined;

  function init(config: string | Partial<MessageJSConfig>): void {
    settings = withConfig(settings, typeof config === 'string' ? { apiKey: config } : config);
  }

  async function sendMessage(params: SendParams): Promise<SendResult> {
    if (settings === undefined) {
      throw new MessageJSError('MessageJS is not initialized: call messagejs.init() first', 'NOT_INITIALIZED');
    }
    const { baseUrl, apiKey, retries } = settings;
    const { to, connectorId, templateId, variables = {} } = params;
    const request = {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        Authorization: `Bearer ${apiKey}`,
        'Idempotency-Key': newUuid(),
      },
      body: JSON.stringify({ to, connectorId, templateId, variables }),
    };
    return retry(retries, () => attemptSend(`${baseUrl}/messages`, request));
  }

  return { init, sendMessage };
}

function withConfig(before: Settings | undefined, config: Partial<MessageJSConfig>): Settings {
  const apiKey = config.apiKey ?? before?.apiKey;
  if (!apiKey) throw new MessageJSError('messagejs.init() needs an apiKey', 'NOT_INITIALIZED');
  return {
    apiKey,
    baseUrl: baseUrlOf(config.baseUrl ?? before?.baseUrl ?? 'https://api.messagejs.pro/api/v1'),
    retries: retriesOf(config.retries ?? before?.retries),
  };
}

async function attemptSend(url: string, request: RequestInit): Promise<{ result: SendResult } | { failure: Failure }> {
  const answered = await attempt(url, request);
  if ('cause' in answered) {
    const { cause } = answered;
    const error = new MessageJSError(networkText(cause), 'NETWORK_ERROR', undefined, undefined, { cause });
    return { failure: { error, retried: true } };
  }
  const { response, body } = answered;
  if (!response.ok) return { failure: { ...afterRefusal(response), error: refusal(response.status, body) } };
  if (isObject(body)) return { result: body as unknown as SendResult }; // the server's JSON as it came (sheet section 17)
  const message = 'The message was accepted, but the answer is not a JSON object';
  return { failure: { error: new MessageJSError(message, 'INVALID_RESPONSE', response.status), retried: false } };
}

/** Reads an answer that is no success; a body in another shape than the sheet's (section 3) leaves the status to tell. */
function refusal(status: number, body: unknown): MessageJSError {
  const { error: text, code, details } = isObject(body) ? body : {};
  return new MessageJSError(
    typeof text === 'string' && text !== '' ? text : statusText(status),
    typeof code === 'string' ? code : undefined,
    status,
    isObject(details) ? details : undefined,
  );
}
