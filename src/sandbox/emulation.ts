import type { IncomingHttpHeaders } from 'node:http';
import type { Reply } from './http.ts';
import type { Mail } from './mailbox.ts';

/** One message as a provider's API takes it. */
export interface Send {
  readonly dispatchId: string | null;
  readonly to: string;
  readonly text: string;
  /** The sending side: phone number id, bot token, account. Provider ids are counted apart per sender where they are so. */
  readonly sender: string;
  /** The sender's number, for callbacks that tell it. */
  readonly from: string;
  /** Address given with the message for its status callbacks. */
  readonly callbackUrl: string | null;
  /** What callbacks of this message are signed with, when the request itself tells. */
  readonly secret: string | null;
  /** The recipient that decides the fate, where `to` names several. */
  readonly fateKey?: string;
  /** The mails that it brings, caught when it is accepted. */
  readonly mails?: readonly Mail[];
  /** Of a batch: the recipient of every message, and whether it is refused by itself. */
  readonly batch?: readonly { readonly to: string; readonly refused: boolean }[];
}

export interface ProviderRequest {
  readonly method: string;
  /** After the emulation's prefix, without the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What a request turned out to be. */
export type Read =
  | { readonly kind: 'check'; readonly reply: Reply }
  | { readonly kind: 'other'; readonly reply: Reply }
  | { readonly kind: 'send'; readonly send: Send }
  /** A send that the provider refuses by itself: bad credentials, malformed recipient, text too long. */
  | {
      readonly kind: 'refused';
      readonly send: Send;
      readonly outcome: 'unauthorised' | 'rejected';
      readonly reply: Reply;
    };

/** The wire of one provider, by its public documentation. */
export interface Emulation {
  read(request: ProviderRequest): Read;
  externalId(send: Send, seq: number): string;
  accepted(send: Send, externalId: string): Reply;
  /** A success that lacks the id, as no provider should answer. */
  acceptedWithoutId(send: Send): Reply;
  /** `reason` tells a recipient that does not exist from one that cannot be reached, where that shows in the answer. */
  rejected(send: Send, reason: 'unknown' | 'unreachable'): Reply;
  throttled(retryAfterS: number): Reply;
  failed(status: 500 | 503): Reply;
  /** Stages that callbacks tell of, in order; none for a provider without receipts. */
  stages(ending: 'delivered' | 'read' | 'failed'): readonly string[];
}

/** Any credential is good, unless a word in it begins with `bad` or `invalid` (so `bad-token`, `123:invalid`). */
export function isBadCredential(credential: string): boolean {
  return credential === '' || /(?:^|[^a-z0-9])(?:bad|invalid)/i.test(credential);
}

/** An optional plus sign and 2..15 digits, the first of them no zero. */
export function isPhoneNumber(text: string): boolean {
  return /^\+?[1-9]\d{1,14}$/.test(text);
}

/** `value` as text, the empty one when it is none. */
export function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}
