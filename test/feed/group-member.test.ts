/** A member of a consumer group, where its Kafka client goes wrong: the client is the test's, all else is ours. */
import t, { type Test } from 'tap';
import { codec } from '../../schemas/index.ts';
import { readOffset, takeOverGroup } from '../../src/feed/checkpoint.ts';
import { Consuming } from '../../src/feed/consuming.ts';
import { type GroupClient, GroupMember } from '../../src/feed/group-member.ts';
import { encodeEvent, encodeMark } from '../../src/feed/records.ts';
import { ground } from '../readside/platform.ts';
import { until } from '../support/until.ts';
import { writeMany } from './ground.ts';
import { checkTally, makeTallyTable, openTally } from './tally.ts';

const topic = 'topic-1';

async function member(t: Test, { watchdogMs = 60_000, hasCheckpoint = true } = {}) {
  const on = await ground(t);
  await makeTallyTable(on.pool);
  const tally = openTally(t, on.url, { group: 'g' });
  await takeOverGroup(on.pool, 'g', 1);
  const abort = new AbortController();
  const ends = { low: 0n, high: 0n };
  const sought: bigint[] = [];
  const commits: bigint[] = [];
  const client: GroupClient = {
    seek: (_, offset) => sought.push(offset),
    commit: async (_, offset) => {
      commits.push(offset);
    },
    ends: async () => new Map([[0, ends]]),
    offsetsAt: async () => new Map([[0, 17n]]),
  };
  const { signal } = abort;
  const consumer = { ...tally.consumer(), hasCheckpoint };
  const consuming = new Consuming({ consumer, logger: on.words, partitions: 1, signal });
  const start = () => {
    const started = new GroupMember({
      ...{
        client,
        topic,
        partitions: 1,
        consuming,
        pool: on.pool,
        history: on.log,
        codec,
        logger: on.words,
        watchdogMs,
      },
    });
    t.teardown(() => {
      abort.abort();
      started.stop();
    });
    return started;
  };
  /** What was fetched: the records of all events up to a position, from an offset on. */
  const fetched = async (from: number, to: bigint, more: readonly string[] = []) => {
    const { events } = await on.log.page(0n, Number(to));
    const values = [...events.map((event) => encodeEvent(event, event.position - 1n, codec)), ...more];
    const resolved: bigint[] = [];
    const records = values.map((value, n) => ({ offset: `${n}`, value: Buffer.from(value) })).slice(from);
    const batch = { partition: 0, records, isCurrent: () => true, heartbeat: async () => {} };
    return { resolved, batch: { ...batch, resolve: (offset: bigint) => resolved.push(offset) } };
  };
  return { ...on, tally, ends, sought, commits, client, start, fetched };
}

t.test('it goes on at the offset that stands beside the position', async (t) => {
  const on = await member(t);
  const head = await writeMany(on.log, 'a', 20);
  const first = on.start();
  first.assigned([0]);
  const { batch, resolved } = await on.fetched(0, head);
  await first.take(batch);
  t.same(resolved, [19n]);
  t.equal(await readOffset(on.pool, 'g', 0, topic), 20n);
  t.equal(await readOffset(on.pool, 'g', 0, 'another-1'), null, 'an offset is of its topic');
  first.stop();
  t.same(on.sought, [0n], 'who was never there begins at the beginning');
  const second = on.start();
  second.assigned([0]);
  await until(() => on.sought.length > 1);
  t.same(on.sought, [0n, 20n]);
  await checkTally(t, on.pool, on.log, 'g');
});

t.test('who has a position and no offset asks for the time of what comes next, or for the end', async (t) => {
  const on = await member(t);
  const head = await writeMany(on.log, 'a', 3);
  await on.pool.query('UPDATE work.checkpoints SET position = 2');
  on.start().assigned([0]);
  await until(() => on.sought.length === 1);
  t.same(on.sought, [17n]);
  await on.pool.query('UPDATE work.checkpoints SET position = $1', [head]);
  on.ends.high = 44n;
  on.start().assigned([0]);
  await until(() => on.sought.length === 2);
  t.same(on.sought, [17n, 44n]);
});

t.test('Kafka is told how far a group with a checkpoint is, and nothing of one without', async (t) => {
  for (const hasCheckpoint of [true, false]) {
    const on = await member(t, { hasCheckpoint });
    const head = await writeMany(on.log, 'a', 4);
    const started = on.start();
    started.assigned([0]);
    const { batch, resolved } = await on.fetched(0, head);
    await started.take(batch);
    t.same(resolved, [3n]);
    t.same(on.commits, hasCheckpoint ? [4n] : []);
  }
});

t.test('records that cannot be read are missing, and read from the log', async (t) => {
  const on = await member(t);
  const head = await writeMany(on.log, 'a', 6);
  const first = on.start();
  first.assigned([0]);
  const { batch } = await on.fetched(0, head, [encodeMark(head, head)]);
  const records = batch.records.map((record, n) => (n < 6 ? { ...record, value: Buffer.from('?') } : record));
  await first.take({ ...batch, records });
  await checkTally(t, on.pool, on.log, 'g');
});

t.test('one that gets nothing while its topic has more is ended', async (t) => {
  const on = await member(t, { watchdogMs: 50 });
  const stuck = on.start();
  stuck.assigned([0]);
  let failed: unknown = null;
  stuck.failed.catch((error: unknown) => {
    failed = error;
  });
  const asked = Promise.withResolvers<void>();
  let times = 0;
  on.client.ends = async () => {
    if (++times === 3) asked.resolve();
    return new Map([[0, on.ends]]);
  };
  await asked.promise;
  t.equal(failed, null, 'there is nothing more');
  on.ends.high = 1n;
  await t.rejects(stuck.failed, /gets nothing from Kafka: partition 0 ends at 1, read up to 0/);
});

t.test('one whose client does not answer at all is ended', async (t) => {
  const on = await member(t, { watchdogMs: 50 });
  on.client.ends = () => new Promise(() => {});
  const stuck = on.start();
  stuck.assigned([0]);
  await t.rejects(stuck.failed, /hears nothing from Kafka/);
});

t.test('while its handler works it is not silent, and says so to the group', async (t) => {
  const on = await member(t, { watchdogMs: 20 });
  const head = await writeMany(on.log, 'a', 5);
  const working = on.start();
  working.assigned([0]);
  const { batch } = await on.fetched(0, head);
  let beats = 0;
  const enough = Promise.withResolvers<void>();
  on.tally.during = () => {
    on.ends.high = 100n;
    return enough.promise;
  };
  const heartbeat = async () => {
    if (++beats === 3) enough.resolve();
  };
  let failed = false;
  working.failed.catch(() => {
    failed = true;
  });
  await working.take({ ...batch, heartbeat });
  t.notOk(failed);
  t.ok(beats >= 3);
});

t.test('stopped, it is idle when its handler has ended, and not before', async (t) => {
  const on = await member(t);
  const head = await writeMany(on.log, 'a', 5);
  const working = on.start();
  working.assigned([0]);
  const { batch } = await on.fetched(0, head);
  const begun = Promise.withResolvers<void>();
  const enough = Promise.withResolvers<void>();
  on.tally.during = () => {
    begun.resolve();
    return enough.promise;
  };
  const taken = working.take(batch);
  await begun.promise;
  working.stop();
  let idle = false;
  const ended = working.idle.then(() => {
    idle = true;
  });
  await new Promise(setImmediate);
  t.notOk(idle);
  enough.resolve();
  await ended;
  t.equal(on.tally.underWay, 0);
  await taken;
});

t.test('an event of newer code ends it', async (t) => {
  const on = await member(t);
  const head = await writeMany(on.log, 'a', 1);
  const first = on.start();
  first.assigned([0]);
  const { batch } = await on.fetched(0, head);
  const records = batch.records.map(({ offset, value }) => {
    const newer = value.toString().replace('"version":1', '"version":9');
    return { offset, value: Buffer.from(newer) };
  });
  await first.take({ ...batch, records });
  await t.rejects(first.failed, /ProfileChanged of version 9/);
});
