/** What the log of another thread tells: it comes out in the order of the log, without a reading of it. */
import { randomUUID } from 'node:crypto';
import { MessageChannel } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { codec } from '../../schemas/index.ts';
import type { RecordedEvent } from '../../src/log/log.ts';
import { logMigrations } from '../../src/log/migrations.ts';
import { LogPeer, type PeerFlush, spellEvent } from '../../src/log/postgres-peer.ts';
import { TailHub } from '../../src/log/postgres-tail.ts';
import { waiting } from '../../src/log/waiting.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { commitTo } from '../support/log-load.ts';
import { testDatabase } from '../support/postgres.ts';

/** A flush of one commit after `base`, as a peer is told it and as it is expected to arrive. */
function flushAfter(base: bigint, stream: string): { spelled: string[]; events: RecordedEvent[] } {
  const commit = commitTo(stream, { commitId: randomUUID(), meta: { actor: [1, 2], trace: '00-aa-bb-01' } });
  const entry = waiting(commit, codec);
  const { commitId, at, meta = {} } = commit;
  const events = commit.events.map(
    (event, index) =>
      ({
        ...event,
        position: base + 1n + BigInt(index),
        stream,
        revision: index,
        commitId,
        index,
        at,
        meta,
      }) as RecordedEvent,
  );
  return { spelled: commit.events.map((_, index) => spellEvent(entry, 0, index)), events };
}

/** The two ends of a way, and what came out at the second. */
function way(test: Test, onFlush: (flush: PeerFlush) => void): LogPeer {
  const { port1, port2 } = new MessageChannel();
  const peers = [new LogPeer(port1, () => {}), new LogPeer(port2, onFlush)] as const;
  test.teardown(() => {
    for (const peer of peers) peer.close();
  });
  return peers[0];
}

t.test('events come out as they went in, and the word of the database is as old as it was', async (test) => {
  const { promise, resolve } = Promise.withResolvers<PeerFlush>();
  const first = way(test, resolve);
  const { spelled, events } = flushAfter(41n, 'account-1');
  const askedAt = performance.now();
  // The port does not hold the process; the test does until it has come.
  const awake = setInterval(() => {}, 1_000);
  first.tell({ base: 41n, erasures: 3, askedAt }, spelled);
  const told = await promise;
  clearInterval(awake);
  test.same(told.events, events);
  test.equal(told.base, 41n);
  test.equal(told.erasures, 3);
  test.ok(Math.abs(told.askedAt - askedAt) < 1, 'on the clock of who is told');
});

t.test('flushes told out of turn come in turn, and nothing is read', async (test) => {
  const { url } = await testDatabase(test, { template: { name: 'log', build: (at) => migrate(at, logMigrations) } });
  let readings = 0;
  const hub = new TailHub(
    url,
    async (from) => {
      readings++;
      return { events: [], position: from };
    },
    { hasPeer: true },
  );
  await hub.open();
  const ended = new AbortController();
  test.teardown(async () => {
    ended.abort();
    await hub.close();
  });
  const flushes = [0n, 1n, 2n, 3n].map((base) => ({ base, ...flushAfter(base, `account-${base}`) }));
  for (const at of [2, 1, 3, 0]) {
    const flush = flushes[at] as (typeof flushes)[number];
    hub.push(flush.base, flush.events, { erasures: 0, askedAt: performance.now() });
  }
  const seen: bigint[] = [];
  for await (const { events } of hub.tail(0n, ended.signal)) {
    seen.push(...events.map(({ position }) => position));
    if (seen.length === flushes.length) break;
  }
  test.same(seen, [1n, 2n, 3n, 4n]);
  test.equal(readings, 0);
});

t.test('what is told while the hub opens is neither lost nor out of place', async (test) => {
  const { url } = await testDatabase(test, { template: { name: 'log', build: (at) => migrate(at, logMigrations) } });
  const flushes = [0n, 1n, 2n].map((base) => ({ base, ...flushAfter(base, `account-${base}`) }));
  const all = flushes.flatMap(({ events }) => events);
  const hub = new TailHub(
    url,
    async (from, max) => {
      const events = all.filter(({ position }) => position > from).slice(0, max);
      return { events, position: events.at(-1)?.position ?? from };
    },
    { hasPeer: true },
  );
  const push = ({ base, events }: (typeof flushes)[number]) =>
    hub.push(base, events, { erasures: 0, askedAt: performance.now() });
  const opening = hub.open();
  for (const flush of flushes.slice(0, 2)) push(flush);
  await opening;
  for (const flush of flushes.slice(2)) push(flush);
  const ended = new AbortController();
  test.teardown(async () => {
    ended.abort();
    await hub.close();
  });
  const seen: RecordedEvent[] = [];
  for await (const { events } of hub.tail(0n, ended.signal)) {
    seen.push(...events);
    if (seen.length >= all.length) break;
  }
  test.same(seen, all);
});
