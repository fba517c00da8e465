import t from 'tap';
import type { ConnectorType } from '../../src/commands/index.ts';
import { deliveryWorld, makeProject } from './world.ts';

t.test('a dispatch leaves through each provider and its receipts are applied', async (t) => {
  const world = await deliveryWorld(t);
  const delivery = world.node.deliver();
  world.callbacks = delivery;
  for (const type of ['whatsapp', 'telegram', 'twilio'] satisfies ConnectorType[]) {
    const project = await makeProject(world.node, type);
    const [dispatch = ''] = await project.send('15550107777');
    await world.journal.untilOf(dispatch, 'DispatchDelivered');
    t.same(world.journal.of(dispatch), ['DispatchAccepted', 'DispatchSent', 'DispatchDelivered'], type);
    const [record] = world.sandbox.received({ provider: type }).received;
    const sent = world.journal.events.find(({ type }) => type === 'DispatchSent');
    t.equal(sent?.type === 'DispatchSent' && sent.data.attempt, 1);
    t.match(record, { outcome: 'accepted', to: '15550107777', text: 'Hello' });
  }
});

t.test('what was accepted before the start leaves too', async (t) => {
  const world = await deliveryWorld(t);
  const project = await makeProject(world.node, 'telegram');
  const dispatches = await project.send('1', '2', '3');
  world.node.deliver();
  await world.journal.untilCount('DispatchDelivered', 3);
  t.same(
    dispatches.map((dispatch) => world.journal.of(dispatch).length),
    [3, 3, 3],
  );
});

t.test("a refusal for good fails at once, with the provider's text", async (t) => {
  const world = await deliveryWorld(t);
  world.node.deliver();
  const project = await makeProject(world.node, 'twilio');
  const [dispatch = ''] = await project.send('15550100001');
  await world.journal.untilOf(dispatch, 'DispatchFailed');
  t.same(world.journal.of(dispatch), ['DispatchAccepted', 'DispatchFailed']);
  const failed = world.journal.events.at(-1);
  t.match(failed?.data, { error: "Invalid 'To' Phone Number: 15550100001", attempt: 1 });
  t.equal(world.sandbox.counts().twilio.sends, 1);
});
