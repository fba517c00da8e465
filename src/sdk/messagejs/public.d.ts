/**
 * The public face of `@messagejs/client`: the packages ship this very file as their types, and the source is checked
 * against it (`typeof import('./public.d.ts')`), so the two cannot drift apart. It may import nothing.
 */

/** What `init` takes. Settings that are absent or undefined keep their value from an earlier `init`, or their default. */
export interface MessageJSConfig {
  /** The project's API key (`pk_live_...`). Required, once. */
  apiKey: string;
  /** Address of the API, with or without one trailing slash. Default `https://api.messagejs.pro/api/v1`. */
  baseUrl?: string | undefined;
  /** How often a send is tried again after 429, 5xx and network failures. Default 0; a negative number means 0. */
  retries?: number | undefined;
}

/** One message to send: the four fields that reach the server, nothing else does. */
export interface SendParams {
  /** The recipient in the form that the connector's channel uses: a phone number, a chat id, or `@name`. */
  to: string;
  connectorId: string;
  templateId: string;
  /** The values of the template's placeholders. Default `{}`. */
  variables?: Record<string, unknown> | undefined;
}

/** The server's answer to a message it has accepted. */
export interface SendResult {
  /** Names the message in history and in status queries (`msg_...`). */
  messageId: string;
  /** `queued`: stored, and on its way to the provider. */
  status: string;
}

/** The SDK: `init` once, then `sendMessage` as often as you like. Both work without their object (`const { init } = messagejs`). */
export interface MessageJSClient {
  /**
   * Sets the API key (a plain string sets only that) and the other settings given; calling it again replaces the given ones
   * only. Sends that are under way keep the settings they began with. Throws a `MessageJSError` when there is no API key.
   */
  init(config: string | Partial<MessageJSConfig>): void;
  /**
   * Sends one message. All attempts of one call carry one idempotency key, so that the message is sent once at most.
   * Rejects with a `MessageJSError`.
   */
  sendMessage(params: SendParams): Promise<SendResult>;
}

/** Why an `init` or a send failed. */
export declare class MessageJSError extends Error {
  /**
   * The server's code (`INVALID_TO`, `QUOTA_EXCEEDED`, ...; undefined when its answer had none), or one of the SDK's own:
   * `NOT_INITIALIZED`, `NETWORK_ERROR` (no answer: the outcome is unknown, `cause` says more), `INVALID_RESPONSE`
   * (accepted, but the answer cannot be read).
   */
  readonly code: string | undefined;
  /** The HTTP status; undefined when there was no answer. */
  readonly status: number | undefined;
  /** What the server added, e.g. `{ fields: [{ path, message }] }`. */
  readonly details: Record<string, unknown> | undefined;
  constructor(
    message: string,
    code?: string,
    status?: number,
    details?: Record<string, unknown>,
    options?: { cause?: unknown },
  );
}

export declare const messagejs: MessageJSClient;
