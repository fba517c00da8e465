/**
 * E-mail: how a mail leaves, one file per provider (`smtp.ts`, `mailgun.ts`, `sendgrid.ts`, `postmark.ts`, `ses.ts`).
 * `http.ts` turns the facts of the four that speak HTTP into calls and endings, `message.ts` makes a mail fit to leave,
 * `choose.ts` picks one of a tenant's providers, `own-mail.ts` sends the server's own mail.
 *
 * Promises
 * - `send` and `check` never throw and end within their time (30 s and 10 s unless told): every ending is a result. One
 *   `send` is one attempt; retrying is the schedule's work.
 * - `sent` only when the provider took the mail for at least one recipient; whom it did not take it for is named.
 * - By SMTP the `Message-ID` is made from the mail's id: a second copy of a mail is known by it. HTTP providers make ids of
 *   their own.
 * - No text of a tenant's ends a line in a header, an envelope or a form: such a mail is refused before anything is sent.
 * - TLS is verified always; where it was asked for nothing is sent without it. Hosts and addresses that a tenant named are
 *   connected to through the outbound guard alone.
 * - No credential leaves but to its provider. `check` tells texts of ours, never what the target said or how its
 *   connection failed; the error of a `send` may quote the provider, credentials blacked out.
 *
 * Limits: of an HTTP answer 64 KiB are read, of an SMTP reply too. HTTP addresses of the operator's have a pool each, with
 * `connections` at most; SMTP and addresses of tenants have a connection per mail: the caller bounds how many leave at once.
 */

import type { EmailCheck, EmailProviderConfig, EmailProviderDoor } from '../../commands/email-providers.ts';
import type { OutboundGuard } from '../../platform/outbound-guard.ts';
import { mailgun } from './mailgun.ts';
import { postmark } from './postmark.ts';
import type { EmailMessage, EmailResult, SendOptions } from './provider.ts';
import { sendgrid } from './sendgrid.ts';
import { ses } from './ses.ts';
import { smtp } from './smtp.ts';

export { type Candidate, type Choice, chooseProvider } from './choose.ts';
export { type OwnMailOptions, ownMail, smtpTargetOf } from './own-mail.ts';
export type { EmailMessage, EmailResult, SendOptions, Undelivered } from './provider.ts';
export { mailgun, postmark, sendgrid, ses, smtp };

/** What all providers together need; only the guard has no default. */
export interface EmailOptions {
  readonly guard: Pick<OutboundGuard, 'connect' | 'connector'>;
  /** `SMTP_ALLOWED_PORTS`: 25, 465, 587 and 2525 unless told. */
  readonly smtpPorts?: readonly number[];
  /** Name in EHLO. */
  readonly smtpClientName?: string;
  /** Certificates of authorities for SMTP, instead of Node's. */
  readonly smtpCa?: readonly string[];
  /** Base addresses instead of the providers' own. */
  readonly mailgunUrl?: string;
  readonly sendgridUrl?: string;
  readonly postmarkUrl?: string;
  readonly sesUrl?: string;
  /** Connections to one address of the operator's at most; 8 unless told. */
  readonly connections?: number;
  /** Time for a check; 10 s unless told. */
  readonly checkTimeoutMs?: number;
}

/** All five, behind one door. */
export interface Email extends EmailProviderDoor {
  /** Sends once, by the provider that `config` names. */
  send(message: EmailMessage, config: EmailProviderConfig, options?: SendOptions): Promise<EmailResult>;
  /** Ends the connections. */
  close(): Promise<void>;
}

/**
 * Makes the providers; nothing is connected to before the first call.
 * @throws TypeError when a base address is not a plain http(s) address
 */
export function email(options: EmailOptions): Email {
  const { guard, mailgunUrl, sendgridUrl, postmarkUrl, sesUrl, connections, checkTimeoutMs } = options;
  const http = {
    guard,
    ...(connections === undefined ? {} : { connections }),
    ...(checkTimeoutMs === undefined ? {} : { checkTimeoutMs }),
  };
  const at = (url: string | undefined) => (url === undefined ? http : { ...http, url });
  const channels = {
    smtp: smtp({
      guard,
      ...(options.smtpPorts === undefined ? {} : { allowedPorts: options.smtpPorts }),
      ...(options.smtpClientName === undefined ? {} : { clientName: options.smtpClientName }),
      ...(options.smtpCa === undefined ? {} : { ca: options.smtpCa }),
      ...(checkTimeoutMs === undefined ? {} : { checkTimeoutMs }),
    }),
    mailgun: mailgun(at(mailgunUrl)),
    sendgrid: sendgrid(at(sendgridUrl)),
    postmark: postmark(at(postmarkUrl)),
    ses: ses(at(sesUrl)),
  };
  return {
    send(message, config, sending): Promise<EmailResult> {
      switch (config.provider_type) {
        case 'smtp':
          return channels.smtp.send(message, config, sending);
        case 'mailgun':
          return channels.mailgun.send(message, config, sending);
        case 'sendgrid':
          return channels.sendgrid.send(message, config, sending);
        case 'postmark':
          return channels.postmark.send(message, config, sending);
        case 'ses':
          return channels.ses.send(message, config, sending);
      }
    },
    check(config, sender): Promise<EmailCheck> {
      switch (config.provider_type) {
        case 'smtp':
          return channels.smtp.check(config, sender);
        case 'mailgun':
          return channels.mailgun.check(config, sender);
        case 'sendgrid':
          return channels.sendgrid.check(config, sender);
        case 'postmark':
          return channels.postmark.check(config, sender);
        case 'ses':
          return channels.ses.check(config, sender);
      }
    },
    async close() {
      await Promise.all(Object.values(channels).map((channel) => channel.close()));
    },
  };
}
