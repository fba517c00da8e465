import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/index.ts';

interface Called {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface WhatsappStatus {
  readonly id: string;
  readonly status: string;
  readonly timestamp: string;
  readonly recipient_id: string;
  readonly biz_opaque_callback_data?: string;
  readonly errors?: readonly { readonly code: number; readonly title: string }[];
}

interface WhatsappBody {
  readonly object: string;
  readonly entry: readonly {
    readonly changes: readonly {
      readonly field: string;
      readonly value: {
        readonly metadata: { readonly phone_number_id: string };
        readonly statuses: readonly WhatsappStatus[];
      };
    }[];
  }[];
}

const SECRET = 'app-secret';

/** A server that takes callbacks, and a sandbox that makes them to it. `status` decides each answer. */
async function world(test: Test, options: SandboxOptions = {}, status: (called: Called) => number = () => 200) {
  const calls: Called[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const called = { url: request.url ?? '', headers: request.headers, body };
      calls.push(called);
      response.writeHead(status(called)).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const sandbox = await startSandbox({ callbackBaseUrl: url, callbackBackoffMs: 1, ...options });
  sandbox.behave({ callbackDelayMs: 0 });
  test.teardown(async () => {
    await sandbox.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { sandbox, calls, url };
}

async function whatsappSend(sandbox: Sandbox, to: string, dispatchId = 'msg_1'): Promise<string> {
  const answer = await fetch(`${sandbox.whatsappUrl}/v19.0/4711/messages`, {
    method: 'POST',
    headers: { authorization: 'Bearer EAAG' },
    body: JSON.stringify({
      messaging_product: 'whatsapp',
      to,
      type: 'text',
      text: { body: 'Hello' },
      biz_opaque_callback_data: dispatchId,
    }),
  });
  const body = (await answer.json()) as { messages: [{ id: string }] };
  return body.messages[0].id;
}

async function twilioSend(sandbox: Sandbox, to: string, callback?: string): Promise<string> {
  const answer = await fetch(`${sandbox.twilioUrl}/2010-04-01/Accounts/AC99/Messages.json`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from('AC99:auth-token').toString('base64')}` },
    body: new URLSearchParams({
      To: to,
      From: '+15550100000',
      Body: 'Hello',
      ...(callback === undefined ? {} : { StatusCallback: callback }),
    }),
  });
  const body = (await answer.json()) as { sid: string };
  return body.sid;
}

function statusesOf(calls: readonly Called[]): WhatsappStatus[] {
  const bodies = calls.map((call) => JSON.parse(call.body) as WhatsappBody);
  return bodies.flatMap(({ entry }) => entry.flatMap(({ changes }) => changes.flatMap(({ value }) => value.statuses)));
}

t.test('WhatsApp: sent, then delivered, signed, with what came along', async (t) => {
  const { sandbox, calls } = await world(t, { whatsappAppSecret: SECRET });
  const id = await whatsappSend(sandbox, '+15550107777');
  await sandbox.callbacksSettled();
  for (const call of calls) {
    t.equal(call.url, '/api/v1/webhooks/whatsapp');
    t.equal(call.headers['content-type'], 'application/json');
    const expected = createHmac('sha256', SECRET).update(call.body).digest('hex');
    t.equal(call.headers['x-hub-signature-256'], `sha256=${expected}`);
    const body = JSON.parse(call.body) as WhatsappBody;
    t.equal(body.object, 'whatsapp_business_account');
    t.match(body.entry[0]?.changes[0], { field: 'messages', value: { metadata: { phone_number_id: '4711' } } });
  }
  const statuses = statusesOf(calls);
  t.same(statuses.map((one) => one.status).sort(), ['delivered', 'sent']);
  for (const one of statuses) {
    t.match(one, { id, recipient_id: '15550107777', biz_opaque_callback_data: 'msg_1', timestamp: /^\d{10}$/ });
  }
  t.match(sandbox.counts().whatsapp.callbacks, { sent: 2, failed: 0, dropped: 0, pending: 0 });
});

t.test('WhatsApp: unsigned without a secret; a secret set later signs', async (t) => {
  const { sandbox, calls } = await world(t);
  await whatsappSend(sandbox, '15550107777');
  await sandbox.callbacksSettled();
  t.ok(calls.length > 0);
  t.ok(calls.every((call) => call.headers['x-hub-signature-256'] === undefined));
  calls.length = 0;
  sandbox.behave({ whatsappAppSecret: SECRET });
  await whatsappSend(sandbox, '15550107777');
  await sandbox.callbacksSettled();
  t.ok(calls.length > 0);
  t.ok(calls.every((call) => /^sha256=/.test(String(call.headers['x-hub-signature-256']))));
});

t.test('WhatsApp: read, undeliverable, and none at all', async (t) => {
  const { sandbox, calls } = await world(t);
  await whatsappSend(sandbox, '15550100012', 'read');
  await whatsappSend(sandbox, '15550100002', 'failed');
  await whatsappSend(sandbox, '15550100008', 'none');
  await sandbox.callbacksSettled();
  const of = (id: string) => statusesOf(calls).filter((one) => one.biz_opaque_callback_data === id);
  t.same(
    of('read')
      .map((one) => one.status)
      .sort(),
    ['delivered', 'read', 'sent'],
  );
  t.match(of('failed'), [{ status: 'failed', errors: [{ code: 131026, title: 'Message undeliverable' }] }]);
  t.same(of('none'), []);
  t.equal(sandbox.counts().whatsapp.accepted, 3);
});

t.test('WhatsApp: many statuses go together, and none is lost', async (t) => {
  const { sandbox, calls } = await world(t);
  // One stage after half a second, so that all sends are in by then.
  sandbox.behave({ callbackDelayMs: 500 });
  const count = 250;
  await Promise.all(Array.from({ length: count }, (_, i) => whatsappSend(sandbox, '15550100012', `msg_${i}`)));
  await sandbox.callbacksSettled();
  const statuses = statusesOf(calls);
  t.equal(statuses.length, count * 3);
  t.equal(new Set(statuses.map((one) => `${one.biz_opaque_callback_data} ${one.status}`)).size, count * 3);
  t.ok(calls.length < count * 3, `${calls.length} requests for ${count * 3} statuses`);
  t.ok(calls.every((call) => statusesOf([call]).length <= 100));
});

t.test('Twilio: queued, sent, delivered to the address given, signed with the account’s token', async (t) => {
  const { sandbox, calls, url } = await world(t);
  const callback = `${url}/api/v1/webhooks/twilio?messageId=msg_1&connectorId=conn%201`;
  const sid = await twilioSend(sandbox, '+15550107777', callback);
  await sandbox.callbacksSettled();
  t.same(calls.map((call) => new URLSearchParams(call.body).get('MessageStatus')).sort(), [
    'delivered',
    'queued',
    'sent',
  ]);
  for (const call of calls) {
    t.equal(call.url, '/api/v1/webhooks/twilio?messageId=msg_1&connectorId=conn%201');
    t.equal(call.headers['content-type'], 'application/x-www-form-urlencoded');
    const fields = new URLSearchParams(call.body);
    t.match(Object.fromEntries(fields), {
      MessageSid: sid,
      To: '+15550107777',
      From: '+15550100000',
      AccountSid: 'AC99',
    });
    fields.sort();
    const text = callback + [...fields].map(([name, value]) => name + value).join('');
    t.equal(call.headers['x-twilio-signature'], createHmac('sha1', 'auth-token').update(text).digest('base64'));
  }
  t.equal(sandbox.received({ provider: 'twilio' }).received[0]?.dispatchId, 'msg_1');
});

t.test('Twilio: undelivered; and no callbacks without an address', async (t) => {
  const { sandbox, calls, url } = await world(t);
  await twilioSend(sandbox, '+15550100002', `${url}/x`);
  await sandbox.callbacksSettled();
  const last = calls.map((call) => Object.fromEntries(new URLSearchParams(call.body)));
  t.same(last.map((fields) => fields.MessageStatus).sort(), ['queued', 'sent', 'undelivered']);
  t.equal(last.find((fields) => fields.MessageStatus === 'undelivered')?.ErrorCode, '30003');
  await twilioSend(sandbox, '+15550107777');
  await sandbox.callbacksSettled();
  t.equal(calls.length, 3);
});

t.test('a callback is tried again while the server is away or says 503, and given up when it is refused', async (t) => {
  const answers: number[] = [];
  const { sandbox, calls, url } = await world(t, { callbackAttempts: 4 }, () => answers.shift() ?? 200);
  answers.push(503, 500, 429);
  await twilioSend(sandbox, '+15550107777', `${url}/x`);
  await sandbox.callbacksSettled();
  t.equal(calls.length, 6, 'three statuses and three further attempts');
  t.match(sandbox.counts().twilio.callbacks, { sent: 3, failed: 0 });
  answers.push(403, 404, 400);
  await twilioSend(sandbox, '+15550107777', `${url}/x`);
  await sandbox.callbacksSettled();
  t.equal(calls.length, 9, 'no further attempts');
  t.match(sandbox.counts().twilio.callbacks, { sent: 3, failed: 3, pending: 0 });
  await twilioSend(sandbox, '+15550107777', 'http://127.0.0.1:1/nobody');
  await sandbox.callbacksSettled();
  t.match(sandbox.counts().twilio.callbacks, { sent: 3, failed: 6, pending: 0 });
});

t.test('a server that comes back gets what it missed', async (t) => {
  const { sandbox } = await world(t, { callbackAttempts: 50 });
  const port = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
  await twilioSend(sandbox, '+15550107777', `http://127.0.0.1:${port}/x`);
  const statuses: string[] = [];
  const late = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => statuses.push(new URLSearchParams(chunk.toString()).get('SmsStatus') ?? ''));
    request.on('end', () => response.end());
  });
  await new Promise<void>((resolve) => late.listen(port, '127.0.0.1', resolve));
  await sandbox.callbacksSettled();
  t.same(statuses.sort(), ['delivered', 'queued', 'sent']);
  late.closeAllConnections();
  await new Promise((resolve) => late.close(resolve));
});

t.test('early receipts come before the answer', async (t) => {
  const { sandbox, calls } = await world(t);
  sandbox.behave({ callbackDelayMs: 50 });
  await whatsappSend(sandbox, '15550107777');
  t.equal(calls.length, 0, 'as a rule they come later');
  await sandbox.callbacksSettled();
  calls.length = 0;
  const id = await whatsappSend(sandbox, '15550100009', 'msg_early');
  const early = statusesOf(calls).sort((a, b) => (a.status < b.status ? -1 : 1));
  t.match(early, [
    { id, status: 'delivered', biz_opaque_callback_data: 'msg_early' },
    { id, status: 'sent', biz_opaque_callback_data: 'msg_early' },
  ]);
});

t.test('callbacks can be off, and their number is bounded', async (t) => {
  const { sandbox, calls } = await world(t, { maxPendingCallbacks: 5 });
  sandbox.behave({ callbacks: false });
  await whatsappSend(sandbox, '15550107777');
  await sandbox.callbacksSettled();
  t.same(calls, []);
  sandbox.behave({ callbacks: true, callbackDelayMs: 600_000 });
  for (let i = 0; i < 3; i += 1) await whatsappSend(sandbox, '15550100012');
  t.match(sandbox.counts().whatsapp.callbacks, { pending: 3, dropped: 6 });
});

t.test('closing ends at once, with callbacks pending', async (t) => {
  const { sandbox } = await world(t);
  sandbox.behave({ callbackDelayMs: 600_000 });
  await whatsappSend(sandbox, '15550100012');
  t.equal(sandbox.counts().whatsapp.callbacks.pending, 3);
  const settled = sandbox.callbacksSettled();
  await sandbox.close();
  await settled;
  t.match(sandbox.counts().whatsapp.callbacks, { pending: 0, dropped: 3 });
});
