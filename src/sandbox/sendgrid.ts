import { randomBytes } from 'node:crypto';
import { isMailbox, noStages, readSend, sendOf } from './email.ts';
import { type Emulation, isBadCredential, type ProviderRequest, type Read, text } from './emulation.ts';
import { isObject, json, jsonObject, type Reply } from './http.ts';
import type { Mail } from './mailbox.ts';

/** SendGrid's API v3: sending with one personalization, and the profile of the key's owner. */
export function sendgrid(): Emulation {
  const run = randomBytes(8).toString('base64url');
  return {
    read,
    externalId: (_send, seq) => `${run}${seq}`,
    accepted: (_send, externalId) => ({ ...accepted(), headers: { 'x-message-id': externalId } }),
    acceptedWithoutId: accepted,
    rejected: () => error(400, 'Does not contain a valid address.', 'personalizations.0.to.0.email'),
    // SendGrid tells when its window ends, by the second; it has no Retry-After.
    throttled: (retryAfterS) => ({
      ...error(429, 'too many requests', null),
      headers: { 'x-ratelimit-reset': String(Math.ceil(Date.now() / 1_000) + retryAfterS) },
    }),
    failed: (status) => error(status, status === 500 ? 'Internal Server Error' : 'Service Unavailable', null),
    stages: noStages,
  };
}

function accepted(): Reply {
  return { status: 202, type: 'application/json', body: '' };
}

function read({ method, path, headers, body }: ProviderRequest): Read {
  const key = /^Bearer (.*)$/.exec(headers.authorization ?? '')?.[1] ?? '';
  const unauthorised = isBadCredential(key)
    ? error(401, 'The provided authorization grant is invalid, expired, or revoked', null)
    : null;
  if (method === 'GET' && path === '/v3/user/profile') {
    const profile = { first_name: 'Sand', last_name: 'Box', username: 'sandbox', email: 'sandbox@example.com' };
    return { kind: 'check', reply: unauthorised ?? json(200, profile) };
  }
  if (method !== 'POST' || path !== '/v3/mail/send') {
    return { kind: 'other', reply: error(404, 'Not Found', null) };
  }
  const message = jsonObject(body) ?? {};
  const mail = mailOf(message);
  return readSend(sendOf(mail, ''), unauthorised, wrongWith(message, mail));
}

function mailOf(message: Readonly<Record<string, unknown>>): Mail {
  const [first] = listOf(message.personalizations);
  const list = (name: string) => listOf(first?.[name]).map((entry) => text(entry.email));
  const from = isObject(message.from) ? message.from : {};
  const content = (type: string) => {
    const part = listOf(message.content).find((one) => one.type === type);
    return part === undefined ? null : text(part.value);
  };
  const name = text(from.name);
  return {
    from: name === '' ? text(from.email) : `"${name}" <${text(from.email)}>`,
    to: list('to'),
    cc: list('cc'),
    bcc: list('bcc'),
    replyTo: isObject(message.reply_to) ? text(message.reply_to.email) : null,
    subject: text(message.subject),
    html: content('text/html'),
    text: content('text/plain'),
    messageId: null,
  };
}

function wrongWith(message: Readonly<Record<string, unknown>>, mail: Mail): Reply | null {
  if (mail.to.length === 0)
    return error(400, 'The to array is required for all personalization objects.', 'personalizations');
  if (!isMailbox(mail.from)) return error(400, 'The from email does not contain a valid address.', 'from.email');
  const recipients = [...mail.to, ...mail.cc, ...mail.bcc];
  if (!recipients.every(isMailbox)) return error(400, 'Does not contain a valid address.', 'personalizations.0.to');
  if (new Set(recipients.map((address) => address.toLowerCase())).size < recipients.length) {
    return error(400, 'Each email address in the personalization block should be unique.', 'personalizations.0');
  }
  if (mail.subject === '') return error(400, 'The subject is required.', 'subject');
  const contents = listOf(message.content);
  if (contents.length === 0 || contents.some((one) => text(one.value) === '')) {
    return error(400, 'The content value must be a string at least one character in length.', 'content.0.value');
  }
  return null;
}

function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function error(status: number, message: string, field: string | null): Reply {
  return json(status, { errors: [{ message, field, help: null }] });
}
