/** The one door for writes: again on conflict, claims, what is said while storage is away. */
import { randomUUID } from 'node:crypto';
import t from 'tap';
import { event } from '../../schemas/index.ts';
import {
  ACCOUNTS_WORKSPACE,
  AccountCommands,
  ClaimTakenError,
  DomainError,
  streams,
} from '../../src/commands/index.ts';
import { account } from '../../src/domain/account.ts';
import type { Aggregate } from '../../src/domain/aggregate.ts';
import { PasswordHasher } from '../../src/platform/crypto.ts';
import { startProxy } from '../conformance/log/proxy.ts';
import { gate, owner, refusal, TestClock, times, type World, world } from './world.ts';

/** Counts: each command adds one to what it finds. What is lost or done twice shows in the sum. */
const counter: Aggregate<number, 'add' | 'nothing' | 'refuse'> = {
  initial: 0,
  decide(state, command) {
    if (command === 'refuse') throw new DomainError('access-denied');
    return command === 'add' ? [event('ProfileChanged', { ...owner, displayName: String(state + 1) })] : [];
  },
  evolve: (state, happened) => (happened.type === 'ProfileChanged' ? Number(happened.data.displayName) : state),
};

t.test('writers at once, from two doors, lose nothing', async (t) => {
  const w = await world(t);
  const [a, b] = [await w.node(), await w.node()] as const;
  const written = await times(8, async (i) => (i % 2 ? a : b).door.execute(counter, 'counter', 'add', owner));
  t.strictSame(written.map(({ state }) => state).sort(), [1, 2, 3, 4, 5, 6, 7, 8]);
  t.ok(
    written.every(({ state, revision }) => state === revision + 1),
    'each was told the state that it made',
  );
  for (const { door } of [a, b]) await door.execute(counter, 'counter', 'add', owner);
  const events = await w.events();
  t.strictSame(
    events.map(({ data, revision }) => [data, revision]),
    Array.from({ length: 10 }, (_, i) => [{ ...owner, displayName: String(i + 1) }, i]),
  );
  for (const { acknowledged, door, log } of [a, b]) {
    await log.taken(events.at(-1)?.position as bigint);
    t.equal(acknowledged.length, 5, 'each write is told to freshness on the node that made it');
    t.ok(acknowledged.every(({ workspace, account }) => workspace === owner.workspace && account === owner.account));
    t.equal(await door.load(counter, 'counter'), 10);
  }
});

t.test('a hundred on one object, at one door', async (t) => {
  const w = await world(t);
  const { door } = await w.node();
  const written = await times(100, () => door.execute(counter, 'counter', 'add', owner));
  t.strictSame(
    written.map(({ state }) => state),
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
  t.equal(await refusal(() => door.execute(counter, 'counter', 'refuse', owner)), 'access-denied');
  t.equal((await door.execute(counter, 'counter', 'add', owner)).state, 101, 'a refusal holds nobody up');
});

t.test('who is beaten too often is told to try again', async (t) => {
  const w = await world(t);
  const [a, b] = [await w.node(), await w.node()] as const;
  a.log.beforeRead = () => b.door.execute(counter, 'counter', 'add', owner);
  t.equal(await refusal(() => a.door.execute(counter, 'counter', 'add', owner)), 'unavailable');
  a.log.beforeRead = async () => {};
  const before = (await w.events()).length;
  const { state } = await a.door.execute(counter, 'counter', 'add', owner);
  t.equal(state, before + 1);
});

t.test('nothing to do, and refusals', async (t) => {
  const w = await world(t);
  const { door, acknowledged } = await w.node();
  t.match(await door.execute(counter, 'counter', 'nothing', owner), {
    events: [],
    state: 0,
    revision: -1,
    position: null,
  });
  t.equal(await refusal(() => door.execute(counter, 'counter', 'refuse', owner)), 'access-denied');
  t.equal(acknowledged.length, 0);
  const made = await door.execute(counter, 'counter', 'add', { ...owner, trace: '00-abc-def-01' }, { isNew: true });
  t.match(made, { state: 1, revision: 0 });
  t.equal(await refusal(() => door.execute(counter, 'counter', 'add', owner, { isNew: true })), 'already-exists');
  const [only, ...more] = await w.events();
  t.strictSame(more, []);
  t.match(only, { meta: { actor: [owner.workspace, owner.account], trace: '00-abc-def-01' }, at: made.at });
  t.equal(only?.position, made.position);
});

t.test('too large', async (t) => {
  const w = await world(t);
  const { door } = await w.node();
  const huge: Aggregate<null, 'go'> = {
    initial: null,
    decide: () => [event('ProfileChanged', { ...owner, displayName: 'x'.repeat(256 * 1024) })],
    evolve: (state) => state,
  };
  t.equal(await refusal(() => door.execute(huge, 'huge', 'go', owner)), 'too-large');
  t.strictSame(await w.events(), []);
});

t.test('names that one holds alone', async (t) => {
  const w = await world(t);
  const { door } = await w.node();
  const claims = [{ name: 'name-a', made: 'one' }];
  await door.execute(counter, 'one', 'add', owner, { isNew: true, claims });
  const error = await door.execute(counter, 'two', 'add', owner, { isNew: true, claims }).catch((e: unknown) => e);
  t.ok(error instanceof ClaimTakenError);
  t.match(error, { claim: 'name-a', by: { stream: 'one', made: 'one' } });
  await door.execute(counter, 'one', 'add', owner, { releases: ['name-a'] });
  await door.execute(counter, 'two', 'add', owner, { isNew: true, claims });
  t.equal((await w.events()).length, 3);
});

t.test('one e-mail address, registered 50 times at once from two nodes', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const quick = nodes.map(({ door, ids }) => {
    const passwords = new PasswordHasher(2);
    // What is tested are the claims: a hash that was made before spares 50 of them.
    const ready = passwords.hash('password');
    passwords.hash = () => ready;
    return new AccountCommands({ door, ids, passwords, nameKey: Buffer.alloc(32, 1), refreshLifeMs: 1 });
  });
  const spellings = ['ada@example.com', 'Ada@Example.com', ' ADA@EXAMPLE.COM '];
  const outcomes = await times(50, async (i) => {
    const email = spellings[i % 3] as string;
    try {
      return await (quick[i % 2] as AccountCommands).register(ACCOUNTS_WORKSPACE, {
        email,
        password: 'password',
        displayName: null,
      });
    } catch (error) {
      return error instanceof DomainError ? error.code : error;
    }
  });
  const opened = outcomes.filter((outcome) => typeof outcome === 'object');
  t.equal(opened.length, 1, 'one wins');
  t.equal(outcomes.filter((outcome) => outcome === 'identifier-taken').length, 49, 'all others are told so');
  t.match(opened[0], { account: 1 });
  t.equal((await w.events()).filter(({ type }) => type === 'AccountOpened').length, 1);
  const elsewhere = await (quick[0] as AccountCommands).register(2, {
    email: 'ada@example.com',
    password: 'password',
    displayName: null,
  });
  t.equal(elsewhere.account, 1, 'another workspace has its own');
  const next = await (quick[1] as AccountCommands).register(ACCOUNTS_WORKSPACE, {
    email: 'bob@example.com',
    password: 'password',
    displayName: 'Bob',
  });
  t.equal(next.account, 2, 'no number was used up by those who lost');
  const names = await w.ask<{ name: string }>('SELECT name FROM log.claims');
  t.ok(
    names.every(({ name }) => !/ada|bob|example/i.test(name)),
    'no personal data in names',
  );
});

/** A node whose storage can be taken away. */
async function farNode(t: Parameters<typeof startProxy>[0], w: World, clock = new TestClock()) {
  const url = new URL(w.url);
  const proxy = await startProxy(t, { host: url.hostname, port: Number(url.port || 5432) });
  url.host = `${proxy.address.host}:${proxy.address.port}`;
  return { proxy, clock, node: await w.node({ url: url.href, flushTimeoutMs: 300, clock }) };
}

t.test('storage that is away', async (t) => {
  const w = await world(t);
  const { proxy, clock, node } = await farNode(t, w);
  await node.door.execute(counter, 'counter', 'add', owner);
  proxy.cut();
  // What the door waits for are the seconds that it gives an append.
  node.log.afterAppend = (outcomes) => {
    if (outcomes[0]?.outcome === 'unknown') clock.advance(10_000);
  };
  t.equal(
    await refusal(() =>
      node.door.execute(account, 'new', { command: 'OpenAccount', ...owner, kind: 'bot' }, owner, { isNew: true }),
    ),
    'unavailable',
  );
  t.equal(
    await refusal(() => node.door.load(counter, 'counter')),
    'unavailable',
    'what is cached is not trusted for ever',
  );
  t.equal(await refusal(() => node.ids.next(1, 'account', async () => 1)), 'unavailable');
  t.equal(await refusal(async () => node.quota.take(1, 1, 10)), 'unavailable');
  proxy.restore();
  node.log.afterAppend = () => {};
  t.equal((await node.door.execute(counter, 'counter', 'add', owner)).state, 2, 'it answers again');
  t.equal(await node.ids.next(1, 'account', async (id) => id), 1);
  t.equal(await node.quota.take(1, 1, 10), 1);
});

t.test('an append whose answer is lost is asked for again, and takes effect once', async (t) => {
  const w = await world(t);
  const { proxy, node } = await farNode(t, w);
  await node.door.execute(counter, 'counter', 'add', owner);
  const unknown = gate();
  node.log.afterAppend = (outcomes) => {
    if (outcomes[0]?.outcome === 'unknown') unknown.open();
  };
  proxy.cut();
  const written = node.door.execute(counter, 'counter', 'add', owner);
  await unknown.opened;
  proxy.restore();
  t.match(await written, { state: 2, revision: 1 });
  t.equal((await w.events()).length, 2);

  // As when the answer was lost after the commit.
  const commit = {
    commitId: randomUUID(),
    stream: 'lost',
    expected: -1,
    events: [event('ProfileChanged', { ...owner, displayName: 'x' })],
    at: 1,
  };
  const first = await node.door.append(commit);
  const again = await node.door.append(commit);
  t.match([first.outcome, again.outcome], ['written', 'replayed']);
  t.equal((await w.events()).length, 3);
});

t.test('connections that break again and again', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const stop = gate();
  let over = false;
  void stop.opened.then(() => {
    over = true;
  });
  const breaking = (async () => {
    while (!over) {
      await w.ask(
        `SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name ~ 'parley-(log|test-node)' AND pid <> pg_backend_pid()`,
      );
    }
  })();
  const made = await times(20, async (i) => {
    const written = await node.door.execute(counter, `counter-${i}`, 'add', owner, { isNew: true });
    return written.position;
  });
  stop.open();
  await breaking;
  const events = await w.events();
  t.equal(events.length, 20, 'each once');
  t.strictSame(new Set(made), new Set(events.map(({ position }) => position)));
});

t.test('a door that drains', async (t) => {
  const w = await world(t);
  const { door } = await w.node();
  await door.execute(counter, 'counter', 'add', owner);
  door.drain();
  const error = await door.execute(counter, 'counter', 'add', owner).catch((e: unknown) => e);
  t.match(error, { code: 'unavailable', retryable: true });
  t.ok(((error as DomainError).retryAt ?? 0) > Date.now());
  t.equal(await door.load(counter, 'counter'), 1, 'what is there can still be read');
  t.equal((await w.events()).length, 1);
  t.equal(streams.session('s'), 'session-s');
});
