import { boundWait, cleanId, headerOf, isObject, textOf } from '../connectors/texts.ts';
import { type HttpEmailOptions, httpEmail, operatorsBase, refusedCheck } from './http.ts';
import { type ReadyMessage, recipientsOf } from './message.ts';
import type { EmailChannel } from './provider.ts';

const SENDGRID_URL = 'https://api.sendgrid.com';

export interface SendgridOptions extends HttpEmailOptions {
  /** Where SendGrid is reached; its own address unless told. */
  readonly url?: string;
}

/** SendGrid (sheet, section 11): `POST /v3/mail/send`, Bearer, 202 with the id in `X-Message-Id`. */
export function sendgrid(options: SendgridOptions): EmailChannel<'sendgrid'> {
  const url = operatorsBase(options.url ?? SENDGRID_URL);
  return httpEmail(options, {
    type: 'sendgrid',
    label: 'SendGrid',
    secrets: (config) => [config.api_key],
    base: () => ({ url, guarded: false }),
    parts: (message, config) => [
      {
        recipients: recipientsOf(message),
        call: {
          method: 'POST',
          path: '/v3/mail/send',
          headers: { authorization: `Bearer ${config.api_key}`, 'content-type': 'application/json' },
          body: JSON.stringify(bodyOf(message)),
        },
      },
    ],
    // 202 is the acceptance; without the header there is no id, and sending again would send twice.
    taken: (answer) =>
      answer.status === 202
        ? { kind: 'taken', externalId: cleanId(headerOf(answer.headers, 'x-message-id')) ?? null, undelivered: [] }
        : { kind: 'strange' },
    problem(body) {
      const errors: unknown[] = isObject(body) && Array.isArray(body.errors) ? body.errors : [];
      const [first] = errors;
      return { text: isObject(first) ? textOf(first.message) : undefined };
    },
    // SendGrid, "Rate limits": the second since the epoch at which the window ends.
    waitMs(answer) {
      const reset = headerOf(answer.headers, 'x-ratelimit-reset') ?? '';
      return /^\d{9,11}$/.test(reset) ? boundWait(Number(reset) * 1_000 - Date.now()) : null;
    },
    async check(config, _sender, ask) {
      const answer = await ask({
        method: 'GET',
        path: '/v3/user/profile',
        headers: { authorization: `Bearer ${config.api_key}` },
      });
      if (answer === null) return { valid: false, error: '' };
      return refusedCheck('SendGrid', answer.status) ?? { valid: true };
    },
  });
}

function bodyOf(message: ReadyMessage): unknown {
  const list = (addresses: readonly string[]) => addresses.map((email) => ({ email }));
  return {
    personalizations: [
      {
        to: list(message.to),
        ...(message.cc.length > 0 ? { cc: list(message.cc) } : {}),
        ...(message.bcc.length > 0 ? { bcc: list(message.bcc) } : {}),
      },
    ],
    from: { email: message.from.address, ...(message.from.name === null ? {} : { name: message.from.name }) },
    ...(message.replyTo === null ? {} : { reply_to: { email: message.replyTo } }),
    subject: message.subject,
    content: [{ type: message.contentType === 'html' ? 'text/html' : 'text/plain', value: message.content }],
  };
}
