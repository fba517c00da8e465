import type { ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import type { EmailProviderConfig } from '../../../src/commands/email-providers.ts';
import { type Email, type EmailResult, email } from '../../../src/delivery/email/index.ts';
import { outboundGuard } from '../../../src/platform/outbound-guard.ts';
import { reply, type Seen, stub } from '../connectors/stub.ts';
import { message, openGuard } from './world.ts';

const types = ['mailgun', 'sendgrid', 'postmark', 'ses'] as const;
type Type = (typeof types)[number];

const configs: Readonly<Record<Type, EmailProviderConfig>> = {
  mailgun: { provider_type: 'mailgun', api_key: 'mg-very-secret', domain: 'mg.example.com' },
  sendgrid: { provider_type: 'sendgrid', api_key: 'SG.very-secret' },
  postmark: { provider_type: 'postmark', server_token: 'pm-very-secret' },
  ses: {
    provider_type: 'ses',
    aws_access_key_id: 'AKIDEXAMPLE',
    aws_secret_access_key: 'ses-very-secret',
    region: 'eu-west-1',
  },
};

const TIMEOUT_MS = 5_000;

/** What each of them answers to a mail that it takes. */
function success(request: Seen, response: ServerResponse): void {
  if (request.url.endsWith('/mail/send')) {
    response.writeHead(202, { 'x-message-id': 'sg-1' });
    response.end();
  } else if (request.url.endsWith('/email/batch')) {
    const messages = JSON.parse(request.body) as { To: string }[];
    reply(
      response,
      200,
      messages.map(({ To }, i) => ({ To, ErrorCode: 0, Message: 'OK', MessageID: `pm-${i + 1}` })),
    );
  } else reply(response, 200, { id: '<mg-1>', MessageID: 'pm-1', ErrorCode: 0, Message: 'OK', MessageId: 'ses-1' });
}

async function world(test: Test, respond: (request: Seen, response: ServerResponse) => void = success) {
  const server = await stub(respond);
  const all = email({
    guard: openGuard(),
    mailgunUrl: `${server.url}/v3`,
    sendgridUrl: server.url,
    postmarkUrl: server.url,
    sesUrl: server.url,
    checkTimeoutMs: 200,
  });
  test.teardown(async () => {
    await all.close();
    await server.close();
  });
  const send = (type: Type, more = {}, timeoutMs = TIMEOUT_MS): Promise<EmailResult> =>
    all.send(message(more), configs[type], { timeoutMs });
  return { server, all, send };
}

const full = {
  from: { address: 'noreply@example.com', name: 'The "Parley" Team' },
  replyTo: 'answers@example.com',
  to: ['one@example.org', 'two@example.org'],
  cc: ['three@example.org'],
  bcc: ['four@example.org', 'five@example.org'],
  subject: 'Grüße & mehr',
  content: '<p>Hello = there</p>',
};

t.test('what goes out to Mailgun', async (t) => {
  const { server, send } = await world(t);
  t.same(await send('mailgun', full), { outcome: 'sent', externalId: '<mg-1>', undelivered: [] });
  await send('mailgun', { contentType: 'text', content: 'Hello' });
  const [first, second] = server.seen;
  t.match(first, { method: 'POST', url: '/v3/mg.example.com/messages' });
  t.match(first?.headers, {
    authorization: `Basic ${btoa('api:mg-very-secret')}`,
    'content-type': 'application/x-www-form-urlencoded',
  });
  t.same(Object.fromEntries(new URLSearchParams(first?.body)), {
    from: '"The \\"Parley\\" Team" <noreply@example.com>',
    to: 'one@example.org, two@example.org',
    cc: 'three@example.org',
    bcc: 'four@example.org, five@example.org',
    subject: 'Grüße & mehr',
    html: '<p>Hello = there</p>',
    'h:Reply-To': 'answers@example.com',
  });
  t.same(Object.fromEntries(new URLSearchParams(second?.body)), {
    from: '"Parley" <noreply@example.com>',
    to: 'one@example.org',
    subject: 'Hello',
    text: 'Hello',
  });
});

t.test('what goes out to SendGrid', async (t) => {
  const { server, send } = await world(t);
  t.same(await send('sendgrid', full), { outcome: 'sent', externalId: 'sg-1', undelivered: [] });
  await send('sendgrid', { from: { address: 'a@example.com' }, contentType: 'text', content: 'Hello' });
  const [first, second] = server.seen;
  t.match(first, { method: 'POST', url: '/v3/mail/send', headers: { authorization: 'Bearer SG.very-secret' } });
  t.same(JSON.parse(first?.body ?? ''), {
    personalizations: [
      {
        to: [{ email: 'one@example.org' }, { email: 'two@example.org' }],
        cc: [{ email: 'three@example.org' }],
        bcc: [{ email: 'four@example.org' }, { email: 'five@example.org' }],
      },
    ],
    from: { email: 'noreply@example.com', name: 'The "Parley" Team' },
    reply_to: { email: 'answers@example.com' },
    subject: 'Grüße & mehr',
    content: [{ type: 'text/html', value: '<p>Hello = there</p>' }],
  });
  t.same(JSON.parse(second?.body ?? ''), {
    personalizations: [{ to: [{ email: 'one@example.org' }] }],
    from: { email: 'a@example.com' },
    subject: 'Hello',
    content: [{ type: 'text/plain', value: 'Hello' }],
  });
});

t.test('what goes out to Postmark: one message, or a batch', async (t) => {
  const { server, send } = await world(t);
  t.same(await send('postmark', { ...full, to: ['one@example.org'] }), {
    outcome: 'sent',
    externalId: 'pm-1',
    undelivered: [],
  });
  t.same(await send('postmark', full), { outcome: 'sent', externalId: 'pm-1', undelivered: [] });
  const [single, batch] = server.seen;
  t.match(single, { method: 'POST', url: '/email', headers: { 'x-postmark-server-token': 'pm-very-secret' } });
  const common = {
    From: '"The \\"Parley\\" Team" <noreply@example.com>',
    Subject: 'Grüße & mehr',
    HtmlBody: '<p>Hello = there</p>',
    ReplyTo: 'answers@example.com',
  };
  const copies = { Cc: 'three@example.org', Bcc: 'four@example.org, five@example.org' };
  t.same(JSON.parse(single?.body ?? ''), { ...common, ...copies, To: 'one@example.org' });
  t.equal(batch?.url, '/email/batch');
  t.same(JSON.parse(batch?.body ?? ''), [
    { ...common, ...copies, To: 'one@example.org' },
    { ...common, To: 'two@example.org' },
  ]);
  const to = Array.from({ length: 1_001 }, (_, i) => `r${i}@example.org`);
  t.match(await send('postmark', { to }), { outcome: 'sent', undelivered: [] });
  const sizes = server.seen.slice(2).map(({ body }) => (JSON.parse(body) as unknown[]).length);
  t.same(sizes, [500, 500, 1]);
});

t.test('what goes out to SES: 50 recipients a call', async (t) => {
  const { server, send } = await world(t);
  t.same(await send('ses', full), { outcome: 'sent', externalId: 'ses-1', undelivered: [] });
  const [first] = server.seen;
  t.match(first, { method: 'POST', url: '/v2/email/outbound-emails' });
  t.match(
    first?.headers.authorization,
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-west-1\/ses\/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=[0-9a-f]{64}$/,
  );
  t.same(JSON.parse(first?.body ?? ''), {
    FromEmailAddress: '"The \\"Parley\\" Team" <noreply@example.com>',
    Destination: {
      ToAddresses: ['one@example.org', 'two@example.org'],
      CcAddresses: ['three@example.org'],
      BccAddresses: ['four@example.org', 'five@example.org'],
    },
    ReplyToAddresses: ['answers@example.com'],
    Content: {
      Simple: {
        Subject: { Data: 'Grüße & mehr', Charset: 'UTF-8' },
        Body: { Html: { Data: '<p>Hello = there</p>', Charset: 'UTF-8' } },
      },
    },
  });
  const to = Array.from({ length: 60 }, (_, i) => `r${i}@example.org`);
  const cc = Array.from({ length: 60 }, (_, i) => `c${i}@example.org`);
  await send('ses', { to, cc, from: { address: 'a@example.com', name: 'Zoë' } });
  const calls = server.seen.slice(1).map(({ body }) => JSON.parse(body) as Record<string, Record<string, string[]>>);
  const counts = calls.map(({ Destination: d }) => [d?.ToAddresses?.length ?? 0, d?.CcAddresses?.length ?? 0]);
  t.same(counts, [
    [50, 0],
    [10, 40],
    [0, 20],
  ]);
  t.equal(String(calls[0]?.FromEmailAddress), '=?UTF-8?B?Wm/Dqw==?= <a@example.com>');
});

t.test('a mail that must leave in parts, and does not leave whole', async (t) => {
  const answers: [status: number, body: unknown][] = [];
  const { server, send } = await world(t, (_request, response) =>
    reply(response, ...(answers.shift() ?? [200, { MessageId: 'x' }])),
  );
  const to = Array.from({ length: 120 }, (_, i) => `r${i}@example.org`);
  const ok: [number, unknown] = [200, { MessageId: 'first' }];

  answers.push(ok, [400, { message: 'refused' }], [200, { MessageId: 'third' }]);
  const refused = await send('ses', { to });
  t.match(refused, { outcome: 'sent', externalId: 'first' });
  const missed = refused.outcome === 'sent' ? refused.undelivered : [];
  t.same(
    missed.map(({ address }) => address),
    to.slice(50, 100),
  );
  t.ok(missed.every(({ error, retryable }) => error === 'refused' && !retryable));

  const before = server.seen.length;
  answers.push(ok, [500, { message: 'trouble' }]);
  const broken = await send('ses', { to });
  t.equal(broken.outcome === 'sent' && broken.undelivered.length, 70);
  t.ok(broken.outcome === 'sent' && broken.undelivered.every(({ retryable }) => retryable));
  t.equal(server.seen.length - before, 2, 'what does not answer is not asked again');

  answers.push([500, { message: 'trouble' }]);
  t.same(await send('ses', { to }), { outcome: 'unreachable', error: 'trouble' });
  answers.push([429, { message: 'slow' }]);
  t.same(await send('ses', { to }), { outcome: 'throttled', error: 'slow', retryAfterMs: null });
  answers.push([400, { message: 'no' }], [400, { message: 'no' }], [400, { message: 'no' }]);
  t.same(await send('ses', { to }), { outcome: 'rejected', error: 'no' });
});

t.test('of a batch each message has an answer of its own', async (t) => {
  let answer: unknown;
  const { send } = await world(t, (_request, response) => reply(response, 200, answer));
  const taken = { ErrorCode: 0, Message: 'OK', MessageID: 'id-2' };
  const inactive = { ErrorCode: 406, Message: 'inactive' };
  answer = [inactive, taken];
  t.same(await send('postmark', full), {
    outcome: 'sent',
    externalId: 'id-2',
    undelivered: ['one@example.org', 'three@example.org', 'four@example.org', 'five@example.org'].map((address) => ({
      address,
      error: 'inactive',
      retryable: false,
    })),
  });
  answer = [taken, inactive];
  t.match(await send('postmark', full), { outcome: 'sent', undelivered: [{ address: 'two@example.org' }] });
  answer = [inactive, inactive];
  t.same(await send('postmark', full), { outcome: 'rejected', error: 'inactive' });
  for (answer of [[], [taken], [taken, taken, taken], [taken, {}], [taken, 'x'], { ErrorCode: 'x' }]) {
    t.match(
      await send('postmark', full),
      { outcome: 'rejected', error: /without a message id/ },
      JSON.stringify(answer),
    );
  }
  answer = { ErrorCode: 300, Message: 'Invalid' };
  t.same(await send('postmark'), { outcome: 'rejected', error: 'Invalid' }, 'HTTP says 200, the body does not');
});

t.test('4xx is for good, 5xx is not, 429 asks to wait', async (t) => {
  let status = 0;
  let headers: Record<string, string> = {};
  const body = {
    message: 'told',
    errors: [{ message: 'told', field: null, help: null }],
    ErrorCode: 1,
    Message: 'told',
  };
  const { send } = await world(t, (_request, response) => reply(response, status, body, headers));
  for (const type of types) {
    headers = {};
    for (status of [400, 401, 403, 404, 413, 422]) {
      t.same(await send(type), { outcome: 'rejected', error: 'told' }, `${type} ${status}`);
    }
    for (status of [500, 502, 503])
      t.same(await send(type), { outcome: 'unreachable', error: 'told' }, `${type} ${status}`);
    status = 429;
    t.same(await send(type), { outcome: 'throttled', error: 'told', retryAfterMs: null }, type);
    headers = { 'retry-after': '12' };
    t.same(await send(type), { outcome: 'throttled', error: 'told', retryAfterMs: 12_000 }, type);
    status = 302;
    t.match(await send(type), { outcome: 'rejected' }, `${type}: redirects are not followed`);
  }
  status = 400;
  headers = { 'x-amzn-errortype': 'ThrottlingException:http://internal.amazon.com/' };
  t.match(await send('ses'), { outcome: 'throttled' });
  status = 429;
  headers = { 'x-ratelimit-reset': String(Math.ceil(Date.now() / 1_000) + 60) };
  const window = await send('sendgrid');
  t.ok(window.outcome === 'throttled' && (window.retryAfterMs ?? 0) > 55_000 && (window.retryAfterMs ?? 0) <= 61_000);
});

t.test('answers that no such provider gives', async (t) => {
  let body: unknown = '';
  let status = 200;
  const { send } = await world(t, (_request, response) => reply(response, status, body));
  for (const type of types) {
    status = 200;
    for (body of [
      '',
      '<html>Welcome</html>',
      'null',
      '[]',
      '[1]',
      '"x"',
      { id: 5.5, MessageId: [], ErrorCode: 0, MessageID: '' },
    ]) {
      t.match(
        await send(type),
        { outcome: 'rejected', error: /without a message id/ },
        `${type} ${JSON.stringify(body)}`,
      );
    }
    status = 400;
    for (body of ['', '<html>', 'null', '[]', { message: 7, errors: [3], Message: {} }, { errors: 'x' }]) {
      t.match(await send(type), { outcome: 'rejected', error: /HTTP status 400/ }, `${type} ${JSON.stringify(body)}`);
    }
  }
  status = 202;
  body = '';
  t.same(await send('sendgrid'), { outcome: 'sent', externalId: null, undelivered: [] }, 'taken, with no id told');
});

t.test('no answer, half of one, and one without end', async (t) => {
  let how: 'silent' | 'half' | 'endless' = 'silent';
  const { server, send, all } = await world(t, (_request, response) => {
    if (how === 'half') response.writeHead(200, { 'content-type': 'application/json' }).write('{"id":');
    if (how !== 'endless') return;
    response.writeHead(200);
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(16_384)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  });
  for (const type of types) {
    for (how of ['silent', 'half'] as const) {
      t.match(await send(type, {}, 60), { outcome: 'unreachable', error: /no answer within \d+ ms/ }, `${type} ${how}`);
    }
    how = 'endless';
    t.match(await send(type), { outcome: 'rejected', error: /without a message id/ }, `${type} ${how}`);
  }
  how = 'silent';
  for (const type of types) {
    t.match(await all.check(configs[type], 'a@example.com'), { valid: false, error: /could not be reached/ }, type);
  }
  await server.close();
  for (const type of types) {
    t.match(await send(type), { outcome: 'unreachable', error: /connection refused/ }, type);
    const found = await all.check(configs[type], 'a@example.com');
    t.match(found, { valid: false, error: /could not be reached/ });
    t.notMatch(JSON.stringify(found), /refused|ECONN/, 'a check does not tell how');
  }
});

t.test('no credential is seen in any ending, and no answer in a check', async (t) => {
  let status = 400;
  const { send, all } = await world(t, (request, response) => {
    const said = `Wrong: ${JSON.stringify(request.headers)} very-secret ses-very-secret internal-detail`;
    reply(response, status, { message: said, errors: [{ message: said }], ErrorCode: 1, Message: said });
  });
  const secrets: Readonly<Record<Type, string[]>> = {
    mailgun: ['mg-very-secret', btoa('api:mg-very-secret')],
    sendgrid: ['SG.very-secret'],
    postmark: ['pm-very-secret'],
    ses: ['ses-very-secret'],
  };
  for (const type of types) {
    for (status of [400, 401, 403, 404, 429, 500]) {
      const ending = await send(type);
      t.match(ending, { error: /\[redacted\].* internal-detail/ }, `${type}: the rest of the text is kept`);
      for (const secret of secrets[type]) t.notOk(JSON.stringify(ending).includes(secret), `${type} ${status}`);
      const found = await all.check(configs[type], 'a@example.com');
      t.match(found, { valid: false, error: /\w/ }, `${type} ${status}`);
      t.notMatch(JSON.stringify(found), /internal-detail|very-secret|\d{3}/);
    }
  }
});

t.test('an address of a tenant is reached through the guard alone', async (t) => {
  const server = await stub(success);
  const own = await stub(success);
  t.teardown(async () => {
    await server.close();
    await own.close();
  });
  const config = { ...configs.mailgun, base_url: `${server.url.replace('127.0.0.1', 'mail.example.test')}/v3/` };
  const open = email({ guard: openGuard(), mailgunUrl: own.url });
  const shut = email({ guard: outboundGuard({ resolve: async () => ['127.0.0.1'] }), mailgunUrl: own.url });
  t.teardown(() => Promise.all([open.close(), shut.close()]));
  t.match(await open.send(message(), config as EmailProviderConfig), { outcome: 'sent', externalId: '<mg-1>' });
  t.match(server.seen[0], { url: '/v3/mg.example.com/messages', method: 'POST' });
  const refused = await shut.send(message(), config as EmailProviderConfig);
  t.match(refused, { outcome: 'rejected', error: 'Mailgun: the address is not one that may be called' });
  t.match(await shut.check(config as EmailProviderConfig, 'a@example.com'), {
    valid: false,
    error: /could not be reached/,
  });
  const literal = { ...configs.mailgun, base_url: server.url } as EmailProviderConfig;
  t.match(await shut.send(message(), literal), { outcome: 'rejected' });
  t.equal(server.seen.length, 1, 'the forbidden one was not connected to');
  t.match(
    await shut.send(message(), configs.mailgun),
    { outcome: 'sent' },
    "the operator's own address needs no leave",
  );
  const explicit = { ...configs.mailgun, base_url: 'https://api.mailgun.net/v3' } as EmailProviderConfig;
  t.match(await shut.send(message(), explicit), { outcome: 'sent' });
  t.equal(own.seen.length, 2);
  await server.close();
  t.match(await open.send(message(), config as EmailProviderConfig, { timeoutMs: 2_000 }), {
    outcome: 'unreachable',
    error: 'Mailgun: the address could not be reached',
  });
});

t.test('the bounds of an address of a tenant', async (t) => {
  let how: 'silent' | 'endless' | 'redirect' = 'silent';
  const server = await stub((_request, response) => {
    if (how === 'redirect') response.writeHead(307, { location: `${server.url}/elsewhere` }).end();
    if (how !== 'endless') return;
    response.writeHead(200);
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(16_384)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  });
  const all: Email = email({ guard: openGuard() });
  t.teardown(async () => {
    await all.close();
    await server.close();
  });
  const config = { ...configs.mailgun, base_url: server.url } as EmailProviderConfig;
  t.match(await all.send(message(), config, { timeoutMs: 80 }), {
    outcome: 'unreachable',
    error: /^Mailgun: no answer within \d+ ms$/,
  });
  how = 'endless';
  t.match(await all.send(message(), config, { timeoutMs: TIMEOUT_MS }), {
    outcome: 'rejected',
    error: /without a message id/,
  });
  how = 'redirect';
  t.match(await all.send(message(), config, { timeoutMs: TIMEOUT_MS }), { outcome: 'rejected', error: /307/ });
  t.equal(server.seen.length, 3);
});

t.test('no text ends a line, whatever the provider', async (t) => {
  const { server, send } = await world(t);
  for (const type of types) {
    for (const more of [
      { subject: 'a\r\nBcc: b@c.d' },
      { from: { address: 'a@example.com', name: 'a\nb' } },
      { to: ['a@example.com\r\nX: y'] },
      { replyTo: 'a@example.com\n' },
      { cc: ['a@example.com, b@example.com'] },
    ]) {
      t.match(await send(type, more), { outcome: 'rejected' }, `${type} ${Object.keys(more)}`);
    }
  }
  t.same(server.seen, []);
});

t.test('a base address that is none stops the start', (t) => {
  const guard = openGuard();
  for (const wrong of ['', 'nonsense', 'ftp://a.example', 'https://u:p@a.example', 'https://a.example/?x=y']) {
    for (const name of ['mailgunUrl', 'sendgridUrl', 'postmarkUrl', 'sesUrl']) {
      t.throws(() => email({ guard, [name]: wrong }), TypeError, `${name} ${wrong}`);
    }
  }
  t.end();
});
