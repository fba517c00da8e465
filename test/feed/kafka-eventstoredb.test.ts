/**
 * The hole rule where positions are byte offsets and records leave the log: what a topic lacks is read from EventStoreDB's
 * `$all`, which has nothing any more of a stream that was tombstoned and scavenged (design sections 4 and 5).
 */
import { EventStoreDBClient } from '@eventstore/db-client';
import t, { type Test } from 'tap';
import { codec } from '../../schemas/index.ts';
import { positionOf, serverPosition } from '../../src/log/eventstoredb-records.ts';
import { scavenge, adminOf as scavengesOf } from '../../src/log/eventstoredb-scavenge.ts';
import { compareWithRebuild, projectorGroup } from '../../src/readside/index.ts';
import { eventStoreServer } from '../conformance/log/eventstoredb-store.ts';
import { makeHistory, type Step } from '../projections/history.ts';
import { seedOf } from '../projections/scratch.ts';
import { appendSteps } from '../readside/platform.ts';
import { kafkaForFile } from '../support/kafka/kafka-test.ts';
import { until } from '../support/until.ts';
import { adminOf, consume, type KafkaGround, kafkaGround } from './ground.ts';
import { checkTally, openTally, reached } from './tally.ts';

const partitions = 3;
const groups = ['g', projectorGroup];

/** A history cut where its consumers are away, and what is erased of it meanwhile. */
interface Story {
  readonly before: readonly Step[];
  /** Of `straddling`: its position is where every checkpoint stands. */
  readonly last: Step;
  /** What the topic will lack. */
  readonly hole: readonly Step[];
  readonly after: readonly Step[];
  /** A stream whose first commit comes last before the hole, with more of it there, and one that is all in the hole. */
  readonly straddling: string;
  readonly inside: string;
}

function makeStory(t: Test): Story {
  const maker = makeHistory(seedOf(t), 150);
  maker.eraseEverything();
  const { steps } = maker;
  const erasable = new Set(maker.erasable);
  const [middle, end] = [steps.length >> 2, steps.length - 5];
  const isFirst = (step: Step, nth: number) => nth >= middle && step.expected === -1 && erasable.has(step.stream);
  const lasts = (stream: string, nth: number) =>
    steps.slice(nth + 1, end).some((step) => step.stream === stream) &&
    !steps.slice(end).some((step) => step.stream === stream);
  const [straddling, inside] = [...steps.entries()].filter(([n, step]) => isFirst(step, n) && lasts(step.stream, n));
  if (!straddling || !inside) throw new Error('a history without streams to erase');
  return {
    before: steps.slice(0, straddling[0]),
    last: straddling[1],
    hole: steps.slice(straddling[0] + 1, end),
    after: steps.slice(end),
    straddling: straddling[1].stream,
    inside: inside[1].stream,
  };
}

/** Starts a consumer that keeps a tally and one that makes rows; answers how both are stopped. */
async function consumeBoth(t: Test, on: KafkaGround): Promise<() => Promise<unknown>> {
  const tally = consume(t, on.feed(), openTally(t, on.url, { group: 'g', maxBatchEvents: 20 }).consumer());
  const projector = await on.project({ feed: on.feed(), maxBatchEvents: 20, batchIntervalMs: 0 });
  return () => Promise.all([tally.stop(), projector.stop()]);
}

async function reachedByAll(on: KafkaGround): Promise<bigint> {
  const head = await on.log.head();
  for (const group of groups) await reached(on.pool, group, head);
  return head;
}

const brokers = await kafkaForFile();
if (brokers) {
  const server = await eventStoreServer(t);
  const harms: [string, (topic: Awaited<ReturnType<typeof adminOf>>, on: KafkaGround) => Promise<void>][] = [
    ['records cut from the topic', ({ cut }) => cut()],
    ['the topic made anew', ({ admin }, { topic }) => admin.deleteTopics({ topics: [topic] })],
  ];
  for (const [name, harm] of harms) {
    await t.test(`${name}, and streams of the hole erased and scavenged`, async (t) => {
      const store = await server.fresh(t);
      const on = await kafkaGround(t, brokers, { partitions, open: store.open });
      const topic = await adminOf(t, on);
      const story = makeStory(t);
      const relay = on.relay();
      const stop = await consumeBoth(t, on);
      await appendSteps(on.log, story.before);
      await appendSteps(on.log, [story.last]);
      const at = await reachedByAll(on);
      await stop();

      await appendSteps(on.log, story.hole);
      const holeTo = await on.log.head();
      await until(() => relay.position() >= holeTo);
      await on.log.erase([story.straddling, story.inside]);
      await scavengeAll(t, at);
      await harm(topic, on);
      await appendSteps(on.log, story.after);
      await consumeBoth(t, on);
      await reachedByAll(on);

      const lacked = on.holes.filter(({ from }) => from === at).map(({ group, partition }) => `${group} ${partition}`);
      t.equal(new Set(lacked).size, groups.length * partitions, 'every partition of both groups met the hole');
      await checkTallyWithout(t, on, story, at);
      const late = await on.openLog(codec);
      for (const log of [on.log, late]) {
        const compared = await compareWithRebuild(on.url, log);
        t.same(
          compared.filter(({ equal }) => !equal),
          [],
        );
      }
      t.same(on.words.errors, []);
    });
  }

  async function scavengeAll(t: Test, checkpoint: bigint): Promise<void> {
    t.ok(await isRecord(server.url, checkpoint), 'what was erased still stands on the disk');
    const [result] = await scavenge({ ...scavengesOf(server.url), timeoutMs: 60_000 });
    t.equal(result?.error, null);
    if (server.standIn) t.notOk(await isRecord(server.url, checkpoint), 'the scavenge took it');
    else t.comment('a real server keeps its newest chunk: nothing is said of what the scavenge took');
  }
}

/** Whether the server still has the record that began at a position. */
async function isRecord(url: string, position: bigint): Promise<boolean> {
  const client = EventStoreDBClient.connectionString(url);
  try {
    const read = client.readAll({ fromPosition: serverPosition(position), maxCount: 1 });
    for await (const record of read) return positionOf(record) === position;
    return false;
  } finally {
    await client.dispose();
  }
}

/** As `checkTally`, once what a stream gave before it was erased is set aside: the log has nothing of it any more. */
async function checkTallyWithout(t: Test, on: KafkaGround, { last, straddling }: Story, at: bigint): Promise<void> {
  const aside = await on.pool.query('DELETE FROM tally WHERE stream = $1 AND position <= $2', [straddling, `${at}`]);
  t.equal(aside.rowCount, last.events.length, 'what stood before the hole was given once');
  await checkTally(t, on.pool, on.log, 'g');
}
