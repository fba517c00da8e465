/** The projector through Kafka against the projector through the tail: the whole log, from rows that are made anew. */
import { codec } from '../../../schemas/index.ts';
import { consumerPool } from '../../../src/feed/checkpoint.ts';
import type { Feed } from '../../../src/feed/feed.ts';
import { openKafkaFeed } from '../../../src/feed/kafka.ts';
import { openTailFeed } from '../../../src/feed/tail.ts';
import { projectorGroup, startProjector } from '../../../src/readside/index.ts';
import { alternate } from '../alternate.ts';
import { median } from '../stats.ts';
import { relayAll } from './relay.ts';
import type { Stage } from './stage.ts';

/** What was measured, round by round, events/s. */
export interface ProjectorFigures {
  readonly kafka: readonly number[];
  readonly tail: readonly number[];
  readonly ratio: number;
}

const quiet = { info() {}, warn() {}, error() {} };

/** Measures both in turn. The topic holds the whole log before it begins. */
export async function measureProjector(stage: Stage): Promise<ProjectorFigures> {
  const { log, url } = stage;
  const head = await log.head();
  const topic = stage.newTopic();
  await relayAll(stage, topic, head);
  const pool = consumerPool(url, { name: 'bench-feed', maxConnections: 4 });
  const viaKafka = openKafkaFeed({ ...topic, pool, history: log, codec, logger: quiet });
  const viaTail = openTailFeed(log, quiet, pool);
  try {
    const { a, b } = await alternate(
      stage.effort.alternations + 1,
      () => project(stage, viaKafka, head),
      () => project(stage, viaTail, head),
    );
    const [kafka, tail] = [a.slice(1), b.slice(1)];
    return { kafka, tail, ratio: median(kafka.map((each, n) => each / (tail[n] ?? Number.NaN))) };
  } finally {
    await pool.end();
  }
}

/** Events/s from the end of the first batch to where nothing is missing. */
async function project({ database, url, log }: Stage, feed: Feed, head: bigint): Promise<number> {
  await forgetRows(database);
  let begun = 0;
  let events = 0;
  const projector = await startProjector({
    ...{ url, feed, history: log, logger: quiet },
    onBatch(batch) {
      if (begun === 0) begun = performance.now();
      else events += batch.events;
    },
  });
  try {
    await projector.ready;
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        if (projector.reached() < head) return;
        unwatch();
        resolve();
      };
      const unwatch = projector.watch(look);
      look();
      projector.done.catch(reject);
    });
    return events / ((performance.now() - begun) / 1_000);
  } finally {
    await projector.stop();
  }
}

/** As when nothing was ever projected. */
async function forgetRows(database: Stage['database']): Promise<void> {
  const { rows } = await database.query<{ tables: string[] }>('SELECT tables FROM work.projections');
  for (const table of rows.flatMap((row) => row.tables)) await database.query(`DROP TABLE read.${table}`);
  await database.query('DELETE FROM work.projections');
  await database.query('DELETE FROM work.checkpoints WHERE "group" = $1', [projectorGroup]);
}
