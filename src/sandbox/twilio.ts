import { randomBytes } from 'node:crypto';
import {
  type Emulation,
  isBadCredential,
  isPhoneNumber,
  type ProviderRequest,
  type Read,
  type Send,
} from './emulation.ts';
import { basicOf, json, type Reply } from './http.ts';

const MAX_TEXT_CHARACTERS = 1600;
const MAX_CALLBACK_CHARACTERS = 4_000;

/** The query parameter of the callback address in which the sender put its own id. */
const MESSAGE_PARAMETER = 'messageId';

/** Twilio's REST API, version 2010-04-01: making a message and looking at the account. */
export function twilio(): Emulation {
  // Ids of two sandboxes must not meet.
  const run = randomBytes(8).toString('hex');
  return {
    read,
    externalId: (_send, seq) => `SM${run}${seq.toString(16).padStart(16, '0')}`,
    accepted: (send, externalId) => json(201, { sid: externalId, ...message(send) }),
    acceptedWithoutId: (send) => json(201, message(send)),
    rejected: (send) => error(400, 21211, `Invalid 'To' Phone Number: ${send.to}`),
    throttled: (retryAfterS) => error(429, 20429, 'Too Many Requests', { 'retry-after': String(retryAfterS) }),
    failed: (status) =>
      status === 500
        ? error(500, 20500, 'Internal Server Error')
        : error(503, 20503, 'Service Temporarily Unavailable'),
    stages: (ending) => ['queued', 'sent', ...(ending === 'failed' ? ['undelivered'] : ['delivered'])],
  };
}

function read({ method, path, headers, body }: ProviderRequest): Read {
  const [, sid, action] = /^\/2010-04-01\/Accounts\/([^/]+?)(?:\/(Messages))?\.json$/.exec(path) ?? [];
  if (sid === undefined) return notFound(path);
  const [user, token] = basicOf(headers.authorization);
  const bad = user !== sid || isBadCredential(token) || isBadCredential(sid);
  if (method === 'GET' && action === undefined) {
    const account = { sid, friendly_name: 'Sandbox', status: 'active', type: 'Full' };
    return { kind: 'check', reply: bad ? unauthorised() : json(200, account) };
  }
  if (method !== 'POST' || action === undefined) return notFound(path);
  const form = new URLSearchParams(body);
  const callbackUrl = form.get('StatusCallback');
  const send: Send = {
    dispatchId: dispatchIdOf(callbackUrl),
    to: form.get('To') ?? '',
    text: form.get('Body') ?? '',
    sender: sid,
    from: form.get('From') ?? '',
    callbackUrl,
    secret: token,
  };
  if (bad) return { kind: 'refused', send, outcome: 'unauthorised', reply: unauthorised() };
  const reply = wrongWith(send);
  return reply === null ? { kind: 'send', send } : { kind: 'refused', send, outcome: 'rejected', reply };
}

function dispatchIdOf(callbackUrl: string | null): string | null {
  const url = callbackUrl === null ? null : URL.parse(callbackUrl);
  return url === null ? null : (url.searchParams.get(MESSAGE_PARAMETER) ?? null);
}

function wrongWith(send: Send): Reply | null {
  if (send.to === '') return error(400, 21604, "A 'To' phone number is required.");
  if (!isPhoneNumber(send.to)) return error(400, 21211, `Invalid 'To' Phone Number: ${send.to}`);
  if (send.from === '') return error(400, 21603, "A 'From' phone number is required.");
  if (send.text === '') return error(400, 21602, 'Message body is required.');
  if (send.text.length > MAX_TEXT_CHARACTERS) {
    return error(400, 21617, `The concatenated message body exceeds the ${MAX_TEXT_CHARACTERS} character limit`);
  }
  if (send.callbackUrl === null) return null;
  const url = URL.parse(send.callbackUrl);
  const fine = url !== null && /^https?:$/.test(url.protocol) && send.callbackUrl.length <= MAX_CALLBACK_CHARACTERS;
  return fine
    ? null
    : error(400, 21609, `The 'StatusCallback' URL ${send.callbackUrl.slice(0, 200)} is not a valid URL.`);
}

function message(send: Send): Record<string, unknown> {
  return {
    account_sid: send.sender,
    api_version: '2010-04-01',
    body: send.text,
    direction: 'outbound-api',
    error_code: null,
    error_message: null,
    from: send.from,
    num_segments: String(Math.max(1, Math.ceil(send.text.length / 153))),
    status: 'queued',
    to: send.to,
  };
}

function unauthorised(): Reply {
  return error(401, 20003, 'Authenticate');
}

function notFound(path: string): Read {
  const text = `The requested resource ${path.slice(0, 200)} was not found`;
  return { kind: 'other', reply: error(404, 20404, text) };
}

function error(status: number, code: number, message: string, headers?: Readonly<Record<string, string>>): Reply {
  return json(status, { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status }, headers);
}
