import t, { type Test } from 'tap';
import { ErasureCommands } from '../../../src/commands/index.ts';
import { startChores } from '../../../src/delivery/chores/index.ts';
import { consumerPool } from '../../../src/feed/checkpoint.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { receiver } from './receiver.ts';
import { actor, type World, webhookWorld } from './world.ts';

function chores(t: Test, world: World): void {
  const { node, url } = world;
  const pool = consumerPool(url, { name: 'test-chores', maxConnections: 4 });
  const running = startChores({
    feed: node.options.feed,
    read: world.read,
    pool,
    projected: world.projector,
    head: () => node.log.head(),
    erase: (streams) => node.log.erase(streams),
    erasures: new ErasureCommands({ door: node.door }),
    clock: systemClock,
    logger: { info() {}, warn() {}, error() {} },
    graceMs: 0,
  });
  t.teardown(async () => {
    await running.stop();
    await pool.end();
  });
}

t.test('a deleted webhook is not delivered to, and erased', async (t) => {
  const world = await webhookWorld(t);
  const gone = await receiver(t, () => 500);
  const stays = await receiver(t);
  const { webhook } = await world.hook(gone.url);
  await world.hook(stays.url);
  await world.node.deliver().ready;
  await world.post(1);
  await Promise.all([gone.count(1), stays.count(1)]);
  chores(t, world);
  await world.node.commands.deleteWebhook(actor, 7, webhook);
  await world.journal.untilCount('WebhookErased', 1);
  world.clock.move(3_600_000);
  await world.post(1);
  await stays.count(2);
  t.equal(gone.got.length, 1);
  while (!(await world.node.log.read('webhook-7-1')).closed) await new Promise((resolve) => setTimeout(resolve, 20));
  await world.projected();
  const rows = await world.ask('SELECT webhook, url, deleted, erased FROM read.webhooks ORDER BY webhook');
  t.match(rows, [
    { webhook: 1, url: null, deleted: true, erased: true },
    { webhook: 2, url: stays.url, deleted: false, erased: false },
  ]);
  t.same(await world.ask('SELECT * FROM read.webhook_deliveries'), []);
  const left = await world.ask('SELECT 1 FROM log.events WHERE data::text LIKE $1', [`%${gone.port}%`]);
  t.same(left, [], 'its address is nowhere');
});

t.test('with its workspace', async (t) => {
  const world = await webhookWorld(t);
  const target = await receiver(t);
  const { workspace } = await world.node.workspaces.openProject(actor, { name: 'Shop', description: null });
  await world.hook(target.url, { workspace });
  await world.node.deliver().ready;
  await world.post(1, { workspace });
  await target.count(1);
  await world.node.workspaces.deleteProject(actor, workspace);
  await world.journal.untilCount('WorkspaceDeleted', 1);
  await world.journal.caughtUp();
  const before = target.got.length;
  await world.post(3, { workspace });
  chores(t, world);
  await world.journal.untilCount('WebhookErased', 1);
  t.equal(target.got.length, before, 'nothing is sent for a workspace that is gone');
});
