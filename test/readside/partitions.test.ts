import t, { type Test } from 'tap';
import { projections } from '../../projections/index.ts';
import { readCheckpoint, readGroup } from '../../src/feed/checkpoint.ts';
import { type CountedHistory, partsOf, type RecordedEvent } from '../../src/feed/feed.ts';
import { openTailFeed } from '../../src/feed/tail.ts';
import {
  compareWithRebuild,
  groupLag,
  type Projector,
  type ProjectorOptions,
  projectorGroup,
  rebuildProjection,
} from '../../src/readside/index.ts';
import { makeHistory, type Random, randomOf } from '../projections/history.ts';
import { cut, rowsFrom, scratchDatabase, seedOf } from '../projections/scratch.ts';
import { dealtFeed } from '../support/dealt-feed.ts';
import { appendSteps, caughtUp, type Ground, ground } from './platform.ts';

const equal = projections.map(({ name }) => ({ projection: name, equal: true, differences: [] }));

/** Deals events to partitions and takes batches of them in any order that keeps each partition's. */
function dealt(random: Random, events: readonly RecordedEvent[], partitions: number): RecordedEvent[][] {
  const queues = Array.from({ length: partitions }, (): RecordedEvent[] => []);
  for (const event of events) for (const [partition, part] of partsOf(event, partitions)) queues[partition]?.push(part);
  const batches: RecordedEvent[][] = [];
  for (let open = queues; open.length > 0; open = open.filter((queue) => queue.length > 0)) {
    const queue = open[Math.floor(random() * open.length)] as RecordedEvent[];
    if (queue.length > 0) batches.push(queue.splice(0, 1 + Math.floor(random() * 40)));
  }
  return batches;
}

t.test('rows do not depend on how partitions interleave', async (t) => {
  const client = await scratchDatabase(t);
  const seed = seedOf(t);
  for (let i = 0; i < 3; i++) {
    const random = randomOf(seed + i);
    const maker = makeHistory(seed + i, 250);
    if (i === 2) maker.eraseEverything();
    const events = maker.recorded();
    const whole = await rowsFrom(client, `whole${i}`, [events]);
    for (const partitions of [1, 3, 8]) {
      const rows = await rowsFrom(client, `dealt${i}_${partitions}`, dealt(random, events, partitions));
      t.same(rows, whole, `${partitions} partitions, ${seed + i}`);
    }
  }
});

/** Projectors as several processes would have them, each with some of the partitions. */
function sharing(t: Test, on: Ground, partitions: number) {
  const random = randomOf(seedOf(t));
  return (mine: readonly number[], options: Partial<ProjectorOptions> = {}): Promise<Projector> => {
    const feed = dealtFeed({ history: on.log, pool: on.pool, logger: on.words, partitions, mine, random });
    return on.project({ feed, maxBatchEvents: 20, batchIntervalMs: 0, ...options });
  };
}

async function untilAt(on: Ground, partitions: readonly number[], position: bigint): Promise<void> {
  const isThere = async (partition: number) => (await readCheckpoint(on.pool, projectorGroup, partition)) >= position;
  for (const partition of partitions) while (!(await isThere(partition)));
}

t.test('what is reached is the smallest of all partitions, whoever has them', async (t) => {
  const on = await ground(t);
  const share = sharing(t, on, 5);
  await appendSteps(on.log, makeHistory(seedOf(t), 200).steps);
  const head = await on.log.head();
  const first = await share([0, 1, 2]);
  await untilAt(on, [0, 1, 2], head);
  t.equal(first.reached(), 0n, 'partitions 3 and 4 have done nothing');

  const { events } = await on.log.page(0n, 10_000);
  const missing = events.filter((event) => [...partsOf(event, 5)].some(([partition]) => partition > 2));
  const lag = await first.lag();
  t.match(lag, { position: 0n, events: missing.length });
  t.ok(missing.length > 0 && lag.seconds > 0);
  t.match(await groupLag(on.pool, on.log, projectorGroup, { maxEvents: 30 }), {
    events: events.slice(0, 30).filter((event) => missing.includes(event)).length,
  });
  t.match(await groupLag(on.pool, on.log, 'nobody'), { position: 0n, events: events.length }, 'a group that never was');

  const second = await share([3, 4]);
  await Promise.all([caughtUp(on.log, first), caughtUp(on.log, second)]);
  t.same(await first.lag(), { position: head, events: 0, seconds: 0 });
  t.same(await compareWithRebuild(on.url, on.log), equal);
  t.same(on.words.warnings, [], 'none stood in the way of another');
});

t.test('how far a group is behind is told without reading what it lacks', async (t) => {
  const on = await ground(t);
  const { steps } = makeHistory(seedOf(t), 800);
  await appendSteps(on.log, steps.slice(0, 100));
  const projector = await on.project();
  await caughtUp(on.log, projector);
  await projector.stop();
  const done = await on.log.head();
  await appendSteps(on.log, steps.slice(100));
  const head = await on.log.head();
  let read = 0;
  const history: CountedHistory = {
    head: () => on.log.head(),
    count: (from, to, most) => on.log.count(from, to, most),
    async page(from, maxEvents) {
      const page = await on.log.page(from, maxEvents);
      read += page.events.length;
      return page;
    },
  };
  const behind = Number(head - done);
  const lag = await groupLag(on.pool, history, projectorGroup);
  t.match(lag, { position: done, events: behind });
  t.ok(lag.seconds > 0 && read < 20, `${read} events read of ${behind}`);
  t.match(await groupLag(on.pool, history, projectorGroup, { maxEvents: 30 }), { events: 30 });
  const { events } = await on.log.page(done, 10_000);
  await on.log.erase([...new Set(events.slice(0, 60).map(({ stream }) => stream))]);
  const later = await groupLag(on.pool, history, projectorGroup);
  t.ok(later.events > 0 && later.seconds > 0, 'the first that is not erased tells the age');
});

t.test('a rebuild swaps in where each partition stands, beside projectors of other processes', async (t) => {
  const on = await ground(t);
  const share = sharing(t, on, 4);
  const random = randomOf(seedOf(t));
  const maker = makeHistory(seedOf(t), 500);
  const first = await share([0, 1]);
  const second = await share([2, 3]);
  const { steps } = maker;
  const [before, meanwhile, after] = [steps.slice(0, 200), steps.slice(200, 400), steps.slice(400)];

  await appendSteps(on.log, before);
  await caughtUp(on.log, first);
  await second.stop();
  const append = async (more: typeof steps) => {
    for (const some of cut(random, more, 20)) await appendSteps(on.log, some);
  };
  const rebuild = async () => {
    for (const name of ['dispatches', 'receipts', 'keys', 'dispatches'])
      await rebuildProjection(name, { url: on.url, history: on.log, pageEvents: 50 });
  };
  await Promise.all([append(meanwhile), rebuild()]);
  await untilAt(on, [0, 1], await on.log.head());
  t.ok((await readCheckpoint(on.pool, projectorGroup, 2)) < (await on.log.head()), 'some partitions are far behind');
  await rebuild();
  t.same(await compareWithRebuild(on.url, on.log), equal);

  const third = await share([2, 3]);
  await Promise.all([append(after), rebuild()]);
  await Promise.all([caughtUp(on.log, first), caughtUp(on.log, third)]);
  t.same(await compareWithRebuild(on.url, on.log), equal);
  t.same(on.words.warnings, [], 'none stood in the way of another');
});

t.test('rows stay equal through changes of the number of partitions', async (t) => {
  const on = await ground(t);
  const seed = seedOf(t);
  const maker = makeHistory(seed, 300);
  const parts = cut(randomOf(seed), maker.steps, 100);
  for (const [i, steps] of parts.entries()) {
    await appendSteps(on.log, steps);
    const partitions = [1, 4, 3][i % 3] as number;
    const some = await sharing(t, on, partitions)(partitions === 1 ? [0] : [0, 1]);
    await untilAt(on, partitions === 1 ? [0] : [0, 1], await on.log.head());
    await rebuildProjection('dispatches', { url: on.url, history: on.log, pageEvents: 40 });
    t.same(await compareWithRebuild(on.url, on.log), equal, `${partitions} partitions`);
    await some.stop();
  }
  const feed = openTailFeed(on.log, on.words, on.pool);
  await caughtUp(on.log, await on.project({ feed }));
  t.equal((await readGroup(on.pool, projectorGroup)).partitions, 1);
  t.same(await compareWithRebuild(on.url, on.log), equal);
});

t.test('a rebuild that failed is begun again', async (t) => {
  const on = await ground(t);
  await appendSteps(on.log, makeHistory(seedOf(t), 50).steps);
  const old = await on.project();
  await caughtUp(on.log, old);
  await old.stop();
  let failures = 1;
  const history: CountedHistory = {
    head: () => on.log.head(),
    count: (from, to, most) => on.log.count(from, to, most),
    page: (from, max) => (failures-- > 0 ? Promise.reject(new Error('away')) : on.log.page(from, max)),
  };
  const newer = projections.map((each) => ({ ...each, version: each.version + 1, readableFrom: each.version + 1 }));
  const projector = await on.project({ history, projections: newer });
  await projector.ready;
  t.same(on.words.errors, ['the rebuild of a projection failed']);
  t.same(projector.outdated(), []);
  t.same(await compareWithRebuild(on.url, on.log, newer), equal);
});
