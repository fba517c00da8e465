/** The log on Postgres: the port's conformance suite, and what this adapter promises beside it (design section 4). */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import t, { type Test } from 'tap';
import { codec } from '../../../schemas/index.ts';
import type { RecordedEvent } from '../../../src/log/log.ts';
import { logMigrations } from '../../../src/log/migrations.ts';
import { openPostgresLog } from '../../../src/log/postgres.ts';
import { migrate } from '../../../src/platform/migrate.ts';
import { type Ack, commitTo, runLoad, settle } from '../../support/log-load.ts';
import { startWriter } from '../../support/log-writer.ts';
import { testDatabase } from '../../support/postgres.ts';
import type { LogAdapter, LogStore } from './adapter.ts';
import { checkHistory, follow, openHandle, seeded, tailToHead } from './harness.ts';
import { logConformance } from './log-suite.ts';

const template = { name: 'log', build: (url: string) => migrate(url, logMigrations) };

/** Asks the database of a store, on a connection of its own. */
async function ask<Row extends pg.QueryResultRow>(url: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

interface PostgresStore extends LogStore {
  readonly url: string;
}

interface PostgresAdapter extends LogAdapter {
  fresh(t: Test): Promise<PostgresStore>;
}

const postgres: PostgresAdapter = {
  name: 'Postgres',
  async fresh(t) {
    const { url } = await testDatabase(t, { template });
    return {
      url,
      target: { adapter: 'postgres', url },
      address: { host: new URL(url).hostname, port: Number(new URL(url).port) },
      open: (own = codec) => openPostgresLog({ url, codec: own }),
      openThrough({ host, port }) {
        const through = new URL(url);
        through.host = `${host}:${port}`;
        return openPostgresLog({ url: through.href, codec, flushTimeoutMs: 500 });
      },
      async breakConnections() {
        await ask(
          url,
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
        );
      },
    };
  },
};

/** Positions are those from 1 on, each once. */
function checkConsecutive(t: Test, events: readonly RecordedEvent[]): void {
  const stray = events.findIndex(({ position }, index) => position !== BigInt(index + 1));
  t.equal(stray, -1, 'positions are consecutive');
}

/** A transaction that writes, in tables of its own, and then sleeps. */
async function sleepingTransaction(
  t: Test,
  url: string,
  seconds: number,
): Promise<{ asleep: boolean; ended: Promise<void> }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.teardown(() => client.end());
  await client.query('CREATE TABLE elsewhere (id int)');
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await client.query('INSERT INTO elsewhere SELECT position FROM log.head');
  const state = { asleep: true, ended: Promise.resolve() };
  state.ended = client.query('SELECT pg_sleep($1)', [seconds]).then(async () => {
    state.asleep = false;
    await client.query('COMMIT');
  });
  state.ended.catch(() => {});
  return state;
}

const besideSleeper = await postgres.fresh(t);
// It sleeps while the whole file runs: its commit is waited for at the very end.
const sleeper = await sleepingTransaction(t, besideSleeper.url, 30);
const beforeWaking: Ack[] = [];

await t.test('64 writers in two processes beside a transaction that sleeps', async (t) => {
  const store = besideSleeper;
  const log = await openHandle(t, store);
  const follower = follow(t, log);
  const writers = await Promise.all([startWriter(t, store.target), startWriter(t, store.target)]);
  const loads = writers.map((writer, number) =>
    writer.run({ prefix: `process-${number}`, writers: 32, commitsPerWriter: 60 }),
  );
  beforeWaking.push(...(await Promise.all(loads)).flat());
  const head = await log.head();
  await follower.reached(head);
  t.ok(sleeper.asleep, 'tails had all of it while the transaction slept');
  t.same(follower.faults, []);
  checkHistory(t, follower.events, beforeWaking);
  checkConsecutive(t, follower.events);
  t.equal(head, BigInt(follower.events.length), 'the head is the number of events');
});

await logConformance(t, postgres);

await t.test('a writer frozen at any moment: the others go on, and it wakes to its own answers', async (t) => {
  const random = seeded(t);
  const store = await postgres.fresh(t);
  const log = await openHandle(t, store);
  const follower = follow(t, log);
  const frozen = await startWriter(t, { adapter: 'postgres', url: store.url, flushTimeoutMs: 500 });
  const acks: Ack[] = [];
  let running = true;
  const writing = (async () => {
    for (let round = 0; running; round++) {
      acks.push(
        ...(await frozen.run({ prefix: `frozen-${round}`, writers: 16, commitsPerWriter: 40, contended: 'contended' })),
      );
    }
  })();
  for (let freezes = 0; freezes < 40; freezes++) {
    await sleep(random() * 30);
    frozen.freeze();
    // Only when these are answered, and read, is it thawed.
    const beside = await runLoad(log, {
      prefix: `beside-${freezes}`,
      writers: 4,
      commitsPerWriter: 2,
      contended: 'contended',
    });
    await follower.reached(await log.head());
    acks.push(...beside);
    frozen.thaw();
  }
  running = false;
  await writing;
  await follower.reached(await log.head());
  t.same(follower.faults, []);
  checkHistory(t, follower.events, acks);
  checkConsecutive(t, follower.events);
});

await t.test('a writer frozen in the middle of a flush, the head in its hands', async (t) => {
  const store = await postgres.fresh(t);
  const log = await openHandle(t, store);
  const frozen = await startWriter(t, { adapter: 'postgres', url: store.url, flushTimeoutMs: 1_000 });
  const blocker = new pg.Client({ connectionString: store.url });
  await blocker.connect();
  t.teardown(() => blocker.end());
  // A name that another transaction is about to take: the flush stops there, when it already holds the head.
  await blocker.query('BEGIN');
  await blocker.query("INSERT INTO log.claims (name, stream) VALUES ('held', 'nobody')");
  const commit = commitTo('frozen', { claims: [{ name: 'held' }] });
  const asked = frozen.append([commit]);
  await untilBlocked(store.url);
  frozen.freeze();
  const beside = await runLoad(log, { prefix: 'beside', writers: 8, commitsPerWriter: 5 });
  t.same((await log.read('frozen')).events, [], 'the others went on without it');
  await blocker.query('ROLLBACK');
  frozen.thaw();
  const [outcome] = await asked;
  t.equal(outcome?.outcome, 'unknown', 'it wakes and does not know');
  const { position, revision } = written(await settle(frozen, commit));
  t.same(await settle(log, commit), { outcome: 'replayed', position, revision }, 'once, whoever asks');
  const events = await tailToHead(t, log);
  checkHistory(t, events, [...beside, { commitId: commit.commitId, stream: 'frozen', position, revision, events: 1 }]);
  checkConsecutive(t, events);
});

await t.test('backends of appenders ended in the middle of flushes', async (t) => {
  const random = seeded(t);
  const store = await postgres.fresh(t);
  const handles = [await openHandle(t, store), await openHandle(t, store)];
  const followers = handles.map((log) => follow(t, log));
  const acks: Ack[] = [];
  let running = true;
  let unknowns = 0;
  const writing = handles.map(async (log, number) => {
    const counting: Pick<typeof log, 'append'> = {
      async append(commits) {
        const outcomes = await log.append(commits);
        unknowns += outcomes.filter(({ outcome }) => outcome === 'unknown').length;
        return outcomes;
      },
    };
    for (let round = 0; running; round++) {
      const prefix = `handle-${number}-${round}`;
      acks.push(...(await runLoad(counting, { prefix, writers: 16, commitsPerWriter: 20, contended: 'contended' })));
    }
  });
  let ended = 0;
  while (ended < 30) {
    await sleep(random() * 30);
    const rows = await ask(
      store.url,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'parley-log-append' AND state = 'active'`,
    );
    ended += rows.length;
  }
  running = false;
  await Promise.all(writing);
  t.comment(`${acks.length} commits, ${unknowns} unknown, ${ended} backends ended`);
  t.ok(unknowns > 0, 'some appends did not know');
  const head = await handles[0]?.head();
  await Promise.all(followers.map((follower) => follower.reached(head ?? 0n)));
  for (const { events, faults } of followers) {
    t.same(faults, []);
    checkHistory(t, events, acks);
    checkConsecutive(t, events);
  }
});

await t.test('when the sleeping transaction has ended, nothing came late', async (t) => {
  await sleeper.ended;
  const log = await openHandle(t, besideSleeper);
  const after = await runLoad(log, { prefix: 'after', writers: 4, commitsPerWriter: 4 });
  const events = await tailToHead(t, log);
  checkHistory(t, events, [...beforeWaking, ...after]);
  checkConsecutive(t, events);
});

/** Resolves when a flush waits, the head row in its hands, for what another transaction does. */
async function untilBlocked(url: string): Promise<void> {
  const waiting = `SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'parley-log-append' AND wait_event_type = 'Lock'`;
  while ((await ask(url, waiting)).length === 0) await sleep(10);
}

function written(outcome: Awaited<ReturnType<typeof settle>>): { position: bigint; revision: number } {
  if (outcome.outcome !== 'written') throw new Error(`expected written, got ${outcome.outcome}`);
  return outcome;
}
