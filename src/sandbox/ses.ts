import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isMailbox, noStages, readSend, sendOf } from './email.ts';
import { type Emulation, isBadCredential, type ProviderRequest, type Read, text } from './emulation.ts';
import { isObject, json, jsonObject, type Reply } from './http.ts';
import type { Mail } from './mailbox.ts';

const MAX_RECIPIENTS = 50;
/** AWS refuses signatures older or newer than this. */
const MAX_SKEW_MS = 15 * 60_000;

/**
 * Amazon SES, API v2: `SendEmail`, `GetAccount`, `GetEmailIdentity`. The sandbox knows no secret, so a signature is looked at
 * and not verified: its form, its scope, its age. An identity whose name begins with `unverified` is not verified, one that
 * begins with `unknown` does not exist.
 */
export function ses(): Emulation {
  return {
    read,
    externalId: () => `${randomUUID()}-000000`,
    accepted: (_send, externalId) => json(200, { MessageId: externalId }),
    acceptedWithoutId: () => json(200, {}),
    rejected: () => error(400, 'MessageRejected', 'Email address is not verified.'),
    throttled: () => error(429, 'TooManyRequestsException', 'Maximum sending rate exceeded.'),
    failed: (status) => error(status, 'InternalFailure', 'The request processing has failed.'),
    stages: noStages,
  };
}

function read({ method, path, headers, body }: ProviderRequest): Read {
  const refused = refusedSignature(headers);
  if (method === 'GET' && path === '/v2/email/account') {
    const quota = { Max24HourSend: 50_000, MaxSendRate: 14, SentLast24Hours: 0 };
    const account = { SendQuota: quota, SendingEnabled: true, ProductionAccessEnabled: true };
    return { kind: 'check', reply: refused ?? json(200, account) };
  }
  const identity = /^\/v2\/email\/identities\/([^/]+)$/.exec(path)?.[1];
  if (method === 'GET' && identity !== undefined) {
    return { kind: 'check', reply: refused ?? identityOf(decoded(identity)) };
  }
  if (method !== 'POST' || path !== '/v2/email/outbound-emails') {
    return { kind: 'other', reply: error(404, 'UnknownOperationException', 'Unknown operation') };
  }
  const mail = mailOf(jsonObject(body) ?? {});
  return readSend(sendOf(mail, ''), refused, wrongWith(mail));
}

function identityOf(name: string): Reply {
  const domain = name.slice(name.lastIndexOf('@') + 1);
  if (domain.startsWith('unknown')) {
    return error(404, 'NotFoundException', `Email identity ${name.slice(0, 200)} does not exist.`);
  }
  const verified = !domain.startsWith('unverified');
  const type = name.includes('@') ? 'EMAIL_ADDRESS' : 'DOMAIN';
  return json(200, { IdentityType: type, VerifiedForSendingStatus: verified });
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return '';
  }
}

function refusedSignature(headers: IncomingHttpHeaders): Reply | null {
  const form =
    /^AWS4-HMAC-SHA256 Credential=(\w+)\/(\d{8})\/[a-z0-9-]+\/ses\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$/.exec(
      headers.authorization ?? '',
    );
  const stamp = text(headers['x-amz-date']);
  const names = form?.[3]?.split(';') ?? [];
  const at = Date.parse(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (form === null || !stamp.startsWith(form[2] ?? '-') || !names.includes('host') || !names.includes('x-amz-date')) {
    return error(403, 'IncompleteSignatureException', 'The request signature does not conform to AWS standards.');
  }
  if (!(Math.abs(Date.now() - at) <= MAX_SKEW_MS)) {
    return error(403, 'InvalidSignatureException', 'Signature expired.');
  }
  return isBadCredential(form[1] ?? '')
    ? error(403, 'UnrecognizedClientException', 'The security token included in the request is invalid.')
    : null;
}

function mailOf(message: Readonly<Record<string, unknown>>): Mail {
  const destination = objectOf(message.Destination);
  const simple = objectOf(objectOf(message.Content).Simple);
  const list = (value: unknown) => (Array.isArray(value) ? value.map(text) : []);
  const body = objectOf(simple.Body);
  const data = (part: unknown) => (isObject(part) ? text(part.Data) : null);
  return {
    from: text(message.FromEmailAddress),
    to: list(destination.ToAddresses),
    cc: list(destination.CcAddresses),
    bcc: list(destination.BccAddresses),
    replyTo: list(message.ReplyToAddresses)[0] ?? null,
    subject: data(simple.Subject) ?? '',
    html: data(body.Html),
    text: data(body.Text),
    messageId: null,
  };
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {};
}

function wrongWith(mail: Mail): Reply | null {
  const recipients = [...mail.to, ...mail.cc, ...mail.bcc];
  if (recipients.length === 0) return error(400, 'BadRequestException', 'Destination is empty.');
  if (recipients.length > MAX_RECIPIENTS) {
    return error(400, 'BadRequestException', `Recipient count exceeds ${MAX_RECIPIENTS}.`);
  }
  if (![mail.from, ...recipients].every(isMailbox)) return error(400, 'BadRequestException', 'Illegal address');
  // SES takes ASCII alone in an address and its name.
  if (!/^[\x20-\x7e]*$/.test(mail.from)) return error(400, 'BadRequestException', 'Non-ASCII characters in From');
  return mail.html === null && mail.text === null ? error(400, 'BadRequestException', 'Body is empty.') : null;
}

function error(status: number, type: string, message: string): Reply {
  return json(status, { message }, { 'x-amzn-errortype': type });
}
