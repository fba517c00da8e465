import { randomUUID } from 'node:crypto';
import { addressesOf, isMailbox, noStages, readSend, sendOf } from './email.ts';
import { type Emulation, isBadCredential, type ProviderRequest, type Read, type Send, text } from './emulation.ts';
import { isObject, json, type Reply } from './http.ts';
import type { Mail } from './mailbox.ts';

const MAX_BATCH = 500;
const INACTIVE = { ErrorCode: 406, Message: 'You tried to send to a recipient that has been marked as inactive.' };

/**
 * Postmark's API: one message, a batch, and the server that the token is of. Of a batch each message is answered by itself:
 * those whose recipient `refuses` are not taken, the others are.
 */
export function postmark(refuses: (recipient: string) => boolean): Emulation {
  return {
    read: (request) => read(request, refuses),
    externalId: () => randomUUID(),
    accepted: (send, externalId) => json(200, answerTo(send, externalId)),
    acceptedWithoutId: (send) => json(200, answerTo(send, null)),
    rejected: (send) =>
      send.batch === undefined
        ? json(422, INACTIVE)
        : json(
            200,
            send.batch.map(() => INACTIVE),
          ),
    throttled: (retryAfterS) =>
      json(429, { ErrorCode: 429, Message: 'Rate limit exceeded' }, { 'retry-after': String(retryAfterS) }),
    failed: (status) =>
      json(status, { ErrorCode: status, Message: status === 500 ? 'Internal Server Error' : 'Service Unavailable' }),
    stages: noStages,
  };
}

function answerTo(send: Send, externalId: string | null): unknown {
  const one = (to: string, id: string | null) => ({
    To: to,
    SubmittedAt: new Date().toISOString(),
    ...(id === null ? {} : { MessageID: id }),
    ErrorCode: 0,
    Message: 'OK',
  });
  if (send.batch === undefined) return one(send.to, externalId);
  let first = true;
  return send.batch.map(({ to, refused }) => {
    if (refused) return INACTIVE;
    const id = first || externalId === null ? externalId : randomUUID();
    first = false;
    return one(to, id);
  });
}

function read({ method, path, headers, body }: ProviderRequest, refuses: (to: string) => boolean): Read {
  const token = text(headers['x-postmark-server-token']);
  const unauthorised = isBadCredential(token)
    ? json(401, {
        ErrorCode: 10,
        Message: 'The Server Token you provided in the X-Postmark-Server-Token request header was invalid.',
      })
    : null;
  if (method === 'GET' && path === '/server') {
    return { kind: 'check', reply: unauthorised ?? json(200, { ID: 1, Name: 'Sandbox', Color: 'yellow' }) };
  }
  if (method !== 'POST' || (path !== '/email' && path !== '/email/batch')) {
    return { kind: 'other', reply: json(404, { ErrorCode: 404, Message: 'Not Found' }) };
  }
  const parsed = parse(body);
  if (path === '/email') {
    const mail = mailOf(isObject(parsed) ? parsed : {});
    return readSend(sendOf(mail, ''), unauthorised, wrongWith(mail));
  }
  const messages: unknown[] = Array.isArray(parsed) ? parsed : [];
  const mails = messages.map((message) => mailOf(isObject(message) ? message : {}));
  const batch = mails.map((mail) => ({ to: mail.to.join(', '), refused: refuses(mail.to[0] ?? '') }));
  const taken = mails.filter((_mail, i) => batch[i]?.refused === false);
  const send: Send = {
    ...sendOf(mails[0] ?? mailOf({}), ''),
    to: batch.map(({ to }) => to).join(', '),
    fateKey: (taken[0] ?? mails[0])?.to[0] ?? '',
    mails: taken,
    batch,
  };
  const wrong =
    mails.length === 0 || mails.length > MAX_BATCH
      ? error(`A batch holds 1 to ${MAX_BATCH} messages.`)
      : (mails.map(wrongWith).find((reply) => reply !== null) ?? null);
  return readSend(send, unauthorised, wrong);
}

function mailOf(message: Readonly<Record<string, unknown>>): Mail {
  const html = text(message.HtmlBody);
  const plain = text(message.TextBody);
  return {
    from: text(message.From),
    to: addressesOf(text(message.To)),
    cc: addressesOf(text(message.Cc)),
    bcc: addressesOf(text(message.Bcc)),
    replyTo: text(message.ReplyTo) || null,
    subject: text(message.Subject),
    html: html || null,
    text: plain || null,
    messageId: null,
  };
}

function wrongWith(mail: Mail): Reply | null {
  if (!isMailbox(mail.from)) return error("Invalid 'From' address.");
  const recipients = [...mail.to, ...mail.cc, ...mail.bcc];
  if (mail.to.length === 0) return error('Zero recipients specified');
  if (!recipients.every(isMailbox)) return error("Error parsing 'To': Illegal email address.");
  if (recipients.length > 50) return error('A message has 50 recipients at most.');
  return mail.html === null && mail.text === null ? error('Provide either email TextBody or HtmlBody or both.') : null;
}

function error(message: string): Reply {
  return json(422, { ErrorCode: 300, Message: message });
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
