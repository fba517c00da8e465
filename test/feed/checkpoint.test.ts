import t from 'tap';
import type { RecordedEvent } from '../../schemas/index.ts';
import { consumerPool, readCheckpoint, withCheckpoint } from '../../src/feed/checkpoint.ts';
import type { FeedBatch } from '../../src/feed/feed.ts';
import { ground } from '../readside/platform.ts';
import { profile } from '../support/log-load.ts';

function batch(from: number, to: number): FeedBatch {
  const events = Array.from({ length: to - from }, (_, i) => {
    const place = {
      position: BigInt(from + 1 + i),
      stream: 's',
      revision: from + i,
      commitId: 'c',
      index: 0,
      at: 1,
      meta: {},
    };
    return { ...profile(`${from + 1 + i}`), ...place } as RecordedEvent;
  });
  return { partition: 0, events, from: BigInt(from), to: BigInt(to) };
}

async function table(t: Parameters<typeof ground>[0]) {
  const { url, pool } = await ground(t);
  await pool.query('CREATE TABLE done (position bigint)');
  const consumers = consumerPool(url, { name: 'test' });
  t.teardown(() => consumers.end());
  const seen: string[][] = [];
  return {
    pool,
    consumers,
    seen,
    consume: (of: FeedBatch, crash?: 'before' | 'connection') =>
      withCheckpoint(consumers, 'group', of, async (client, events) => {
        seen.push(events.map(({ position }) => `${position}`));
        for (const { position } of events) await client.query('INSERT INTO done VALUES ($1)', [position]);
        if (crash === 'before') throw new Error('crashed between work and commit');
        if (crash === 'connection') {
          const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
          await pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
        }
      }),
    async done() {
      const { rows } = await pool.query<{ position: string }>('SELECT position FROM done ORDER BY position');
      return rows.map(({ position }) => Number(position));
    },
  };
}

t.test('work and checkpoint change together', async (t) => {
  const { pool, consume, done } = await table(t);
  t.equal(await readCheckpoint(pool, 'group'), 0n, 'a group begins at 0');
  t.equal(await consume(batch(0, 3)), 3n);
  t.same(await done(), [1, 2, 3]);
  t.equal(await readCheckpoint(pool, 'group'), 3n);
  t.equal(await readCheckpoint(pool, 'another'), 0n, 'groups have checkpoints of their own');
});

t.test('a crash between work and commit takes back both', async (t) => {
  const { pool, consume, done } = await table(t);
  await consume(batch(0, 2));
  for (const crash of ['before', 'connection'] as const) {
    await t.rejects(consume(batch(2, 4), crash));
    t.same(await done(), [1, 2], crash);
    t.equal(await readCheckpoint(pool, 'group'), 2n);
  }
  t.equal(await consume(batch(2, 4)), 4n, 'the same batch again');
  t.same(await done(), [1, 2, 3, 4]);
});

t.test('the row decides what is new', async (t) => {
  const { consume, done, seen } = await table(t);
  await consume(batch(0, 4));
  t.equal(await consume(batch(2, 6)), 6n, 'a batch that is partly done');
  t.same(seen.at(-1), ['5', '6']);
  t.equal(await consume(batch(1, 5)), 6n, 'a batch that is done, from a consumer that was paused');
  t.equal(await consume(batch(8, 9)), 6n, 'a batch behind a hole');
  t.equal(await consume({ ...batch(6, 6), to: 7n }), 7n, 'positions may move without events');
  t.same(await done(), [1, 2, 3, 4, 5, 6]);
  t.equal(seen.length, 2, 'no other work was done');
});

t.test('consumers that are given the same batches at once do each once', async (t) => {
  const { consume, done } = await table(t);
  const batches = Array.from({ length: 20 }, (_, i) => batch(i * 5, i * 5 + 5));
  const run = async () => {
    let at = 0n;
    while (at < 100n) at = await consume(batches[Number(at) / 5] as FeedBatch);
  };
  await Promise.all([run(), run()]);
  t.same(
    await done(),
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
});

t.test('a consumer that froze inside its transaction holds nobody up for longer than the time-out', async (t) => {
  const { url, pool } = await ground(t);
  const frozen = consumerPool(url, { name: 'frozen', transactionTimeoutMs: 200 });
  t.teardown(() => frozen.end());
  const inside = Promise.withResolvers<void>();
  const freeze = Promise.withResolvers<void>();
  const first = withCheckpoint(frozen, 'group', batch(0, 2), async () => {
    inside.resolve();
    await freeze.promise;
  });
  first.catch(() => {});
  await inside.promise;
  t.equal(await withCheckpoint(pool, 'group', batch(0, 2), async () => {}), 2n, 'another consumer gets on');
  freeze.resolve();
  await t.rejects(first, 'the frozen one did nothing');
  t.equal(await readCheckpoint(pool, 'group'), 2n);
});

t.test('work that takes long beside its transaction keeps it, a process that says nothing does not', async (t) => {
  const { url, pool } = await ground(t);
  // The server gives up after half a second of silence; who lives speaks every second, so this one is too late.
  const impatient = consumerPool(url, { name: 'impatient', settings: { idle_in_transaction_session_timeout: 500 } });
  t.teardown(() => impatient.end());
  const patient = consumerPool(url, { name: 'patient', settings: { idle_in_transaction_session_timeout: 2_000 } });
  t.teardown(() => patient.end());
  const long = async () => {
    await pool.query('SELECT pg_sleep(3)');
  };
  t.equal(await withCheckpoint(patient, 'patient', batch(0, 2), long), 2n);
  await t.rejects(withCheckpoint(impatient, 'impatient', batch(0, 2), long));
  t.equal(await readCheckpoint(pool, 'impatient'), 0n);
});
