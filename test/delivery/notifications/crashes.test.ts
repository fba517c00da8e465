import { fileURLToPath } from 'node:url';
import t from 'tap';
import { compareWithRebuild } from '../../../src/readside/index.ts';
import { kill, startChild } from '../children.ts';
import { receiver } from '../webhooks/receiver.ts';
import { mailTo, notificationWorld } from './world.ts';

const program = fileURLToPath(new URL('./child.ts', import.meta.url));

for (const sole of [true, false]) {
  t.test(`killed in the middle, again and again (${sole ? 'alone' : 'one of several'})`, async (t) => {
    const world = await notificationWorld(t);
    const { sandbox, journal } = world;
    const args = [world.url, sandbox.mailgunUrl, ...(sole ? ['sole'] : [])];
    const target = await receiver(t, (_, response) => {
      setTimeout(() => response.writeHead(200).end(), 5);
      return undefined;
    });
    const mails: string[] = [];
    const posts: string[] = [];
    const room: string[] = [];
    for (let i = 0; i < 60; i++) {
      mails.push(await world.accept({ email: mailTo(`person${i}x@example.com`) }));
      posts.push(await world.accept({ type: 'webhook', recipients: [target.url] }));
      room.push(await world.accept({ type: 'websocket', room: 1 }));
    }
    const all = [...mails, ...posts, ...room];
    for (const after of [1, 20]) {
      const child = await startChild(t, program, args);
      await target.count(target.got.length + after);
      await kill(child);
    }
    const last = await startChild(t, program, args);
    await journal.untilCount('NotificationSent', all.length);
    await kill(last);

    const of = (type: string) => journal.events.flatMap((e) => (e.type === type ? [e] : []));
    const named = (type: string) =>
      of(type)
        .map(({ data }) => ('notification' in data ? data.notification : ''))
        .sort();
    t.strictSame(named('NotificationSent'), all.toSorted(), 'each ended, once');
    t.strictSame(named('NotificationShown'), room.toSorted(), 'each was shown, once');
    t.equal(of('NotificationFailed').length + of('NotificationDeferred').length, 0);
    const sentAt = new Map(
      of('NotificationSent').map((e) => ['notification' in e.data ? e.data.notification : '', e.at]),
    );
    const arrived = target.got.map(({ headers, at }) => ({ id: String(headers['webhook-id']), at }));
    t.strictSame([...new Set(arrived.map(({ id }) => id))].sort(), posts.toSorted(), 'each arrived');
    t.strictSame(
      // The event carries the time just before it was appended.
      arrived.filter(({ id, at }) => at > (sentAt.get(id) ?? 0) + 50),
      [],
      'none that was recorded was sent again',
    );
    const caught = sandbox.mails({ limit: 1_000 });
    t.equal(new Set(caught.map(({ to }) => to.join())).size, mails.length, 'each mail arrived');
    const twice = arrived.length + caught.length - mails.length - posts.length;
    t.comment(`${twice} were sent again after a kill between sending and recording`);
    await world.projected();
    for (const comparison of await compareWithRebuild(world.url, world.node.log))
      t.same(comparison.differences, [], comparison.projection);
  });
}
