/** What stands in line at the poster: handed over, and not begun. */
import type { ServerResponse } from 'node:http';
import t from 'tap';
import type { Poster } from '../../../src/delivery/webhooks/poster.ts';
import { erase, tell } from './erasable.ts';
import { type Receiver, receiver } from './receiver.ts';
import { actor, type Node, type World, webhookWorld } from './world.ts';

/** Lets a receiver answer quickly up to a message, and answers it and what follows when told. */
function holdFrom(target: Receiver, message: number): (status: number) => void {
  const held: ServerResponse[] = [];
  target.answer = ({ body }, response) => {
    if (body.data.message < message) return 200;
    held.push(response);
    return undefined;
  };
  return (status) => {
    target.answer = () => 200;
    for (const response of held.splice(0)) response.writeHead(status).end();
  };
}

/** A node for which no time passes while it waits for an answer: each is as quick as can be, however busy the machine. */
function quickNode(world: World): Promise<Node> {
  return world.openNode({ now: () => world.clock.now(), monotonicMs: () => 0 });
}

function settledBeyond({ journal }: World): Promise<void> {
  return journal.until((events) =>
    events.some((e) => e.type === 'WebhookAttemptsRecorded' && e.data.settled.some(({ beyond }) => beyond.length > 0)),
  );
}

t.test('a failure sends it back: nothing is lost, and nothing sent twice', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  await world.hook(target.url);
  const release = holdFrom(target, 40);
  const numbers = await world.post(300);
  const node = await quickNode(world);
  const webhooks = node.deliver({ concurrencyPerWebhook: 2 });
  await webhooks.ready;
  await target.count(41);
  t.match(webhooks.depths(), { inFlight: 2 }, 'what stands in line is not under way');
  release(500);
  await target.until(() => new Set(target.messages).size === numbers.length);
  const order = target.messages.slice(0, 60);
  t.same(
    order.sort((a, b) => a - b),
    numbers.slice(0, 60),
    'what came back went first',
  );
  world.clock.move(31_000);
  await target.until(() => target.got.filter(({ body }) => body.meta.attempt === 2).length === 2);
  const again = target.got.filter(({ body }) => body.meta.attempt === 2).map(({ body }) => body.data.message);
  t.same(again.sort(), [40, 41]);
  t.equal(target.got.length, numbers.length + 2);
});

t.test('what is erased there is not sent', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  await world.hook(target.url);
  const release = holdFrom(target, 3);
  const node = await quickNode(world);
  await node.deliver({ concurrencyPerWebhook: 1 }).ready;
  await tell(world, [1, 2, 3, 4, 5, 6]);
  await target.count(3);
  await erase(world, 5);
  await settledBeyond(world);
  release(200);
  await target.count(5);
  t.same(target.messages, [1, 2, 3, 4, 6]);
});

t.test('a webhook that is switched off gets nothing of it, and all of it when it is on again', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  const { webhook } = await world.hook(target.url);
  const release = holdFrom(target, 3);
  const node = await quickNode(world);
  const webhooks = node.deliver({ concurrencyPerWebhook: 1 });
  await webhooks.ready;
  const numbers = await world.post(6);
  await target.count(3);
  t.match(webhooks.depths(), { waiting: 3, inFlight: 1 });
  await world.node.commands.changeWebhook(actor, 7, webhook, { isActive: false });
  while (webhooks.depths().waiting > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const released = world.journal.until((events) =>
    events.some((e) => e.type === 'WebhookAttemptsRecorded' && e.data.lastAt > 0 && e.data.delivered > 0),
  );
  release(200);
  await released;
  t.same(target.messages, [1, 2, 3]);
  await world.node.commands.changeWebhook(actor, 7, webhook, { isActive: true });
  await target.count(6);
  t.same(target.messages, numbers);
});

t.test('it is bounded, in number and in characters', async (t) => {
  for (const { characters, most } of [
    { characters: 10, most: 2 + 2 * 8 },
    { characters: 200_000, most: 6 },
  ]) {
    const world = await webhookWorld(t);
    const target = await receiver(t);
    await world.hook(target.url);
    const release = holdFrom(target, 3);
    let handed = 0;
    let mostHanded = 0;
    const counting = (poster: Poster): Poster => ({
      recall: () => poster.recall(),
      close: () => poster.close(),
      post(post) {
        mostHanded = Math.max(mostHanded, ++handed);
        return poster.post(post).finally(() => handed--);
      },
    });
    const node = await quickNode(world);
    const { poster } = node.options;
    const webhooks = node.deliver({ concurrencyPerWebhook: 2, poster: (ms) => counting(poster(ms)) });
    await webhooks.ready;
    const numbers = await world.post(40, { text: 'x'.repeat(characters) });
    await target.count(4);
    release(200);
    await target.count(40);
    t.same(
      target.messages.sort((a, b) => a - b),
      numbers,
    );
    t.equal(mostHanded, most, `${characters} characters each`);
  }
});
