import { createHmac } from 'node:crypto';
import type { Credentials, IncomingReceipt, Receipt } from '../../commands/providers.ts';
import { ANY_TEXT, type HttpProviderOptions, httpProvider, type Problem } from './http-provider.ts';
import type { Provider } from './provider.ts';
import { cleanId, cleanText, headerOf, isObject, numberOf, sameSecret, textOf } from './texts.ts';

/** Query parameter of a `StatusCallback` address that carries our dispatch id. */
export const CALLBACK_MESSAGE_PARAMETER = 'messageId';

/** A colon would end the user name of HTTP Basic, so it is not among the characters of an account's id. */
const ACCOUNT_SID = /^(?!\.{1,2}$)[A-Za-z0-9_.~-]{1,256}$/;

const THROTTLING_CODES: ReadonlySet<number> = new Set([20429]);

const STATUSES: Readonly<Record<string, Receipt['status']>> = {
  sent: 'sent',
  delivered: 'delivered',
  read: 'delivered',
  undelivered: 'failed',
  failed: 'failed',
  canceled: 'failed',
};

/** Receipts carry a number only; these are the frequent ones of Twilio's error dictionary, in few words. */
const ERROR_TEXTS: Readonly<Record<string, string>> = {
  '21610': 'The recipient has opted out',
  '30001': 'Queue overflow',
  '30002': 'The account is suspended',
  '30003': 'The handset cannot be reached',
  '30004': 'The message was blocked',
  '30005': 'Unknown destination handset',
  '30006': 'Landline or unreachable carrier',
  '30007': 'The message was filtered',
  '30008': 'Unknown error at the carrier',
};

/**
 * Twilio Messages API (sheet, sections 13 and 14). Credentials: `accountSid`, `authToken`, `fromNumber`. Our dispatch id
 * comes back in the query of the `StatusCallback` address that the caller builds (`CALLBACK_MESSAGE_PARAMETER`).
 * Receipts are signed with the account's auth token in `X-Twilio-Signature`.
 */
export function twilio(options: HttpProviderOptions): Provider {
  return httpProvider(options, {
    type: 'twilio',
    label: 'Twilio SMS',
    credentials: { accountSid: ACCOUNT_SID, authToken: ANY_TEXT, fromNumber: ANY_TEXT },
    secrets: (credentials) => [credentials.authToken ?? '', basicOf(credentials)],
    sendCall: (credentials, dispatch) => {
      const form = new URLSearchParams({ To: dispatch.to, From: credentials.fromNumber ?? '', Body: dispatch.text });
      if (dispatch.statusCallback !== undefined) form.set('StatusCallback', dispatch.statusCallback);
      return {
        method: 'POST',
        path: `/2010-04-01/Accounts/${credentials.accountSid}/Messages.json`,
        headers: {
          authorization: `Basic ${basicOf(credentials)}`,
          'content-type': 'application/x-www-form-urlencoded',
        },
        body: form.toString(),
      };
    },
    checkCall: (credentials) => ({
      method: 'GET',
      path: `/2010-04-01/Accounts/${credentials.accountSid}.json`,
      headers: { authorization: `Basic ${basicOf(credentials)}` },
    }),
    problem,
    throttlingCodes: THROTTLING_CODES,
    externalId: (body) => (isObject(body) ? body.sid : undefined),
    delivered: false,
    connected: () => 'Connected to Twilio',
    parseReceipt,
    verifyReceipt,
  });
}

function basicOf(credentials: Credentials): string {
  return Buffer.from(`${credentials.accountSid}:${credentials.authToken}`, 'utf8').toString('base64');
}

/** Errors have `code` and `message`; a message that failed while it was created has `error_code` and `error_message`. */
function problem(body: unknown): Problem | undefined {
  if (!isObject(body)) return undefined;
  const code = numberOf(body.code);
  if (code !== undefined) return { text: textOf(body.message), code };
  if (body.status !== 'failed' && body.status !== 'undelivered') return undefined;
  return { text: textOf(body.error_message), code: numberOf(body.error_code) };
}

function parseReceipt(incoming: IncomingReceipt): Receipt[] {
  const form = new URLSearchParams(incoming.rawBody.toString('utf8'));
  const externalId = cleanId(form.get('MessageSid') ?? form.get('SmsSid'));
  const word = form.get('MessageStatus') ?? form.get('SmsStatus') ?? '';
  const status = Object.hasOwn(STATUSES, word) ? STATUSES[word] : undefined;
  if (externalId === undefined || status === undefined) return [];
  const dispatchId = dispatchIdOf(incoming.url);
  return [
    {
      status,
      externalId,
      ...(dispatchId === undefined ? {} : { dispatchId }),
      ...(status === 'failed' ? { error: errorOf(form, word) } : {}),
    },
  ];
}

function dispatchIdOf(url: string): string | undefined {
  const query = url.indexOf('?');
  if (query < 0) return undefined;
  return cleanId(new URLSearchParams(url.slice(query + 1).split('#', 1)[0]).get(CALLBACK_MESSAGE_PARAMETER));
}

function errorOf(form: URLSearchParams, word: string): string {
  const told = cleanText(form.get('ErrorMessage') ?? '');
  if (told !== '') return told;
  const code = form.get('ErrorCode') ?? '';
  if (!/^\d{1,6}$/.test(code)) return `Twilio reports the message as ${word}`;
  const known = Object.hasOwn(ERROR_TEXTS, code) ? ERROR_TEXTS[code] : 'Twilio could not deliver the message';
  return `${known} (Twilio error ${code})`;
}

/**
 * Twilio, "Webhooks security": HMAC-SHA-1 with the auth token over the full URL followed by every POST parameter, sorted
 * by name, name and value without anything between; Base64.
 */
function verifyReceipt(incoming: IncomingReceipt, secret: string): boolean {
  const given = headerOf(incoming.headers, 'x-twilio-signature');
  if (given === undefined || secret === '') return false;
  const fields = [...new URLSearchParams(incoming.rawBody.toString('utf8'))];
  fields.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const signed = incoming.url + fields.map(([name, value]) => name + value).join('');
  return sameSecret(given, createHmac('sha1', secret).update(signed, 'utf8').digest('base64'));
}
