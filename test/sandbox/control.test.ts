import t, { type Test } from 'tap';
import { magicRecipients, type Received, type Sandbox, startSandbox } from '../../src/sandbox/index.ts';

async function start(test: Test, options: Parameters<typeof startSandbox>[0] = {}): Promise<Sandbox> {
  const sandbox = await startSandbox(options);
  test.teardown(() => sandbox.close());
  return sandbox;
}

async function ask(sandbox: Sandbox, method: string, path: string, body?: unknown) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await fetch(sandbox.url + path, { method, ...(body === undefined ? {} : { body: text }) });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

async function telegram(sandbox: Sandbox, to: string | number, text = 'Hello', token = '1:token') {
  const answer = await fetch(`${sandbox.telegramUrl}${token}/sendMessage`, {
    method: 'POST',
    body: JSON.stringify({ chat_id: to, text }),
  });
  const body = (await answer.json()) as { ok: boolean; description?: string; result?: { message_id: number } };
  return { status: answer.status, body };
}

t.test('what arrived can be read page by page, and by provider', async (t) => {
  const sandbox = await start(t);
  for (let i = 1; i <= 5; i += 1) await telegram(sandbox, 1000 + i, `text ${i}`);
  await fetch(`${sandbox.twilioUrl}/2010-04-01/Accounts/AC1/Messages.json`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('AC1:token')}` },
    body: new URLSearchParams({ To: '+15550107777', From: '+15550100000', Body: 'sms' }),
  });
  const first = await ask(sandbox, 'GET', '/sandbox/received?since=0&limit=2');
  t.match(first, { status: 200, body: { more: true, next: 2, forgotten: 0 } });
  t.match(first.body.received, [
    { seq: 1, provider: 'telegram', outcome: 'accepted', to: '1001', text: 'text 1', dispatchId: null },
    { seq: 2, text: 'text 2' },
  ]);
  const rest = await ask(sandbox, 'GET', '/sandbox/received?since=2');
  t.match(rest.body, { more: false, next: 6 });
  t.same(
    (rest.body.received as Received[]).map(({ seq }) => seq),
    [3, 4, 5, 6],
  );
  const empty = await ask(sandbox, 'GET', '/sandbox/received?since=6');
  t.same(empty.body, { received: [], next: 6, more: false, forgotten: 0 });
  const newest = await ask(sandbox, 'GET', '/sandbox/received?provider=telegram&limit=2');
  t.same(
    (newest.body.received as Received[]).map(({ text }) => text),
    ['text 4', 'text 5'],
  );
  t.equal(sandbox.received({ provider: 'twilio' }).received[0]?.text, 'sms');
});

t.test('figures, and a reset that leaves the numbers going on', async (t) => {
  const sandbox = await start(t);
  await telegram(sandbox, 5001);
  await telegram(sandbox, 10001);
  await telegram(sandbox, 5001, 'Hello', '1:bad');
  await telegram(sandbox, 'not a chat');
  await fetch(`${sandbox.telegramUrl}1:token/getMe`);
  await fetch(`${sandbox.telegramUrl}1:token/nothing`);
  const counts = await ask(sandbox, 'GET', '/sandbox/counts');
  t.match(counts.body.telegram, {
    requests: 6,
    sends: 4,
    checks: 1,
    accepted: 1,
    rejected: 2,
    unauthorised: 1,
    throttled: 0,
    failed: 0,
    hung: 0,
    callbacks: { sent: 0, failed: 0, dropped: 0, pending: 0 },
  });
  t.match(counts.body.whatsapp, { requests: 0 });
  t.match(await ask(sandbox, 'DELETE', '/sandbox/received'), { status: 200, body: { telegram: { requests: 0 } } });
  t.same(sandbox.received().received, []);
  await telegram(sandbox, 5001);
  t.equal(sandbox.received().received[0]?.seq, 5);
});

t.test('behaviour changes at run time, for one provider or for all', async (t) => {
  let chance = 0.5;
  const sandbox = await start(t, { random: () => chance });
  await ask(sandbox, 'PUT', '/sandbox/behaviour', { provider: 'whatsapp', down: true });
  t.equal((await telegram(sandbox, 5001)).status, 200, 'another provider goes on');
  const all = await ask(sandbox, 'PUT', '/sandbox/behaviour', { failureRate: 0.4, throttleRate: 0.2 });
  t.match(all.body, {
    whatsapp: { down: true, failureRate: 0.4 },
    telegram: { down: false, failureRate: 0.4, throttleRate: 0.2 },
  });
  t.equal((await telegram(sandbox, 5001)).status, 200);
  chance = 0.3;
  t.equal((await telegram(sandbox, 5001)).status, 500);
  chance = 0.1;
  t.equal((await telegram(sandbox, 5001)).status, 429);
  await ask(sandbox, 'PUT', '/sandbox/behaviour', { failureRate: 0, throttleRate: 0, down: true });
  t.equal((await telegram(sandbox, 5001)).status, 503);
  t.match((await ask(sandbox, 'GET', '/sandbox/behaviour')).body, { telegram: { down: true, failureRate: 0 } });
});

t.test('the table of recipients can be changed, one provider’s apart from another’s', async (t) => {
  const sandbox = await start(t);
  t.equal((await telegram(sandbox, 5550001)).status, 400);
  const recipients = { '0001': null, '4242': 'reject' };
  await ask(sandbox, 'PUT', '/sandbox/behaviour', { provider: 'telegram', recipients });
  t.equal((await telegram(sandbox, 5550001)).status, 200);
  t.equal((await telegram(sandbox, 5554242)).status, 400);
  t.equal((await telegram(sandbox, '@name_4242')).status, 400);
  t.equal(sandbox.behaviour().whatsapp.recipients['0001'], magicRecipients['0001']);
  t.equal(sandbox.behaviour().whatsapp.recipients['4242'], undefined);
});

t.test('“once” ends, per message', async (t) => {
  const sandbox = await start(t);
  const statuses: number[] = [];
  for (const text of ['a', 'b', 'a', 'b', 'a']) statuses.push((await telegram(sandbox, 5550003, text)).status);
  t.same(statuses, [429, 429, 200, 200, 429], 'the same text sent anew meets it again');
});

t.test('latency delays answers, and not what is noted', async (t) => {
  const sandbox = await start(t);
  sandbox.behave({ latencyMs: 600_000 });
  const noted = new Promise<Received>((resolve) => {
    const stop = sandbox.onReceived((record) => {
      stop();
      resolve(record);
    });
  });
  const answer = telegram(sandbox, 5001).catch((error: unknown) => error);
  t.match(await noted, { to: '5001', outcome: 'accepted' });
  await sandbox.close();
  t.type(await answer, Error, 'closing cuts what waits');
});

t.test('wrong control requests are refused with a reason, and change nothing', async (t) => {
  const sandbox = await start(t);
  const before = sandbox.behaviour();
  const wrong: unknown[] = [
    '{',
    '[]',
    'null',
    { provider: 'pigeon' },
    { failureRate: 2 },
    { failureRate: '0.5' },
    { latencyMs: -1 },
    { latencyMs: 1e12 },
    { latency: 5 },
    { recipients: { '1': 'reject' } },
    { recipients: { '0001': 'explode' } },
    { callbackBaseUrl: 'ftp://x' },
    { recipients: Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [String(i + 1_000), 'reject'])) },
  ];
  for (const body of wrong) {
    const answer = await ask(sandbox, 'PUT', '/sandbox/behaviour', body);
    t.equal(answer.status, 400, JSON.stringify(body).slice(0, 80));
    t.type(answer.body.error, 'string');
  }
  t.same(sandbox.behaviour(), before);
  for (const query of ['limit=0', 'limit=x', 'limit=1000000', 'since=-1', 'provider=x']) {
    t.equal((await ask(sandbox, 'GET', `/sandbox/received?${query}`)).status, 400, query);
  }
  for (const [method, path] of [
    ['GET', '/nothing'],
    ['POST', '/sandbox/received'],
    ['PUT', '/'],
  ]) {
    t.equal((await ask(sandbox, method!, path!, method === 'GET' ? undefined : {})).status, 404, `${method} ${path}`);
  }
  t.equal((await ask(sandbox, 'PUT', '/sandbox/behaviour', 'x'.repeat(300_000))).status, 413);
});

t.test('broken sends get the provider’s own refusals', async (t) => {
  const sandbox = await start(t);
  const post = async (url: string, body: string, authorization = 'Bearer x') => {
    const answer = await fetch(url, { method: 'POST', headers: { authorization }, body });
    return { status: answer.status, body: (await answer.json()) as unknown };
  };
  const whatsapp = `${sandbox.whatsappUrl}/v19.0/4711/messages`;
  for (const body of ['', '{', '[]', '{}', '{"messaging_product":"whatsapp","to":5,"text":7}']) {
    t.match(await post(whatsapp, body), { status: 400, body: { error: { code: 100, message: /./ } } }, body);
    t.match(await post(`${sandbox.telegramUrl}1:x/sendMessage`, body), { status: 400, body: { ok: false } }, body);
    const basic = `Basic ${btoa('AC1:x')}`;
    const twilio = `${sandbox.twilioUrl}/2010-04-01/Accounts/AC1/Messages.json`;
    t.match(await post(twilio, body, basic), { status: 400, body: { code: 21604 } }, body);
    t.match(await post(twilio, body, 'Bearer x'), { status: 401, body: { code: 20003 } }, body);
    t.match(await post(twilio, body, `Basic ${btoa('AC2:x')}`), { status: 401 }, 'another account');
  }
  t.match(await post(whatsapp, '{}', ''), { status: 401, body: { error: { code: 190 } } });
  t.match(await post(`${sandbox.whatsappUrl}/4711/messages`, '{}'), { status: 400, body: { error: { code: 2500 } } });
  t.match(await post(`${sandbox.telegramUrl}/sendMessage`, '{}'), { status: 404 });
  t.match(await post(`${sandbox.twilioUrl}/x`, ''), { status: 404, body: { code: 20404 } });
});

t.test('two bots count their messages apart', async (t) => {
  const sandbox = await start(t);
  const one = await telegram(sandbox, 5001, 'x', '1:one');
  const two = await telegram(sandbox, 5001, 'x', '2:two');
  const next = await telegram(sandbox, 5002, 'x', '1:one');
  t.equal(one.body.result?.message_id, two.body.result?.message_id);
  t.equal(next.body.result?.message_id, (one.body.result?.message_id ?? 0) + 1);
});

t.test('the page shows what arrived, as text', async (t) => {
  const sandbox = await start(t);
  await telegram(sandbox, 5001, '<script>alert("x")</script> & more');
  const answer = await fetch(sandbox.url);
  const page = await answer.text();
  t.match(answer.headers.get('content-type'), 'text/html');
  t.match(page, '&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; more');
  t.notMatch(page, '<script>');
});

t.test('a port that is taken is an error', async (t) => {
  const sandbox = await start(t);
  await t.rejects(startSandbox({ port: Number(new URL(sandbox.url).port) }), { code: 'EADDRINUSE' });
});
