import { randomBytes } from 'node:crypto';
import {
  type Emulation,
  isBadCredential,
  isPhoneNumber,
  type ProviderRequest,
  type Read,
  type Send,
  text,
} from './emulation.ts';
import { isObject, json, jsonObject, type Reply } from './http.ts';

const MAX_TEXT_CHARACTERS = 4096;

/** WhatsApp Cloud API: sending text messages and looking at a phone number (Meta's Graph API and its error codes). */
export function whatsapp(): Emulation {
  // Ids of two sandboxes must not meet.
  const run = randomBytes(6).toString('hex');
  return {
    read,
    externalId: (_send, seq) =>
      `wamid.${Buffer.from(`${run}${seq.toString(16).padStart(12, '0')}`).toString('base64')}`,
    accepted: (send, externalId) => json(200, { ...envelope(send), messages: [{ id: externalId }] }),
    acceptedWithoutId: (send) => json(200, { ...envelope(send), messages: [] }),
    rejected: () => error(400, 131026, '(#131026) Message undeliverable', 'Message Undeliverable.'),
    throttled: () =>
      error(429, 130429, '(#130429) Rate limit hit', 'Too many messages were sent from this number in a short time.'),
    failed: (status) =>
      error(status, 131000, '(#131000) Something went wrong', 'Message failed for an unknown reason.'),
    stages: (ending) =>
      ending === 'failed' ? ['failed'] : ending === 'read' ? ['sent', 'delivered', 'read'] : ['sent', 'delivered'],
  };
}

function read({ method, path, headers, body }: ProviderRequest): Read {
  const [, version, phoneNumberId = '', action, ...rest] = path.split('/');
  if (!/^v\d+\.\d+$/.test(version ?? '') || phoneNumberId === '' || rest.length > 0) return unknown(path);
  const token = /^Bearer (.*)$/.exec(headers.authorization ?? '')?.[1] ?? '';
  if (method === 'GET' && action === undefined) {
    return { kind: 'check', reply: isBadCredential(token) ? unauthorised() : phoneNumber(phoneNumberId) };
  }
  if (method !== 'POST' || action !== 'messages') return unknown(path);
  const message = jsonObject(body) ?? {};
  const opaque = text(message.biz_opaque_callback_data);
  const send: Send = {
    dispatchId: opaque === '' ? null : opaque,
    to: text(message.to),
    text: isObject(message.text) ? text(message.text.body) : '',
    sender: phoneNumberId,
    from: phoneNumberId,
    callbackUrl: null,
    secret: null,
  };
  if (isBadCredential(token)) return { kind: 'refused', send, outcome: 'unauthorised', reply: unauthorised() };
  const wrong = wrongWith(message, send);
  return wrong === null
    ? { kind: 'send', send }
    : { kind: 'refused', send, outcome: 'rejected', reply: error(400, 100, wrong, 'Invalid parameter') };
}

function envelope(send: Send): Record<string, unknown> {
  return { messaging_product: 'whatsapp', contacts: [{ input: send.to, wa_id: send.to.replace('+', '') }] };
}

function wrongWith(message: Readonly<Record<string, unknown>>, send: Send): string | null {
  if (message.messaging_product !== 'whatsapp') return '(#100) The parameter messaging_product is required.';
  if (send.to === '') return '(#100) The parameter to is required.';
  if (!isPhoneNumber(send.to)) return '(#100) Invalid parameter: to';
  if (message.type !== undefined && message.type !== 'text') return '(#100) Invalid parameter: type';
  if (send.text === '') return "(#100) The parameter text['body'] is required.";
  if (send.text.length > MAX_TEXT_CHARACTERS) {
    return `(#100) Param text['body'] must be at most ${MAX_TEXT_CHARACTERS} characters long.`;
  }
  return null;
}

function phoneNumber(id: string): Reply {
  return json(200, {
    verified_name: 'Sandbox',
    display_phone_number: '+1 555-010-0000',
    quality_rating: 'GREEN',
    id,
  });
}

function unauthorised(): Reply {
  return error(401, 190, 'Invalid OAuth access token - Cannot parse access token', undefined);
}

function unknown(path: string): Read {
  return { kind: 'other', reply: error(400, 2500, `Unknown path components: ${path.slice(0, 200)}`, undefined) };
}

function error(status: number, code: number, message: string, details: string | undefined): Reply {
  return json(status, {
    error: {
      message,
      type: 'OAuthException',
      code,
      ...(details === undefined ? {} : { error_data: { messaging_product: 'whatsapp', details } }),
      fbtrace_id: randomBytes(8).toString('base64url'),
    },
  });
}
