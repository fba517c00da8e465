import t, { type Test } from 'tap';
import type { EmailProviderConfig } from '../../../src/commands/email-providers.ts';
import { type EmailMessage, email } from '../../../src/delivery/email/index.ts';
import { startSandbox } from '../../../src/sandbox/index.ts';
import { authority } from './authority.ts';
import { message, openGuard } from './world.ts';

const types = ['smtp', 'mailgun', 'sendgrid', 'postmark', 'ses'] as const;
type Type = (typeof types)[number];

const TIMEOUT_MS = 5_000;
const ca = authority();

async function world(test: Test) {
  const sandbox = await startSandbox({ smtpTls: ca.issue('mail.example.test') });
  const all = email({
    guard: openGuard(),
    smtpPorts: [sandbox.smtp.port],
    smtpCa: [ca.cert],
    mailgunUrl: sandbox.mailgunUrl,
    sendgridUrl: sandbox.sendgridUrl,
    postmarkUrl: sandbox.postmarkUrl,
    sesUrl: sandbox.sesUrl,
  });
  test.teardown(async () => {
    await all.close();
    await sandbox.close();
  });
  const config = (type: Type, secret = 'good-secret'): EmailProviderConfig => {
    const { port } = sandbox.smtp;
    const smtp = { host: 'mail.example.test', port, username: 'user', password: secret, use_tls: true, use_ssl: false };
    const one = {
      smtp: { provider_type: 'smtp', ...smtp },
      mailgun: { provider_type: 'mailgun', api_key: secret, domain: 'mg.example.com' },
      sendgrid: { provider_type: 'sendgrid', api_key: secret },
      postmark: { provider_type: 'postmark', server_token: secret },
      ses: {
        provider_type: 'ses',
        aws_access_key_id: secret.replaceAll('-', '_'),
        aws_secret_access_key: secret,
        region: 'us-east-1',
      },
    } satisfies Record<Type, EmailProviderConfig>;
    return one[type];
  };
  const send = (type: Type, more: Partial<EmailMessage> = {}, timeoutMs = TIMEOUT_MS) =>
    all.send(message(more), config(type), { timeoutMs });
  return { sandbox, all, config, send };
}

t.test('a mail arrives as it was sent, whichever way it goes', async (t) => {
  const { sandbox, send } = await world(t);
  const mail = {
    from: { address: 'noreply@example.com', name: 'Parley' },
    replyTo: 'answers@example.com',
    to: ['one@example.org', 'two@example.org'],
    cc: ['three@example.org'],
    bcc: ['four@example.org'],
    subject: 'Grüße & mehr 👋',
    content: '<p>Fünf &lt; sechs</p>',
  };
  for (const type of types) {
    const since = sandbox.mails().at(-1)?.number ?? 0;
    const sent = await send(type, mail);
    t.match(sent, { outcome: 'sent', undelivered: [] }, type);
    const caught = sandbox.mails({ since });
    // Postmark's batch has a mail for each recipient; the others have one.
    t.same(
      caught.flatMap(({ to }) => to),
      mail.to,
      type,
    );
    t.match(caught[0], {
      provider: type,
      from: '"Parley" <noreply@example.com>',
      cc: mail.cc,
      bcc: mail.bcc,
      replyTo: mail.replyTo,
      subject: mail.subject,
    });
    t.equal(caught[0]?.html?.trim(), mail.content, type);
    t.match(caught[0]?.text ?? null, type === 'smtp' ? /Fünf < sechs/ : null);
    const record = sandbox.received({ provider: type }).received[0];
    t.match(record, { outcome: 'accepted', text: mail.subject });
    if (sent.outcome === 'sent') t.equal(sent.externalId, record?.externalId, `${type}: the id that was answered`);
  }
});

t.test('a recipient that is refused for good', async (t) => {
  const { sandbox, send } = await world(t);
  const errors: Record<Type, RegExp> = {
    smtp: /550 5\.1\.1 No such user here/,
    mailgun: /not a valid address/,
    sendgrid: /valid address/,
    postmark: /inactive/,
    ses: /not verified/,
  };
  for (const type of types) {
    t.match(await send(type, { to: ['user0001@example.org'] }), { outcome: 'rejected', error: errors[type] }, type);
    t.equal(sandbox.counts()[type].rejected, 1, type);
  }
  t.same(sandbox.mails(), []);
  for (const type of ['smtp', 'postmark'] as const) {
    const some = await send(type, { to: ['user0001@example.org', 'two@example.org'] });
    t.match(some, { outcome: 'sent', undelivered: [{ address: 'user0001@example.org', retryable: false }] }, type);
    t.same(sandbox.mails().at(-1)?.provider, type);
  }
});

t.test('credentials that are refused', async (t) => {
  const { sandbox, all, config } = await world(t);
  for (const type of types) {
    const wrong = config(type, 'bad-secret');
    t.match(await all.send(message(), wrong), { outcome: 'rejected', error: /\w/ }, type);
    t.same(await all.check(wrong, 'a@example.com'), {
      valid: false,
      error: `${{ smtp: 'SMTP', mailgun: 'Mailgun', sendgrid: 'SendGrid', postmark: 'Postmark', ses: 'Amazon SES' }[type]} refused the credentials`,
    });
    t.same(await all.check(config(type), 'a@example.com'), { valid: true }, type);
    t.equal(sandbox.counts()[type].checks, type === 'ses' ? 3 : type === 'smtp' ? 3 : 2, `${type}: a check is no send`);
  }
  t.same(sandbox.mails(), []);
});

t.test('what a check finds beside credentials', async (t) => {
  const { all, config } = await world(t);
  const domain = (name: string) => ({ ...config('mailgun'), domain: name }) as EmailProviderConfig;
  t.match(await all.check(domain('unverified.example'), 'a@b.c'), { valid: false, error: /not active/ });
  t.match(await all.check(domain('unknown.example'), 'a@b.c'), { valid: false, error: /does not know the domain/ });
  t.match(await all.check(config('ses'), 'a@unverified.example'), { valid: false, error: /not verified the sender/ });
  t.match(await all.check(config('ses'), 'a@unknown.example'), { valid: false, error: /not verified the sender/ });
  t.match(await all.check(config('ses'), "o'neil+x@example.com"), { valid: true }, 'marks in an address');
});

t.test('throttled once, then taken', async (t) => {
  const { sandbox, send } = await world(t);
  sandbox.behave({ retryAfterS: 7 });
  for (const type of types) {
    const to = ['user0003@example.org'];
    const first = await send(type, { to });
    // By SMTP putting off is all that there is: greylisting.
    t.match(first, type === 'smtp' ? { outcome: 'unreachable', error: /450/ } : { outcome: 'throttled' }, type);
    if (first.outcome === 'throttled') {
      const hint = first.retryAfterMs;
      if (type === 'ses') t.equal(hint, null, 'SES tells no time');
      else t.ok(hint !== null && hint > 5_000 && hint <= 8_000, `${type}: ${hint}`);
    }
    t.match(await send(type, { to }), { outcome: 'sent' }, type);
  }
  t.equal(sandbox.mails().length, 5);
});

t.test('trouble once, then taken; trouble for ever', async (t) => {
  const { send } = await world(t);
  for (const type of types) {
    t.match(await send(type, { to: ['user0004@example.org'] }), { outcome: 'unreachable', error: /\w/ }, type);
    t.match(await send(type, { to: ['user0004@example.org'] }), { outcome: 'sent' }, type);
    for (let i = 0; i < 2; i += 1) {
      t.match(await send(type, { to: ['user0006@example.org'] }), { outcome: 'unreachable' }, type);
    }
  }
});

t.test('no answer in time, and an answer lost on the way', async (t) => {
  const { sandbox, send } = await world(t);
  for (const type of types) {
    const hung = { to: ['user0005@example.org'] };
    t.match(await send(type, hung, 500), { outcome: 'unreachable', error: /no answer within \d+ ms/ }, type);
    t.match(await send(type, hung), { outcome: 'sent' }, type);
    const lost = { to: ['user0007@example.org'] };
    t.match(await send(type, lost), { outcome: 'unreachable', error: /connection lost/ }, type);
    t.match(await send(type, lost), { outcome: 'sent' }, type);
    t.equal(sandbox.counts()[type].accepted, 3, `${type}: one was taken twice`);
  }
  const twice = sandbox.mails({ to: 'user0007@example.org' }).filter(({ provider }) => provider === 'smtp');
  t.equal(twice.length, 2);
  t.equal(twice[0]?.messageId, twice[1]?.messageId, 'known as one mail by its Message-ID');
});

t.test('a provider that is down, or gone', async (t) => {
  const { sandbox, all, config, send } = await world(t);
  sandbox.behave({ down: true });
  for (const type of types) {
    t.match(await send(type), { outcome: 'unreachable' }, type);
    t.match(await all.check(config(type), 'a@example.com'), { valid: false, error: /could not be reached/ }, type);
  }
  sandbox.behave({ down: false });
  for (const type of types) t.match(await send(type), { outcome: 'sent' }, type);
  await sandbox.close();
  for (const type of types) {
    t.match(await send(type), { outcome: 'unreachable', error: /connection refused/ }, type);
  }
});

t.test('the least answer that is a success', async (t) => {
  const { send } = await world(t);
  for (const type of ['mailgun', 'postmark', 'ses'] as const) {
    t.match(await send(type, { to: ['user0010@example.org'] }), { outcome: 'rejected', error: /message id/ }, type);
  }
  t.match(await send('sendgrid', { to: ['user0010@example.org'] }), { outcome: 'sent', externalId: null });
});

t.test('as many recipients as a provider takes, and more', async (t) => {
  const { sandbox, send } = await world(t);
  const to = Array.from({ length: 120 }, (_, i) => `to${i}x@example.org`);
  for (const type of types) {
    const since = sandbox.mails().at(-1)?.number ?? 0;
    t.match(await send(type, { to }), { outcome: 'sent', undelivered: [] }, type);
    const caught = sandbox.mails({ since, limit: 1_000 }).flatMap((mail) => [...mail.to, ...mail.cc, ...mail.bcc]);
    t.same(caught, to, `${type}: everybody got it once`);
  }
});
