import t from 'tap';
import type { EventData } from '../../schemas/index.ts';
import { deliveryWorld, fastSchedule, type Journal, makeProject, noPace, recipients } from './world.ts';

function deferrals(journal: Journal, dispatch: string): EventData<'DispatchDeferred'>[] {
  return journal.events.flatMap((e) => (e.type === 'DispatchDeferred' && e.data.dispatch === dispatch ? [e.data] : []));
}

t.test('trouble once: the next attempt is taken, as the second', async (t) => {
  const world = await deliveryWorld(t);
  world.callbacks = world.node.deliver();
  const project = await makeProject(world.node);
  for (const to of ['15550100004', '15550100007']) {
    const [dispatch = ''] = await project.send(to);
    await world.journal.untilOf(dispatch, 'DispatchSent');
    const sent = world.journal.events.find((e) => e.type === 'DispatchSent' && e.data.dispatch === dispatch);
    t.match(sent?.data, { attempt: 2 }, to);
    t.match(deferrals(world.journal, dispatch), [{ attempt: 1 }], to);
  }
});

t.test('always 5xx: three attempts, then it failed', async (t) => {
  const world = await deliveryWorld(t);
  const outcomes: string[] = [];
  const over = Promise.withResolvers<void>();
  world.node.deliver({
    onOutcome(type, outcome) {
      outcomes.push(`${type} ${outcome}`);
      if (outcome === 'failed') over.resolve();
    },
  });
  const project = await makeProject(world.node, 'telegram');
  const [dispatch = ''] = await project.send('1550100006');
  await world.journal.untilOf(dispatch, 'DispatchFailed');
  t.equal(world.sandbox.counts().telegram.sends, 3);
  t.same(
    deferrals(world.journal, dispatch).map(({ attempt }) => attempt),
    [1, 2],
  );
  t.match(world.journal.events.at(-1)?.data, { attempt: 3 });
  // Told of once it stands in the log, where the journal may see it sooner.
  await over.promise;
  t.same(outcomes, ['telegram retried', 'telegram retried', 'telegram failed']);
});

t.test('an attempt that is not answered ends at its time-out', async (t) => {
  const world = await deliveryWorld(t);
  world.node.deliver({ schedule: { ...fastSchedule, attemptTimeoutMs: 200 } });
  const project = await makeProject(world.node, 'telegram');
  const [dispatch = ''] = await project.send('1550100005');
  await world.journal.untilOf(dispatch, 'DispatchDelivered');
  t.match(deferrals(world.journal, dispatch), [{ attempt: 1 }]);
});

t.test('throttling uses up no attempt, and its hint is honoured', async (t) => {
  const world = await deliveryWorld(t);
  world.sandbox.behave({ retryAfterS: 1 });
  world.node.deliver();
  const project = await makeProject(world.node, 'telegram');
  const [dispatch = ''] = await project.send('1550100003');
  await world.journal.untilOf(dispatch, 'DispatchDelivered');
  const [deferred] = deferrals(world.journal, dispatch);
  const event = world.journal.events.find(({ type }) => type === 'DispatchDeferred');
  t.equal(deferred?.attempt, 0);
  t.ok((deferred?.retryAt ?? 0) - (event?.at ?? 0) > 900, 'the hint, not the schedule');
  const sent = world.journal.events.find(({ type }) => type === 'DispatchSent');
  t.match(sent?.data, { attempt: 1 });
});

t.test('a connector that is throttled stays pending and loses nothing', async (t) => {
  const world = await deliveryWorld(t);
  world.sandbox.behave({ retryAfterS: 0, throttleRate: 0.5 });
  world.node.deliver();
  const project = await makeProject(world.node, 'telegram');
  await project.send(...recipients(40));
  await world.journal.untilCount('DispatchDelivered', 40);
  t.equal(world.journal.events.filter(({ type }) => type === 'DispatchFailed').length, 0);
  t.equal(world.sandbox.counts().telegram.accepted, 40);
});

t.test('what is too old fails without being sent', async (t) => {
  const world = await deliveryWorld(t);
  const project = await makeProject(world.node);
  const [dispatch = ''] = await project.send(...recipients(1));
  const day = 86_400_000;
  world.node.deliver({ clock: { now: () => Date.now() + day, monotonicMs: () => performance.now() } });
  await world.journal.untilOf(dispatch, 'DispatchFailed');
  t.equal(world.sandbox.counts().whatsapp.sends, 0);
});

t.test('a deleted and a deactivated connector: what waits fails, with a text that tells', async (t) => {
  const world = await deliveryWorld(t);
  const { workspaces } = world.node;
  const gone = await makeProject(world.node);
  const off = await makeProject(world.node);
  const [first = ''] = await gone.send(...recipients(1));
  const [second = ''] = await off.send(...recipients(1));
  const actor = { workspace: 1, account: 1 };
  await workspaces.deleteConnector(actor, gone.workspace, gone.connector);
  await workspaces.changeConnector(actor, off.workspace, off.connector, { isActive: false });
  world.node.deliver();
  await world.journal.untilOf(first, 'DispatchFailed');
  await world.journal.untilOf(second, 'DispatchFailed');
  const texts = world.journal.events.flatMap((e) => (e.type === 'DispatchFailed' ? [e.data.error] : []));
  t.match(texts.sort(), [/deactivated/, /deleted/]);
  t.equal(world.sandbox.counts().whatsapp.sends, 0);
});

t.test('a connector whose provider hangs does not hold up another of the same provider', async (t) => {
  const world = await deliveryWorld(t);
  world.sandbox.behave({ recipients: { '9999': 'hang-once' } });
  world.node.deliver({
    concurrencyPerProvider: 8,
    concurrencyPerConnector: 8,
    schedule: { ...fastSchedule, attemptTimeoutMs: 60_000 },
  });
  const hanging = await makeProject(world.node);
  const hangingToo = await makeProject(world.node);
  const other = await makeProject(world.node);
  const hung = (n: number) => Array.from({ length: n }, (_, i) => `+1555${i + 1}9999`);
  await hanging.send(...recipients(5));
  await world.journal.untilCount('DispatchSent', 5);
  await hanging.send(...hung(30));
  await hangingToo.send(...hung(30));
  await other.send(...recipients(30));
  await world.journal.untilCount('DispatchSent', 35);
  t.pass('all of the other went out while the provider hangs');
  // Cuts what hangs, so that the stop need not wait for the time-out.
  await world.sandbox.close();
});

t.test('pace: no more leave in a second than allowed', async (t) => {
  const world = await deliveryWorld(t);
  const project = await makeProject(world.node, 'twilio');
  await project.send(...recipients(15));
  world.node.deliver({ pace: { ...noPace, perConnector: { ...noPace.perConnector, twilio: 10 } } });
  await world.journal.untilCount('DispatchSent', 15);
  const times = world.sandbox.received({ provider: 'twilio' }).received.map(({ at }) => at);
  // Fifteen at ten a second cannot take less than 1.4 s, wherever they are late.
  t.ok((times.at(-1) ?? 0) - (times[0] ?? 0) >= 1_300, `${(times.at(-1) ?? 0) - (times[0] ?? 0)} ms`);
});

t.test('a deferral that is recorded again, by who was not told that it stands, stands once', async (t) => {
  const world = await deliveryWorld(t);
  const project = await makeProject(world.node);
  const [dispatch = ''] = await project.send(...recipients(1));
  const { commands } = world.node;
  const known = await commands.dispatch(dispatch);
  const deferral = { command: 'RecordDeferred', attempt: 1, retryAt: Date.now() + 60_000, error: 'later' } as const;
  for (let i = 0; i < 3; i++) await commands.record([{ dispatch, command: deferral, known }]);
  await commands.record([{ dispatch, command: { ...deferral, attempt: 2 }, known }]);
  await world.journal.caughtUp();
  t.same(world.journal.of(dispatch), ['DispatchAccepted', 'DispatchDeferred', 'DispatchDeferred']);
});
