import { randomUUID } from 'node:crypto';
import t from 'tap';
import { receiver } from '../webhooks/receiver.ts';
import { mailgun, provider } from './node.ts';
import { mailTo, notificationWorld } from './world.ts';

t.test('sending', async (t) => {
  const world = await notificationWorld(t);

  t.test('those that press more go first', async (t) => {
    const target = await receiver(t);
    const order = ['low', 'normal', 'urgent', 'high', 'urgent'] as const;
    const ids: string[] = [];
    for (const priority of order) ids.push(await world.accept({ type: 'webhook', recipients: [target.url], priority }));
    world.deliver(t, { concurrency: 1 });
    await target.count(5);
    t.strictSame(
      target.got.map(({ headers }) => headers['webhook-id']),
      [2, 4, 3, 1, 0].map((i) => ids[i]),
    );
  });

  t.test('a workspace whose receivers hang holds up no other', async (t) => {
    const hanging = await receiver(t, () => undefined);
    const target = await receiver(t);
    for (let i = 0; i < 12; i++)
      await world.accept({ type: 'webhook', recipients: [hanging.url], priority: 'urgent', maxRetries: 0 }, 8);
    const mine = await world.accept({ type: 'webhook', recipients: [target.url], priority: 'low' });
    const running = world.deliver(t, { concurrency: 8, attemptTimeoutMs: 1_000 });
    t.equal((await world.ended(mine)).status, 'sent');
    t.ok(hanging.got.length <= 2, 'it has its share');
    t.ok(running.depths().inFlight <= 3);
  });

  t.test('what one process has does not hide the rest from another', async (t) => {
    const target = await receiver(t);
    const accept = () => world.accept({ type: 'webhook', recipients: [target.url] });
    const ids: string[] = [];
    for (let i = 0; i < 12; i++) ids.push(await accept());
    const [theirs, rest] = [ids.slice(0, 9), ids.slice(9)];
    await world.node.options.work.query(
      `INSERT INTO work.dispatch_leases (dispatch, holder, until)
        SELECT dispatch, $2, now() + interval '1 hour' FROM unnest($1::text[]) AS u(dispatch)`,
      [theirs, randomUUID()],
    );
    const running = world.deliver(t, { concurrency: 8, concurrencyPerWorkspace: 2, pollMs: 10_000 });
    await target.count(3);
    await running.stop();
    t.strictSame(target.got.map(({ headers }) => headers['webhook-id']).sort(), rest.toSorted());
    await world.node.options.work.query('DELETE FROM work.dispatch_leases WHERE dispatch = ANY ($1)', [theirs]);
    for (const id of theirs) await world.node.commands.cancel({ workspace: 7, account: 0 }, id);
  });

  t.test('cancelled while it waits for its turn: it never leaves', async (t) => {
    const id = await world.accept({ email: mailTo('cancelled@example.com') });
    await world.node.commands.cancel({ workspace: 7, account: 0 }, id);
    const other = await world.accept({ email: mailTo('kept@example.com') });
    world.deliver(t);
    t.equal((await world.ended(other)).status, 'sent');
    t.strictSame(
      world.sandbox.mails().map(({ to }) => to.join()),
      ['kept@example.com'],
    );
  });

  t.test('asked to slow down: later, and no attempt is used up', async (t) => {
    const id = await world.accept({ email: mailTo('me0003@example.com'), maxRetries: 0 });
    world.deliver(t);
    const row = await world.ended(id);
    t.match(row, { status: 'sent', used: 0, attempts: [{ number: 1, error: null }] });
    t.match(
      world.journal.events.find(({ type, data }) => type === 'NotificationDeferred' && data.notification === id),
      { data: { used: 0, attempts: [] } },
    );
  });

  t.test("a provider's own pace is waited for, before anything is taken up", async (t) => {
    const slow = provider(mailgun.provider_config, { rate_limit_per_second: 10 });
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push(await world.accept({ email: mailTo(`p${i}x@example.com`) }));
    world.deliver(t, { providersOf: async () => [slow] });
    for (const id of ids) t.match(await world.ended(id), { status: 'sent', used: 0 });
    const deferred = world.journal.events.filter(
      ({ type, data }) => type === 'NotificationDeferred' && ids.includes(data.notification),
    );
    t.strictSame(deferred, []);
  });

  t.test('who was not reached is tried again alone, blind copies each by themselves', async (t) => {
    const { host, port } = world.sandbox.smtp;
    const smtp = {
      provider_type: 'smtp',
      host,
      port,
      username: 'me',
      password: 'x',
      use_tls: false,
      use_ssl: false,
    } as const;
    const refused = await world.accept({ email: mailTo('a@example.com', 'me0001@example.com') });
    const email = { ...mailTo('b@example.com'), bcc: ['c0003@example.com', 'd0003@example.com'] };
    const late = await world.accept({ email });
    world.deliver(t, { providersOf: async () => [provider(smtp)] });
    t.match(await world.ended(refused), { status: 'failed', error: /1 of 2/, attempts: { length: 1 } });
    t.match(await world.ended(late), { status: 'sent', used: 1 });
    const mails = world.sandbox.mails().filter(({ to, bcc }) => /[bcd]/.test([...to, ...bcc].join().slice(0, 1)));
    t.equal(new Set(mails.map(({ messageId }) => messageId)).size, 1, 'known as one mail');
    const alone = mails.filter(({ to }) => !to.includes('b@example.com'));
    t.strictSame(alone.map(({ to, bcc }) => [...to, ...bcc]).sort(), [['c0003@example.com'], ['d0003@example.com']]);
  });

  t.test('a target that is not allowed is refused for good', async (t) => {
    const id = await world.accept({ type: 'webhook', recipients: ['http://localtest.invalid./x'] });
    const guard = {
      connector: () => (_: unknown, done: (error: Error, socket: null) => void) => {
        done(Object.assign(new Error('no'), { code: 'TARGET_NOT_ALLOWED' }), null);
      },
    };
    world.deliver(t, { guard: guard as never });
    t.match(await world.ended(id), { status: 'failed', attempts: [{ error: 'TARGET_NOT_ALLOWED' }] });
  });
});
