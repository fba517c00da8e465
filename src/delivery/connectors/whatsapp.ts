import { createHmac } from 'node:crypto';
import type { IncomingReceipt, Receipt } from '../../commands/providers.ts';
import { HEADER_TEXT, type HttpProviderOptions, httpProvider, PATH_SEGMENT, type Problem } from './http-provider.ts';
import type { Provider } from './provider.ts';
import { cleanId, cleanText, headerOf, isObject, numberOf, parseJson, sameSecret, textOf } from './texts.ts';

/** Options of the WhatsApp Cloud API. */
export interface WhatsappOptions extends HttpProviderOptions {
  /** Version of Meta's Graph API in the path; `v19.0` unless told. */
  readonly apiVersion?: string;
}

const DEFAULT_API_VERSION = 'v19.0';

/** Application, business account, throughput and pair rate limits (Meta, Cloud API error codes). */
const THROTTLING_CODES: ReadonlySet<number> = new Set([4, 80007, 130429, 131056]);

const STATUSES: Readonly<Record<string, Receipt['status']>> = {
  sent: 'sent',
  delivered: 'delivered',
  read: 'delivered',
  failed: 'failed',
};

/**
 * WhatsApp Cloud API (sheet, sections 13 and 14). Credentials: `phoneNumberId`, `accessToken`. Our dispatch id travels as
 * `biz_opaque_callback_data`. Receipts are signed with the app secret in `X-Hub-Signature-256`.
 */
export function whatsapp(options: WhatsappOptions): Provider {
  const apiVersion = options.apiVersion ?? DEFAULT_API_VERSION;
  if (!PATH_SEGMENT.test(apiVersion)) throw new TypeError('the version of the WhatsApp API is malformed');
  return httpProvider(options, {
    type: 'whatsapp',
    label: 'WhatsApp',
    credentials: { phoneNumberId: PATH_SEGMENT, accessToken: HEADER_TEXT },
    secrets: ({ accessToken = '' }) => [accessToken],
    sendCall: (credentials, dispatch) => ({
      method: 'POST',
      path: `/${apiVersion}/${credentials.phoneNumberId}/messages`,
      headers: { authorization: `Bearer ${credentials.accessToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        messaging_product: 'whatsapp',
        recipient_type: 'individual',
        to: dispatch.to,
        type: 'text',
        text: { body: dispatch.text },
        biz_opaque_callback_data: dispatch.dispatchId,
      }),
    }),
    checkCall: (credentials) => ({
      method: 'GET',
      path: `/${apiVersion}/${credentials.phoneNumberId}`,
      headers: { authorization: `Bearer ${credentials.accessToken}` },
    }),
    problem,
    throttlingCodes: THROTTLING_CODES,
    externalId: (body) => {
      const [first]: unknown[] = isObject(body) && Array.isArray(body.messages) ? body.messages : [];
      return isObject(first) ? first.id : undefined;
    },
    delivered: false,
    connected: () => 'Connected to WhatsApp Cloud API',
    parseReceipt,
    verifyReceipt,
  });
}

function problem(body: unknown): Problem | undefined {
  if (!isObject(body) || !isObject(body.error)) return undefined;
  return { text: textOf(body.error.message), code: numberOf(body.error.code) };
}

function parseReceipt(incoming: IncomingReceipt): Receipt[] {
  const body = parseJson(incoming.rawBody);
  if (!isObject(body) || body.object !== 'whatsapp_business_account') return [];
  const receipts: Receipt[] = [];
  for (const entry of listOf(body.entry)) {
    for (const change of listOf(entry.changes)) {
      if (change.field !== 'messages' || !isObject(change.value)) continue;
      const senderId = isObject(change.value.metadata) ? cleanId(change.value.metadata.phone_number_id) : undefined;
      for (const status of listOf(change.value.statuses)) {
        const receipt = receiptOf(status, senderId);
        if (receipt !== undefined) receipts.push(receipt);
      }
    }
  }
  return receipts;
}

function receiptOf(status: Readonly<Record<string, unknown>>, senderId: string | undefined): Receipt | undefined {
  const externalId = cleanId(status.id);
  const known =
    typeof status.status === 'string' && Object.hasOwn(STATUSES, status.status) ? STATUSES[status.status] : undefined;
  if (externalId === undefined || known === undefined) return undefined;
  const dispatchId = cleanId(status.biz_opaque_callback_data);
  const seconds = numberOf(status.timestamp);
  return {
    status: known,
    externalId,
    ...(dispatchId === undefined ? {} : { dispatchId }),
    ...(senderId === undefined ? {} : { senderId }),
    ...(known === 'failed' ? { error: errorOf(status.errors) } : {}),
    ...(seconds === undefined || seconds <= 0 ? {} : { at: seconds * 1_000 }),
  };
}

function errorOf(errors: unknown): string {
  const first = listOf(errors)[0];
  const told = cleanText(textOf(first?.title) ?? textOf(first?.message) ?? '');
  return told === '' ? 'WhatsApp could not deliver the message' : told;
}

function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** Meta, "Validating payloads": HMAC-SHA-256 of the raw body with the app secret, in hex after `sha256=`. */
function verifyReceipt(incoming: IncomingReceipt, secret: string): boolean {
  const given = headerOf(incoming.headers, 'x-hub-signature-256');
  if (given === undefined || secret === '') return false;
  const expected = createHmac('sha256', secret).update(incoming.rawBody).digest('hex');
  return sameSecret(given.toLowerCase(), `sha256=${expected}`);
}
