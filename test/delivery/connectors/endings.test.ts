import type { ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import type { ConnectorType, Credentials } from '../../../src/commands/providers.ts';
import { providers, telegram, twilio, whatsapp } from '../../../src/delivery/connectors/index.ts';
import type { OutgoingDispatch } from '../../../src/delivery/connectors/provider.ts';
import { reply, type Seen, stub } from './stub.ts';

const types: ConnectorType[] = ['whatsapp', 'telegram', 'twilio'];
const TIMEOUT_MS = 5_000;
const dispatch: OutgoingDispatch = { dispatchId: 'msg_1', to: '15550107777', text: 'Hello' };

const credentials: Record<ConnectorType, Credentials> = {
  whatsapp: { phoneNumberId: '4711', accessToken: 'EAAG-very-secret' },
  telegram: { botToken: '123456:AA-very-secret' },
  twilio: { accountSid: 'AC99', authToken: 'twilio-very-secret', fromNumber: '+15550100000' },
};

async function world(test: Test, respond: (request: Seen, response: ServerResponse) => void) {
  const server = await stub(respond);
  const all = providers({
    whatsapp: { baseUrl: server.url, connections: 2, checkTimeoutMs: 100 },
    telegram: { baseUrl: `${server.url}/bot`, connections: 2, checkTimeoutMs: 100 },
    twilio: { baseUrl: server.url, connections: 2, checkTimeoutMs: 100 },
  });
  test.teardown(async () => {
    for (const type of types) await all[type].close();
    await server.close();
  });
  return { server, all };
}

t.test('what goes out on the wire', async (t) => {
  const { server, all } = await world(t, (_request, response) => reply(response, 200, {}));
  await all.whatsapp.send(credentials.whatsapp, dispatch, TIMEOUT_MS);
  await all.telegram.send(credentials.telegram, dispatch, TIMEOUT_MS);
  const callback = 'https://parley.example/api/v1/webhooks/twilio?messageId=msg_1&connectorId=conn_1';
  await all.twilio.send(credentials.twilio, { ...dispatch, statusCallback: callback }, TIMEOUT_MS);
  const [toWhatsapp, toTelegram, toTwilio] = server.seen;

  t.match(toWhatsapp, { method: 'POST', url: '/v19.0/4711/messages' });
  t.match(toWhatsapp?.headers, { authorization: 'Bearer EAAG-very-secret', 'content-type': 'application/json' });
  t.same(JSON.parse(toWhatsapp?.body ?? ''), {
    messaging_product: 'whatsapp',
    recipient_type: 'individual',
    to: '15550107777',
    type: 'text',
    text: { body: 'Hello' },
    biz_opaque_callback_data: 'msg_1',
  });

  t.match(toTelegram, { method: 'POST', url: '/bot123456:AA-very-secret/sendMessage' });
  t.same(JSON.parse(toTelegram?.body ?? ''), { chat_id: '15550107777', text: 'Hello' });

  t.match(toTwilio, { method: 'POST', url: '/2010-04-01/Accounts/AC99/Messages.json' });
  const basic = Buffer.from('AC99:twilio-very-secret').toString('base64');
  t.match(toTwilio?.headers, {
    authorization: `Basic ${basic}`,
    'content-type': 'application/x-www-form-urlencoded',
  });
  t.same(Object.fromEntries(new URLSearchParams(toTwilio?.body)), {
    To: '15550107777',
    From: '+15550100000',
    Body: 'Hello',
    StatusCallback: callback,
  });
});

t.test('the version of the WhatsApp API, and a base address with a path and a slash', async (t) => {
  const server = await stub((_request, response) => reply(response, 200, { id: '4711' }));
  const door = whatsapp({ baseUrl: `${server.url}/graph/`, connections: 1, apiVersion: 'v23.0' });
  t.teardown(async () => {
    await door.close();
    await server.close();
  });
  t.match(await door.check(credentials.whatsapp), { outcome: 'connected' });
  t.equal(server.seen[0]?.url, '/graph/v23.0/4711');
  t.throws(() => whatsapp({ baseUrl: server.url, connections: 1, apiVersion: '../v1' }), TypeError);
  t.throws(() => telegram({ baseUrl: 'ftp://127.0.0.1', connections: 1 }), TypeError);
  t.throws(() => telegram({ baseUrl: 'nonsense', connections: 1 }), TypeError);
});

t.test('every throttling code, whatever the HTTP status', async (t) => {
  const cases: [type: ConnectorType, status: number, body: unknown][] = [
    ...[4, 80007, 130429, 131056].map((code): [ConnectorType, number, unknown] => [
      'whatsapp',
      400,
      { error: { message: 'slow down', type: 'OAuthException', code } },
    ]),
    ['whatsapp', 500, { error: { message: 'slow down', code: 130429 } }],
    ['whatsapp', 429, 'no json'],
    ['telegram', 429, { ok: false, error_code: 429, description: 'slow down' }],
    ['telegram', 200, { ok: false, error_code: 429, description: 'slow down' }],
    ['twilio', 429, { code: 20429, message: 'slow down', status: 429 }],
    ['twilio', 400, { code: 20429, message: 'slow down', status: 400 }],
    ['twilio', 429, ''],
  ];
  let next: unknown[] = [];
  const { all } = await world(t, (_request, response) => reply(response, Number(next[0]), next[1]));
  for (const [type, status, body] of cases) {
    next = [status, body];
    const ending = await all[type].send(credentials[type], dispatch, TIMEOUT_MS);
    t.match(ending, { outcome: 'throttled', retryAfterMs: null }, `${type} ${status} ${JSON.stringify(body)}`);
    if (typeof body !== 'string') t.match(ending, { error: 'slow down' });
    t.match(await all[type].check(credentials[type]), { outcome: 'unreachable' }, 'a check learns nothing from it');
  }
});

t.test('the hint, wherever it stands', async (t) => {
  const date = 'Wed, 21 Oct 2015 07:28:00 GMT';
  const later = 'Wed, 21 Oct 2015 07:28:30 GMT';
  let headers: Record<string, string> = {};
  let body: unknown = {};
  const { all } = await world(t, (_request, response) => reply(response, 429, body, headers));
  const hint = async (type: ConnectorType) => {
    const ending = await all[type].send(credentials[type], dispatch, TIMEOUT_MS);
    return ending.outcome === 'throttled' ? ending.retryAfterMs : ending;
  };
  for (const type of types) {
    headers = { 'retry-after': '12' };
    t.equal(await hint(type), 12_000, `${type}: seconds`);
    headers = { 'retry-after': later, date };
    t.equal(await hint(type), 30_000, `${type}: a date, against the answer's own`);
    headers = { 'retry-after': date };
    t.equal(await hint(type), 0, `${type}: a date that has passed`);
    headers = { 'retry-after': '99999999' };
    t.equal(await hint(type), 24 * 3_600_000, `${type}: no longer than a dispatch lives`);
    for (const nonsense of ['soon', '-5', '1.5e3', '']) {
      headers = { 'retry-after': nonsense };
      t.equal(await hint(type), null, `${type}: ${nonsense}`);
    }
  }
  headers = { 'retry-after': '12' };
  body = { ok: false, error_code: 429, description: 'x', parameters: { retry_after: 3 } };
  t.equal(await hint('telegram'), 3_000, 'the body of Telegram comes first');
  headers = {};
  body = { ok: false, error_code: 429, description: 'x', parameters: { retry_after: 'soon' } };
  t.equal(await hint('telegram'), null);
});

t.test('an error has the provider’s text, or the status where there is none', async (t) => {
  let status = 0;
  let body: unknown = '';
  const { all } = await world(t, (_request, response) => reply(response, status, body));
  const send = (type: ConnectorType) => all[type].send(credentials[type], dispatch, TIMEOUT_MS);
  const shaped: Record<ConnectorType, unknown> = {
    whatsapp: { error: { message: 'told', code: 1, error_data: { messaging_product: 'whatsapp', details: 'd' } } },
    telegram: { ok: false, error_code: 1, description: 'told' },
    twilio: { code: 1, message: 'told', more_info: 'x', status: 1 },
  };
  for (const type of types) {
    for (status of [400, 401, 403, 404, 409, 422]) {
      body = shaped[type];
      t.same(await send(type), { outcome: 'rejected', error: 'told' }, `${type} ${status}`);
      t.same(await all[type].check(credentials[type]), { outcome: 'rejected', message: 'told' });
      for (body of ['<html>no</html>', '[]', 'null', '{"error":7,"ok":3,"code":"x","message":[]}', '']) {
        t.match(await send(type), { outcome: 'rejected', error: new RegExp(`HTTP status ${status}`) });
      }
    }
    for (status of [500, 502, 503, 504]) {
      body = shaped[type];
      t.same(await send(type), { outcome: 'unreachable', error: 'told' }, `${type} ${status}`);
      t.match(await all[type].check(credentials[type]), { outcome: 'unreachable' });
    }
    status = 302;
    body = '';
    t.match(await send(type), { outcome: 'rejected', error: /302/ }, `${type}: redirects are not followed`);
  }
});

t.test('a success that is none', async (t) => {
  let body: unknown = '';
  const { all } = await world(t, (_request, response) => reply(response, 200, body));
  const send = (type: ConnectorType) => all[type].send(credentials[type], dispatch, TIMEOUT_MS);
  for (const type of types) {
    for (body of [
      '',
      '<html>Welcome to our hotel</html>',
      'null',
      '[]',
      { messages: [] },
      { messages: [{}] },
      { messages: [{ id: 5.5 }], sid: { id: 1 }, ok: true, result: { message_id: null } },
      { messages: [{ id: '' }], sid: '', ok: true, result: { message_id: '' } },
      { messages: [{ id: 'a\u0000b' }], sid: 'a\u0000b', ok: true, result: { message_id: 'a\u0000b' } },
      { messages: [{ id: 'x'.repeat(500) }], sid: 'x'.repeat(500), ok: true, result: { message_id: 'x'.repeat(500) } },
    ]) {
      t.match(await send(type), { outcome: 'rejected', error: /without a message id/ }, `${type} ${String(body)}`);
    }
  }
  body = { error: { message: 'not now', code: 131047 } };
  t.same(await send('whatsapp'), { outcome: 'rejected', error: 'not now' });
  body = { ok: false, error_code: 400, description: 'chat not found' };
  t.same(await send('telegram'), { outcome: 'rejected', error: 'chat not found' });
  body = { ok: false, error_code: 502, description: 'Bad Gateway' };
  t.same(await send('telegram'), { outcome: 'unreachable', error: 'Bad Gateway' });
  body = { sid: 'SM1', status: 'failed', error_code: 21610, error_message: 'opted out' };
  t.same(await send('twilio'), { outcome: 'rejected', error: 'opted out' });
  body = { ok: true, result: { id: 1 } };
  t.match(await all.telegram.check(credentials.telegram), { outcome: 'rejected' }, 'a bot without a name is none');
});

t.test('the time of an attempt covers connecting, headers and body', async (t) => {
  let how: 'silent' | 'headers only' = 'silent';
  const { server, all } = await world(t, (_request, response) => {
    if (how === 'headers only') response.writeHead(200, { 'content-type': 'application/json' }).write('{"ok":');
  });
  for (how of ['silent', 'headers only'] as const) {
    for (const type of types) {
      t.match(await all[type].send(credentials[type], dispatch, 60), { outcome: 'unreachable', error: /60 ms/ }, how);
      t.match(await all[type].check(credentials[type]), { outcome: 'unreachable', message: /100 ms/ });
    }
  }
  const before = server.seen.length;
  const endings = await Promise.all(
    Array.from({ length: 60 }, () => all.whatsapp.send(credentials.whatsapp, dispatch, 60)),
  );
  t.ok(endings.every(({ outcome }) => outcome === 'unreachable'));
  // A few more than there are connections, on a slow machine: not all that waited.
  t.ok(server.seen.length - before <= 20, 'what waited its time away for a connection was not sent');
});

t.test('of a body no more than 64 KiB is read, and the connection does not stay', async (t) => {
  let status = 200;
  const { all } = await world(t, (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(16_384)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  });
  for (const type of types) {
    status = 200;
    t.match(await all[type].send(credentials[type], dispatch, TIMEOUT_MS), { outcome: 'rejected' }, type);
    status = 500;
    t.match(await all[type].send(credentials[type], dispatch, TIMEOUT_MS), { outcome: 'unreachable' }, type);
  }
});

t.test('no credential is seen in any ending', async (t) => {
  const echo = (request: Seen) =>
    `Malformed: ${request.url} ${request.headers.authorization ?? ''} ${request.body} very-secret`;
  let status = 400;
  const { server, all } = await world(t, (request, response) => {
    const message = echo(request);
    reply(response, status, { error: { message, code: 190 }, ok: false, description: message, code: 1, message });
  });
  const secrets = ['EAAG-very-secret', 'AA-very-secret', 'twilio-very-secret'];
  secrets.push(Buffer.from('AC99:twilio-very-secret').toString('base64'));
  const check = (ending: unknown, what: string) => {
    const text = JSON.stringify(ending);
    for (const secret of secrets) t.notOk(text.includes(secret), what);
  };
  for (const type of types) {
    for (status of [400, 401, 429, 500]) {
      const ending = await all[type].send(credentials[type], dispatch, TIMEOUT_MS);
      check(ending, `${type} ${status}`);
      t.match(ending, { error: /\[redacted\]/ }, `${type}: the rest of the text is kept`);
      check(await all[type].check(credentials[type]), `check ${type} ${status}`);
    }
  }
  await server.close();
  for (const type of types) {
    check(await all[type].send(credentials[type], dispatch, TIMEOUT_MS), `${type} refused`);
    check(await all[type].check(credentials[type]), `check ${type} refused`);
  }
});

t.test('texts of providers are made fit to be stored', async (t) => {
  const message = `a\u0000b\r\nc \ud800 ${'x'.repeat(5_000)}`;
  const { all } = await world(t, (_request, response) => {
    reply(response, 400, { error: { message, code: 1 }, ok: false, description: message, code: 1, message });
  });
  for (const type of types) {
    const ending = await all[type].send(credentials[type], dispatch, TIMEOUT_MS);
    const error = 'error' in ending ? ending.error : '';
    t.match(error, /^a b c \ufffd x+$/, type);
    t.ok(error.length <= 1_000);
    t.ok(error.isWellFormed());
  }
});

t.test('a credential cannot lead to another path, host or header, and nothing is sent', async (t) => {
  const { server, all } = await world(t, (_request, response) => reply(response, 200, {}));
  const hostile = [
    '..',
    '.',
    '../../me',
    'x/y',
    'x?y=',
    'x#y',
    '@evil.example/',
    '//evil.example/',
    '\\evil',
    'x y',
    'x\r\nHost: evil.example',
    '%2e%2e',
    'x%2fy',
    'é',
    '\ud800',
    'x'.repeat(5_000),
  ];
  const inPath: Record<ConnectorType, string> = {
    whatsapp: 'phoneNumberId',
    telegram: 'botToken',
    twilio: 'accountSid',
  };
  for (const type of types) {
    for (const value of hostile) {
      const bad = { ...credentials[type], [inPath[type]]: value };
      const ending = await all[type].send(bad, dispatch, TIMEOUT_MS);
      t.match(ending, { outcome: 'rejected', error: new RegExp(`${inPath[type]} is malformed`) }, value.slice(0, 20));
      t.match(await all[type].check(bad), { outcome: 'rejected' });
    }
    for (const missing of all[type].credentialNames) {
      const { [missing]: _gone, ...rest } = credentials[type];
      t.match(await all[type].send(rest, dispatch, TIMEOUT_MS), {
        outcome: 'rejected',
        error: new RegExp(`${missing} is missing`),
      });
    }
  }
  for (const accessToken of ['x\r\nHost: evil', 'é', ' x', 'x\n']) {
    const bad = { ...credentials.whatsapp, accessToken };
    t.match(await all.whatsapp.send(bad, dispatch, TIMEOUT_MS), { outcome: 'rejected' });
  }
  t.match(
    await all.twilio.send({ ...credentials.twilio, accountSid: 'AC:x' }, dispatch, TIMEOUT_MS),
    { outcome: 'rejected' },
    'a colon would end the user name',
  );
  t.same(server.seen, []);
});

t.test('a slow provider holds up no other', async (t) => {
  const slow = await stub(() => {});
  const quick = await stub((_request, response) => reply(response, 201, { sid: 'SM1' }));
  const all = providers({
    whatsapp: { baseUrl: slow.url, connections: 1 },
    telegram: { baseUrl: `${slow.url}/bot`, connections: 1 },
    twilio: { baseUrl: quick.url, connections: 1 },
  });
  t.teardown(async () => {
    await Promise.all([slow.close(), quick.close(), ...types.map((type) => all[type].close())]);
  });
  const stuck = Array.from({ length: 20 }, () => all.whatsapp.send(credentials.whatsapp, dispatch, TIMEOUT_MS));
  await slow.arrived(1);
  t.match(await all.twilio.send(credentials.twilio, dispatch, TIMEOUT_MS), { outcome: 'sent', externalId: 'SM1' });
  await all.whatsapp.close();
  for (const ending of await Promise.all(stuck)) t.match(ending, { outcome: 'unreachable' });
});

t.test('what a dialect sees of the providers', (t) => {
  const base = { baseUrl: 'http://127.0.0.1:9', connections: 1 };
  t.match(whatsapp(base), {
    type: 'whatsapp',
    label: 'WhatsApp',
    credentialNames: ['phoneNumberId', 'accessToken'],
  });
  t.match(telegram(base), { type: 'telegram', label: 'Telegram', credentialNames: ['botToken'] });
  t.match(twilio(base), {
    type: 'twilio',
    label: 'Twilio SMS',
    credentialNames: ['accountSid', 'authToken', 'fromNumber'],
  });
  t.end();
});

t.test('what may not leave any more when its turn comes is not sent', async (t) => {
  const { server, all } = await world(t, (_request, response) => reply(response, 200, {}));
  for (const type of types) {
    let asked = 0;
    const mayLeave = () => {
      asked++;
      return false;
    };
    const kept = await all[type].send(credentials[type], { ...dispatch, mayLeave }, TIMEOUT_MS);
    t.strictSame(kept, { outcome: 'withdrawn' });
    t.equal(asked, 1, `${type}: asked once`);
    await all[type].send(credentials[type], { ...dispatch, mayLeave: () => true }, TIMEOUT_MS);
  }
  t.equal(server.seen.length, types.length, 'only what may leave arrives');
});
