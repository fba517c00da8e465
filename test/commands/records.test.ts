/** Recording what became of dispatches: many in one append, each once (design sections 2 and 3.5). */
import t from 'tap';
import { type DispatchRecord, type KnownDispatch, streams } from '../../src/commands/index.ts';
import { startProxy } from '../conformance/log/proxy.ts';
import { makeProject, type Node, refusal, TestClock, times, type World, world } from './world.ts';

type Command = DispatchRecord['command'];

const sent: Command = { command: 'RecordSent', externalId: 'x1', sentAt: 5, attempt: 1, delivered: false };
const failed: Command = { command: 'RecordFailed', error: 'no', attempt: 1 };
const receipt = (status: 'sent' | 'delivered' | 'failed'): Command => ({
  command: 'RecordReceipt',
  status,
  externalId: 'x1',
  error: null,
  now: 6,
});

async function sendSome(node: Node, n: number): Promise<string[]> {
  const project = await makeProject(node);
  const results = await node.dispatches.sendAll(
    project.key,
    Array.from({ length: n }, () => project.request()),
  );
  return results.map((result) => ('dispatch' in result ? result.dispatch : result.refused.code));
}

/** What a process holds of dispatches. */
function statusesOf(node: Node, dispatches: readonly string[]): Promise<string[]> {
  return Promise.all(dispatches.map(async (dispatch) => (await node.dispatchRecords.dispatch(dispatch)).state.status));
}

/** What happened to a dispatch, by type. */
async function story(w: World, dispatch: string): Promise<string[]> {
  const events = (await w.events()).filter(({ stream }) => stream === streams.dispatch(dispatch));
  return events.map(({ type }) => type.replace('Dispatch', ''));
}

t.test('where receipts are expected, what was sent is in memory before they come', async (t) => {
  const w = await world(t);
  const [a, b] = [await w.node(), await w.node()];
  b.dispatchRecords.expectReceipts();
  const [atOnce, later, twice] = (await sendSome(a, 3)) as [string, string, string];
  const deferred: Command = { command: 'RecordDeferred', attempt: 1, retryAt: 9, error: 'busy' };
  await a.dispatchRecords.record([{ dispatch: later, command: deferred }]);
  const positions = await a.dispatchRecords.record(
    [atOnce, later, twice, twice].map((dispatch, i) => ({ dispatch, command: i < 3 ? sent : receipt('delivered') })),
  );
  t.strictSame(
    positions.map((position) => position !== null),
    [true, true, true, true],
  );
  t.equal(positions[3], await a.log.head(), 'where each stands in the log');
  await b.log.taken(await a.log.head());
  const { reads } = b.log;
  const known = await Promise.all([atOnce, twice].map((dispatch) => b.dispatchRecords.dispatch(dispatch)));
  t.equal(b.log.reads, reads);
  const stored = await Promise.all([atOnce, twice].map((dispatch) => b.dispatchRecords.storedDispatch(dispatch)));
  const told = ({ state, revision }: KnownDispatch) => ({ state, revision });
  t.strictSame(known.map(told), stored.map(told), 'as the log has it');
  const { state } = await b.dispatchRecords.dispatch(later);
  t.match(state, { status: 'sent', attempt: 1 });
  t.ok(b.log.reads > reads, 'one that was put off is read');
  t.strictSame(await b.dispatchRecords.record([{ dispatch: atOnce, command: sent }]), [null], 'nothing to record');
});

t.test('many in one append', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const ids = await sendSome(node, 50);
  let appends = 0;
  node.log.afterAppend = () => {
    appends++;
  };
  const known = await Promise.all(ids.map((dispatch) => node.dispatchRecords.dispatch(dispatch)));
  const records = ids.map((dispatch, i) => ({ dispatch, command: i % 2 ? sent : failed, known: known[i] as never }));
  await node.dispatchRecords.record(records);
  t.equal(appends, 1);
  t.strictSame(
    await statusesOf(node, ids),
    ids.map((_, i) => (i % 2 ? 'sent' : 'failed')),
  );
  const events = await w.events();
  t.match(events.at(-1)?.meta, { actor: [known[0]?.state.workspace, 0] });

  await node.dispatchRecords.record(records.map(({ dispatch, command }) => ({ dispatch, command })));
  t.equal((await w.events()).length, events.length, 'twice changes nothing');
  await node.dispatchRecords.record(records);
  t.equal((await w.events()).length, events.length, 'nor with what was known before');
});

t.test('what was known is no longer so', async (t) => {
  const w = await world(t);
  const [a, b] = [await w.node(), await w.node()] as const;
  const [one, two] = (await sendSome(a, 2)) as [string, string];
  const known = await a.dispatchRecords.dispatch(one);
  await b.dispatchRecords.record([{ dispatch: one, command: receipt('delivered') }]);
  await a.dispatchRecords.record([
    { dispatch: one, command: failed, known },
    { dispatch: two, command: sent, known: { state: { ...known.state, dispatch: two }, revision: 17 } },
  ]);
  t.strictSame(await statusesOf(a, [one, two]), ['delivered', 'sent'], 'the state that is');
  t.strictSame(await story(w, one), ['Accepted', 'Sent', 'Delivered']);
  t.strictSame(await story(w, two), ['Accepted', 'Sent']);
});

t.test('results and receipts race from two nodes', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const ids = await sendSome(nodes[0], 10);
  const commands = [sent, receipt('sent'), receipt('delivered'), sent, receipt('delivered'), receipt('sent')];
  await times(6, (i) =>
    (nodes[i % 2] as Node).dispatchRecords.record(
      ids.map((dispatch) => ({ dispatch, command: commands[i] as Command })),
    ),
  );
  for (const dispatch of ids) {
    const told = await story(w, dispatch);
    t.strictSame(told, ['Accepted', 'Sent', 'Delivered']);
  }
});

t.test('one dispatch several times in one call', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const [one, two] = (await sendSome(node, 2)) as [string, string];
  await node.dispatchRecords.record([
    { dispatch: one, command: sent },
    { dispatch: two, command: receipt('failed') },
    { dispatch: one, command: receipt('delivered') },
    { dispatch: one, command: receipt('failed') },
  ]);
  t.strictSame(await statusesOf(node, [one, two]), ['delivered', 'failed']);
  t.strictSame(await story(w, one), ['Accepted', 'Sent', 'Delivered'], 'in their order');

  const same = Array.from({ length: 50 }, () => ({ dispatch: two, command: receipt('sent') }));
  await node.dispatchRecords.record(same);
  t.strictSame(await statusesOf(node, [two]), ['failed'], 'however often a provider repeats itself');
});

t.test('what is unknown or erased is passed over', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const [one, two, three] = (await sendSome(node, 3)) as [string, string, string];
  const known = await node.dispatchRecords.dispatch(two);
  await node.log.erase([streams.dispatch(one)]);
  await node.log.erase([streams.dispatch(two)]);
  node.door.states.forget(streams.dispatch(two));
  const before = (await w.events()).length;
  await node.dispatchRecords.record([
    { dispatch: 'x'.repeat(24), command: sent },
    { dispatch: one, command: sent },
    { dispatch: two, command: sent, known },
    { dispatch: three, command: sent },
  ]);
  t.strictSame(await story(w, three), ['Accepted', 'Sent']);
  t.equal((await w.events()).length, before + 1, 'of the others nothing');
  t.equal(await refusal(() => node.dispatchRecords.dispatch(one)), 'not-found');
  await node.dispatchRecords.record([]);
});

t.test('storage goes away and comes back', async (t) => {
  const w = await world(t);
  const clock = new TestClock();
  const url = new URL(w.url);
  const proxy = await startProxy(t, { host: url.hostname, port: Number(url.port || 5432) });
  url.host = `${proxy.address.host}:${proxy.address.port}`;
  const node = await w.node({ url: url.href, flushTimeoutMs: 300, clock });
  const [one] = (await sendSome(node, 1)) as [string];
  const known = await node.dispatchRecords.dispatch(one);
  proxy.cut();
  node.log.afterAppend = () => clock.advance(10_000);
  t.equal(await refusal(() => node.dispatchRecords.record([{ dispatch: one, command: sent, known }])), 'unavailable');
  proxy.restore();
  node.log.afterAppend = () => {};
  await node.dispatchRecords.record([{ dispatch: one, command: sent, known }]);
  await node.dispatchRecords.record([{ dispatch: one, command: sent }]);
  t.strictSame(await story(w, one), ['Accepted', 'Sent']);
  node.door.drain();
  t.equal(
    await refusal(() => node.dispatchRecords.record([{ dispatch: one, command: receipt('delivered') }])),
    'unavailable',
  );
});

t.test('receipts that match nothing yet', async (t) => {
  const w = await world(t);
  const { dispatchRecords } = await w.node();
  const held = {
    connectorType: 'whatsapp',
    externalId: 'wamid.1',
    senderHash: null,
    status: 'sent',
    error: null,
  } as const;
  await times(10, () => dispatchRecords.holdReceipt(held));
  await dispatchRecords.holdReceipt({ ...held, status: 'delivered' });
  await dispatchRecords.holdReceipt({ ...held, senderHash: 's' });
  await dispatchRecords.holdReceipt({ ...held, externalId: 'wamid.2' });
  const events = await w.events();
  t.strictSame(
    events.map(({ type }) => type),
    Array(4).fill('ReceiptHeld'),
    'each once',
  );
  t.match(events[0]?.data, { externalHash: dispatchRecords.externalHash('whatsapp', 'wamid.1'), status: 'sent' });
  t.ok(
    events.every((each) => !JSON.stringify([each.stream, each.data]).includes('wamid')),
    'in no name and no data',
  );
});
