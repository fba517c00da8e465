import t from 'tap';
import { findDeadLetter, findWebhook, listDeadLetters } from '../../../projections/webhooks/queries.ts';
import type { EventData } from '../../../schemas/index.ts';
import { receiver } from './receiver.ts';
import { actor, testSchedule, type World, webhookWorld } from './world.ts';

type Recorded = EventData<'WebhookAttemptsRecorded'>;

function records(world: World): Recorded[] {
  return world.journal.events.flatMap((e) => (e.type === 'WebhookAttemptsRecorded' ? [e.data] : []));
}

/** Resolves when that many failed attempts stand in the log, and in the rows. */
async function failures(world: World, count: number): Promise<Recorded['failed']> {
  await world.journal.until(() => records(world).flatMap(({ failed }) => failed).length >= count);
  await world.projected();
  return records(world).flatMap(({ failed }) => failed);
}

async function until(world: World, type: 'WebhookActivated' | 'WebhookDeactivated'): Promise<void> {
  await world.journal.until((events) => events.some((event) => event.type === type));
  await world.projected();
}

t.test('the schedule: at once, then after 30 s, 2 min, 8 min and 32 min; the same id, a new attempt', async (t) => {
  const world = await webhookWorld(t);
  // Every other delivery succeeds, so that the webhook stays on.
  const target = await receiver(t, ({ body }) => (body.data.message === 1 ? 503 : 200));
  const { webhook } = await world.hook(target.url);
  await world.node.deliver().ready;
  await world.post(1);
  const waits: number[] = [];
  for (const [i, waitMs] of [30_000, 120_000, 480_000, 1_920_000].entries()) {
    const attempt = (await failures(world, i + 1)).at(-1);
    t.match(attempt, { attempt: i + 1, used: i + 1, status: 503, error: 'HTTP_503' });
    waits.push((attempt?.retryAt ?? 0) - (attempt?.at ?? 0));
    world.clock.move(waitMs - 1_000);
    await world.post(1);
    await target.until(() => target.messages.at(-1) !== 1);
    t.equal(target.messages.filter((message) => message === 1).length, i + 1, 'not before its time');
    world.clock.move(2_000);
    await target.until(() => target.messages.filter((message) => message === 1).length === i + 2);
  }
  t.same(waits, [30_000, 120_000, 480_000, 1_920_000]);
  const last = (await failures(world, 5)).at(-1);
  t.match(last, { attempt: 5, used: 5, retryAt: null }, 'after five it is a dead letter');
  const same = target.got.filter(({ body }) => body.data.message === 1);
  t.equal(new Set(same.map(({ body }) => body.id)).size, 1);
  t.equal(new Set(same.map(({ body }) => body.meta.delivery_id)).size, 1);
  t.same(
    same.map(({ body }) => body.meta.attempt),
    [1, 2, 3, 4, 5],
  );
  const dead = await listDeadLetters(world.read, 7, webhook, { limit: 10, offset: 0 });
  t.match(dead, {
    total: 1,
    items: [{ delivery: last?.delivery, attempts: 5, status: 503, event: 'message.created' }],
  });

  target.answer = () => 200;
  t.ok(await findDeadLetter(world.read, 7, webhook, last?.delivery ?? ''));
  await world.node.commands.redriveDelivery(actor, 7, webhook, last?.delivery ?? '');
  await target.until(() => target.got.at(-1)?.body.meta.attempt === 6);
  t.equal(target.got.at(-1)?.body.meta.delivery_id, last?.delivery, 'a redriven dead letter keeps its id');
  await world.journal.until(() => records(world).some(({ ended }) => ended.length === 1));
  await world.projected();
  t.same(await world.ask('SELECT * FROM read.webhook_deliveries'), [], 'nothing is left of it');
});

t.test('five failures in a row, counted once in 30 s, switch it off; nothing is lost', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t, () => 500);
  const { webhook } = await world.hook(target.url);
  await world.node.deliver().ready;
  await world.post(3);
  await failures(world, 3);
  t.equal((await findWebhook(world.read, 7, webhook))?.failureCount, 1, 'three at once count once');
  for (let count = 2; count <= 4; count++) {
    world.clock.move(31_000);
    const before = target.got.length;
    await world.post(1);
    await target.count(before + 1);
    await world.journal.until(() => records(world).some(({ failureCount }) => failureCount === count));
  }
  await world.projected();
  t.equal((await findWebhook(world.read, 7, webhook))?.isActive, true);
  world.clock.move(31_000);
  await world.post(1);
  await until(world, 'WebhookDeactivated');
  const off = world.journal.events.find(({ type }) => type === 'WebhookDeactivated');
  t.match(off?.data, { reason: 'failing' });
  t.match(await findWebhook(world.read, 7, webhook), { isActive: false, failureCount: 5 });

  const meanwhile = await world.post(40);
  const before = target.got.length;
  world.clock.move(3_600_000);
  await world.journal.caughtUp();
  t.equal(target.got.length, before, 'nothing is sent while it is off');
  target.answer = () => 200;
  await world.node.commands.changeWebhook(actor, 7, webhook, { isActive: true });
  await target.until(() => target.got.filter((_, i) => i >= before).length >= 7 + 40);
  const delivered = target.messages.slice(before).sort((a, b) => a - b);
  t.same(delivered, [1, 2, 3, 4, 5, 6, 7, ...meanwhile], 'what was open, and what happened meanwhile, once each');
  await world.journal.until(() => records(world).reduce((sum, { delivered }) => sum + delivered, 0) === 47);
  await world.projected();
  t.match(await findWebhook(world.read, 7, webhook), { isActive: true, failureCount: 0, delivered: 47 });
  t.same(await world.ask('SELECT * FROM read.webhook_deliveries'), []);
});

t.test('open deliveries get five attempts anew when it is made active again', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t, () => 500);
  const { webhook } = await world.hook(target.url);
  await world.node.deliver().ready;
  await world.post(1);
  // The first, the second: 30 s later; the one after is due in two minutes.
  await failures(world, 1);
  world.clock.move(31_000);
  await failures(world, 2);
  await world.node.commands.changeWebhook(actor, 7, webhook, { isActive: false });
  await world.node.commands.changeWebhook(actor, 7, webhook, { isActive: true });
  t.match((await failures(world, 3)).at(-1), { attempt: 3, used: 1 }, 'at once, and the first of five');
  const again = (await failures(world, 3)).at(-1);
  t.equal((again?.retryAt ?? 0) - (again?.at ?? 0), 30_000);
});

t.test('a failing delivery does not keep the others of its webhook', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t, ({ body }) => (body.data.message % 2 === 0 ? 500 : 200));
  await world.hook(target.url);
  await world.node.deliver().ready;
  const numbers = await world.post(60);
  await target.until(() => new Set(target.messages).size === numbers.length);
  await failures(world, 30);
  t.equal((await world.ask('SELECT * FROM read.webhook_deliveries')).length, 30);
});

t.test('after failures in a row one attempt at a time, with pauses', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t, () => 500);
  await world.hook(target.url);
  const schedule = { ...testSchedule, breakAfter: 4, pauseMs: { first: 1_000, most: 4_000 } };
  await world.node.deliver({ schedule }).ready;
  await world.post(100);
  await failures(world, 4);
  const before = target.got.length;
  t.ok(before <= 6, `${before} requests before the pause`);
  world.clock.move(1_001);
  await target.count(before + 1);
  await failures(world, before + 1);
  target.answer = () => 200;
  world.clock.move(4_001);
  await target.until(() => new Set(target.messages).size === 100);
  t.pass('and all at once when it answers again');
});

t.test('an endpoint that hangs does not slow the others', async (t) => {
  const world = await webhookWorld(t);
  const dead = await receiver(t, () => undefined);
  const well = await receiver(t);
  for (let i = 0; i < 4; i++) await world.hook(dead.url);
  await world.hook(well.url);
  const schedule = { ...testSchedule, attemptTimeoutMs: 60_000 };
  await world.node.deliver({ concurrency: 8, schedule }).ready;
  await world.post(200);
  await well.count(200);
  t.same(
    records(world).flatMap(({ failed }) => failed),
    [],
    'while all that it hangs on still waits',
  );
  t.equal(new Set(well.messages).size, 200);
  dead.close();
});

t.test('no answer in time is a failure', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t, () => undefined);
  await world.hook(target.url);
  const schedule = { ...testSchedule, attemptTimeoutMs: 50 };
  await world.node.deliver({ schedule }).ready;
  await world.post(1);
  t.match(await failures(world, 1), [{ error: 'TIMEOUT', status: null, attempt: 1 }]);
});

t.test('answers that are too large, in their head or their body, and redirects', async (t) => {
  const world = await webhookWorld(t);
  const other = await receiver(t);
  const target = await receiver(t, ({ body }, response) => {
    switch (body.data.message) {
      case 1:
        response.writeHead(302, { location: other.url }).end();
        break;
      case 2:
        response.writeHead(200, { 'x-large': 'x'.repeat(32 * 1024) }).end();
        break;
      case 3: {
        // Without an end: read as far as bodies are.
        response.writeHead(200);
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(64 * 1024)));
        };
        response.on('drain', more);
        more();
        break;
      }
      default:
        response.writeHead(200).end();
    }
    return undefined;
  });
  await world.hook(target.url);
  await world.node.deliver().ready;
  await world.post(4);
  const failed = await failures(world, 2);
  t.match(
    failed.sort((a, b) => Number(a.position) - Number(b.position)),
    [
      { status: 302, error: 'HTTP_302' },
      { status: null, error: 'UND_ERR_HEADERS_OVERFLOW' },
    ],
  );
  await world.journal.until(() => records(world).reduce((sum, { delivered }) => sum + delivered, 0) === 2);
  t.equal(other.got.length, 0, 'nobody goes where a redirect leads');
});
