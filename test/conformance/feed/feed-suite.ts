/**
 * The conformance suite of the feed port (`src/feed/feed.ts`; design section 5, promise 3): the same for every adapter. It
 * asks nothing of an adapter but the port, and nothing of partitions but that each stream is in one.
 */
import type { Test } from 'tap';
import { codec, type EventCodec, event, UnknownEventError } from '../../../schemas/index.ts';
import { readCheckpoint } from '../../../src/feed/checkpoint.ts';
import { compareWithRebuild, projectorGroup } from '../../../src/readside/index.ts';
import { consume, write, writeMany } from '../../feed/ground.ts';
import { checkTally, openTally, reached } from '../../feed/tally.ts';
import { makeHistory } from '../../projections/history.ts';
import { seedOf } from '../../projections/scratch.ts';
import { appendSteps } from '../../readside/platform.ts';
import { commitTo, runLoad, settle } from '../../support/log-load.ts';
import { until } from '../../support/until.ts';
import type { FeedAdapter } from './adapter.ts';

/** Runs the whole suite on an adapter, as one subtest. */
export async function feedConformance(t: Test, adapter: FeedAdapter): Promise<void> {
  await t.test(`the feed port on ${adapter.name}`, async (t) => {
    await deliveryTests(t, adapter);
    await groupTests(t, adapter);
    await failureTests(t, adapter);
    await projectionTests(t, adapter);
  });
}

async function deliveryTests(t: Test, adapter: FeedAdapter): Promise<void> {
  await t.test('every event once, streams in order: history first, then live', async (t) => {
    const on = await adapter.fresh(t);
    await runLoad(on.log, { prefix: 'before', writers: 16, commitsPerWriter: 10 });
    const tally = openTally(t, on.url, { group: 'g', maxBatchEvents: 50 });
    consume(t, on.feed(), tally.consumer());
    await runLoad(on.log, { prefix: 'live', writers: 16, commitsPerWriter: 10 });
    await reached(on.pool, 'g', await on.log.head());
    await checkTally(t, on.pool, on.log, 'g');
    t.ok(
      tally.batches.every(({ events }) => events.length <= 50),
      'batches are full at most',
    );
    t.equal(tally.mostUnderWay, 1, 'one batch at a time');
    const at = new Map<number, bigint>();
    for (const { partition, from, to, events } of tally.batches) {
      t.equal(from, at.get(partition) ?? 0n, 'a batch follows the one before it in its partition', { silent: true });
      t.ok(events.every(({ position }) => position > from && position <= to));
      at.set(partition, to);
    }
  });

  await t.test('the position of a group reaches the head when nothing more is written', async (t) => {
    const on = await adapter.fresh(t);
    const tally = openTally(t, on.url, { group: 'g' });
    consume(t, on.feed(), tally.consumer());
    for (let n = 0; n < 5; n++) await reached(on.pool, 'g', await write(on.log, `single-${n}`));
    await checkTally(t, on.pool, on.log, 'g');
  });

  await t.test('a consumer that was stopped goes on where it was', async (t) => {
    const on = await adapter.fresh(t);
    const tally = openTally(t, on.url, { group: 'g', maxBatchEvents: 20 });
    for (let n = 0; n < 3; n++) {
      const head = await writeMany(on.log, `round-${n}`, 40, 2);
      const running = consume(t, on.feed(), tally.consumer());
      // Stopped somewhere in the middle, but for the last time.
      if (n < 2) await until(() => tally.batches.length > 0);
      else await reached(on.pool, 'g', head);
      await running.stop();
      tally.batches.length = 0;
    }
    await checkTally(t, on.pool, on.log, 'g');
  });
}

async function groupTests(t: Test, adapter: FeedAdapter): Promise<void> {
  await t.test('groups have nothing to do with one another', async (t) => {
    const on = await adapter.fresh(t);
    const head = await writeMany(on.log, 'a', 50, 2);
    const [slow, quick] = ['slow', 'quick'].map((group) => openTally(t, on.url, { group, maxBatchEvents: 30 }));
    const held = Promise.withResolvers<void>();
    if (slow) slow.during = () => held.promise;
    for (const tally of [slow, quick]) if (tally) consume(t, on.feed(), tally.consumer());
    await reached(on.pool, 'quick', head);
    t.equal(await readCheckpoint(on.pool, 'slow'), 0n);
    held.resolve();
    await reached(on.pool, 'slow', head);
    for (const group of ['slow', 'quick']) await checkTally(t, on.pool, on.log, group);
  });

  await t.test('several consumers of one group, coming and going', async (t) => {
    const on = await adapter.fresh(t);
    const names = ['first', 'second', 'third'];
    const consumers = names.map((name) => openTally(t, on.url, { group: 'g', name, maxBatchEvents: 25 }));
    const [first, second, third] = consumers.map((tally) => () => consume(t, on.feed(), tally.consumer()));
    const load = runLoad(on.log, { prefix: 'load', writers: 8, commitsPerWriter: 120 });
    const one = first?.();
    await until(() => (consumers[0]?.batches.length ?? 0) > 2);
    second?.();
    await until(() => (consumers[0]?.batches.length ?? 0) + (consumers[1]?.batches.length ?? 0) > 8);
    await one?.stop();
    third?.();
    await load;
    await reached(on.pool, 'g', await on.log.head());
    await checkTally(t, on.pool, on.log, 'g');
  });
}

/** The codec of code that knows a newer version of one event. */
const newer: EventCodec = {
  versionOf: (type) => (type === 'ProfileChanged' ? 9 : codec.versionOf(type)),
  upcast: (type, version, data) => (type === 'ProfileChanged' ? data : codec.upcast(type, version, data)),
};

async function failureTests(t: Test, adapter: FeedAdapter): Promise<void> {
  await t.test('a handler that fails is called again from its checkpoint', async (t) => {
    const on = await adapter.fresh(t);
    const tally = openTally(t, on.url, { group: 'g', maxBatchEvents: 10 });
    let calls = 0;
    let failures = 0;
    tally.during = async () => {
      // Partitions may be handled side by side: batches that are done say nothing of those that begin.
      if (++calls > 2 && failures < 2) {
        failures++;
        throw new Error('failed');
      }
    };
    const head = await writeMany(on.log, 'a', 40);
    consume(t, on.feed(), tally.consumer());
    await reached(on.pool, 'g', head);
    await checkTally(t, on.pool, on.log, 'g');
    t.equal(failures, 2);
    t.ok(on.words.warnings.length >= 2, 'failures are told');
    t.same(on.words.errors, []);
  });

  await t.test('connections that break at any moment', async (t) => {
    const on = await adapter.fresh(t);
    const tally = openTally(t, on.url, { group: 'g', maxBatchEvents: 20 });
    let ended = 0;
    tally.during = async () => {
      if (tally.batches.length % 5 !== 4 || ended >= 3) return;
      ended++;
      await on.pool.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parley-tally' AND datname = current_database()",
      );
    };
    consume(t, on.feed(), tally.consumer());
    for (let n = 0; n < 10; n++) await writeMany(on.log, `round-${n}`, 30, 2);
    await reached(on.pool, 'g', await on.log.head());
    await checkTally(t, on.pool, on.log, 'g');
    t.ok(ended > 0, 'connections were ended');
  });

  await t.test('an event that this code does not know ends the consumer with one line', async (t) => {
    const on = await adapter.fresh(t, { copier: newer });
    const opened = event('AccountOpened', { workspace: 1, account: 1, kind: 'person' });
    await settle(on.log, commitTo('known', { events: [opened] }));
    const head = await on.log.head();
    const tally = openTally(t, on.url, { group: 'g' });
    const before = consume(t, on.feed(), tally.consumer());
    await reached(on.pool, 'g', head);
    await before.stop();
    await settle(await on.openLog(newer), commitTo('newer'));
    const { done } = consume(t, on.feed(), tally.consumer());
    await t.rejects(done, UnknownEventError);
    t.equal(on.words.errors.filter((line) => line.startsWith('consumer g stops')).length, 1);
    t.match(on.words.errors.join(), /ProfileChanged of version 9/);
  });
}

async function projectionTests(t: Test, adapter: FeedAdapter): Promise<void> {
  await t.test('rows of projections equal their rebuild, through erasure', async (t) => {
    const on = await adapter.fresh(t);
    const maker = makeHistory(seedOf(t), 600);
    const half = Math.floor(maker.steps.length / 2);
    await appendSteps(on.log, maker.steps.slice(0, half));
    const projector = await on.project({ feed: on.feed(), maxBatchEvents: 40, batchIntervalMs: 0 });
    await projector.ready;
    await appendSteps(on.log, maker.steps.slice(half));
    await reached(on.pool, projectorGroup, await on.log.head());
    await on.log.erase(maker.erasable.flat());
    await reached(on.pool, projectorGroup, await on.log.head());
    const compared = await compareWithRebuild(on.url, on.log);
    t.same(
      compared.filter(({ equal }) => !equal),
      [],
    );
  });
}
