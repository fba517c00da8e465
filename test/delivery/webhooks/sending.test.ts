import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import t from 'tap';
import type { Feed } from '../../../src/feed/feed.ts';
import { receiver } from './receiver.ts';
import { actor, webhookWorld } from './world.ts';

t.test('what is sent: the body of the sheet, and signatures that independent code accepts', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  const { webhook, secret } = await world.hook(target.url, {
    customHeaders: { 'X-Own': 'mine', Authorization: 'Bearer x' },
  });
  t.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  await world.node.deliver().ready;
  const [message] = await world.post(1, { text: 'Hällo \u2028 "you"' });
  await target.count(1);
  const [got] = target.got;
  if (!got) return;
  t.equal(got.method, 'POST');
  t.equal(got.path, '/hook?a=1');
  t.match(got.headers, { 'content-type': 'application/json', 'x-own': 'mine', authorization: 'Bearer x' });
  const posted = world.journal.events.find(({ type }) => type === 'MessagePosted');
  t.strictSame(got.body, {
    id: got.body.id,
    event: 'message.created',
    created_at: new Date(posted?.at ?? 0).toISOString(),
    data: { message, text: 'Hällo \u2028 "you"' },
    meta: {
      client_id: 'client-7',
      webhook_id: `webhook-7-${webhook}`,
      delivery_id: got.body.meta.delivery_id,
      attempt: 1,
      position: String(posted?.position),
    },
  });
  t.match(got.body.id, /^evt_[0-9a-f]{32}$/);
  t.match(got.body.meta.delivery_id, /^del_[0-9a-f]{32}$/);
  t.equal(got.headers['webhook-id'], got.body.id);
  const hex = createHmac('sha256', secret).update(got.raw).digest('hex');
  t.equal(got.headers['x-chatapi-signature'], `sha256=${hex}`);
  const headers = got.headers as Record<string, string>;
  t.same(new Webhook(secret).verify(got.raw, headers), got.body);
  t.throws(() => new Webhook(secret).verify(`${got.raw} `, headers));
});

t.test("a secret of the user's own signs with its bytes", async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  await world.hook(target.url, { secret: 'my own söcret' });
  await world.node.deliver().ready;
  await world.post(1);
  await target.count(1);
  const [got] = target.got;
  if (!got) return;
  const hex = createHmac('sha256', 'my own söcret').update(got.raw).digest('hex');
  t.equal(got.headers['x-chatapi-signature'], `sha256=${hex}`);
  const raw = new Webhook(new TextEncoder().encode('my own söcret'), { format: 'raw' });
  t.ok(raw.verify(got.raw, got.headers as Record<string, string>));
});

t.test('only events that are asked for, of rooms that are, and of the own workspace', async (t) => {
  const world = await webhookWorld(t);
  const all = await receiver(t);
  const some = await receiver(t);
  const none = await receiver(t);
  await world.hook(all.url);
  await world.hook(some.url, { roomFilters: [2] });
  await world.hook(none.url, { events: ['message.deleted'] });
  await world.node.deliver().ready;
  await world.post(2, { room: 1 });
  await world.post(2, { workspace: 8 });
  await world.post(2, { room: 2 });
  await Promise.all([all.count(4), some.count(2)]);
  t.same(all.messages.sort(), [1, 2, 5, 6]);
  t.same(some.messages.sort(), [5, 6]);
  t.equal(none.got.length, 0);
  const [first] = all.got.filter(({ body }) => body.data.message === 5);
  const [second] = some.got.filter(({ body }) => body.data.message === 5);
  t.equal(first?.body.id, second?.body.id, 'the same event has the same id');
  t.not(first?.body.meta.delivery_id, second?.body.meta.delivery_id);
});

t.test('nothing of before a webhook was made, and changes of one count', async (t) => {
  const world = await webhookWorld(t);
  const first = await receiver(t);
  const second = await receiver(t);
  await world.post(3);
  await world.node.deliver().ready;
  const { webhook, secret } = await world.hook(first.url);
  await world.post(1);
  await first.count(1);
  t.same(first.messages, [4]);
  const { state } = await world.node.commands.changeWebhook(actor, 7, webhook, {
    url: second.url,
    secret: 'another one',
    customHeaders: { 'X-Own': '1' },
  });
  t.equal(state.headerNames[0], 'X-Own');
  await world.journal.caughtUp();
  // What was posted in the moment of the change goes to either.
  await world.post(1);
  await Promise.race([second.count(1), first.count(2)]);
  await world.post(1);
  await second.until(() => second.messages.includes(6));
  const got = second.got.at(-1);
  t.equal(got?.headers['x-own'], '1');
  const hex = createHmac('sha256', 'another one')
    .update(got?.raw ?? '')
    .digest('hex');
  t.equal(got?.headers['x-chatapi-signature'], `sha256=${hex}`);
  t.not(secret, 'another one');
});

t.test('first attempts in the order of the log', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  await world.hook(target.url);
  const backlog = await world.post(150);
  await world.node.deliver({ concurrencyPerWebhook: 1 }).ready;
  const live = await world.post(150);
  await target.count(300);
  t.same(target.messages, [...backlog, ...live]);
});

t.test('a feed in partitions only tells that there is something: it is read from the log', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  const { feed } = world.node.options;
  const groups: string[] = [];
  await world.hook(target.url);
  await world.post(5);
  const inPartitions: Feed = {
    partitions: 2,
    consume: (consumer, signal) => {
      groups.push(consumer.group);
      // As Kafka may: what the record says is older than what the log gives.
      const handle: typeof consumer.handle = (batch) =>
        consumer.handle({ ...batch, events: batch.events.map((e) => ({ ...e, stream: 'erased since' })) });
      return feed.consume({ ...consumer, handle }, signal);
    },
  };
  await world.node.deliver({ feed: inPartitions }).ready;
  await world.post(5);
  await target.count(10);
  t.equal(new Set(target.messages).size, 10);
  t.match(groups, [/^webhooks-[0-9a-f-]{36}$/], 'each process hears everything');
  await world.journal.until((events) => events.some(({ type }) => type === 'WebhookAttemptsRecorded'));
});

t.test('a backlog goes out whole, several at once', async (t) => {
  const world = await webhookWorld(t);
  let most = 0;
  let now = 0;
  const target = await receiver(t, (_, response) => {
    most = Math.max(most, ++now);
    setImmediate(() => {
      now--;
      response.writeHead(204).end();
    });
    return undefined;
  });
  await world.hook(target.url);
  const numbers = await world.post(1_500);
  await world.node.deliver().ready;
  await target.count(1_500);
  t.same(
    [...target.messages].sort((a, b) => a - b),
    numbers,
  );
  t.ok(most > 1 && most <= 32, `${most} at once`);
  await world.journal.until((events) => {
    const records = events.flatMap((e) => (e.type === 'WebhookAttemptsRecorded' ? [e.data.delivered] : []));
    return records.reduce((sum, delivered) => sum + delivered, 0) === 1_500;
  });
  await world.projected();
  const [row] = await world.ask<{ delivered: number; beyond: string[] }>(
    'SELECT w.delivered, k.beyond FROM read.webhooks w JOIN read.webhook_tracks k USING (workspace, webhook)',
  );
  t.equal(row?.delivered, 1_500);
});
