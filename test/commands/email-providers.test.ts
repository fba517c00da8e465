import t from 'tap';
import { type EmailProvider, emailProviderShape, emailProviderView } from '../../src/commands/email-providers.ts';

const shape = emailProviderShape();
const smtp = { provider_type: 'smtp', host: 'mail.example.com', username: 'u', password: 'p' };
const provider = (config: object, more: object = {}) => ({
  provider_config: config,
  default_from_email: 'a@example.com',
  ...more,
});

/** Paths of what is wrong. */
function wrong(value: unknown): string[] {
  const parsed = shape.safeParse(value);
  return parsed.success ? [] : parsed.error.issues.map(({ path }) => path.join('.'));
}

t.test('defaults', (t) => {
  t.same(shape.parse(provider(smtp)), {
    provider_config: { ...smtp, port: 587, use_tls: true, use_ssl: false },
    is_primary: false,
    is_bulk: true,
    default_from_email: 'a@example.com',
    max_recipients: 100,
    rate_limit_per_second: 10,
  });
  const ses = { provider_type: 'ses', aws_access_key_id: 'AKID', aws_secret_access_key: 'x/y+z' };
  t.match(shape.parse(provider(ses)), { provider_config: { region: 'us-east-1' } });
  const mailgun = { provider_type: 'mailgun', api_key: 'k', domain: 'mg.example.com' };
  t.same(shape.parse(provider(mailgun)).provider_config, mailgun);
  t.end();
});

t.test('what each type needs', (t) => {
  const needed: Record<string, string[]> = {
    smtp: ['host', 'username', 'password'],
    mailgun: ['api_key', 'domain'],
    sendgrid: ['api_key'],
    postmark: ['server_token'],
    ses: ['aws_access_key_id', 'aws_secret_access_key'],
  };
  for (const [type, names] of Object.entries(needed)) {
    t.same(
      wrong(provider({ provider_type: type })).sort(),
      names.map((name) => `provider_config.${name}`).sort(),
      type,
    );
  }
  t.same(wrong({ provider_config: smtp }), ['default_from_email']);
  t.same(wrong(provider({ provider_type: 'pigeon' })), ['provider_config.provider_type']);
  t.same(wrong(provider({})), ['provider_config.provider_type']);
  t.end();
});

t.test('values that lead elsewhere, end a line or are out of bounds', (t) => {
  const cases: [config: object, field: string][] = [
    [{ ...smtp, port: 22 }, 'port'],
    [{ ...smtp, port: 587.5 }, 'port'],
    [{ ...smtp, port: '587' }, 'port'],
    ...['', 'a b', 'a/b', 'a:25', 'user@host', 'a\r\nb', '-a.example', 'a..b', `${'a'.repeat(300)}`].map(
      (host): [object, string] => [{ ...smtp, host }, 'host'],
    ),
    [{ ...smtp, username: 'a\r\nb' }, 'username'],
    [{ ...smtp, password: '' }, 'password'],
    [{ ...smtp, use_tls: 'yes' }, 'use_tls'],
    [{ provider_type: 'mailgun', api_key: 'k\r\n', domain: 'a.b' }, 'api_key'],
    [{ provider_type: 'mailgun', api_key: 'k', domain: '../x' }, 'domain'],
    [{ provider_type: 'mailgun', api_key: 'k', domain: '..' }, 'domain'],
    ...['ftp://a', 'x', 'https://u:p@a.b', 'https://a.b/?x', 'https://a.b/#x', 'javascript:1'].map(
      (base_url): [object, string] => [{ provider_type: 'mailgun', api_key: 'k', domain: 'a.b', base_url }, 'base_url'],
    ),
    [{ provider_type: 'sendgrid', api_key: 'ä' }, 'api_key'],
    [{ provider_type: 'postmark', server_token: 'a b' }, 'server_token'],
    [{ provider_type: 'ses', aws_access_key_id: 'a/b', aws_secret_access_key: 'x' }, 'aws_access_key_id'],
    ...['evil.example/', 'us-east-1.evil', '', 'us_east_1', 'x'.repeat(50)].map((region): [object, string] => [
      { provider_type: 'ses', aws_access_key_id: 'a', aws_secret_access_key: 'x', region },
      'region',
    ]),
  ];
  for (const [config, field] of cases) {
    t.same(wrong(provider(config)), [`provider_config.${field}`], JSON.stringify(config).slice(0, 100));
  }
  for (const address of ['', 'x', 'a@b@c', 'a b@c', 'a@b\r\nc', '"x" <a@b>', 'a@b,c@d', `${'x'.repeat(400)}@b`]) {
    t.same(wrong(provider(smtp, { default_from_email: address })), ['default_from_email'], address.slice(0, 40));
  }
  t.same(wrong(provider(smtp, { default_from_name: 'a\nb' })), ['default_from_name']);
  t.same(wrong(provider(smtp, { max_recipients: 0 })), ['max_recipients']);
  t.same(wrong(provider(smtp, { rate_limit_per_second: 0 })), ['rate_limit_per_second']);
  for (const host of [
    'mail.example.com',
    'localhost',
    'x',
    '10.0.0.1',
    '::1',
    'a-b.c_d.example',
    'mail.example.com.',
  ]) {
    t.same(wrong(provider({ ...smtp, host })), [], host);
  }
  for (const region of ['us-east-1', 'eu-central-2', 'us-gov-west-1', 'cn-north-1', 'ap-southeast-1']) {
    const config = { provider_type: 'ses', aws_access_key_id: 'a', aws_secret_access_key: 'x', region };
    t.same(wrong(provider(config)), [], region);
  }
  t.same(emailProviderShape([1025]).safeParse(provider({ ...smtp, port: 1025 })).success, true);
  t.equal(emailProviderShape([1025]).safeParse(provider(smtp)).success, false, 'the default must be allowed too');
  t.end();
});

t.test('the view shows no secret', (t) => {
  const view = (value: object): unknown => emailProviderView(shape.parse(value) as EmailProvider);
  t.same(view(provider(smtp, { default_from_name: 'Parley', is_primary: true })), {
    provider_type: 'smtp',
    is_primary: true,
    is_bulk: true,
    max_recipients: 100,
    rate_limit_per_second: 10,
    from_email: 'a@example.com',
    from_name: 'Parley',
    host: 'mail.example.com',
    port: 587,
  });
  t.same(view(provider({ provider_type: 'postmark', server_token: 'secret' })), {
    provider_type: 'postmark',
    is_primary: false,
    is_bulk: true,
    max_recipients: 100,
    rate_limit_per_second: 10,
    from_email: 'a@example.com',
    from_name: null,
  });
  t.end();
});
