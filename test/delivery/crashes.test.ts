import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { RecordedEvent } from '../../schemas/index.ts';
import { compareWithRebuild } from '../../src/readside/index.ts';
import type { Received } from '../../src/sandbox/index.ts';
import { kill, startChild } from './children.ts';
import { deliveryWorld, makeProject, recipients, takenCounts, type World } from './world.ts';

const program = fileURLToPath(new URL('./child.ts', import.meta.url));

/** Resolves when the sandbox has got that many sends. */
function arrived(world: World, count: number): Promise<void> {
  return new Promise((resolve) => {
    let seen = 0;
    const stop = world.sandbox.onReceived(() => {
      if (++seen < count) return;
      stop();
      resolve();
    });
  });
}

/** Dispatches that arrived at the sandbox after the log had them as sent: at the time, by the clock that both share. */
function sentAgain(events: readonly RecordedEvent[], received: readonly Received[]): string[] {
  const recordedAt = new Map<string, number>();
  for (const event of events) if (event.type === 'DispatchSent') recordedAt.set(event.data.dispatch, event.at);
  return received.flatMap(({ dispatchId, at }) => {
    const recorded = dispatchId === null ? undefined : recordedAt.get(dispatchId);
    // The event carries the time just before it was appended.
    return recorded !== undefined && at > recorded + 50 ? [dispatchId as string] : [];
  });
}

for (const sole of [true, false]) {
  t.test(`killed in the middle, again and again (${sole ? 'alone' : 'one of several'})`, async (t) => {
    const world = await deliveryWorld(t);
    const args = [world.url, world.sandbox.url, ...(sole ? ['sole'] : [])];
    const total = 300;
    world.sandbox.behave({ latencyMs: 5, callbacks: false });
    const projects = [await makeProject(world.node), await makeProject(world.node)];
    const dispatches: string[] = [];
    for (const project of projects) dispatches.push(...(await project.send(...recipients(total / 2))));
    for (const after of [5, 60]) {
      const some = arrived(world, after);
      const child = await startChild(t, program, args);
      await some;
      await kill(child);
    }
    const last = await startChild(t, program, args);
    await world.journal.untilCount('DispatchSent', total);
    await kill(last);
    const taken = takenCounts(world.sandbox);
    t.same([...taken.keys()].sort(), [...dispatches].sort(), 'each arrived');
    const { received } = world.sandbox.received({ since: 0, limit: 10_000 });
    t.same(sentAgain(world.journal.events, received), [], 'none that was recorded as sent was sent again');
    const sent = world.journal.events.filter(({ type }) => type === 'DispatchSent');
    t.equal(new Set(sent.map(({ stream }) => stream)).size, total);
    t.equal(sent.length, total, 'each was recorded once');
    await world.projected();
    for (const comparison of await compareWithRebuild(world.url, world.node.log))
      t.same(comparison.differences, [], comparison.projection);
  });
}

t.test('a clean stop finishes, records and leaves nothing behind', async (t) => {
  const world = await deliveryWorld(t);
  world.sandbox.behave({ latencyMs: 100, callbacks: false });
  const project = await makeProject(world.node);
  const first = world.node.deliver();
  const some = arrived(world, 5);
  await project.send(...recipients(60));
  await some;
  await first.stop();
  const { accepted } = world.sandbox.counts().whatsapp;
  await world.journal.untilCount('DispatchSent', accepted);
  t.ok(accepted < 60, `${accepted} of 60 had left`);
  t.same(await world.ask('SELECT * FROM work.dispatch_leases'), [], 'no lease is left');
  world.node.deliver();
  await world.journal.untilCount('DispatchSent', 60);
  t.same(new Set(takenCounts(world.sandbox).values()), new Set([1]), 'each left once');
});

t.test('of two processes at the same work nothing leaves twice', async (t) => {
  const world = await deliveryWorld(t);
  world.sandbox.behave({ latencyMs: 10, callbacks: false });
  const other = await world.openNode();
  const outcomes = [0, 0];
  const count = (i: number) => () => {
    outcomes[i] = (outcomes[i] ?? 0) + 1;
  };
  const options = { sole: false, concurrencyPerConnector: 4, pollMs: 50 };
  const both = [world.node, other].map((node, i) => node.deliver({ ...options, onOutcome: count(i) }));
  await Promise.all(both.map(({ ready }) => ready));
  const projects = [await makeProject(world.node), await makeProject(world.node), await makeProject(world.node)];
  const dispatches: string[] = [];
  for (let round = 0; round < 5; round++)
    for (const project of projects) dispatches.push(...(await project.send(...recipients(40, round * 40))));
  await world.journal.untilCount('DispatchSent', dispatches.length);
  await Promise.all(both.map((delivery) => delivery.stop()));
  t.same(new Set(takenCounts(world.sandbox).values()), new Set([1]));
  t.equal(takenCounts(world.sandbox).size, dispatches.length);
  t.equal((outcomes[0] ?? 0) + (outcomes[1] ?? 0), dispatches.length, `shared: ${outcomes}`);
});

t.test('what one process has does not hide the rest from another', async (t) => {
  const world = await deliveryWorld(t);
  world.sandbox.behave({ callbacks: false });
  const project = await makeProject(world.node);
  const dispatches = await project.send(...recipients(620));
  await world.projected();
  const theirs = dispatches.slice(0, 600);
  await world.ask(
    `INSERT INTO work.dispatch_leases (dispatch, holder, until)
      SELECT dispatch, $2, now() + interval '1 hour' FROM unnest($1::text[]) AS u(dispatch)`,
    [theirs, randomUUID()],
  );
  world.node.deliver({ sole: false });
  await world.journal.untilCount('DispatchSent', 20);
  t.same([...takenCounts(world.sandbox).keys()].sort(), dispatches.slice(600).sort());
});

t.test('rows that lie behind the log do not make it send again', async (t) => {
  const world = await deliveryWorld(t);
  world.sandbox.behave({ callbacks: false });
  const project = await makeProject(world.node);
  const [dispatch = ''] = await project.send(...recipients(1));
  await world.projected();
  await world.projector.stop();
  // Recorded as sent by somebody else while the rows stand still: they show it as due.
  await world.node.commands.record([
    { dispatch, command: { command: 'RecordSent', externalId: 'x', sentAt: Date.now(), attempt: 1, delivered: false } },
  ]);
  const head = await world.node.log.head();
  const { promise: read, resolve } = Promise.withResolvers<void>();
  const commands = observed(world.node.commands, 'storedDispatch', resolve);
  const delivery = world.node.deliver({ commands, projected: { reached: () => head, watch: () => () => {} } });
  await read;
  await delivery.stop();
  t.equal(world.sandbox.counts().whatsapp.sends, 0);
});

t.test('a process that was frozen on the way to the provider, and replaced meanwhile, sends nothing', async (t) => {
  const world = await deliveryWorld(t);
  world.sandbox.behave({ callbacks: false });
  const project = await makeProject(world.node);
  const [dispatch = ''] = await project.send(...recipients(1));
  let frozenMs = 0;
  const clock = { now: () => Date.now(), monotonicMs: () => performance.now() + frozenMs };
  const { promise: woken, resolve } = Promise.withResolvers<void>();
  const workspaces = observed(world.node.workspaces, 'connector', async () => {
    await world.ask('UPDATE work.dispatch_leases SET holder = $1', [randomUUID()]);
    const sent = { command: 'RecordSent', externalId: 'x', sentAt: Date.now(), attempt: 1, delivered: false } as const;
    await world.node.commands.record([{ dispatch, command: sent }]);
    frozenMs = 60_000;
    resolve();
  });
  const delivery = world.node.deliver({ workspaces, clock });
  await woken;
  await delivery.stop();
  t.equal(world.sandbox.counts().whatsapp.sends, 0);
  await world.journal.caughtUp();
  t.same(world.journal.of(dispatch), ['DispatchAccepted', 'DispatchSent']);
});

/** The same object, but one of its methods answers only when what follows on it is done. */
function observed<T extends object>(target: T, method: keyof T, onDone: () => void | Promise<void>): T {
  return new Proxy(target, {
    get(_, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name !== method) return (...args: unknown[]) => Reflect.apply(value, target, args);
      return async (...args: unknown[]) => {
        try {
          return await Reflect.apply(value, target, args);
        } finally {
          await onDone();
        }
      };
    },
  });
}
