/**
 * What `main.ts` hands to dialects of the providers, as types: so that no dialect imports delivery.
 * Delivery implements them; the sheet of MessageJS, sections 13 and 14, is the contract.
 */
import type { WebhookState } from '../domain/webhook.ts';

/** The third-party channels a connector can speak to. */
export type ConnectorType = 'whatsapp' | 'telegram' | 'twilio';

/** Credentials in clear: they exist in memory only (design, promise 10). */
export type Credentials = Readonly<Record<string, string>>;

/** What a live check of a connector's credentials found. `message` is text for people. */
export type CheckResult =
  | { readonly outcome: 'connected'; readonly message: string }
  | { readonly outcome: 'rejected'; readonly message: string }
  | { readonly outcome: 'unreachable'; readonly message: string };

/** One status that a provider reports of one dispatch. */
export interface Receipt {
  readonly status: 'sent' | 'delivered' | 'failed';
  /** The provider's id of the message; unique only within one connector, sometimes one chat. */
  readonly externalId: string;
  /** Our dispatch id, when it travelled with the send and came back. */
  readonly dispatchId?: string;
  /** WhatsApp: `value.metadata.phone_number_id`, which narrows the connectors a receipt can belong to. */
  readonly senderId?: string;
  /** The provider's text, for `failed`. */
  readonly error?: string;
  /** The provider's time of the status, milliseconds since the epoch. */
  readonly at?: number;
}

/** A provider callback as it came in. */
export interface IncomingReceipt {
  /** The body exactly as received: signatures are over these bytes. */
  readonly rawBody: Buffer;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The full public URL that was called, with its query. */
  readonly url: string;
}

/** The part of a provider that a dialect needs. */
export interface ProviderDoor {
  readonly type: ConnectorType;
  /** Name for people, the default name of a connector of this type. */
  readonly label: string;
  /** Names of the credentials, all required, all strings. */
  readonly credentialNames: readonly string[];
  /** Asks the provider whether the credentials work; never throws. */
  check(credentials: Credentials): Promise<CheckResult>;
  /** Reads the statuses of a callback body; a body it cannot read yields none. */
  parseReceipt(incoming: IncomingReceipt): Receipt[];
  /** True when the callback's signature was made with `secret` (app secret, auth token). */
  verifyReceipt(incoming: IncomingReceipt, secret: string): boolean;
}

/** Takes the receipts of one callback; implemented by delivery. */
export interface ReceiptDoor {
  /**
   * Records them all: what matches nothing yet is kept for a day. Durable on return.
   * `connector` narrows the match to one connector, when the callback's address names it.
   * Throws DomainError `unavailable` when not all of it is known to be stored: the provider sends again.
   */
  receive(
    connectorType: ConnectorType,
    receipts: readonly Receipt[],
    connector?: { readonly workspace: number; readonly connector: number },
  ): Promise<void>;
}

/** How a test of a webhook ended. */
export interface WebhookTested {
  /** Null when there was no answer. */
  readonly status: number | null;
  /** A code, null for a 2xx: `HTTP_<status>`, `TIMEOUT`, `TARGET_NOT_ALLOWED`, or the network's. */
  readonly error: string | null;
  readonly tookMs: number;
}

/** Posts to a webhook at once, beside its deliveries; implemented by delivery. */
export interface WebhookTestDoor {
  /** Posts one event that tells of nothing, signed as any. Nothing of it is recorded. Never throws. */
  test(webhook: WebhookState): Promise<WebhookTested>;
}
