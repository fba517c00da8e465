import t from 'tap';
import { dispatchesByExternalId } from '../../projections/dispatches/queries.ts';
import { event } from '../../schemas/index.ts';
import { DomainError, type Receipt } from '../../src/commands/index.ts';
import { NO_STREAM } from '../../src/log/log.ts';
import { deliveryWorld, makeProject, recipients, type World } from './world.ts';

const sender = '106540352242922';

/** Records a dispatch as sent under an external id, as the dispatcher does. */
async function recordSent(world: World, dispatch: string, externalId: string): Promise<void> {
  await world.node.commands.record([
    { dispatch, command: { command: 'RecordSent', externalId, sentAt: Date.now(), attempt: 1, delivered: false } },
  ]);
  await world.journal.caughtUp();
}

/** A world without a dispatcher at work: its connector's provider is never called. */
async function receiptsWorld(t: Parameters<typeof deliveryWorld>[0]) {
  const world = await deliveryWorld(t);
  world.sandbox.behave({ down: true });
  const outcomes: string[] = [];
  const project = await makeProject(world.node);
  // What is sent meets a provider that is away, and a schedule that comes back to it much later.
  const schedule = { ...world.node.options.schedule, retryOffsetsMs: [0, 3_600_000], jitter: 0 };
  const delivery = world.node.deliver({
    schedule: schedule as NonNullable<typeof world.node.options.schedule>,
    onReceipt: (type, outcome) => outcomes.push(`${type} ${outcome}`),
  });
  const send = async (...args: Parameters<typeof project.send>) => {
    const dispatches = await project.send(...args);
    for (const dispatch of dispatches) await world.journal.untilOf(dispatch, 'DispatchDeferred');
    return dispatches;
  };
  return {
    world,
    project,
    delivery,
    outcomes,
    send,
    receive: async (...all: Receipt[]) => {
      await delivery.receipts.receive('whatsapp', all);
      await world.journal.caughtUp();
    },
  };
}

t.test('by our own id, before the answer to the send is recorded', async (t) => {
  const { world, send, receive } = await receiptsWorld(t);
  const [dispatch = ''] = await send(...recipients(1));
  await receive({ status: 'delivered', externalId: 'wamid.1', dispatchId: dispatch, senderId: sender });
  await recordSent(world, dispatch, 'wamid.1');
  t.same(world.journal.of(dispatch).slice(2), ['DispatchSent', 'DispatchDelivered']);
});

t.test('by the external id, late, twice and out of order', async (t) => {
  const { world, send, receive } = await receiptsWorld(t);
  const [dispatch = ''] = await send(...recipients(1));
  await recordSent(world, dispatch, 'wamid.1');
  await world.projected();
  const receipt = (status: Receipt['status']): Receipt => ({ status, externalId: 'wamid.1', senderId: sender });
  await receive(receipt('delivered'));
  await receive(receipt('sent'), receipt('delivered'), { ...receipt('failed'), error: 'too late' });
  t.same(world.journal.of(dispatch).slice(2), ['DispatchSent', 'DispatchDelivered']);
  t.equal(world.journal.events.filter(({ type }) => type === 'ReceiptHeld').length, 0);
});

t.test('several statuses of one call are all applied', async (t) => {
  const { world, send, receive } = await receiptsWorld(t);
  const dispatches = await send(...recipients(3));
  const statuses = ['sent', 'delivered', 'failed'] as const;
  await receive(
    ...dispatches.map((dispatchId, i): Receipt => {
      const status = statuses[i] ?? 'sent';
      return { status, externalId: `wamid.${i}`, dispatchId, ...(status === 'failed' && { error: 'Undeliverable' }) };
    }),
  );
  await world.projected();
  const last = dispatches.map((dispatch) => world.journal.of(dispatch).at(-1));
  t.same(last, ['DispatchSent', 'DispatchDelivered', 'DispatchFailed']);
  const failed = world.journal.events.find(({ type }) => type === 'DispatchFailed');
  t.match(failed?.data, { error: 'Undeliverable' });
});

t.test('what matches nothing is held and applied when the id becomes known', async (t) => {
  const { world, send, receive, outcomes } = await receiptsWorld(t);
  await receive({ status: 'sent', externalId: 'wamid.9', senderId: sender });
  await receive({ status: 'delivered', externalId: 'wamid.9', senderId: sender });
  await receive({ status: 'delivered', externalId: 'wamid.9', senderId: sender });
  await world.journal.untilCount('ReceiptHeld', 2);
  t.same(outcomes, ['whatsapp held', 'whatsapp held', 'whatsapp held']);
  const [dispatch = ''] = await send(...recipients(1));
  await recordSent(world, dispatch, 'wamid.9');
  await world.journal.untilOf(dispatch, 'DispatchDelivered');
  t.equal(world.journal.events.filter(({ type }) => type === 'ReceiptHeld').length, 2, 'the same one is held once');
});

t.test('a receipt that crosses with the recording of its id is lost in no order', async (t) => {
  const { world, send, receive } = await receiptsWorld(t);
  const dispatches = await send(...recipients(20));
  await Promise.all(
    dispatches.flatMap((dispatch, i) => [
      receive({ status: 'delivered', externalId: `wamid.${i}`, senderId: sender }),
      recordSent(world, dispatch, `wamid.${i}`),
    ]),
  );
  await world.journal.untilCount('DispatchDelivered', 20);
  t.pass('all were delivered');
});

t.test("nobody speaks for another's sender", async (t) => {
  const { world, send, receive, outcomes } = await receiptsWorld(t);
  const [dispatch = ''] = await send(...recipients(1));
  await recordSent(world, dispatch, 'wamid.1');
  await world.projected();
  await receive({ status: 'delivered', externalId: 'wamid.1', dispatchId: dispatch, senderId: '999' });
  await receive({ status: 'failed', externalId: 'wamid.1', senderId: '999' });
  t.same(outcomes, ['whatsapp held', 'whatsapp held']);
  t.equal(world.journal.of(dispatch).at(-1), 'DispatchSent');
});

t.test('a connector that is named has to be that of the dispatch', async (t) => {
  const { world, project, delivery } = await receiptsWorld(t);
  const twilio = await makeProject(world.node, 'twilio');
  const [dispatch = ''] = await twilio.send(...recipients(1));
  await world.journal.untilOf(dispatch, 'DispatchDeferred');
  const receipt: Receipt = { status: 'delivered', externalId: 'SM1', dispatchId: dispatch };
  await delivery.receipts.receive('twilio', [receipt], { workspace: project.workspace, connector: project.connector });
  await world.journal.caughtUp();
  t.notOk(world.journal.of(dispatch).includes('DispatchDelivered'));
  await delivery.receipts.receive('twilio', [receipt], twilio);
  await world.journal.caughtUp();
  t.ok(world.journal.of(dispatch).includes('DispatchDelivered'));
});

t.test('an external id of several dispatches: narrowed by the sender, else applied to none', async (t) => {
  const { world, send, receive, outcomes } = await receiptsWorld(t);
  const other = await makeProject(world.node, 'whatsapp', { phoneNumberId: '777' });
  const [mine = ''] = await send(...recipients(1));
  const [theirs = ''] = await other.send(...recipients(1));
  await world.journal.untilOf(theirs, 'DispatchDeferred');
  for (const dispatch of [mine, theirs]) await recordSent(world, dispatch, 'wamid.same');
  await world.projected();
  t.equal(
    (await dispatchesByExternalId(world.read, { connectorType: 'whatsapp', externalId: 'wamid.same' })).length,
    2,
  );
  await receive({ status: 'delivered', externalId: 'wamid.same' });
  t.same(outcomes, ['whatsapp ambiguous']);
  await receive({ status: 'delivered', externalId: 'wamid.same', senderId: '777' });
  t.equal(world.journal.of(mine).at(-1), 'DispatchSent');
  t.equal(world.journal.of(theirs).at(-1), 'DispatchDelivered');
});

t.test('receipts of a deleted connector count when the external id agrees', async (t) => {
  const { world, project, send, receive } = await receiptsWorld(t);
  const [dispatch = ''] = await send(...recipients(1));
  await recordSent(world, dispatch, 'wamid.1');
  await world.node.workspaces.deleteConnector({ workspace: 1, account: 1 }, project.workspace, project.connector);
  await receive({ status: 'failed', externalId: 'wamid.other', dispatchId: dispatch, senderId: sender });
  t.equal(world.journal.of(dispatch).at(-1), 'DispatchSent');
  await receive({ status: 'delivered', externalId: 'wamid.1', dispatchId: dispatch, senderId: sender });
  t.equal(world.journal.of(dispatch).at(-1), 'DispatchDelivered');
});

t.test('nonsense ids match nothing', async (t) => {
  const { receive, outcomes } = await receiptsWorld(t);
  await receive({ status: 'delivered', externalId: '\0', dispatchId: "'; --", senderId: '' });
  t.same(outcomes, ['whatsapp held']);
});

t.test('what cannot be stored is unavailable: the provider sends again', async (t) => {
  const { world, send, receive } = await receiptsWorld(t);
  const [dispatch = ''] = await send(...recipients(1));
  world.node.door.drain();
  await t.rejects(receive({ status: 'delivered', externalId: 'wamid.1', dispatchId: dispatch }), DomainError);
  await t.rejects(receive({ status: 'delivered', externalId: 'wamid.2' }), { code: 'unavailable' });
});

t.test('held receipts are erased a day later, by the time of the log', async (t) => {
  const { world, receive } = await receiptsWorld(t);
  await receive({ status: 'delivered', externalId: 'wamid.1' });
  await world.journal.untilCount('ReceiptHeld', 1);
  const held = world.journal.events.find(({ type }) => type === 'ReceiptHeld');
  const count = async () => (await world.ask<{ n: number }>('SELECT count(*)::int AS n FROM read.held_receipts'))[0]?.n;
  await world.projected();
  t.equal(await count(), 1);
  const append = (at: number, name: string) =>
    world.node.log.append([
      {
        commitId: crypto.randomUUID(),
        stream: `session-${name}`,
        expected: NO_STREAM,
        events: [event('SessionEnded', { workspace: 1, account: 1, session: name, reason: 'logout' })],
        at,
      },
    ]);
  await append(Date.now() + 25 * 3_600_000, 'a');
  const erased = async () => (await world.node.log.read(held?.stream ?? '')).closed;
  // Each look of the sweep follows a round of erasing, which an event "deleted" brings about.
  for (let i = 0; !(await erased()) && i < 100; i++) {
    const gone = await makeProject(world.node);
    await world.node.workspaces.deleteTemplate({ workspace: 1, account: 1 }, gone.workspace, gone.template);
    await world.journal.untilCount('TemplateErased', i + 1);
  }
  t.ok(await erased());
  await world.projected();
  t.equal(await count(), 0);
});
