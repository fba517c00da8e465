/** Delivery by several processes that share a feed of several partitions, with the rows written by yet others. */
import t, { type Test } from 'tap';
import { defaultSchedule } from '../../src/delivery/index.ts';
import { readGroup } from '../../src/feed/checkpoint.ts';
import { randomOf } from '../projections/history.ts';
import { seedOf } from '../projections/scratch.ts';
import { dealtFeed } from '../support/dealt-feed.ts';
import { eachOnce, sameAsRebuilt, sharedWorld } from './shared.ts';
import { makeProject, owner, type Project, recipients, silent } from './world.ts';

/** Partitions, dealt unevenly, and crosswise between those who project and those who deliver. */
function dealtWorld(t: Test) {
  const random = randomOf(seedOf(t));
  const mine = { project: [[0, 1, 2], [3]], deliver: [[0], [1, 2, 3]] } as const;
  return sharedWorld(t, ({ log, pool, which, what }) =>
    dealtFeed({ history: log, pool, logger: silent, partitions: 4, mine: mine[what][which], random }),
  );
}

t.test('several processes send everything once, and take all receipts', async (t) => {
  const { world, deliver } = await dealtWorld(t);
  const works = deliver();
  const projects = [await makeProject(world.node), await makeProject(world.node, 'twilio')];
  const sent: string[] = [];
  for (let round = 0; round < 4; round++) {
    for (const project of projects) sent.push(...(await project.send(...recipients(15, round * 15))));
  }
  await world.journal.untilCount('DispatchDelivered', sent.length);
  eachOnce(t, world, sent);
  await sameAsRebuilt(t, world);
  // What one process leaves the others do.
  await works[1]?.stop();
  const [project] = projects as [Project];
  const more = await project.send(...recipients(20, 200));
  await world.journal.untilCount('DispatchDelivered', sent.length + more.length);
  eachOnce(t, world, more);
});

t.test('receipts that come before the id is known are lost in no partition', async (t) => {
  const { world, deliver, receipts } = await dealtWorld(t);
  world.sandbox.behave({ down: true });
  deliver({ schedule: { ...defaultSchedule, retryOffsetsMs: [0, 3_600_000], jitter: 0 } });
  const project = await makeProject(world.node);
  const dispatches = await project.send(...recipients(24));
  await world.journal.untilCount('DispatchDeferred', dispatches.length);
  await Promise.all(
    dispatches.flatMap((dispatch, i) => {
      const externalId = `wamid.${i}`;
      const sent = { command: 'RecordSent', externalId, sentAt: Date.now(), attempt: 1, delivered: false } as const;
      return [
        receipts.receive('whatsapp', [{ status: 'delivered', externalId }]),
        world.node.commands.record([{ dispatch, command: sent }]),
      ];
    }),
  );
  await world.journal.untilCount('DispatchDelivered', dispatches.length);
  t.ok(
    dispatches.every((dispatch) => world.journal.of(dispatch).slice(2).join() === 'DispatchSent,DispatchDelivered'),
    'each once',
  );
  await sameAsRebuilt(t, world);
});

t.test('a deleted project is erased, whatever partition its things are in', async (t) => {
  const { world, deliver } = await dealtWorld(t);
  deliver();
  const project = await makeProject(world.node);
  const other = await makeProject(world.node);
  const dispatches = await project.send(...recipients(40));
  const others = await other.send(...recipients(4));
  await world.journal.untilCount('DispatchDelivered', dispatches.length + others.length);
  await world.node.workspaces.deleteProject(owner, project.workspace);
  await world.journal.untilCount('WorkspaceErased', 1);
  const head = await world.log.head();
  while ((await readGroup(world.read, 'erasing')).smallest < head);
  const left = async (like: string) =>
    (
      await world.ask<{ stream: string }>(
        'SELECT DISTINCT stream FROM log.events WHERE data IS NOT NULL AND stream LIKE $1',
        [like],
      )
    ).map(({ stream }) => stream);
  t.same((await left('dispatch-%')).sort(), others.map((dispatch) => `dispatch-${dispatch}`).sort());
  t.same(
    (await left(`%-${project.workspace}-%`)).filter((stream) => !stream.startsWith('erased-')),
    [],
  );
  await sameAsRebuilt(t, world);
});
