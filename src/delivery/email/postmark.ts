import { cleanId, isObject, numberOf, textOf } from '../connectors/texts.ts';
import { type EmailPart, type HttpEmailOptions, httpEmail, operatorsBase, refusedCheck, type Verdict } from './http.ts';
import { mailbox, type ReadyMessage } from './message.ts';
import type { EmailChannel, EmailProviderConfigOf, Undelivered } from './provider.ts';

const POSTMARK_URL = 'https://api.postmarkapp.com';

/** Messages of one batch (Postmark, "Send batch emails"). */
const MAX_BATCH = 500;

export interface PostmarkOptions extends HttpEmailOptions {
  /** Where Postmark is reached; its own address unless told. */
  readonly url?: string;
}

/**
 * Postmark (sheet, section 11): `POST /email` for one recipient, `/email/batch` for several in To: one message each, of which
 * the first carries Cc and Bcc, so that those get one copy. A batch answers for each message by itself.
 */
export function postmark(options: PostmarkOptions): EmailChannel<'postmark'> {
  const url = operatorsBase(options.url ?? POSTMARK_URL);
  return httpEmail(options, {
    type: 'postmark',
    label: 'Postmark',
    secrets: (config) => [config.server_token],
    base: () => ({ url, guarded: false }),
    parts,
    taken(_answer, body, part, tell) {
      return Array.isArray(body) ? readBatch(body, part, tell) : readOne(body, tell, part);
    },
    problem: (body) => ({ text: isObject(body) ? textOf(body.Message) : undefined }),
    async check(config, _sender, ask) {
      const answer = await ask({ method: 'GET', path: '/server', headers: headersOf(config) });
      if (answer === null) return { valid: false, error: '' };
      return refusedCheck('Postmark', answer.status) ?? { valid: true };
    },
  });
}

function headersOf(config: EmailProviderConfigOf<'postmark'>): Record<string, string> {
  return {
    accept: 'application/json',
    'content-type': 'application/json',
    'x-postmark-server-token': config.server_token,
  };
}

function parts(message: ReadyMessage, config: EmailProviderConfigOf<'postmark'>): EmailPart[] {
  const headers = headersOf(config);
  const others = [...message.cc, ...message.bcc];
  const [only] = message.to;
  if (message.to.length === 1 && only !== undefined) {
    const body = JSON.stringify(bodyOf(message, only, true));
    return [{ recipients: [only, ...others], call: { method: 'POST', path: '/email', headers, body } }];
  }
  const all: EmailPart[] = [];
  for (let at = 0; at < message.to.length; at += MAX_BATCH) {
    const batch = message.to.slice(at, at + MAX_BATCH);
    const body = JSON.stringify(batch.map((address, i) => bodyOf(message, address, at + i === 0)));
    const recipients = at === 0 ? [...batch, ...others] : batch;
    const call = { method: 'POST', path: '/email/batch', headers, body } as const;
    all.push({ recipients, messages: batch.length, call });
  }
  return all;
}

function bodyOf(message: ReadyMessage, to: string, first: boolean): unknown {
  return {
    From: mailbox(message.from),
    To: to,
    ...(first && message.cc.length > 0 ? { Cc: message.cc.join(', ') } : {}),
    ...(first && message.bcc.length > 0 ? { Bcc: message.bcc.join(', ') } : {}),
    Subject: message.subject,
    [message.contentType === 'html' ? 'HtmlBody' : 'TextBody']: message.content,
    ...(message.replyTo === null ? {} : { ReplyTo: message.replyTo }),
  };
}

/** One message's answer: taken with `ErrorCode` 0 and an id. */
function readOne(body: unknown, tell: (text: string) => string, part: EmailPart): Verdict {
  const result = resultOf(body, tell);
  if (result === undefined) return { kind: 'strange' };
  if ('id' in result) return { kind: 'taken', externalId: result.id, undelivered: [] };
  const undelivered = part.recipients.map((address) => ({ address, error: result.error, retryable: false }));
  return { kind: 'taken', externalId: null, undelivered };
}

/** The answers stand in the order of the messages; the first one speaks for Cc and Bcc too. */
function readBatch(body: readonly unknown[], part: EmailPart, tell: (text: string) => string): Verdict {
  const undelivered: Undelivered[] = [];
  let externalId: string | null = null;
  if (body.length !== part.messages) return { kind: 'strange' };
  for (const [i, one] of body.entries()) {
    const result = resultOf(one, tell);
    if (result === undefined) return { kind: 'strange' };
    if ('id' in result) {
      externalId ??= result.id;
      continue;
    }
    const whom = [part.recipients[i]!, ...(i === 0 ? part.recipients.slice(body.length) : [])];
    undelivered.push(...whom.map((address) => ({ address, error: result.error, retryable: false })));
  }
  return { kind: 'taken', externalId, undelivered };
}

function resultOf(
  one: unknown,
  tell: (text: string) => string,
): { readonly id: string } | { readonly error: string } | undefined {
  if (!isObject(one)) return undefined;
  const code = numberOf(one.ErrorCode);
  if (code === 0) {
    const id = cleanId(one.MessageID);
    return id === undefined ? undefined : { id };
  }
  if (code === undefined) return undefined;
  const told = tell(textOf(one.Message) ?? '');
  return { error: told === '' ? `Postmark answered with error ${code}` : told };
}
