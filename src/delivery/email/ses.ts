import { cleanId, headerOf, isObject, textOf } from '../connectors/texts.ts';
import {
  type Ask,
  type EmailCall,
  type EmailPart,
  type HttpEmailOptions,
  httpEmail,
  operatorsBase,
  refusedCheck,
} from './http.ts';
import { asciiMailbox, type ReadyMessage } from './message.ts';
import type { EmailChannel, EmailCheck, EmailProviderConfigOf } from './provider.ts';
import { signed, uriEncode } from './sigv4.ts';

/** Recipients of one call (SES, "Service quotas"). */
const MAX_RECIPIENTS = 50;

/** Errors that ask to slow down, whatever their HTTP status (SES API v2, "Common errors"). */
const THROTTLING = new Set(['TooManyRequestsException', 'ThrottlingException', 'Throttling', 'RequestThrottled']);

export interface SesOptions extends HttpEmailOptions {
  /** Where SES is reached in every region; the region's own address unless told. */
  readonly url?: string;
  /** Milliseconds since the epoch, for signatures. */
  readonly now?: () => number;
}

/**
 * Amazon SES (sheet, section 11) by its API v2: `SendEmail` as JSON, signed with Signature Version 4. A mail with more than 50
 * recipients leaves in several calls; each names its own recipients alone.
 */
export function ses(options: SesOptions): EmailChannel<'ses'> {
  const now = options.now ?? Date.now;
  const own = options.url === undefined ? null : operatorsBase(options.url);
  const urlOf = (region: string): string => own ?? `https://email.${region}.amazonaws.com${suffixOf(region)}`;
  const call = (config: SesConfig, method: EmailCall['method'], path: string, body = ''): EmailCall => {
    const url = new URL(urlOf(config.region));
    const headers: Record<string, string> = body === '' ? {} : { 'content-type': 'application/json' };
    const signature = signed(
      { method, path: url.pathname.replace(/\/$/, '') + path, headers: { ...headers, host: url.host }, body },
      {
        accessKeyId: config.aws_access_key_id,
        secretAccessKey: config.aws_secret_access_key,
        region: config.region,
        service: 'ses',
        nowMs: now(),
      },
    );
    return { method, path, headers: { ...headers, ...signature }, ...(body === '' ? {} : { body }) };
  };
  return httpEmail(options, {
    type: 'ses',
    label: 'Amazon SES',
    secrets: (config) => [config.aws_secret_access_key],
    base: (config) => ({ url: urlOf(config.region), guarded: false }),
    parts: (message, config) => parts(message, (body) => call(config, 'POST', '/v2/email/outbound-emails', body)),
    taken(_answer, body) {
      const id = isObject(body) ? cleanId(body.MessageId) : undefined;
      return id === undefined ? { kind: 'strange' } : { kind: 'taken', externalId: id, undelivered: [] };
    },
    problem(body, answer) {
      const told = isObject(body) ? (textOf(body.message) ?? textOf(body.Message)) : undefined;
      const type = headerOf(answer.headers, 'x-amzn-errortype')?.split(':')[0] ?? '';
      return { text: told, throttled: THROTTLING.has(type) };
    },
    check: (config, sender, ask) => check(sender, ask, (path) => call(config, 'GET', path)),
  });
}

type SesConfig = EmailProviderConfigOf<'ses'>;

/** The regions of the partition in China have a domain of their own. */
function suffixOf(region: string): string {
  return region.startsWith('cn-') ? '.cn' : '';
}

function parts(message: ReadyMessage, call: (body: string) => EmailCall): EmailPart[] {
  const places = [
    ...message.to.map((address) => ({ address, list: 'ToAddresses' })),
    ...message.cc.map((address) => ({ address, list: 'CcAddresses' })),
    ...message.bcc.map((address) => ({ address, list: 'BccAddresses' })),
  ];
  const text = (data: string) => ({ Data: data, Charset: 'UTF-8' });
  const all: EmailPart[] = [];
  for (let at = 0; at < places.length; at += MAX_RECIPIENTS) {
    const some = places.slice(at, at + MAX_RECIPIENTS);
    const destination: Record<string, string[]> = {};
    for (const { address, list } of some) {
      destination[list] ??= [];
      destination[list].push(address);
    }
    const body = JSON.stringify({
      FromEmailAddress: asciiMailbox(message.from),
      Destination: destination,
      ...(message.replyTo === null ? {} : { ReplyToAddresses: [message.replyTo] }),
      Content: {
        Simple: {
          Subject: text(message.subject),
          Body: { [message.contentType === 'html' ? 'Html' : 'Text']: text(message.content) },
        },
      },
    });
    all.push({ recipients: some.map(({ address }) => address), call: call(body) });
  }
  return all;
}

/** The quota (`GetAccount`), then whether the sender's address or its domain is verified (`GetEmailIdentity`). */
async function check(sender: string, ask: Ask, call: (path: string) => EmailCall): Promise<EmailCheck> {
  const account = await ask(call('/v2/email/account'));
  if (account === null) return { valid: false, error: '' };
  const refused = refusedCheck('Amazon SES', account.status);
  if (refused) return refused;
  const body = isObject(account.body) ? account.body : {};
  const quota = isObject(body.SendQuota) ? body.SendQuota : {};
  if (body.SendingEnabled === false) return { valid: false, error: 'Sending is off in this account of Amazon SES' };
  // A maximum of -1 is no maximum (SES API v2, SendQuota).
  const { Max24HourSend: most, SentLast24Hours: sent } = quota;
  if (typeof most !== 'number') return { valid: false, error: 'Amazon SES told no sending quota' };
  if (most >= 0 && typeof sent === 'number' && sent >= most) {
    return { valid: false, error: 'The sending quota of Amazon SES is used up' };
  }
  for (const identity of [sender, sender.slice(sender.lastIndexOf('@') + 1)]) {
    const found = await ask(call(`/v2/email/identities/${uriEncode(identity)}`));
    if (found === null) return { valid: false, error: '' };
    if (isObject(found.body) && found.body.VerifiedForSendingStatus === true) return { valid: true };
  }
  return { valid: false, error: 'Amazon SES has not verified the sender' };
}
