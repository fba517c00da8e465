import { cleanId, isObject, textOf } from '../connectors/texts.ts';
import { type HttpEmailOptions, httpEmail, operatorsBase, refusedCheck } from './http.ts';
import { mailbox, type ReadyMessage, recipientsOf } from './message.ts';
import type { EmailChannel, EmailProviderConfigOf } from './provider.ts';

/** Mailgun's own address (the sheet's default of `base_url`). */
const MAILGUN_URL = 'https://api.mailgun.net/v3';

export interface MailgunOptions extends HttpEmailOptions {
  /** Where Mailgun is reached by those who name no other address; its own unless told. */
  readonly url?: string;
}

/**
 * Mailgun (sheet, section 11): `POST {base_url}/{domain}/messages`, a form, Basic `api:{key}`. A `base_url` of the tenant's
 * that is not Mailgun's own is reached through the guard.
 */
export function mailgun(options: MailgunOptions): EmailChannel<'mailgun'> {
  const own = operatorsBase(options.url ?? MAILGUN_URL);
  return httpEmail(options, {
    type: 'mailgun',
    label: 'Mailgun',
    secrets: (config) => [config.api_key, basicOf(config)],
    base({ base_url: url }) {
      const named = url?.replace(/\/+$/, '');
      return named === undefined || named === MAILGUN_URL
        ? { url: own, guarded: false }
        : { url: named, guarded: true };
    },
    parts: (message, config) => [
      {
        recipients: recipientsOf(message),
        call: {
          method: 'POST',
          path: `/${config.domain}/messages`,
          headers: {
            authorization: `Basic ${basicOf(config)}`,
            'content-type': 'application/x-www-form-urlencoded',
          },
          body: formOf(message).toString(),
        },
      },
    ],
    taken(_answer, body) {
      const id = isObject(body) ? cleanId(body.id) : undefined;
      return id === undefined ? { kind: 'strange' } : { kind: 'taken', externalId: id, undelivered: [] };
    },
    problem: (body) => ({ text: isObject(body) ? textOf(body.message) : undefined }),
    async check(config, _sender, ask) {
      const answer = await ask({
        method: 'GET',
        path: `/domains/${config.domain}`,
        headers: { authorization: `Basic ${basicOf(config)}` },
      });
      if (answer?.status === 404) return { valid: false, error: 'Mailgun does not know the domain' };
      const refused = answer && refusedCheck('Mailgun', answer.status);
      if (refused) return refused;
      const domain = isObject(answer?.body) ? answer.body.domain : undefined;
      const active = isObject(domain) && domain.state === 'active';
      return active ? { valid: true } : { valid: false, error: 'The domain is not active at Mailgun' };
    },
  });
}

function basicOf(config: EmailProviderConfigOf<'mailgun'>): string {
  return Buffer.from(`api:${config.api_key}`, 'utf8').toString('base64');
}

function formOf(message: ReadyMessage): URLSearchParams {
  const form = new URLSearchParams({ from: mailbox(message.from), to: message.to.join(', ') });
  if (message.cc.length > 0) form.set('cc', message.cc.join(', '));
  if (message.bcc.length > 0) form.set('bcc', message.bcc.join(', '));
  form.set('subject', message.subject);
  form.set(message.contentType, message.content);
  if (message.replyTo !== null) form.set('h:Reply-To', message.replyTo);
  return form;
}
