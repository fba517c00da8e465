import { once } from 'node:events';
import t, { type Test } from 'tap';
import { codec, type RecordedEvent, UnknownEventError } from '../../schemas/index.ts';
import { consumerPool, readCheckpoint, withCheckpoint } from '../../src/feed/checkpoint.ts';
import type { Consumer, FeedBatch } from '../../src/feed/feed.ts';
import { openTailFeed } from '../../src/feed/tail.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { type Ground, ground } from '../readside/platform.ts';
import { consume, type Running, write } from './ground.ts';

/** A consumer that keeps what it is given, and a way to wait for it. */
class Kept {
  readonly batches: FeedBatch[] = [];
  starts = 0;
  underWay = 0;
  mostUnderWay = 0;
  position = 0n;
  readonly #told = new EventTarget();
  /** Runs while a batch is handled. */
  during: (batch: FeedBatch) => Promise<void> = async () => {};

  consumer(maxBatchEvents: number): Consumer {
    return {
      group: 'kept',
      maxBatchEvents,
      start: async () => {
        this.starts++;
        return this.position;
      },
      handle: async (batch) => {
        this.underWay++;
        this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
        try {
          await this.during(batch);
          this.batches.push(batch);
          this.position = batch.to;
          return batch.to;
        } finally {
          this.underWay--;
          this.#told.dispatchEvent(new Event('handled'));
        }
      },
    };
  }

  async reached(position: bigint): Promise<void> {
    while (this.position < position) await once(this.#told, 'handled');
  }

  get events(): RecordedEvent[] {
    return this.batches.flatMap(({ events }) => events);
  }
}

function run(t: Test, { log, words }: Ground, consumer: Consumer): Running {
  return consume(t, openTailFeed(log, words), consumer);
}

t.test('every event once, in order, in batches that join and are full at most', async (t) => {
  const on = await ground(t);
  for (let i = 0; i < 30; i++) await write(on.log, `before-${i}`, 1 + (i % 5));
  const kept = new Kept();
  const { stop } = run(t, on, kept.consumer(7));
  for (let i = 0; i < 30; i++) await write(on.log, `live-${i}`, 1 + (i % 9));
  const head = await on.log.head();
  await kept.reached(head);
  await stop();
  t.same(
    kept.events.map(({ position }) => position),
    Array.from({ length: Number(head) }, (_, i) => BigInt(i + 1)),
  );
  t.ok(kept.batches.every(({ events }) => events.length <= 7));
  let from = 0n;
  for (const batch of kept.batches) {
    t.equal(batch.from, from);
    from = batch.to;
  }
});

t.test('one batch at a time is with the handler; what comes meanwhile is gathered', async (t) => {
  const on = await ground(t);
  const kept = new Kept();
  const first = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  kept.during = async () => {
    begun.resolve();
    if (kept.batches.length === 0) await first.promise;
  };
  run(t, on, kept.consumer(100));
  await write(on.log, 'first', 1);
  await begun.promise;
  // All tails are woken together: what one that waits as well has been told, the consumer's has too.
  const ended = new AbortController();
  const other = (async () => {
    for await (const { position } of on.log.tail(1n, ended.signal)) if (position >= 21n) return;
  })();
  for (let i = 0; i < 10; i++) await write(on.log, `meanwhile-${i}`, 2);
  await other;
  await new Promise(setImmediate);
  first.resolve();
  await kept.reached(21n);
  t.equal(kept.mostUnderWay, 1);
  t.equal(kept.batches.length, 2, 'all of it is the next batch');
});

t.test('a consumer may have more gathered before a batch begins', async (t) => {
  const on = await ground(t);
  const kept = new Kept();
  const begin = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const consumer = kept.consumer(10);
  const gather = () => {
    asked.resolve();
    return begin.promise;
  };
  run(t, on, { ...consumer, gather });
  await write(on.log, 'a', 1);
  await asked.promise;
  await write(on.log, 'b', 3);
  t.equal(kept.batches.length, 0);
  await write(on.log, 'c', 6);
  await kept.reached(10n);
  t.equal(kept.batches.length, 1, 'a full batch waits for nothing');
  begin.resolve();
});

t.test('a group that keeps no checkpoint has no rows', async (t) => {
  const on = await ground(t);
  const head = await write(on.log, 'a', 3);
  const groups = { kept: new Kept(), woken: new Kept() };
  for (const [group, kept] of Object.entries(groups)) {
    const consumer = { ...kept.consumer(10), group, hasCheckpoint: group === 'kept' };
    consume(t, openTailFeed(on.log, on.words, on.pool), consumer);
    await kept.reached(head);
  }
  const { rows } = await on.pool.query('SELECT "group" FROM work.checkpoints');
  t.same(rows, [{ group: 'kept' }]);
});

t.test('after an error the consumer goes on from where it says', async (t) => {
  const on = await ground(t);
  const kept = new Kept();
  let failures = 2;
  kept.during = async ({ from }) => {
    if (from === 2n && failures-- > 0) throw new Error('failed');
  };
  run(t, on, kept.consumer(2));
  await write(on.log, 'a', 6);
  await kept.reached(6n);
  t.equal(kept.starts, 3);
  t.equal(on.words.warnings.length, 2);
  t.same(
    kept.events.map(({ position }) => position),
    [1n, 2n, 3n, 4n, 5n, 6n],
  );
});

t.test('exactly once into Postgres, with crashes and two consumers of one group', async (t) => {
  const on = await ground(t);
  await on.pool.query('CREATE TABLE done (position bigint)');
  const consumers = consumerPool(on.url, { name: 'test', maxConnections: 4 });
  t.teardown(() => consumers.end());
  const reached = Promise.withResolvers<void>();
  let crash = 0;
  const consumer: Consumer = {
    group: 'twice',
    maxBatchEvents: 10,
    start: () => readCheckpoint(consumers, 'twice'),
    handle: async (batch) => {
      const position = await withCheckpoint(consumers, 'twice', batch, async (client, events) => {
        for (const event of events) await client.query('INSERT INTO done VALUES ($1)', [event.position]);
        if (++crash % 7 === 0) throw new Error('crashed');
      });
      if (position >= 200n) reached.resolve();
      return position;
    },
  };
  run(t, on, consumer);
  run(t, on, consumer);
  for (let i = 0; i < 40; i++) await write(on.log, `s${i}`, 5);
  await reached.promise;
  const { rows } = await on.pool.query('SELECT position::int FROM done ORDER BY position');
  t.same(
    rows.map(({ position }) => position),
    Array.from({ length: 200 }, (_, i) => i + 1),
  );
  t.ok(on.words.warnings.length > 0, 'there were crashes');
});

t.test('when the log is away the consumer goes on when it is back', async (t) => {
  const on = await ground(t);
  const kept = new Kept();
  run(t, on, kept.consumer(10));
  await kept.reached(await write(on.log, 'before', 1));
  const database = new URL(on.url).pathname.slice(1);
  const admin = consumerPool(new URL('/postgres', on.url).href, { name: 'admin' });
  t.teardown(() => admin.end());
  await admin.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS false`);
  await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [database]);
  while (on.words.warnings.length === 0) await once(AbortSignal.timeout(50), 'abort');
  await admin.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS true`);
  const head = await write(on.log, 'after', 1);
  await kept.reached(head);
  t.same(
    kept.events.map(({ stream }) => stream),
    ['before', 'after'],
  );
});

t.test('an event that the code does not know ends the consumer with one line', async (t) => {
  const on = await ground(t);
  await write(on.log, 'known', 1);
  await on.pool.query(
    `INSERT INTO log.events SELECT position + 1, gen_random_uuid(), at, 0, 0, 9, 'newer', type, data, meta FROM log.events`,
  );
  await on.pool.query('UPDATE log.head SET position = 2');
  const log = await openPostgresLog({ url: on.url, codec });
  t.teardown(() => log.close());
  const kept = new Kept();
  const { done } = run(t, { ...on, log }, kept.consumer(1));
  await t.rejects(done, UnknownEventError);
  t.equal(on.words.errors.length, 1);
  t.match(on.words.errors[0], /ProfileChanged of version 9/);
  t.same(on.words.warnings, []);
});
