import t, { type Test } from 'tap';
import type { ConnectorType, Credentials } from '../../../src/commands/providers.ts';
import { providers } from '../../../src/delivery/connectors/index.ts';
import type { OutgoingDispatch } from '../../../src/delivery/connectors/provider.ts';
import { startSandbox } from '../../../src/sandbox/index.ts';

const types: ConnectorType[] = ['whatsapp', 'telegram', 'twilio'];

const good: Record<ConnectorType, Credentials> = {
  whatsapp: { phoneNumberId: '106540352242922', accessToken: 'EAAGsecret-token' },
  telegram: { botToken: '123456:AAsecret_token' },
  twilio: { accountSid: 'AC0123456789', authToken: 'secret-auth-token', fromNumber: '+15550100000' },
};

const wrong: Record<ConnectorType, Credentials> = {
  whatsapp: { phoneNumberId: '106540352242922', accessToken: 'bad-token' },
  telegram: { botToken: '123456:invalid_token' },
  twilio: { accountSid: 'AC0123456789', authToken: 'invalid', fromNumber: '+15550100000' },
};

const TIMEOUT_MS = 5_000;

async function world(test: Test) {
  const sandbox = await startSandbox();
  const all = providers({
    whatsapp: { baseUrl: sandbox.whatsappUrl, connections: 4 },
    telegram: { baseUrl: sandbox.telegramUrl, connections: 4 },
    twilio: { baseUrl: sandbox.twilioUrl, connections: 4 },
  });
  test.teardown(async () => {
    for (const type of types) await all[type].close();
    await sandbox.close();
  });
  return { sandbox, all };
}

function dispatch(to: string, more: Partial<OutgoingDispatch> = {}): OutgoingDispatch {
  return { dispatchId: 'msg_0123456789abcdef', to, text: 'Hello', ...more };
}

t.test('an accepted send tells the id, and what arrived is what was sent', async (t) => {
  const { sandbox, all } = await world(t);
  const text = 'Grüße & "quotes" = +1 100% 👋\nsecond line';
  for (const type of types) {
    const sent = await all[type].send(
      good[type],
      dispatch('15550107777', { text, statusCallback: 'http://127.0.0.1:9/twilio?messageId=msg_0123456789abcdef' }),
      TIMEOUT_MS,
    );
    t.equal(sent.outcome, 'sent', type);
    if (sent.outcome !== 'sent') continue;
    t.equal(sent.delivered, type === 'telegram', `${type}: only Telegram delivers by taking`);
    const [record] = sandbox.received({ provider: type }).received;
    t.match(record, { outcome: 'accepted', to: '15550107777', text, externalId: sent.externalId });
    t.equal(record?.dispatchId, type === 'telegram' ? null : 'msg_0123456789abcdef', `${type}: our id travels`);
  }
});

t.test('ids look as the providers make them, and differ', async (t) => {
  const { all } = await world(t);
  const shapes = { whatsapp: /^wamid\.\S+$/, telegram: /^\d+$/, twilio: /^SM[0-9a-f]{32}$/ };
  for (const type of types) {
    const ids = new Set<string>();
    for (let i = 0; i < 3; i += 1) {
      const sent = await all[type].send(good[type], dispatch('15550107777'), TIMEOUT_MS);
      t.match(sent, { outcome: 'sent', externalId: shapes[type] });
      if (sent.outcome === 'sent') ids.add(sent.externalId);
    }
    t.equal(ids.size, 3, type);
  }
});

t.test('a recipient that is refused for good', async (t) => {
  const { all } = await world(t);
  const texts = {
    whatsapp: '(#131026) Message undeliverable',
    telegram: 'Bad Request: chat not found',
    twilio: "Invalid 'To' Phone Number: 15550100001",
  };
  for (const type of types) {
    const ending = await all[type].send(good[type], dispatch('15550100001'), TIMEOUT_MS);
    t.same(ending, { outcome: 'rejected', error: texts[type] }, type);
  }
});

t.test('credentials that the provider refuses', async (t) => {
  const { sandbox, all } = await world(t);
  const texts = {
    whatsapp: 'Invalid OAuth access token - Cannot parse access token',
    telegram: 'Unauthorized',
    twilio: 'Authenticate',
  };
  for (const type of types) {
    const ending = await all[type].send(wrong[type], dispatch('15550107777'), TIMEOUT_MS);
    t.same(ending, { outcome: 'rejected', error: texts[type] }, type);
    t.equal(sandbox.counts()[type].unauthorised, 1, `${type}: counted`);
  }
});

t.test('throttled once, then taken', async (t) => {
  const { sandbox, all } = await world(t);
  sandbox.behave({ retryAfterS: 7 });
  for (const type of types) {
    const first = await all[type].send(good[type], dispatch('15550100003'), TIMEOUT_MS);
    t.match(first, { outcome: 'throttled', error: /rate limit|too many requests/i }, type);
    // Meta tells no time; the others do, each in its own place.
    if (first.outcome === 'throttled') t.equal(first.retryAfterMs, type === 'whatsapp' ? null : 7_000, type);
    const second = await all[type].send(good[type], dispatch('15550100003'), TIMEOUT_MS);
    t.equal(second.outcome, 'sent', type);
  }
});

t.test('5xx once, then taken; 5xx for ever', async (t) => {
  const { all } = await world(t);
  for (const type of types) {
    const once = dispatch('15550100004');
    t.match(await all[type].send(good[type], once, TIMEOUT_MS), { outcome: 'unreachable', error: /\w/ }, type);
    t.match(await all[type].send(good[type], once, TIMEOUT_MS), { outcome: 'sent' }, type);
    for (let i = 0; i < 3; i += 1) {
      const ever = await all[type].send(good[type], dispatch('15550100006'), TIMEOUT_MS);
      t.equal(ever.outcome, 'unreachable', type);
    }
  }
});

t.test('no answer in time, then taken', async (t) => {
  const { sandbox, all } = await world(t);
  for (const type of types) {
    const hung = dispatch('15550100005');
    const first = await all[type].send(good[type], hung, 100);
    t.match(first, { outcome: 'unreachable', error: /no answer within 100 ms/ }, type);
    t.match(await all[type].send(good[type], hung, TIMEOUT_MS), { outcome: 'sent' }, type);
    t.equal(sandbox.counts()[type].hung, 1, type);
  }
});

t.test('the answer is lost on the way: unreachable, although it was taken', async (t) => {
  const { sandbox, all } = await world(t);
  for (const type of types) {
    const lost = dispatch('15550100007');
    t.match(await all[type].send(good[type], lost, TIMEOUT_MS), { outcome: 'unreachable', error: /connection lost/ });
    t.match(await all[type].send(good[type], lost, TIMEOUT_MS), { outcome: 'sent' }, type);
    t.equal(sandbox.counts()[type].accepted, 2, `${type}: taken twice`);
  }
});

t.test('a success without an id is a failure', async (t) => {
  const { all } = await world(t);
  for (const type of types) {
    const ending = await all[type].send(good[type], dispatch('15550100010'), TIMEOUT_MS);
    t.match(ending, { outcome: 'rejected', error: /without a message id/ }, type);
  }
});

t.test('a text too long for the provider is sent, and refused by it', async (t) => {
  const { sandbox, all } = await world(t);
  const limits = { whatsapp: 4096, telegram: 4096, twilio: 1600 };
  for (const type of types) {
    const fits = dispatch('15550107777', { text: 'x'.repeat(limits[type]) });
    t.match(await all[type].send(good[type], fits, TIMEOUT_MS), { outcome: 'sent' }, type);
    const long = dispatch('15550107777', { text: 'x'.repeat(limits[type] + 1) });
    t.match(await all[type].send(good[type], long, TIMEOUT_MS), { outcome: 'rejected', error: /long|limit/ }, type);
    t.equal(sandbox.counts()[type].sends, 2, type);
  }
});

t.test('a provider that is down', async (t) => {
  const { sandbox, all } = await world(t);
  sandbox.behave({ down: true });
  for (const type of types) {
    t.match(await all[type].send(good[type], dispatch('15550107777'), TIMEOUT_MS), { outcome: 'unreachable' }, type);
    t.match(await all[type].check(good[type]), { outcome: 'unreachable' }, type);
  }
  sandbox.behave({ down: false });
  for (const type of types) {
    t.match(await all[type].send(good[type], dispatch('15550107777'), TIMEOUT_MS), { outcome: 'sent' }, type);
  }
});

t.test('a check tells who was reached, or why not', async (t) => {
  const { sandbox, all } = await world(t);
  t.same(await all.whatsapp.check(good.whatsapp), {
    outcome: 'connected',
    message: 'Connected to WhatsApp Cloud API',
  });
  t.same(await all.telegram.check(good.telegram), {
    outcome: 'connected',
    message: 'Connected as @parley_sandbox_bot',
  });
  t.same(await all.twilio.check(good.twilio), { outcome: 'connected', message: 'Connected to Twilio' });
  for (const type of types) {
    t.match(await all[type].check(wrong[type]), { outcome: 'rejected', message: /token|Unauthorized|Authenticate/ });
    t.equal(sandbox.counts()[type].checks, 2, `${type}: a check is no send`);
    t.equal(sandbox.counts()[type].sends, 0, type);
  }
});

t.test('a provider that is gone', async (t) => {
  const { sandbox, all } = await world(t);
  await sandbox.close();
  for (const type of types) {
    const ending = await all[type].send(good[type], dispatch('15550107777'), TIMEOUT_MS);
    t.match(ending, { outcome: 'unreachable', error: /connection refused/ }, type);
    t.match(await all[type].check(good[type]), { outcome: 'unreachable', message: /connection refused/ }, type);
  }
});

t.test('after close, every call still ends as a result', async (t) => {
  const { all } = await world(t);
  const pending = all.twilio.send(good.twilio, dispatch('15550100005'), TIMEOUT_MS);
  await all.twilio.close();
  t.match(await pending, { outcome: 'unreachable' }, 'a send on its way is cut off');
  t.match(await all.twilio.send(good.twilio, dispatch('15550107777'), TIMEOUT_MS), { outcome: 'unreachable' });
});

t.test('more sends at once than connections all end', async (t) => {
  const { sandbox, all } = await world(t);
  const endings = await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      all.whatsapp.send(good.whatsapp, dispatch('15550107777', { dispatchId: `msg_${i}` }), TIMEOUT_MS),
    ),
  );
  t.ok(endings.every((ending) => ending.outcome === 'sent'));
  t.equal(new Set(sandbox.received().received.map((record) => record.dispatchId)).size, 200);
});
