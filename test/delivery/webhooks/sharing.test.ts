import t from 'tap';
import { WebhookLeases } from '../../../src/delivery/webhooks/leases.ts';
import { receiver } from './receiver.ts';
import { allSettled, webhookWorld } from './world.ts';

t.test('what was sent and not recorded is sent again', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  await world.hook(target.url);
  // Its door refuses: nothing that it sends is ever recorded.
  const cut = await world.openNode();
  cut.door.drain();
  const webhooks = cut.deliver();
  await webhooks.ready;
  await world.post(1);
  await target.count(1);
  await webhooks.stop();
  await world.node.deliver().ready;
  await target.count(2);
  const [first, second] = target.got;
  t.equal(second?.body.meta.delivery_id, first?.body.meta.delivery_id);
  t.equal(second?.body.meta.attempt, 1, 'what is not recorded does not count');
});

t.test('two processes share the webhooks, and one takes over from the other', async (t) => {
  const world = await webhookWorld(t);
  const targets = await Promise.all(Array.from({ length: 6 }, () => receiver(t)));
  for (const { url } of targets) await world.hook(url);
  const other = await world.openNode();
  const options = { sole: false, lookMs: 50 };
  const first = world.node.deliver(options);
  const second = other.deliver(options);
  await Promise.all([first.ready, second.ready]);
  const numbers: number[] = [];
  const until = async (wanted: () => boolean) => {
    while (!wanted()) {
      numbers.push(...(await world.post(1)));
      await Promise.all(targets.map((target) => target.count(numbers.length)));
    }
  };
  const [has, hasToo] = [() => first.depths().webhooks, () => second.depths().webhooks];
  await until(() => Math.min(has(), hasToo()) >= 2 && has() + hasToo() === 6);
  await second.stop();
  await until(() => first.depths().webhooks === 6);
  for (const target of targets)
    t.same(
      [...target.messages].sort((a, b) => a - b),
      numbers,
      'each once',
    );
});

t.test('what others have does not keep a process from what nobody has', async (t) => {
  const world = await webhookWorld(t);
  const targets = await Promise.all(Array.from({ length: 6 }, () => receiver(t)));
  const webhooks: number[] = [];
  for (const { url } of targets) webhooks.push((await world.hook(url)).webhook);
  for (const theirs of [webhooks.slice(0, 3), webhooks.slice(3)]) {
    const others = new WebhookLeases(world.node.options.work, 60_000);
    await others.alive();
    const held = await others.claim(theirs.map((webhook) => ({ workspace: 7, webhook })));
    const mine = targets.filter((_, i) => !theirs.includes(webhooks[i] ?? 0));
    const notMine = targets.filter((target) => !mine.includes(target));
    const before = notMine.map(({ got }) => got.length);
    const running = world.node.deliver({ sole: false, lookMs: 20 });
    const [posted = 0] = await world.post(1);
    await Promise.all(mine.map((target) => target.until(() => target.messages.includes(posted))));
    t.equal(running.depths().webhooks, 3);
    await running.stop();
    t.same(
      notMine.map(({ got }) => got.length),
      before,
      'what others have is left to them',
    );
    await others.release(held);
    await others.leave();
  }
});

t.test('a clean stop records what is under way, and leaves nothing to be sent twice', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t, (_, response) => {
    setTimeout(() => response.writeHead(200).end(), 20);
    return undefined;
  });
  await world.hook(target.url);
  const numbers = await world.post(300);
  const first = world.node.deliver();
  await target.count(30);
  await first.stop();
  t.ok(target.got.length < 300, `${target.got.length} of 300 had left`);
  await world.node.deliver().ready;
  await target.count(300);
  await allSettled(world);
  t.same(
    [...target.messages].sort((a, b) => a - b),
    numbers,
    'each left once',
  );
});
