/** States in memory: kept true by the node's own appends and its tail, not trusted when that is silent (promise 9). */
import t from 'tap';
import { streams } from '../../src/commands/index.ts';
import { StateCache } from '../../src/commands/state-cache.ts';
import { type KeyState, key } from '../../src/domain/key.ts';
import { type Log, LogUnavailableError, type RecordedEvent, type TailBatch } from '../../src/log/log.ts';
import { gate, makeProject, type Node, owner, refusal, TestClock, type World, world } from './world.ts';

/** Two nodes, and a key that both have in memory. */
async function twoNodes(w: World) {
  const clock = new TestClock(Date.UTC(2024, 0, 15));
  const [a, b] = [await w.node(), await w.node({ clock })] as const;
  const project = await makeProject(a);
  await b.workspaces.authenticate(project.secret);
  // What its tail has yet to tell is none of what follows.
  await b.log.taken(await a.log.head());
  const stream = streams.key(project.workspace, project.key.key);
  const revoke = (node: Node) =>
    node.workspaces.revokeKey(owner, project.workspace, project.key.key) as Promise<bigint>;
  return { a, b, clock, project, stream, revoke };
}

/** How long a silent tail is trusted: with the tail's own margin, within the second of promise 9. */
const trustMs = 600;

t.test('a revoked key, on the node that revoked it and on another', async (t) => {
  const w = await world(t);
  const { a, b, project, revoke } = await twoNodes(w);
  t.strictSame(b.workspaces.authenticate(project.secret), project.key, 'from memory, at once');
  const position = await revoke(a);
  t.equal(
    await refusal(() => a.workspaces.authenticate(project.secret)),
    'credential-invalid',
    'from the next request on',
  );
  await b.log.taken(position);
  const { reads } = b.log;
  t.equal(await refusal(() => b.workspaces.authenticate(project.secret)), 'credential-invalid');
  t.equal(b.log.reads, reads, 'its tail has told it');
});

t.test('a tail that was cut goes on where it was', async (t) => {
  const w = await world(t);
  const { a, b, project, revoke } = await twoNodes(w);
  await w.ask(
    `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name ~ 'parley-log-(tail|read)'`,
  );
  await b.log.taken(await revoke(a));
  t.equal(await refusal(() => b.workspaces.authenticate(project.secret)), 'credential-invalid');
});

t.test('a silent tail: the log is asked', async (t) => {
  const w = await world(t);
  const { a, b, clock, project, revoke } = await twoNodes(w);
  const silence = gate();
  t.teardown(silence.open);
  b.log.beforeBatch = () => silence.opened;
  let heads = 0;
  b.log.beforeHead = async () => {
    heads++;
  };
  // One batch may be under way still: what follows it is held.
  clock.advance(trustMs);
  const { reads } = b.log;
  t.strictSame(b.workspaces.authenticate(project.secret), project.key, 'a little silence is normal');
  clock.advance(1);
  const asked = b.workspaces.authenticate(project.secret);
  t.type(asked, Promise);
  t.strictSame(await asked, project.key);
  t.equal(heads, 1);
  t.equal(b.log.reads, reads, 'nothing has happened since: what is in memory holds');
  await revoke(a);
  t.strictSame(await b.workspaces.authenticate(project.secret), project.key, 'and is trusted as long again');
  clock.advance(trustMs + 1);
  t.equal(await refusal(() => b.workspaces.authenticate(project.secret)), 'credential-invalid', 'and no longer');
  t.equal(heads, 2);
  b.log.beforeHead = async () => {
    throw new LogUnavailableError(new Error('away'));
  };
  clock.advance(trustMs + 1);
  t.equal(await refusal(() => b.workspaces.authenticate(project.secret)), 'unavailable', 'nobody is let in on trust');
});

t.test('trust begins when the log was asked, not when it answered', async (t) => {
  const w = await world(t);
  const { b, clock, project } = await twoNodes(w);
  const [silence, asked, answer] = [gate(), gate(), gate()];
  t.teardown(silence.open);
  b.log.beforeBatch = () => silence.opened;
  clock.advance(trustMs + 1);
  let heads = 0;
  b.log.beforeHead = async () => {
    if (++heads > 1) return;
    asked.open();
    await answer.opened;
  };
  const first = b.workspaces.authenticate(project.secret);
  await asked.opened;
  clock.advance(trustMs * 0.6);
  answer.open();
  await first;
  clock.advance(trustMs * 0.6);
  await b.workspaces.authenticate(project.secret);
  t.equal(heads, 2);
});

t.test('a state that is read while it changes', async (t) => {
  const w = await world(t);
  const { a, b, project, stream, revoke } = await twoNodes(w);
  b.door.states.forget(stream);
  const [read, answer] = [gate(), gate()];
  b.log.beforeRead = async () => {
    read.open();
    await answer.opened;
  };
  const { reads } = b.log;
  const loading = b.door.load(key, stream);
  await read.opened;
  await b.log.taken(await revoke(a));
  answer.open();
  t.equal((await loading).exists, false, 'what was read lacks what the tail has told meanwhile');
  t.equal(b.log.reads, reads + 2, 'so it was read again');
  t.equal(await refusal(() => b.workspaces.authenticate(project.secret)), 'credential-invalid');
});

t.test('a state that is read while this node changes it, its tail being late', async (t) => {
  const w = await world(t);
  const { b, project, stream } = await twoNodes(w);
  const silence = gate();
  t.teardown(silence.open);
  b.log.beforeBatch = () => silence.opened;
  const [read, answer] = [gate(), gate()];
  // The command has the state already; then somebody else loads it anew, and is slow.
  let loading: Promise<KeyState> | undefined;
  const watched: typeof key = {
    ...key,
    decide(state, command) {
      b.door.states.forget(stream);
      b.log.beforeRead = async () => {
        b.log.beforeRead = async () => {};
        read.open();
        await answer.opened;
      };
      loading = b.door.load(key, stream);
      return key.decide(state, command);
    },
  };
  const held = b.log.append.bind(b.log);
  b.log.append = async (commits) => {
    await read.opened;
    return held(commits);
  };
  const ref = { workspace: project.workspace, key: project.key.key };
  await b.door.execute(watched, stream, { command: 'RevokeKey', ...ref }, owner);
  answer.open();
  await loading;
  t.equal(
    await refusal(() => b.workspaces.authenticate(project.secret)),
    'credential-invalid',
    'from the next request on',
  );
});

t.test('one read for all who ask at once', async (t) => {
  const w = await world(t);
  const { b, stream } = await twoNodes(w);
  b.door.states.forget(stream);
  const { reads } = b.log;
  const states = await Promise.all(Array.from({ length: 20 }, () => b.door.load(key, stream)));
  t.equal(b.log.reads, reads + 1);
  t.ok(states.every((state) => state === states[0] && state.exists));
});

t.test('what was missed is read again', async (t) => {
  const w = await world(t);
  const { b, stream } = await twoNodes(w);
  const { log, clock } = b;
  // A tail that delivers what it is told to, with holes and repetitions.
  const told: { revision: number; taken: () => void }[] = [];
  let wake = () => {};
  async function* tail(from: bigint, signal: AbortSignal): AsyncGenerator<TailBatch> {
    signal.addEventListener('abort', () => wake());
    while (!signal.aborted) {
      for (let next = told.shift(); next; next = told.shift()) {
        const data = { workspace: 1, key: 1 };
        const event = { type: 'KeyRevoked', data, at: 1, stream, revision: next.revision } as unknown as RecordedEvent;
        yield { events: [event], position: from };
        next.taken();
      }
      if (!signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  const head = () => log.head();
  const read: Log['read'] = (...asked) => log.read(...asked);
  const cache = new StateCache({ head, read, tail } as unknown as Log, clock);
  const applied = (revision: number) =>
    new Promise<void>((taken) => {
      told.push({ revision, taken });
      wake();
    });
  await cache.start();
  t.teardown(() => cache.stop());
  t.match(await cache.load(key, stream), { revision: 0, state: { exists: true } });
  await applied(5);
  t.equal(cache.size, 0, 'revisions 1 to 4 are missing');
  t.match(await cache.load(key, stream), { revision: 0, state: { exists: true } });
  await applied(0);
  t.match(await cache.load(key, stream), { revision: 0, state: { exists: true } }, 'what is known is not taken twice');
  const before = await cache.load(key, stream);
  await applied(1);
  t.match(before, { revision: 0, state: { exists: true } }, 'what was given stays as it was');
  t.match(await cache.load(key, stream), { revision: 1, state: { exists: false } });
  cache.put(key, stream, key.initial, 0);
  t.match(await cache.load(key, stream), { revision: 1 }, 'nor goes it back');
});

t.test('memory is bounded, the least recently used goes first', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { workspace } = await makeProject(node);
  const named: string[] = [];
  for (let i = 0; i < 6; i++) {
    const issued = await node.workspaces.issueKey(owner, workspace, { name: `${i}`, rateLimit: 1, expiresAt: null });
    named.push(streams.key(workspace, issued.key));
  }
  const cache = new StateCache(node.log, node.clock, 3);
  await cache.start();
  t.teardown(() => cache.stop());
  const [used, ...others] = named as [string, ...string[]];
  for (const stream of others) {
    await cache.load(key, used);
    await cache.load(key, stream);
    t.ok(cache.size <= 3);
  }
  t.ok(cache.peek(used), 'what is used all the time stays');
  t.equal(cache.peek(others[0] as string), undefined);
  t.ok(cache.peek(others.at(-1) as string));
  await cache.load(key, streams.key(workspace, 999));
  t.ok(cache.size <= 3, 'what does not exist takes no room');
  t.ok(cache.peek(used));
});
