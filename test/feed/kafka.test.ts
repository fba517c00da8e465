/** What the feed through Kafka promises whatever its topic lacks, repeats or gets wrong (issue's list, design section 5). */
import t, { type Test } from 'tap';
import { readCheckpoint, readGroup } from '../../src/feed/checkpoint.ts';
import { partitionOfKey } from '../../src/feed/feed.ts';
import { openTailFeed } from '../../src/feed/tail.ts';
import { compareWithRebuild, projectorGroup } from '../../src/readside/index.ts';
import { makeHistory } from '../projections/history.ts';
import { seedOf } from '../projections/scratch.ts';
import { appendSteps } from '../readside/platform.ts';
import { kafkaForFile } from '../support/kafka/kafka-test.ts';
import { profile, runLoad } from '../support/log-load.ts';
import { until } from '../support/until.ts';
import { type FeedProcess, startFeedProcess } from './feed-process.ts';
import { adminOf, consume, kafkaGround, write, writeMany } from './ground.ts';
import { checkTally, openTally, reached } from './tally.ts';

const brokers = await kafkaForFile();

/** Names of streams that are all in one partition. */
function* streamsIn(partition: number, partitions: number, prefix: string): Generator<string> {
  for (let n = 0; ; n++) {
    const name = `${prefix}-${n}`;
    if (partitionOfKey(name, partitions) === partition) yield name;
  }
}

if (brokers) {
  const fresh = (t: Test, partitions = 4) => kafkaGround(t, brokers, { partitions });

  await t.test('neither keys nor headers stand in the topic, and every record tells its place', async (t) => {
    const on = await fresh(t, 3);
    on.relay();
    const tally = openTally(t, on.url, { group: 'g' });
    const head = await writeMany(on.log, 'someone@example.com', 20);
    const running = consume(t, on.feed(), tally.consumer());
    await reached(on.pool, 'g', head);
    await running.stop();
    const { kafka, admin } = await adminOf(t, on);
    const ends = await admin.fetchTopicOffsets(on.topic);
    const all = ends.reduce((sum, { high }) => sum + Number(high), 0);
    const reader = kafka.consumer({ groupId: `${on.topic}.raw` });
    t.teardown(() => reader.disconnect());
    await reader.connect();
    await reader.subscribe({ topic: on.topic, fromBeginning: true });
    const latest = new Map<number, string>();
    let read = 0;
    const enough = Promise.withResolvers<void>();
    await reader.run({
      eachMessage: async ({ partition, message }) => {
        t.equal(message.key, null);
        t.same(message.headers, {});
        const { position, prev } = JSON.parse(String(message.value)) as { position: string; prev: string };
        t.equal(prev, latest.get(partition) ?? '0');
        latest.set(partition, position);
        if (++read === all) enough.resolve();
      },
    });
    await enough.promise;
  });

  await t.test('records deleted below a consumer', async (t) => {
    const on = await fresh(t);
    const { cut } = await adminOf(t, on);
    on.relay();
    const tally = openTally(t, on.url, { group: 'g', maxBatchEvents: 20 });
    const held = Promise.withResolvers<void>();
    tally.during = async () => {
      if (tally.batches.length === 3) await held.promise;
    };
    consume(t, on.feed(), tally.consumer());
    await writeMany(on.log, 'first', 200);
    await until(() => tally.batches.length === 3 && tally.underWay === 1);
    await writeMany(on.log, 'second', 300, 2);
    await cut();
    held.resolve();
    await reached(on.pool, 'g', await on.log.head());
    await cut();
    await reached(on.pool, 'g', await writeMany(on.log, 'third', 100));
    await checkTally(t, on.pool, on.log, 'g');
    t.same(on.words.errors, []);
  });

  await t.test('the topic made anew', async (t) => {
    const on = await fresh(t);
    const { admin } = await adminOf(t, on);
    on.relay();
    const tally = openTally(t, on.url, { group: 'g' });
    const away = openTally(t, on.url, { group: 'away' });
    consume(t, on.feed(), tally.consumer());
    const before = consume(t, on.feed(), away.consumer());
    const head = await writeMany(on.log, 'before', 300);
    await reached(on.pool, 'g', head);
    await reached(on.pool, 'away', head);
    await before.stop();
    const load = runLoad(on.log, { prefix: 'load', writers: 4, commitsPerWriter: 100 });
    await admin.deleteTopics({ topics: [on.topic] });
    await load;
    await reached(on.pool, 'g', await writeMany(on.log, 'after', 10));
    // Offsets that it remembers are of the old topic: beyond the new one's end.
    consume(t, on.feed(), away.consumer());
    await reached(on.pool, 'away', await writeMany(on.log, 'again', 10));
    for (const group of ['g', 'away']) await checkTally(t, on.pool, on.log, group);
    t.same(on.words.errors, []);
  });

  await t.test('retention cut while a consumer is away, which is killed while it catches up', async (t) => {
    const on = await fresh(t, 2);
    const { cut } = await adminOf(t, on);
    on.relay();
    const busy = streamsIn(0, 2, 'busy');
    const idle = streamsIn(1, 2, 'idle');
    const topic = on.options;
    const start = () =>
      startFeedProcess(t, { url: on.url, topic, role: 'consumer', group: 'g', maxBatchEvents: 20, slowMs: 5 });
    const first = await start();
    for (const names of [busy, idle]) await write(on.log, names.next().value as string);
    await reached(on.pool, 'g', await on.log.head());
    await first.kill();

    let writing = true;
    const writer = (async () => {
      while (writing) await write(on.log, busy.next().value as string, 3);
    })();
    for (let n = 0; n < 1_000; n++) await write(on.log, busy.next().value as string);
    await cut();
    let consumer: FeedProcess = await start();
    for (let kills = 0; kills < 2; kills++) {
      const at = await readCheckpoint(on.pool, 'g', 0);
      await until(async () => (await readCheckpoint(on.pool, 'g', 0)) > at + 100n);
      await consumer.kill();
      t.ok((await readCheckpoint(on.pool, 'g', 0)) < (await on.log.head()), 'killed while it caught up');
      await cut();
      consumer = await start();
    }
    writing = false;
    await writer;
    await reached(on.pool, 'g', await on.log.head());
    await checkTally(t, on.pool, on.log, 'g');
    t.same(consumer.words, []);
  });

  await t.test('a relay frozen past its lease, woken beside its successor', async (t) => {
    const on = await fresh(t);
    const topic = on.options;
    const frozen = await startFeedProcess(t, { url: on.url, topic, role: 'relay' });
    const epoch = async () => {
      const { rows } = await on.pool.query<{ epoch: string }>('SELECT epoch FROM work.relays');
      return Number(rows[0]?.epoch ?? 0);
    };
    await until(async () => (await epoch()) === 1);
    const tally = openTally(t, on.url, { group: 'g' });
    consume(t, on.feed(), tally.consumer());
    let writing = true;
    const writer = (async () => {
      for (let n = 0; writing; n++) await writeMany(on.log, `round-${n}`, 20);
    })();
    await reached(on.pool, 'g', await on.log.head());
    const successor = on.relay();
    for (let freezes = 0; freezes < 2; freezes++) {
      const at = await epoch();
      frozen.freeze();
      await until(async () => (await epoch()) > at || successor.leading());
      await reached(on.pool, 'g', await on.log.head());
      frozen.thaw();
      await reached(on.pool, 'g', await on.log.head());
    }
    writing = false;
    await writer;
    await reached(on.pool, 'g', await on.log.head());
    t.ok(successor.leading());
    await checkTally(t, on.pool, on.log, 'g');
    t.match(frozen.words.join(), /lease of the relay .* was lost/, 'the old one found out');
  });

  await t.test('a relay that stops hands over at once; one that waits does nothing', async (t) => {
    const on = await fresh(t);
    const [first, second] = [on.relay(), on.relay()];
    await until(() => first.leading() || second.leading());
    const [leader, other] = first.leading() ? [first, second] : [second, first];
    const tally = openTally(t, on.url, { group: 'g' });
    consume(t, on.feed(), tally.consumer());
    await reached(on.pool, 'g', await writeMany(on.log, 'a', 50));
    t.equal(other.leading(), false);
    await leader.stop();
    await reached(on.pool, 'g', await writeMany(on.log, 'b', 50));
    t.ok(other.leading());
    await checkTally(t, on.pool, on.log, 'g');
    t.same(on.words.errors, []);
  });

  await t.test('a consumer frozen past its session', async (t) => {
    const on = await fresh(t, 2);
    on.relay();
    const topic = on.options;
    const of = (name: string) => ({
      url: on.url,
      topic,
      role: 'consumer' as const,
      group: 'g',
      name,
      maxBatchEvents: 5,
    });
    const frozen = await startFeedProcess(t, { ...of('frozen'), slowMs: 20 });
    await writeMany(on.log, 'first', 200);
    await until(async () => (await readCheckpoint(on.pool, 'g')) > 10n);
    frozen.freeze();
    await startFeedProcess(t, of('other'));
    await reached(on.pool, 'g', await writeMany(on.log, 'second', 200));
    const load = runLoad(on.log, { prefix: 'load', writers: 4, commitsPerWriter: 50 });
    frozen.thaw();
    await load;
    await reached(on.pool, 'g', await on.log.head());
    await checkTally(t, on.pool, on.log, 'g');
  });

  await t.test('from the tail to Kafka and back, and other numbers of partitions, while writes go on', async (t) => {
    const on = await fresh(t, 4);
    const relays = [4, 3].map((partitions) => on.relay({ partitions }));
    const tally = openTally(t, on.url, { group: 'g', maxBatchEvents: 15 });
    const pool = on.pool;
    const feeds = [
      () => openTailFeed(on.log, on.words, pool),
      () => on.feed({ partitions: 4 }),
      () => on.feed({ partitions: 3 }),
      () => openTailFeed(on.log, on.words, pool),
      () => on.feed({ partitions: 4 }),
    ];
    let uneven = 0;
    for (const [round, feed] of feeds.entries()) {
      const load = runLoad(on.log, { prefix: `round-${round}`, writers: 6, commitsPerWriter: 60 });
      const { length } = tally.batches;
      const running = consume(t, feed(), tally.consumer());
      await until(() => tally.batches.length > length + 12);
      await running.stop();
      const { smallest, largest } = await readGroup(pool, 'g');
      if (largest > smallest) uneven++;
      await load;
    }
    t.ok(uneven > 0, 'partitions stood at different positions when the feed was changed');
    consume(t, on.feed({ partitions: 3 }), tally.consumer());
    await reached(pool, 'g', await on.log.head());
    await checkTally(t, pool, on.log, 'g');
    const { rows } = await pool.query('SELECT former FROM work.checkpoints WHERE former IS NOT NULL');
    t.same(rows, [], 'what was done before is past');
    t.same(on.words.errors, []);
    t.ok(relays.every((relay) => relay.leading()));
  });

  await t.test('who consumes under an older number of partitions stands by', async (t) => {
    const on = await fresh(t, 4);
    on.relay();
    const [old, young] = ['old', 'young'].map((name) => openTally(t, on.url, { group: 'g', name }));
    if (!old || !young) throw new Error('two tallies');
    const before = consume(t, openTailFeed(on.log, on.words, on.pool), old.consumer());
    await reached(on.pool, 'g', await writeMany(on.log, 'a', 30));
    consume(t, on.feed(), young.consumer());
    await until(async () => (await readGroup(on.pool, 'g')).partitions === 4);
    const { length } = old.batches;
    await reached(on.pool, 'g', await writeMany(on.log, 'b', 30));
    await until(() => on.words.errors.length > 0);
    t.equal(old.batches.length, length, 'the old one does nothing more');
    t.match(on.words.errors, [/consumer g stands by: group g reads 4 partitions now/]);
    await before.stop();
    await checkTally(t, on.pool, on.log, 'g');
  });

  await t.test('a send that failed for one partition and not for others', async (t) => {
    const on = await fresh(t, 3);
    const { admin } = await adminOf(t, on);
    const limit = (bytes: number) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [{ type: 2, name: on.topic, configEntries: [{ name: 'max.message.bytes', value: String(bytes) }] }],
      });
    const relay = on.relay();
    const tally = openTally(t, on.url, { group: 'g' });
    consume(t, on.feed(), tally.consumer());
    await reached(on.pool, 'g', await writeMany(on.log, 'before', 30));
    await limit(20_000);
    const large = streamsIn(1, 3, 'large');
    const commits = Array.from({ length: 30 }, () => ({
      ...{ commitId: crypto.randomUUID(), stream: large.next().value as string, expected: -1, at: Date.now() },
      events: [profile('x'.repeat(2_000))],
    }));
    const others = Array.from({ length: 60 }, (_, n) => ({
      ...{ commitId: crypto.randomUUID(), stream: `other-${n}`, expected: -1, at: Date.now() },
      events: [profile('y')],
    }));
    await on.log.append([...commits, ...others]);
    const head = await on.log.head();
    const refused = () => on.words.warnings.filter((line) => /relay failed/.test(line)).length;
    await until(() => refused() >= 3);
    t.ok(relay.position() < head);
    await limit(1_000_000);
    await reached(on.pool, 'g', await writeMany(on.log, 'after', 30));
    await checkTally(t, on.pool, on.log, 'g');
    t.same(on.words.errors, []);
  });

  await t.test('a topic of the name with another number of partitions is refused', async (t) => {
    const on = await fresh(t, 2);
    const { admin } = await adminOf(t, on);
    await admin.createTopics({ topics: [{ topic: on.topic, numPartitions: 5 }], waitForLeaders: true });
    on.relay();
    const tally = openTally(t, on.url, { group: 'g' });
    consume(t, on.feed(), tally.consumer());
    await write(on.log, 'a');
    await until(() => on.words.warnings.length >= 2);
    t.equal(tally.batches.length, 0);
  });

  await t.test('rows of projections equal their rebuild after every change of the feed', async (t) => {
    const on = await fresh(t, 3);
    const relays = [3, 5].map((partitions) => on.relay({ partitions }));
    const maker = makeHistory(seedOf(t), 900);
    const quarter = Math.ceil(maker.steps.length / 4);
    const feeds = [() => openTailFeed(on.log, on.words, on.pool), () => on.feed(), () => on.feed({ partitions: 5 })];
    for (const [round, feed] of [...feeds, ...feeds.slice(0, 1)].entries()) {
      const steps = maker.steps.slice(round * quarter, (round + 1) * quarter);
      const projector = await on.project({ feed: feed(), maxBatchEvents: 25, batchIntervalMs: 0 });
      await projector.ready;
      await appendSteps(on.log, steps.slice(0, steps.length >> 1));
      await until(async () => (await readGroup(on.pool, projectorGroup)).largest > 0n);
      // Left in the middle, each partition somewhere else.
      await projector.stop();
      await appendSteps(on.log, steps.slice(steps.length >> 1));
    }
    await on.project({ feed: on.feed(), batchIntervalMs: 0 });
    await reached(on.pool, projectorGroup, await on.log.head());
    const compared = await compareWithRebuild(on.url, on.log);
    t.same(
      compared.filter(({ equal }) => !equal),
      [],
    );
    t.ok(relays.every((relay) => relay.leading()));
  });
}
