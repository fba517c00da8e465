import { randomBytes } from 'node:crypto';
import { addressesOf, isMailbox, noStages, readSend, sendOf } from './email.ts';
import { type Emulation, isBadCredential, type ProviderRequest, type Read } from './emulation.ts';
import { basicOf, json, type Reply } from './http.ts';
import type { Mail } from './mailbox.ts';

/**
 * Mailgun's API v3: sending by form, and looking at a domain. A domain whose name begins with `unverified` is not active, one
 * that begins with `unknown` does not exist.
 */
export function mailgun(): Emulation {
  const run = randomBytes(6).toString('hex');
  return {
    read,
    externalId: (send, seq) => `<${run}.${seq}@${send.sender}>`,
    accepted: (_send, externalId) => json(200, { id: externalId, message: 'Queued. Thank you.' }),
    acceptedWithoutId: () => json(200, { message: 'Queued. Thank you.' }),
    rejected: () => json(400, { message: "'to' parameter is not a valid address. please check documentation" }),
    throttled: (retryAfterS) => json(429, { message: 'Too many requests' }, { 'retry-after': String(retryAfterS) }),
    failed: (status) => json(status, { message: status === 500 ? 'Internal Server Error' : 'Service Unavailable' }),
    stages: noStages,
  };
}

function read({ method, path, headers, body }: ProviderRequest): Read {
  const [, version, first = '', second = '', ...rest] = path.split('/');
  if (version !== 'v3' || rest.length > 0) return notFound();
  const [user, key] = basicOf(headers.authorization);
  const unauthorised = user === 'api' && !isBadCredential(key) ? null : json(401, { message: 'Invalid private key' });
  if (method === 'GET' && first === 'domains' && second !== '') {
    return { kind: 'check', reply: unauthorised ?? domain(second) };
  }
  if (method !== 'POST' || first === '' || second !== 'messages') return notFound();
  const mail = mailOf(new URLSearchParams(body));
  return readSend(sendOf(mail, first), unauthorised, wrongWith(mail));
}

function domain(name: string): Reply {
  if (name.startsWith('unknown')) return json(404, { message: 'Domain not found' });
  const state = name.startsWith('unverified') ? 'unverified' : 'active';
  return json(200, { domain: { name, state, type: 'custom' }, receiving_dns_records: [], sending_dns_records: [] });
}

function notFound(): Read {
  return { kind: 'other', reply: json(404, { message: 'Not Found' }) };
}

function mailOf(form: URLSearchParams): Mail {
  const list = (name: string) => form.getAll(name).flatMap(addressesOf);
  return {
    from: form.get('from') ?? '',
    to: list('to'),
    cc: list('cc'),
    bcc: list('bcc'),
    replyTo: form.get('h:Reply-To'),
    subject: form.get('subject') ?? '',
    html: form.get('html'),
    text: form.get('text'),
    messageId: form.get('h:Message-Id'),
  };
}

function wrongWith(mail: Mail): Reply | null {
  const bad = (name: string) =>
    json(400, { message: `${name} parameter is not a valid address. please check documentation` });
  if (mail.from === '') return json(400, { message: 'from parameter is missing' });
  if (!isMailbox(mail.from)) return bad("'from'");
  if (mail.to.length === 0) return json(400, { message: 'to parameter is missing' });
  if (![...mail.to, ...mail.cc, ...mail.bcc].every(isMailbox)) return bad("'to'");
  if (mail.html === null && mail.text === null) {
    return json(400, { message: "Need at least one of 'text' or 'html' parameters specified" });
  }
  return null;
}
