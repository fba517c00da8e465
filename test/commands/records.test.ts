/** Recording what became of dispatches: many in one append, each once (design sections 2 and 3.5). */
import t from 'tap';
import { type DispatchRecord, streams } from '../../src/commands/index.ts';
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

/** What happened to a dispatch, by type. */
async function story(w: World, dispatch: string): Promise<string[]> {
  const events = (await w.events()).filter(({ stream }) => stream === streams.dispatch(dispatch));
  return events.map(({ type }) => type.replace('Dispatch', ''));
}

t.test('many in one append', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const ids = await sendSome(node, 50);
  let appends = 0;
  node.log.afterAppend = () => {
    appends++;
  };
  const known = await Promise.all(ids.map((dispatch) => node.dispatches.dispatch(dispatch)));
  const records = ids.map((dispatch, i) => ({ dispatch, command: i % 2 ? sent : failed, known: known[i] as never }));
  const { states, position } = await node.dispatches.record(records, '00-abc-def-01');
  t.equal(appends, 1);
  t.strictSame(
    states.map((state) => state?.status),
    ids.map((_, i) => (i % 2 ? 'sent' : 'failed')),
  );
  const events = await w.events();
  t.equal(position, events.at(-1)?.position, 'the highest position');
  t.match(events.at(-1)?.meta, { actor: [known[0]?.state.workspace, 0], trace: '00-abc-def-01' });

  const again = await node.dispatches.record(records.map(({ dispatch, command }) => ({ dispatch, command })));
  t.strictSame([again.position, again.states], [0n, states], 'twice changes nothing');
  const stale = await node.dispatches.record(records);
  t.strictSame([stale.position, stale.states], [0n, states], 'nor with what was known before');
  t.equal((await w.events()).length, events.length);
});

t.test('what was known is no longer so', async (t) => {
  const w = await world(t);
  const [a, b] = [await w.node(), await w.node()] as const;
  const [one, two] = (await sendSome(a, 2)) as [string, string];
  const known = await a.dispatches.dispatch(one);
  await b.dispatches.record([{ dispatch: one, command: receipt('delivered') }]);
  const late = await a.dispatches.record([
    { dispatch: one, command: failed, known },
    { dispatch: two, command: sent, known: { state: { ...known.state, dispatch: two }, revision: 17 } },
  ]);
  t.strictSame(
    late.states.map((state) => state?.status),
    ['delivered', 'sent'],
    'the state that is',
  );
  t.strictSame(await story(w, one), ['Accepted', 'Sent', 'Delivered']);
  t.strictSame(await story(w, two), ['Accepted', 'Sent']);
});

t.test('results and receipts race from two nodes', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const ids = await sendSome(nodes[0], 10);
  const commands = [sent, receipt('sent'), receipt('delivered'), sent, receipt('delivered'), receipt('sent')];
  await times(6, (i) =>
    (nodes[i % 2] as Node).dispatches.record(ids.map((dispatch) => ({ dispatch, command: commands[i] as Command }))),
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
  const { states } = await node.dispatches.record([
    { dispatch: one, command: sent },
    { dispatch: two, command: receipt('failed') },
    { dispatch: one, command: receipt('delivered') },
    { dispatch: one, command: receipt('failed') },
  ]);
  t.strictSame(
    states.map((state) => state?.status),
    ['sent', 'failed', 'delivered', 'delivered'],
    'in their order',
  );
  t.strictSame(await story(w, one), ['Accepted', 'Sent', 'Delivered']);

  const same = Array.from({ length: 50 }, () => ({ dispatch: two, command: receipt('sent') }));
  t.equal((await node.dispatches.record(same)).states.length, 50, 'however often a provider repeats itself');
});

t.test('what is unknown or erased is passed over', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const [one, two, three] = (await sendSome(node, 3)) as [string, string, string];
  const known = await node.dispatches.dispatch(two);
  await node.log.erase([streams.dispatch(one)]);
  await node.log.erase([streams.dispatch(two)]);
  node.door.states.forget(streams.dispatch(two));
  const { states } = await node.dispatches.record([
    { dispatch: 'x'.repeat(24), command: sent },
    { dispatch: one, command: sent },
    { dispatch: two, command: sent, known },
    { dispatch: three, command: sent },
  ]);
  t.strictSame(
    states.map((state) => state?.status ?? null),
    [null, null, null, 'sent'],
  );
  t.equal(await refusal(() => node.dispatches.dispatch(one)), 'not-found');
  t.strictSame(await node.dispatches.record([]), { states: [], position: 0n });
});

t.test('storage goes away and comes back', async (t) => {
  const w = await world(t);
  const clock = new TestClock();
  const url = new URL(w.url);
  const proxy = await startProxy(t, { host: url.hostname, port: Number(url.port || 5432) });
  url.host = `${proxy.address.host}:${proxy.address.port}`;
  const node = await w.node({ url: url.href, flushTimeoutMs: 300, clock });
  const [one] = (await sendSome(node, 1)) as [string];
  const known = await node.dispatches.dispatch(one);
  proxy.cut();
  node.log.afterAppend = () => clock.advance(10_000);
  t.equal(await refusal(() => node.dispatches.record([{ dispatch: one, command: sent, known }])), 'unavailable');
  proxy.restore();
  node.log.afterAppend = () => {};
  await node.dispatches.record([{ dispatch: one, command: sent, known }]);
  await node.dispatches.record([{ dispatch: one, command: sent }]);
  t.strictSame(await story(w, one), ['Accepted', 'Sent']);
  node.door.drain();
  t.equal(
    await refusal(() => node.dispatches.record([{ dispatch: one, command: receipt('delivered') }])),
    'unavailable',
  );
});

t.test('receipts that match nothing yet', async (t) => {
  const w = await world(t);
  const { dispatches } = await w.node();
  const held = {
    connectorType: 'whatsapp',
    externalId: 'wamid.1',
    senderHash: null,
    status: 'sent',
    error: null,
  } as const;
  await times(10, () => dispatches.holdReceipt(held));
  await dispatches.holdReceipt({ ...held, status: 'delivered' });
  await dispatches.holdReceipt({ ...held, senderHash: 's' });
  await dispatches.holdReceipt({ ...held, externalId: 'wamid.2' });
  const events = await w.events();
  t.strictSame(
    events.map(({ type }) => type),
    Array(4).fill('ReceiptHeld'),
    'each once',
  );
  t.match(events[0]?.data, { externalHash: dispatches.externalHash('whatsapp', 'wamid.1'), status: 'sent' });
  t.ok(
    events.every((each) => !JSON.stringify([each.stream, each.data]).includes('wamid')),
    'in no name and no data',
  );
});
