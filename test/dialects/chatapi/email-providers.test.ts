import t from 'tap';
import { startSandbox } from '../../../src/sandbox/index.ts';
import { startHarness } from './harness.ts';

const path = '/clients/email-providers';
const from = { default_from_email: 'hello@example.com', default_from_name: 'Acme' };
const configs = {
  mailgun: { provider_type: 'mailgun', api_key: 'key-of-mailgun', domain: 'mg.example.com' },
  sendgrid: { provider_type: 'sendgrid', api_key: 'SG.key-of-sendgrid' },
  postmark: { provider_type: 'postmark', server_token: 'token-of-postmark' },
  ses: { provider_type: 'ses', aws_access_key_id: 'AKIDEXAMPLE', aws_secret_access_key: 'secret-of-ses' },
} as const;
const secrets = /key-of-mailgun|key-of-sendgrid|token-of-postmark|secret-of-ses|pass-of-smtp|AKIDEXAMPLE/;

/** ChatAPI sheet, section 11. */
t.test('e-mail providers', async (t) => {
  const mail = await startSandbox();
  t.teardown(() => mail.close());
  const { host, port } = mail.smtp;
  const chat = await startHarness(t, {
    OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
    SMTP_ALLOWED_PORTS: `587,${port}`,
  });
  const smtp = { provider_type: 'smtp', host, port, username: 'me', password: 'pass-of-smtp', use_tls: false };
  const provider = (config: object, more: object = {}) => ({ provider_config: config, ...from, ...more });
  const everything = [smtp, ...Object.values(configs)].map((config) => provider(config));

  t.test('stored one by one, or all at once, and shown without secrets', async (t) => {
    const { key } = await chat.client();
    const types = async () => {
      const answer = await chat.get(path, key);
      t.notMatch(answer.text, secrets);
      const shown = answer.at('data.provider_configs') as { provider_type: string }[];
      t.equal(answer.at('data.total_count'), shown.length);
      return shown.map(({ provider_type: type }) => type);
    };
    t.strictSame(await types(), []);
    const first = await chat.put(path, provider(smtp, { is_primary: true }), key);
    t.match(first.body, { data: { message: /\w/, provider_count: 1 }, status: 'success', message: /\w/ });
    t.match(first.headers.get('x-parley-position'), /^\d+$/);
    t.notMatch(first.text, secrets);
    t.match((await chat.put(path, provider(configs.ses), key)).body, { data: { provider_count: 2 } });
    t.strictSame((await chat.get(path, key)).at('data.provider_configs'), [
      {
        provider_type: 'smtp',
        is_primary: true,
        is_bulk: true,
        max_recipients: 100,
        rate_limit_per_second: 10,
        from_email: 'hello@example.com',
        from_name: 'Acme',
        host,
        port,
      },
      {
        provider_type: 'ses',
        is_primary: false,
        is_bulk: true,
        max_recipients: 100,
        rate_limit_per_second: 10,
        from_email: 'hello@example.com',
        from_name: 'Acme',
      },
    ]);
    await chat.put(path, provider(smtp, { is_primary: false }), key);
    t.strictSame(await types(), ['smtp', 'ses'], 'in its place');
    t.equal((await chat.get(path, key)).at('data.provider_configs.0.is_primary'), false);
    t.match((await chat.put(path, everything, key)).body, { data: { provider_count: 5 } });
    t.strictSame(await types(), ['smtp', 'mailgun', 'sendgrid', 'postmark', 'ses']);
    t.match((await chat.put('/clients/me/email-providers', [], key)).body, { data: { provider_count: 0 } });
    t.strictSame((await chat.get('/clients/me/email-providers', key)).at('data.total_count'), 0);
    const stored = JSON.stringify(await chat.history(), (_, value) => (typeof value === 'bigint' ? '' : value));
    t.match(stored, /EmailProvidersSet/);
    t.notMatch(stored, secrets, 'sealed in the log');
  });

  t.test('shapes and targets that are refused', async (t) => {
    const { key } = await chat.client();
    for (const [body, field] of [
      [provider({ provider_type: 'pigeon' }), 'provider_config.provider_type'],
      [provider({ ...smtp, port: 25 }), 'provider_config.port'],
      [provider({ ...smtp, host: 'mail.example.com\r\nRCPT' }), 'provider_config.host'],
      [provider({ ...smtp, host: '10.0.0.1' }), 'provider_config.host'],
      [provider({ ...smtp, username: 'a\r\nb' }), 'provider_config.username'],
      [provider({ ...configs.mailgun, base_url: 'http://169.254.169.254/v3' }), 'provider_config.base_url'],
      [provider({ ...configs.mailgun, base_url: 'ftp://example.com' }), 'provider_config.base_url'],
      [provider({ ...configs.sendgrid, api_key: undefined }), 'provider_config.api_key'],
      [{ provider_config: configs.ses }, 'default_from_email'],
      [provider(configs.ses, { default_from_email: 'me@example.com\r\nBcc: you@example.com' }), 'default_from_email'],
      [[provider(configs.ses), provider(configs.ses)], '1.provider_config.provider_type'],
      [[provider(configs.ses), provider({ ...smtp, host: '192.168.1.1' })], '1.provider_config.host'],
      ['"text"', 'body'],
    ] as const) {
      const answer = await chat.put(path, body, key);
      t.match(answer.body, { status_code: 422, errors: [{ field }] }, JSON.stringify(body).slice(0, 100));
    }
    t.equal((await chat.get(path, key)).at('data.total_count'), 0, 'nothing of it was stored');
  });

  t.test('validate asks the providers, and stores nothing', async (t) => {
    const { key } = await chat.client();
    const validate = (body?: object) => chat.post(`${path}/validate`, body, key);
    t.match((await validate()).body, { status_code: 400, error_code: 'BAD_REQUEST' }, 'none is stored');
    const good = await validate(everything);
    t.strictSame(good.at('data'), {
      validation_results: Object.fromEntries(
        ['smtp', 'mailgun', 'sendgrid', 'postmark', 'ses'].map((type) => [type, { valid: true, provider: type }]),
      ),
      all_valid: true,
    });
    t.equal((await chat.get(path, key)).at('data.total_count'), 0);
    const bad = await validate([
      provider({ ...smtp, username: 'bad-user' }),
      provider({ ...configs.mailgun, api_key: 'invalid-key' }),
      provider({ ...configs.sendgrid, api_key: 'bad-key' }),
      provider({ ...configs.postmark, server_token: 'bad-token' }),
      provider(configs.ses),
    ]);
    const wrong = { valid: false, error: /\w/ };
    t.match(bad.at('data'), {
      validation_results: { smtp: wrong, mailgun: wrong, sendgrid: wrong, postmark: wrong, ses: { valid: true } },
      all_valid: false,
    });
    t.notMatch(bad.text, /bad-|invalid-key/);
    const noTls = await validate(provider({ ...smtp, use_tls: true }));
    t.match(noTls.at('data'), { validation_results: { smtp: wrong }, all_valid: false }, 'never in clear unless told');
    const closed = await validate(provider({ ...configs.mailgun, base_url: 'http://127.0.0.1:1/v3' }));
    t.match(closed.at('data'), { validation_results: { mailgun: wrong }, all_valid: false });
    t.notMatch(closed.text, /ECONN|127\.0\.0\.1/, 'no word of how it failed');
    await chat.put(path, provider(configs.postmark), key);
    t.strictSame((await validate()).at('data.validation_results'), { postmark: { valid: true, provider: 'postmark' } });
    t.equal((await chat.post('/clients/me/email-providers/validate', provider(smtp), key)).at('data.all_valid'), true);
    t.strictSame(mail.mails(), [], 'no mail was sent');
  });

  t.test('each client has its own, and only a master key sees them', async (t) => {
    const [client, other] = [await chat.client(), await chat.client('Other')];
    const ann = await chat.user(client);
    await chat.put(path, provider(configs.ses), client.key);
    t.equal((await chat.get(path, other.key)).at('data.total_count'), 0);
    for (const [method, where, body] of [
      ['GET', path, undefined],
      ['PUT', path, provider(configs.ses)],
      ['POST', `${path}/validate`, provider(configs.ses)],
    ] as const) {
      t.equal((await chat.call(method, where, { as: ann.key, body })).status, 403);
      t.equal((await chat.call(method, where, { body })).status, 401);
    }
  });
});
