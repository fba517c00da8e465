import t from 'tap';
import { listDeadLetters } from '../../../projections/webhooks/queries.ts';
import { outboundGuard } from '../../../src/platform/outbound-guard.ts';
import { receiver } from './receiver.ts';
import { actor, webhookWorld } from './world.ts';

t.test('a target that is forbidden by its spelling is refused when it is named', async (t) => {
  const world = await webhookWorld(t, outboundGuard());
  const refused = [
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://localhost:8080/',
    'http://[::1]/',
    'http://[::ffff:10.0.0.1]/',
    'http://169.254.169.254/latest/meta-data',
    'https://10.1.2.3/hook',
    'http://user:password@example.com/',
    'http://user@example.com/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'example.com',
    '',
    `https://example.com/${'x'.repeat(2_048)}`,
  ];
  for (const url of refused)
    await t.rejects(world.hook(url), { code: 'value-invalid', details: { field: 'url' } }, url.slice(0, 60));
  const { webhook } = await world.hook('https://example.com/hook');
  await t.rejects(world.node.commands.changeWebhook(actor, 7, webhook, { url: 'http://10.0.0.1' }), {
    code: 'value-invalid',
  });
});

t.test('found out when connecting, also by rebinding: a dead letter, not tried again', async (t) => {
  const asked: string[] = [];
  // The name answers an allowed address first, and a forbidden one from then on.
  const guard = outboundGuard({
    allowCidrs: ['127.0.0.1/32'],
    resolve: async (name) => {
      asked.push(name);
      return [asked.length === 1 ? '127.0.0.1' : '10.0.0.1'];
    },
  });
  const world = await webhookWorld(t, guard);
  const target = await receiver(t, (_, response) => {
    // The connection is not used again: the next request resolves the name again.
    response.writeHead(200, { connection: 'close' }).end();
    return undefined;
  });
  const { webhook } = await world.hook(`http://receiver.test:${target.port}/hook`);
  await world.node.deliver({ concurrencyPerWebhook: 1 }).ready;
  await world.post(1);
  await target.count(1);
  t.equal(target.got[0]?.headers.host, `receiver.test:${target.port}`);
  await world.post(1);
  await world.journal.until((events) =>
    events.some((e) => e.type === 'WebhookAttemptsRecorded' && e.data.failed.length > 0),
  );
  await world.projected();
  const { items } = await listDeadLetters(world.read, 7, webhook, { limit: 10, offset: 0 });
  t.match(items, [{ error: 'TARGET_NOT_ALLOWED', status: null, attempts: 1, due: null }]);
  t.equal(target.got.length, 1);
  t.same(asked, ['receiver.test', 'receiver.test']);
});

t.test('headers that would end a line, or speak for us, are refused', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  const refused: Record<string, string>[] = [
    { 'X-A': 'a\r\nX-B: b' },
    { 'X-A': 'a\nb' },
    { 'X-A': 'a\0' },
    { 'X-A': 'é' },
    { 'X-A\r\nX-B': 'b' },
    { 'X A': 'b' },
    { '': 'b' },
    { Host: 'elsewhere' },
    { 'Content-Length': '0' },
    { 'content-type': 'text/plain' },
    { 'Transfer-Encoding': 'chunked' },
    { Connection: 'close' },
    { 'Webhook-Id': 'x' },
    { 'webhook-signature': 'v1,x' },
    { 'X-ChatAPI-Signature': 'x' },
    { Expect: '100-continue' },
    { 'X-A': '1', 'x-a': '2' },
    { 'X-A': 'x'.repeat(5_000) },
    Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`x-${i}`, '1'])),
  ];
  for (const customHeaders of refused)
    await t.rejects(
      world.hook(target.url, { customHeaders }),
      { code: 'value-invalid', details: { field: 'custom_headers' } },
      JSON.stringify(customHeaders).slice(0, 60),
    );
  const { webhook } = await world.hook(target.url, {
    customHeaders: { 'User-Agent': 'mine', Authorization: 'Basic x', 'X-Empty': '' },
  });
  // Null keeps what is there: values are shown to nobody.
  await world.node.commands.changeWebhook(actor, 7, webhook, { customHeaders: { authorization: null, 'X-New': 'n' } });
  await world.node.deliver().ready;
  await world.post(1);
  await target.count(1);
  t.match(target.got[0]?.headers, { authorization: 'Basic x', 'x-new': 'n', 'user-agent': 'Parley-Webhooks' });
});

t.test('secrets and values of headers stand sealed in the log, and in no row', async (t) => {
  const world = await webhookWorld(t);
  const { secret, webhook } = await world.hook('http://127.0.0.1:9/', { customHeaders: { 'X-Token': 'hidden-value' } });
  await world.node.commands.changeWebhook(actor, 7, webhook, { secret: 'another-secret' });
  await world.projected();
  const log = JSON.stringify(await world.ask('SELECT * FROM log.events'));
  const rows = JSON.stringify(await world.ask('SELECT * FROM read.webhooks'));
  for (const text of [secret, 'hidden-value', 'another-secret']) {
    t.notOk(log.includes(text));
    t.notOk(rows.includes(text));
  }
  t.ok(rows.includes('X-Token'), 'names are shown');
});

t.test('events and other values', async (t) => {
  const world = await webhookWorld(t);
  const url = 'http://127.0.0.1:9/';
  for (const events of [[], ['message.created', 'message.created'], ['message.invented']])
    await t.rejects(world.hook(url, { events }), { code: 'value-invalid', details: { field: 'events' } });
  await t.rejects(world.hook(url, { secret: '' }), { code: 'value-invalid', details: { field: 'secret' } });
  const roomFilters = Array.from({ length: 1_001 }, (_, i) => i + 1);
  await t.rejects(world.hook(url, { roomFilters }), { code: 'value-invalid', details: { field: 'room_filters' } });
  const { webhook } = await world.hook(url);
  await t.rejects(world.node.commands.webhook(8, webhook), { code: 'not-found' }, "another workspace's");
});
