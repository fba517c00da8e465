import t, { type Test } from 'tap';
import { event, type RecordedEvent } from '../../schemas/index.ts';
import {
  PartitionsChangedError,
  readCheckpoint,
  readGroup,
  takeOverGroup,
  withCheckpoint,
} from '../../src/feed/checkpoint.ts';
import { partitionOf, partitionOfKey, partOf } from '../../src/feed/feed.ts';
import { randomOf } from '../projections/history.ts';
import { seedOf } from '../projections/scratch.ts';
import { ground } from '../readside/platform.ts';
import { profile } from '../support/log-load.ts';

function recorded(position: number, happened = profile(null), stream = `s-${position % 60}`): RecordedEvent {
  const place = { position: BigInt(position), stream, revision: position, commitId: 'c', index: 0, at: 1, meta: {} };
  return { ...happened, ...place } as RecordedEvent;
}

const history = Array.from({ length: 500 }, (_, i) => recorded(i + 1));

/** What a group was given, and ways to give it more. */
async function group(t: Test) {
  const { pool } = await ground(t);
  const given: string[] = [];
  /** Gives a partition everything up to a position; answers where its checkpoint is. */
  const go = async (partitions: number, partition: number, to: bigint, events = history) => {
    const from = await readCheckpoint(pool, 'g', partition);
    const mine = (key: string) => partitionOfKey(key, partitions) === partition;
    const batch = events
      .filter(({ position }) => position > from && position <= to)
      .flatMap((each) => partOf(each, mine) ?? []);
    return withCheckpoint(pool, 'g', { partition, partitions, events: batch, from, to }, async (_, done) => {
      for (const each of done) {
        if (each.type !== 'DispatchesErased') given.push(`${each.position}`);
        else given.push(...each.data.items.map(({ dispatch }) => `${each.position}/${dispatch}`));
      }
    });
  };
  const sorted = () => given.toSorted((a, b) => Number(a) - Number(b));
  return { pool, given, go, sorted };
}

t.test('whatever the order of numbers of partitions, each event is done once', async (t) => {
  const random = randomOf(seedOf(t));
  const { pool, go, sorted } = await group(t);
  for (const partitions of [1, 4, 3, 3, 1, 7, 2, 5]) {
    await takeOverGroup(pool, 'g', partitions);
    t.equal((await readGroup(pool, 'g')).partitions, partitions);
    for (let partition = 0; partition < partitions; partition++) {
      if (random() < 0.3) continue;
      const at = await readCheckpoint(pool, 'g', partition);
      const to = at + BigInt(Math.floor(random() * 150));
      if (to > at) await go(partitions, partition, to < 500n ? to : 500n);
    }
  }
  await takeOverGroup(pool, 'g', 3);
  for (const partition of [0, 1, 2]) await go(3, partition, 500n);
  t.same(
    sorted(),
    history.map(({ position }) => `${position}`),
  );
  const { rows } = await pool.query('SELECT former FROM work.checkpoints WHERE former IS NOT NULL');
  t.same(rows, [], 'what was done before is past');
});

t.test('what a group has done is told for each event', async (t) => {
  const { pool, go, given } = await group(t);
  await takeOverGroup(pool, 'g', 3);
  await go(3, 0, 100n);
  await go(3, 1, 300n);
  await takeOverGroup(pool, 'g', 2);
  await go(2, 1, 200n);
  const now = await readGroup(pool, 'g');
  t.equal(now.smallest, 0n);
  t.equal(now.largest, 300n);
  t.same(
    history.filter((each) => now.done(each)).map(({ position }) => `${position}`),
    given.toSorted((a, b) => Number(a) - Number(b)),
  );
  t.equal(await readCheckpoint(pool, 'g'), 0n, 'the position of the group is the smallest');
});

t.test('of a page that is about many keys the rest is done', async (t) => {
  const { pool, go, given } = await group(t);
  const owner = { workspace: 3, account: 1 };
  const items = Array.from({ length: 30 }, (_, n) => ({
    ...{ dispatch: `d${n}`, owner, key: 1, connector: 1, connectorType: 'twilio' as const, template: 1 },
    ...{ status: 'sent' as const, createdAt: 1, sentAt: 1, deliveredAt: null },
  }));
  const erased = recorded(10, event('DispatchesErased', { workspace: 3, items }), 'erased-dispatch-d0');
  await takeOverGroup(pool, 'g', 4);
  for (const partition of [1, 3]) await go(4, partition, 10n, [erased]);
  t.ok(given.length > 0 && given.length < items.length);
  await takeOverGroup(pool, 'g', 3);
  for (const partition of [0, 1, 2]) await go(3, partition, 10n, [erased]);
  t.same(given.toSorted(), items.map(({ dispatch }) => `10/${dispatch}`).toSorted());
});

t.test('consumers that still stand on the old partitions do nothing', async (t) => {
  const { pool, go, given } = await group(t);
  await takeOverGroup(pool, 'g', 4);
  await go(4, 2, 50n);
  await takeOverGroup(pool, 'g', 2);
  const { length } = given;
  for (const partition of [1, 3]) {
    const batch = { partition, partitions: 4, events: history.slice(0, 50), from: 0n, to: 50n };
    await t.rejects(
      withCheckpoint(pool, 'g', batch, async () => {
        t.fail('no work');
      }),
      PartitionsChangedError,
    );
  }
  t.equal(given.length, length);
  const { partitions, positions } = await readGroup(pool, 'g');
  t.same([partitions, positions], [2, [0n, 0n]], 'no row was made for them');
});

t.test('a first batch makes all rows of the group, of whichever of them it is', async (t) => {
  const { pool } = await group(t);
  const batches = [0, 1, 2].map((partition) => ({ partition, partitions: 3, events: [], from: 0n, to: 9n }));
  await Promise.all(batches.slice(1).map((batch) => withCheckpoint(pool, 'g', batch, async () => {})));
  t.same((await readGroup(pool, 'g')).positions, [0n, 9n, 9n]);
  t.equal(await readCheckpoint(pool, 'g'), 0n);
});

t.test('who takes over at once', async (t) => {
  const { pool, go, sorted } = await group(t);
  await Promise.all([3, 4, 3, 4].map((partitions) => takeOverGroup(pool, 'g', partitions)));
  const { partitions } = await readGroup(pool, 'g');
  for (let partition = 0; partition < partitions; partition++) await go(partitions, partition, 500n);
  t.equal(sorted().length, 500);
  t.ok(history.every((each) => partitionOf(each, partitions) < partitions));
});
