import type {
  EmailCheck,
  EmailProviderConfig,
  EmailProviderConfigOf,
  EmailProviderType,
} from '../../commands/email-providers.ts';

export type { EmailCheck, EmailProviderConfig, EmailProviderConfigOf, EmailProviderType };

/** One mail on its way out. Addresses and texts are checked again here, whatever the dialect allowed. */
export interface EmailMessage {
  /**
   * Ours, the same on every attempt: the `Message-ID` is made from it, so that a second copy is known as such. Letters,
   * digits and `._-`; at most 128 characters.
   */
  readonly id: string;
  readonly from: { readonly address: string; readonly name?: string | null };
  readonly replyTo?: string | null;
  readonly to: readonly string[];
  readonly cc?: readonly string[];
  readonly bcc?: readonly string[];
  readonly subject: string;
  readonly content: string;
  /** `html` unless told (sheet, section 11). */
  readonly contentType?: 'html' | 'text';
}

/** A recipient that a mail did not reach although others got it. */
export interface Undelivered {
  readonly address: string;
  readonly error: string;
  /** True when a mail to this recipient alone may succeed later. */
  readonly retryable: boolean;
}

/** How one attempt ended: the words of the connectors. */
export type EmailResult =
  /**
   * The provider took it for at least one recipient; `undelivered` names the others, normally none. To try again means to
   * send to those alone. `externalId` is the provider's id, null where there is none (SMTP).
   */
  | { readonly outcome: 'sent'; readonly externalId: string | null; readonly undelivered: readonly Undelivered[] }
  /** Refused for good (4xx of an HTTP provider, 5yz of SMTP, bad login, no STARTTLS, unverified certificate): no retry. */
  | { readonly outcome: 'rejected'; readonly error: string }
  /** The provider asks to slow down: uses up no attempt. `retryAfterMs` is its hint, null when it gave none. */
  | { readonly outcome: 'throttled'; readonly error: string; readonly retryAfterMs: number | null }
  /** Network trouble, time-out, 5xx of an HTTP provider, 4yz of SMTP: an attempt is used up. */
  | { readonly outcome: 'unreachable'; readonly error: string };

export interface SendOptions {
  /** Time for all of it; 30 s unless told (sheet, section 11). */
  readonly timeoutMs?: number;
}

/** One provider, one file. Neither call ever throws: every ending is a result. */
export interface EmailChannel<T extends EmailProviderType> {
  readonly type: T;
  readonly label: string;
  /** Sends once. */
  send(message: EmailMessage, config: EmailProviderConfigOf<T>, options?: SendOptions): Promise<EmailResult>;
  /** Asks whether `config` would work for mail from `sender`, without sending any. */
  check(config: EmailProviderConfigOf<T>, sender: string): Promise<EmailCheck>;
  /** Ends the connections. */
  close(): Promise<void>;
}

/** Time for a whole send. */
export const DEFAULT_TIMEOUT_MS = 30_000;
/** Time for a whole check. */
export const CHECK_TIMEOUT_MS = 10_000;
