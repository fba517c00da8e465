/**
 * A consumer that writes a row per event that it is given, in the transaction of its checkpoint, and what those rows say
 * of what the feed did: nothing lost, nothing twice, each stream in order.
 */
import type pg from 'pg';
import type { Test } from 'tap';
import type { RecordedEvent } from '../../schemas/index.ts';
import { consumerPool, readCheckpoint, readGroup, withCheckpoint } from '../../src/feed/checkpoint.ts';
import { type Consumer, type FeedBatch, type History, partsOf } from '../../src/feed/feed.ts';
import { until } from '../support/until.ts';

/** Makes the table of all tallies of a database. */
export async function makeTallyTable(pool: pg.Pool): Promise<void> {
  await pool.query(`CREATE TABLE tally (nth bigserial, consumer text NOT NULL, "group" text NOT NULL, partition int NOT NULL,
    position bigint NOT NULL, stream text NOT NULL)`);
}

/** What a tally's consumer is made of. */
export interface TallyOptions {
  readonly group: string;
  readonly maxBatchEvents?: number;
  /** Whose rows they are, where several consume one group. */
  readonly name?: string;
  /** Runs inside the transaction, before the rows are written. */
  readonly during?: (batch: FeedBatch) => Promise<void>;
}

/** One consumer. */
export class Tally {
  readonly group: string;
  readonly batches: FeedBatch[] = [];
  starts = 0;
  underWay = 0;
  mostUnderWay = 0;
  during: (batch: FeedBatch) => Promise<void>;
  readonly #pool: pg.Pool;
  readonly #options: TallyOptions;

  constructor(pool: pg.Pool, options: TallyOptions) {
    this.#pool = pool;
    this.#options = options;
    this.group = options.group;
    this.during = options.during ?? (async () => {});
  }

  consumer(): Consumer {
    const { group, maxBatchEvents = 500 } = this.#options;
    return {
      group,
      maxBatchEvents,
      start: (partition) => {
        this.starts++;
        return readCheckpoint(this.#pool, group, partition);
      },
      handle: async (batch) => {
        this.underWay++;
        this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
        try {
          const position = await withCheckpoint(this.#pool, group, batch, (client, events) =>
            this.#write(client, batch, events),
          );
          this.batches.push(batch);
          return position;
        } finally {
          this.underWay--;
        }
      },
    };
  }

  async #write(client: pg.PoolClient, batch: FeedBatch, events: readonly RecordedEvent[]): Promise<void> {
    await this.during(batch);
    await client.query(
      `INSERT INTO tally (consumer, "group", partition, position, stream)
        SELECT $1, $2, $3, u.position, u.stream FROM unnest($4::bigint[], $5::text[]) WITH ORDINALITY AS u(position, stream, n)
          ORDER BY n`,
      [
        this.#options.name ?? 'only',
        this.group,
        batch.partition,
        events.map(({ position }) => `${position}`),
        events.map(({ stream }) => stream),
      ],
    );
  }
}

/** A tally with connections of its own, until `t` ends. */
export function openTally(t: Test, url: string, options: TallyOptions): Tally {
  const pool = consumerPool(url, { name: 'tally', maxConnections: 2 });
  t.teardown(() => pool.end());
  return new Tally(pool, options);
}

/** Resolves when a group's checkpoint has reached a position. */
export async function reached(pool: pg.Pool, group: string, position: bigint): Promise<void> {
  await until(async () => (await readCheckpoint(pool, group)) >= position);
}

/**
 * Checks that a group was given everything that the log holds, each event once (a page of erasures once in each partition
 * that it is in), streams in their order.
 */
export async function checkTally(t: Test, pool: pg.Pool, history: History, group: string): Promise<void> {
  const { partitions } = await readGroup(pool, group);
  const expected = new Map<string, number>();
  const head = await history.head();
  for (let at = 0n; at < head; ) {
    const page = await history.page(at, 5_000);
    for (const event of page.events) expected.set(`${event.position}`, [...partsOf(event, partitions)].length);
    at = page.position;
  }
  const { rows } = await pool.query<{ position: string; times: number }>(
    'SELECT position, count(*)::int AS times FROM tally WHERE "group" = $1 GROUP BY position ORDER BY position',
    [group],
  );
  const given = new Set(rows.map(({ position }) => position));
  t.same(
    [...expected.keys()].filter((position) => !given.has(position)),
    [],
    `${group}: nothing of ${expected.size} events was lost`,
  );
  t.same(
    rows.filter(({ position, times }) => times !== (expected.get(position) ?? 1)),
    [],
    `${group}: nothing came twice`,
  );
  t.equal(rows.length, expected.size, `${group}: nothing came that is not in the log`);
  const disorder = await pool.query(
    `SELECT stream, position FROM (SELECT stream, position, lag(position) OVER (PARTITION BY stream ORDER BY nth) AS before
       FROM tally WHERE "group" = $1) AS t WHERE before > position LIMIT 5`,
    [group],
  );
  t.same(disorder.rows, [], `${group}: each stream came in order`);
}
