import { fileURLToPath } from 'node:url';
import t from 'tap';
import { compareWithRebuild } from '../../../src/readside/index.ts';
import { kill, startChild } from '../children.ts';
import { type Receiver, receiver } from './receiver.ts';
import { allSettled, type World, webhookWorld } from './world.ts';

const program = fileURLToPath(new URL('./child.ts', import.meta.url));

/** Positions that arrived although the log had them as delivered by then: by the clock that both share. */
function sentAgain(world: World, target: Receiver): string[] {
  const records = world.journal.events.flatMap((e) =>
    e.type === 'WebhookAttemptsRecorded' ? e.data.settled.map((settled) => ({ ...settled, at: e.at })) : [],
  );
  return target.got.flatMap(({ body, at }) => {
    const { position } = body.meta;
    const recorded = records.find(({ upTo, beyond }) => BigInt(position) <= BigInt(upTo) || beyond.includes(position));
    // The event carries the time just before it was appended.
    return recorded && at > recorded.at + 50 ? [position] : [];
  });
}

for (const sole of [true, false]) {
  t.test(`killed in the middle, again and again (${sole ? 'alone' : 'one of several'})`, async (t) => {
    const world = await webhookWorld(t);
    const args = [world.url, ...(sole ? ['sole'] : [])];
    const target = await receiver(t, (_, response) => {
      setTimeout(() => response.writeHead(200).end(), 5);
      return undefined;
    });
    await world.hook(target.url);
    const numbers = await world.post(1_200);
    for (const after of [1, 400]) {
      const child = await startChild(t, program, args);
      await target.count(target.got.length + after);
      await kill(child);
    }
    const last = await startChild(t, program, args);
    await allSettled(world);
    await kill(last);
    t.same(
      [...new Set(target.messages)].sort((a, b) => a - b),
      numbers,
      'each arrived',
    );
    t.same(sentAgain(world, target), [], 'none that was recorded was sent again');
    const twice = target.messages.length - numbers.length;
    t.comment(`${twice} were sent again after a kill between sending and recording`);
    t.equal(new Set(target.got.map(({ body }) => body.meta.delivery_id)).size, numbers.length, 'under the same ids');
    await world.projected();
    for (const comparison of await compareWithRebuild(world.url, world.node.log))
      t.same(comparison.differences, [], comparison.projection);
  });
}
