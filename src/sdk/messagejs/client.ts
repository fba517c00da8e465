import { MessageJSError } from './error.ts';
import type { MessageJSClient, MessageJSConfig, SendParams, SendResult } from './public.d.ts';
import { isRetriedStatus, parseRetryAfter, retryDelayMs } from './retry.ts';

type Settings = { readonly apiKey: string; readonly baseUrl: string; readonly retries: number };

/** Why an attempt failed, and whether another one may be made. */
type Failure = {
  readonly error: MessageJSError;
  readonly retried: boolean;
  readonly retryAfterMs?: number | undefined;
};

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
    for (let retry = 1; ; retry++) {
      const attempt = await attemptSend(`${baseUrl}/messages`, request);
      if ('result' in attempt) return attempt.result;
      const { error, retried, retryAfterMs } = attempt.failure;
      if (!retried || retry > retries) throw error;
      const delayMs = retryDelayMs(retry, retryAfterMs, error.code, Math.random());
      if (delayMs === undefined) throw error;
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
  }

  return { init, sendMessage };
}

function withConfig(before: Settings | undefined, config: Partial<MessageJSConfig>): Settings {
  const apiKey = config.apiKey ?? before?.apiKey;
  if (!apiKey) throw new MessageJSError('messagejs.init() needs an apiKey', 'NOT_INITIALIZED');
  return {
    apiKey,
    baseUrl: config.baseUrl?.replace(/\/$/, '') ?? before?.baseUrl ?? 'https://api.messagejs.pro/api/v1',
    // Not a number counts as none: a comparison with NaN would retry for ever.
    retries: Math.max(0, (config.retries ?? before?.retries) || 0),
  };
}

async function attemptSend(url: string, request: RequestInit): Promise<{ result: SendResult } | { failure: Failure }> {
  let response: Response;
  try {
    response = await fetch(url, request);
  } catch (cause) {
    return { failure: networkFailure(cause) };
  }
  let text = '';
  try {
    text = await response.text();
  } catch (cause) {
    // A refusal whose body is lost on the way still has its status.
    if (response.ok) return { failure: networkFailure(cause) };
  }
  const body = parseJson(text);
  if (!response.ok) return { failure: refusal(response, body) };
  if (isObject(body)) return { result: body as unknown as SendResult }; // the server's JSON as it came (sheet section 17)
  const message = 'The message was accepted, but the answer is not a JSON object';
  return { failure: { error: new MessageJSError(message, 'INVALID_RESPONSE', response.status), retried: false } };
}

function networkFailure(cause: unknown): Failure {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const error = new MessageJSError(`Network failure: ${reason}`, 'NETWORK_ERROR', undefined, undefined, { cause });
  return { error, retried: true };
}

/** Reads an answer that is no success; a body in another shape than the sheet's (section 3) leaves the status to tell. */
function refusal(response: Response, body: unknown): Failure {
  const { error: text, code, details } = isObject(body) ? body : {};
  const { status } = response;
  return {
    error: new MessageJSError(
      typeof text === 'string' && text !== '' ? text : `HTTP error! Status: ${status}`,
      typeof code === 'string' ? code : undefined,
      status,
      isObject(details) ? details : undefined,
    ),
    retried: isRetriedStatus(status),
    retryAfterMs: parseRetryAfter(response.headers.get('Retry-After'), Date.now()),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
