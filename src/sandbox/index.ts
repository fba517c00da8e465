/**
 * The sandbox: the providers of messages and of mail as their public documentation describes them, on one local address, so
 * that demo, tests and benchmarks need no account anywhere. It takes sends, answers as the provider would, makes the
 * provider's status callbacks, and remembers what arrived. Beside it, on a port of its own, an SMTP server catches mail.
 *
 * Addresses, beside one another under one port: `/whatsapp`, `/telegram/bot`, `/twilio`, `/mailgun/v3`, `/sendgrid`,
 * `/postmark` and `/ses` (the providers), `/sandbox/*` (control, JSON), `/` (a page for people), `/mails/{number}` (a mail).
 *
 * Credentials: any are accepted, except those in which a word begins with `bad` or `invalid` (`bad-token`, `123:invalid`):
 * they get the provider's 401 (SES: 403, SMTP: 535).
 *
 * Recipients decide what befalls a message by their last four characters (phone numbers, chat ids and @names alike; of an
 * e-mail address those before the sign, and of several recipients the first):
 *
 * | Ends in | Fate              | What happens |
 * |---------|-------------------|--------------|
 * | 0001    | reject            | refused for good: WhatsApp 400/131026, Telegram 400 chat not found, Twilio 400/21211 |
 * | 0002    | undelivered       | accepted, then a callback `failed` / `undelivered`; Telegram, without callbacks: 403 blocked |
 * | 0003    | throttle-once     | first attempt throttled, the next one accepted |
 * | 0004    | error-once        | first attempt answered with 500, the next one accepted |
 * | 0005    | hang-once         | first attempt never answered, the next one accepted |
 * | 0006    | error             | always 500 |
 * | 0007    | lose-answer-once  | accepted and counted so, but the connection is cut instead of an answer; the next attempt is answered |
 * | 0008    | no-receipt        | accepted, no callback ever |
 * | 0009    | early-receipt     | the answer waits until the callbacks were made, 5 s at most |
 * | 0010    | no-id             | success without a message id |
 * | 0011    | throttle          | always throttled |
 * | 0012    | read              | accepted; WhatsApp's callbacks go on to `read` |
 * | other   | accept            | accepted; WhatsApp `sent`, `delivered` (and `read`, every fourth), Twilio `queued`, `sent`, `delivered` |
 *
 * Mail has no callbacks: `undelivered` is refused at once, what only concerns callbacks is accepted. By SMTP a recipient is
 * refused with 550, throttling is 450 at the recipient (greylisting), an error 451 after the data.
 *
 * "Once" is per message: by its dispatch id, for Telegram by recipient and text. The table, and everything else about a
 * provider's behaviour, changes at run time: `PUT /sandbox/behaviour`.
 *
 * Control: `GET /sandbox/received?provider=&since=&limit=`, `DELETE /sandbox/received`, `GET /sandbox/counts`,
 * `GET /sandbox/mails?since=&to=&limit=`, `GET /sandbox/mails/{number}`, `GET|PUT /sandbox/behaviour`; the same as functions of the handle.
 *
 * Limits: the last `maxRecords` sends are remembered, with 256 characters of text each and 128 Mi characters in all;
 * `maxPendingCallbacks` statuses may be pending, more are dropped and counted; a request body has 256 KiB at most (mail: as
 * much as the provider takes; by SMTP 10 MiB); the last 2,000 mails are kept, with 64 Mi characters in all; an attempt that hangs is cut after two minutes. Nothing is stored: closing ends it, pending callbacks included.
 *
 * Not for the public: no authentication stands before the control routes, so that it listens on loopback unless told.
 */

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Behaviour, type BehaviourChange, Behaviours, behaviourChange, type ProviderName } from './behaviour.ts';
import { type CallbackCounts, Callbacks } from './callbacks.ts';
import { type Counts, countsOf } from './control.ts';
import { type CaughtMail, Mailbox, type MailQuery } from './mailbox.ts';
import { type Received, type ReceivedPage, type ReceivedQuery, ReceivedRing } from './received.ts';
import { Requests } from './requests.ts';
import { startMailCatcher } from './smtp.ts';

export { magicRecipients } from './behaviour.ts';
export type {
  Behaviour,
  BehaviourChange,
  CallbackCounts,
  CaughtMail,
  Counts,
  MailQuery,
  ProviderName,
  Received,
  ReceivedPage,
  ReceivedQuery,
};

export interface SandboxOptions {
  /** `127.0.0.1` unless told. */
  readonly host?: string;
  /** Any free port unless told. */
  readonly port?: number;
  /** Port of the mail catcher; any free one unless told. */
  readonly smtpPort?: number;
  /** Where `smtpPort` cannot be had: any free one, rather than an error. */
  readonly orAnySmtpPort?: boolean;
  /** Key and certificate of the mail catcher, PEM: with them it offers STARTTLS; without them it does not. */
  readonly smtpTls?: { readonly key: string; readonly cert: string };
  /** Base address of the server that WhatsApp's callbacks go to; without it none are made until it is set. */
  readonly callbackBaseUrl?: string;
  /** Secret that WhatsApp's callbacks are signed with; unsigned without it. */
  readonly whatsappAppSecret?: string;
  /** Sends remembered; 500,000 unless told. */
  readonly maxRecords?: number;
  /** Status callbacks that may be pending; 100,000 unless told. */
  readonly maxPendingCallbacks?: number;
  /** Attempts for one callback; 9 unless told, which with the waits between them take about a minute. */
  readonly callbackAttempts?: number;
  /** Wait before the second attempt of a callback, doubled each time; 500 ms unless told. */
  readonly callbackBackoffMs?: number;
  /** Where lines about what went wrong go; nowhere unless told. */
  readonly log?: (text: string) => void;
  /** Source of chance for the rates, 0..1. */
  readonly random?: () => number;
}

export interface Sandbox {
  /** Address of the page; the providers' are below it. */
  readonly url: string;
  /** Value for `WHATSAPP_API_URL`. */
  readonly whatsappUrl: string;
  /** Value for `TELEGRAM_API_URL`; the token is appended directly. */
  readonly telegramUrl: string;
  /** Value for `TWILIO_API_URL`. */
  readonly twilioUrl: string;
  /** Base addresses of the providers of mail; `mailgunUrl` is one for `base_url`. */
  readonly mailgunUrl: string;
  readonly sendgridUrl: string;
  readonly postmarkUrl: string;
  readonly sesUrl: string;
  /** The mail catcher: value for `COMPANY_SMTP_URL`. */
  readonly smtpUrl: string;
  /** Where the mail catcher listens. */
  readonly smtp: { readonly host: string; readonly port: number };
  received(query?: ReceivedQuery): ReceivedPage;
  /** Mails that were caught, in order of arrival. */
  mails(query?: MailQuery): CaughtMail[];
  counts(): Counts;
  behaviour(): Readonly<Record<ProviderName, Behaviour>>;
  /** @throws Error when a value is out of its bounds */
  behave(change: BehaviourChange): void;
  /** Forgets what arrived and all figures; behaviour stays. */
  reset(): void;
  /** Calls the listener for every send that arrives, at once; the result ends it. */
  onReceived(listener: (record: Received) => void): () => void;
  /** Resolves when no status callback is pending. */
  callbacksSettled(): Promise<void>;
  /** Stops listening, cuts what hangs, drops pending callbacks. */
  close(): Promise<void>;
}

/** Port of the mail catcher beside a server, where it can be had: one of those that a tenant's mail server may have. */
export const usualSmtpPort = 2525;

/** An address of the sandbox, and the variable that points a server at it. */
export interface SandboxAddress {
  /** The provider, for people. */
  readonly name: string;
  readonly variable: string;
  readonly url: string;
}

/** Every address that a server can be pointed at: the providers', the mail catcher's last. */
export function sandboxAddresses(sandbox: Sandbox): readonly SandboxAddress[] {
  const { whatsappUrl, telegramUrl, twilioUrl, mailgunUrl, sendgridUrl, postmarkUrl, sesUrl, smtpUrl } = sandbox;
  return [
    { name: 'WhatsApp', variable: 'WHATSAPP_API_URL', url: whatsappUrl },
    { name: 'Telegram', variable: 'TELEGRAM_API_URL', url: telegramUrl },
    { name: 'Twilio', variable: 'TWILIO_API_URL', url: twilioUrl },
    { name: 'Mailgun', variable: 'MAILGUN_API_URL', url: mailgunUrl },
    { name: 'SendGrid', variable: 'SENDGRID_API_URL', url: sendgridUrl },
    { name: 'Postmark', variable: 'POSTMARK_API_URL', url: postmarkUrl },
    { name: 'Amazon SES', variable: 'SES_API_URL', url: sesUrl },
    { name: 'mail catcher', variable: 'COMPANY_SMTP_URL', url: smtpUrl },
  ];
}

const DEFAULT_MAX_RECORDS = 500_000;
const MAX_RECORD_CHARACTERS = 128 * 1024 * 1024;
const MAX_MAILS = 2_000;
const MAX_MAIL_CHARACTERS = 64 * 1024 * 1024;
const DEFAULT_MAX_PENDING_CALLBACKS = 100_000;
const DEFAULT_CALLBACK_ATTEMPTS = 9;
const DEFAULT_CALLBACK_BACKOFF_MS = 500;

/**
 * Starts a sandbox and resolves when it listens.
 * @throws Error when the port cannot be had
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const log = options.log ?? (() => {});
  const behaviours = new Behaviours(options.random ?? Math.random);
  const ring = new ReceivedRing(options.maxRecords ?? DEFAULT_MAX_RECORDS, MAX_RECORD_CHARACTERS);
  const callbacks = new Callbacks({
    maxPending: options.maxPendingCallbacks ?? DEFAULT_MAX_PENDING_CALLBACKS,
    attempts: options.callbackAttempts ?? DEFAULT_CALLBACK_ATTEMPTS,
    backoffMs: options.callbackBackoffMs ?? DEFAULT_CALLBACK_BACKOFF_MS,
    onTrouble: log,
  });
  if (options.callbackBaseUrl !== undefined) callbacks.whatsappTo(options.callbackBaseUrl);
  if (options.whatsappAppSecret !== undefined) callbacks.whatsappSecret(options.whatsappAppSecret);
  const mailbox = new Mailbox(MAX_MAILS, MAX_MAIL_CHARACTERS);
  const requests = new Requests({ behaviours, ring, mailbox, callbacks, log });
  const server = createServer((request, response) => requests.handle(request, response));
  // Longer than clients keep theirs, so that none of them writes to a connection that ends this very moment.
  server.keepAliveTimeout = 65_000;

  const host = options.host ?? '127.0.0.1';
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const url = addressOf(server.address(), host);
  const catcher = await startMailCatcher({
    host,
    port: options.smtpPort ?? 0,
    orAnyPort: options.orAnySmtpPort ?? false,
    tls: options.smtpTls,
    behaviours,
    ring,
    mailbox,
    onReceived: (record) => requests.tell(record),
    log,
  }).catch(async (error: unknown) => {
    await new Promise<void>((resolve) => server.close(() => resolve()));
    throw error;
  });

  return {
    url,
    whatsappUrl: `${url}/whatsapp`,
    telegramUrl: `${url}/telegram/bot`,
    twilioUrl: `${url}/twilio`,
    mailgunUrl: `${url}/mailgun/v3`,
    sendgridUrl: `${url}/sendgrid`,
    postmarkUrl: `${url}/postmark`,
    sesUrl: `${url}/ses`,
    smtpUrl: `smtp://${new URL(url).hostname}:${catcher.port}`,
    smtp: { host: new URL(url).hostname.replace(/^\[|\]$/g, ''), port: catcher.port },
    received: (query = {}) => ring.page(query),
    mails: (query = {}) => mailbox.list(query),
    counts: () => countsOf(ring, callbacks),
    behaviour: () => structuredClone(behaviours.all()),
    behave: (change) => requests.behave(behaviourChange.parse(change)),
    reset: () => requests.reset(),
    onReceived: (listener) => requests.onReceived(listener),
    callbacksSettled: () => callbacks.settled(),
    async close() {
      requests.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await Promise.all([closed, callbacks.close(), catcher.close()]);
    },
  };
}

/** The address to call, which for "every interface" is loopback. */
function addressOf(address: string | AddressInfo | null, host: string): string {
  if (address === null || typeof address === 'string') throw new Error('the sandbox does not listen on a port');
  const named = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${named.includes(':') ? `[${named}]` : named}:${address.port}`;
}
