import type { Credentials, ProviderDoor } from '../../commands/providers.ts';

/** One dispatch on its way out. */
export interface OutgoingDispatch {
  /** Ours; travels with the send where the provider gives it back in its receipts. */
  readonly dispatchId: string;
  readonly to: string;
  readonly text: string;
  /** Address for the provider's status callbacks, for providers that take one per message (Twilio). */
  readonly statusCallback?: string;
  /** Asked right before it leaves; when false, nothing is sent. */
  readonly mayLeave?: () => boolean;
}

/** How a send ended that was tried. */
export type SendResult =
  /** The provider took it. `delivered` where taking is all that it will ever say (Telegram). */
  | { readonly outcome: 'sent'; readonly externalId: string; readonly delivered: boolean }
  /** The provider refused for good (4xx beside throttling): no retry. */
  | { readonly outcome: 'rejected'; readonly error: string }
  /** The provider asks to slow down: uses up no attempt. `retryAfterMs` is its hint, null when it gave none. */
  | { readonly outcome: 'throttled'; readonly error: string; readonly retryAfterMs: number | null }
  /** Network trouble, time-out or 5xx: an attempt is used up. */
  | { readonly outcome: 'unreachable'; readonly error: string };

/** `mayLeave` said no: nothing was sent. */
export interface Withdrawn {
  readonly outcome: 'withdrawn';
}

/** One provider, one file. `send` and `check` never throw: every ending is a result. */
export interface Provider extends ProviderDoor {
  /** Sends once, within `timeoutMs`. */
  send(credentials: Credentials, dispatch: OutgoingDispatch, timeoutMs: number): Promise<SendResult | Withdrawn>;
  /** Ends the provider's connections. */
  close(): Promise<void>;
}

/** Where a provider is reached; from the configuration. */
export interface ProviderOptions {
  /** Base address, without a trailing slash (Telegram's takes the token appended directly). */
  readonly baseUrl: string;
  /** Connections kept to the provider at most. */
  readonly connections: number;
}
