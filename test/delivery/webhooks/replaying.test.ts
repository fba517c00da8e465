import t from 'tap';
import type { EventData } from '../../../schemas/index.ts';
import { DomainError } from '../../../src/commands/index.ts';
import { erase, tell } from './erasable.ts';
import { receiver } from './receiver.ts';
import { actor, type World, webhookWorld } from './world.ts';

function settled(world: World, replay: number): EventData<'WebhookAttemptsRecorded'>['settled'] {
  return world.journal.events.flatMap((e) =>
    e.type === 'WebhookAttemptsRecorded' ? e.data.settled.filter((each) => each.replay === replay) : [],
  );
}

function finished(world: World): Promise<void> {
  return world.journal.untilCount('WebhookReplayFinished', 1);
}

t.test('a replay from a position: the same events under new delivery ids, beside live ones', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  const { webhook } = await world.hook(target.url);
  await world.node.deliver().ready;
  await world.post(20);
  await target.count(20);
  const first = new Map(target.got.map(({ body }) => [body.data.message, body]));
  const after = BigInt(first.get(5)?.meta.position ?? 0);
  const { replay } = await world.node.commands.requestReplay(actor, 7, webhook, {
    from: after,
    since: null,
    until: null,
  });
  t.equal(replay, 1);
  await world.post(3);
  await finished(world);
  await target.count(38);
  const again = target.got.slice(20).filter(({ body }) => body.data.message <= 20);
  t.same(
    again.map(({ body }) => body.data.message).sort((a, b) => a - b),
    Array.from({ length: 15 }, (_, i) => i + 6),
    'everything after the position, up to the request',
  );
  for (const { body } of again) {
    const before = first.get(body.data.message);
    t.equal(body.id, before?.id);
    t.not(body.meta.delivery_id, before?.meta.delivery_id);
    t.equal(body.meta.position, before?.meta.position);
  }
  t.equal((await world.node.commands.webhook(7, webhook)).replays.length, 0, 'it is through');
});

t.test("a replay of a time, by today's events and rooms, also of before the webhook", async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  await world.post(5, { room: 1 });
  await world.post(5, { room: 2 });
  await world.journal.untilCount('MessagePosted', 10);
  const posted = world.journal.events.filter(({ type }) => type === 'MessagePosted');
  await new Promise((resolve) => setTimeout(resolve, 5));
  await world.post(5, { room: 2 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await world.journal.untilCount('MessagePosted', 15);
  const since = posted.at(-1)?.at ?? 0;
  const until = world.journal.events.at(-1)?.at ?? 0;
  await world.post(5, { room: 2 });
  const { webhook } = await world.hook(target.url, { roomFilters: [2] });
  await world.node.deliver().ready;
  await world.node.commands.requestReplay(actor, 7, webhook, { from: null, since, until });
  await finished(world);
  t.same(
    [...target.messages].sort((a, b) => a - b),
    [6, 7, 8, 9, 10, 11, 12, 13, 14, 15].filter((message) => message > 10 || posted[message - 1]?.at === since),
  );
});

t.test('what fails of a replay is tried again like everything else', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  const { webhook } = await world.hook(target.url);
  await world.node.deliver().ready;
  await world.post(2);
  await target.count(2);
  target.answer = ({ body }) => (body.data.message === 1 ? 500 : 200);
  await world.node.commands.requestReplay(actor, 7, webhook, { from: 0n, since: null, until: null });
  await finished(world);
  await target.count(4);
  target.answer = () => 200;
  world.clock.move(31_000);
  await target.count(5);
  const [, , ...replayed] = target.got;
  const ids = replayed.filter(({ body }) => body.data.message === 1).map(({ body }) => body.meta.delivery_id);
  t.equal(ids.length, 2);
  t.equal(new Set(ids).size, 1);
  t.ok(settled(world, 1).length > 0);
});

t.test('a replay is refused without a beginning, with two, and beside too many others', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  const { webhook } = await world.hook(target.url);
  const ask = (more: { from?: bigint; since?: number }) =>
    world.node.commands.requestReplay(actor, 7, webhook, { from: null, since: null, until: null, ...more });
  await t.rejects(ask({}), { code: 'value-invalid' });
  await t.rejects(ask({ from: 1n, since: 1 }), { code: 'value-invalid' });
  for (let i = 0; i < 5; i++) await ask({ from: 0n });
  await t.rejects(ask({ from: 0n }), new DomainError('replays-under-way', '5 replays are under way already'));
  await t.rejects(world.node.commands.requestReplay(actor, 7, 99, { from: 0n, since: null, until: null }), {
    code: 'not-found',
  });
  // They wait for whoever delivers.
  await world.post(1);
  await world.node.deliver().ready;
  await world.journal.untilCount('WebhookReplayFinished', 5);
  await target.count(1);
  t.same(target.messages, [1], 'none of them reaches beyond where it was asked for');
});

t.test('what was erased is not told of again: neither by a replay nor by another attempt', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t, ({ body }) => (body.data.message === 2 ? 500 : 200));
  const { webhook } = await world.hook(target.url);
  await world.node.deliver().ready;
  await tell(world, [1, 2, 3]);
  await world.journal.until((events) =>
    events.some((e) => e.type === 'WebhookAttemptsRecorded' && e.data.failed.length > 0),
  );
  await target.count(3);
  for (const message of [1, 2]) await erase(world, message);
  target.answer = () => 200;
  world.clock.move(31_000);
  await world.journal.until((events) =>
    events.some(
      (e) => e.type === 'WebhookAttemptsRecorded' && e.data.ended.some(({ outcome }) => outcome === 'erased'),
    ),
  );
  await world.node.commands.requestReplay(actor, 7, webhook, { from: 0n, since: null, until: null });
  await finished(world);
  await target.count(4);
  t.same(target.messages.slice(3), [3], 'only what is still there');
  await world.projected();
  t.same(await world.ask('SELECT * FROM read.webhook_deliveries'), []);
});

t.test('what waits in memory when it is erased is not sent', async (t) => {
  const world = await webhookWorld(t);
  const waiting: (() => void)[] = [];
  const target = await receiver(t, (_, response) => {
    waiting.push(() => response.writeHead(200).end());
    return undefined;
  });
  await world.hook(target.url);
  await world.node.deliver({ concurrencyPerWebhook: 1 }).ready;
  await tell(world, [1, 2, 3, 4]);
  await target.count(1);
  await erase(world, 3);
  await world.journal.untilCount('TemplateErased', 1);
  target.answer = () => 200;
  for (const answer of waiting) answer();
  await target.count(3);
  t.same(target.messages, [1, 2, 4]);
});

t.test('what failed and waits in memory is not sent once it is erased, however long it waits', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t, () => 500);
  await world.hook(target.url);
  await world.node.deliver({ concurrencyPerWebhook: 1 }).ready;
  await tell(world, [1, 2]);
  const recorded = (wanted: (data: EventData<'WebhookAttemptsRecorded'>) => boolean) =>
    world.journal.until((events) => events.some((e) => e.type === 'WebhookAttemptsRecorded' && wanted(e.data)));
  await recorded(({ failed }) => failed.some(({ stream }) => stream === 'template-7-2'));
  let release = () => {};
  target.answer = (_, response) => {
    release = () => response.writeHead(200).end();
    return undefined;
  };
  world.clock.move(31_000);
  await target.count(3);
  const [under, waits] = target.messages.at(-1) === 1 ? [1, 2] : [2, 1];
  await erase(world, waits as number);
  await recorded(({ ended }) => ended.some(({ outcome }) => outcome === 'erased'));
  world.clock.move(90_000);
  target.answer = () => 200;
  release();
  await tell(world, [3]);
  await target.until(() => target.messages.includes(3));
  t.same(target.messages.slice(2), [under, 3]);
});
