/**
 * Checkpoints: how far a consumer group has got, stored in the transaction that did the work. The row decides what of a
 * batch is new, never memory: a consumer that was paused and replaced finds the row further and does no harm.
 */
import pg from 'pg';
import type { FeedBatch, RecordedEvent } from './feed.ts';

/** How consumers' connections are made. Times in milliseconds. */
export interface ConsumerPoolOptions {
  /** Shown in `pg_stat_activity` as `parley-<name>`. */
  readonly name: string;
  /** Connections at most. Default 2. */
  readonly maxConnections?: number;
  /** A transaction is ended by the server after this long, so that a frozen process holds no row. Default 30 000. */
  readonly transactionTimeoutMs?: number;
  /** Further settings of the connections, such as `search_path`. Without blanks. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** A pool for consumers: its connections run under a transaction time-out, and their end is no end of the process. */
export function consumerPool(url: string, options: ConsumerPoolOptions): pg.Pool {
  const { name, maxConnections = 2, transactionTimeoutMs = 30_000 } = options;
  const settings = { transaction_timeout: transactionTimeoutMs, jit: 'off', ...options.settings };
  const pool = new pg.Pool({
    connectionString: url,
    application_name: `parley-${name}`,
    max: maxConnections,
    connectionTimeoutMillis: 3_000,
    options: connectionOptions(settings),
  });
  pool.on('error', () => {});
  // A connection in use that the server ends is noticed by the query that fails on it.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** Settings as a connection's `options`. */
export function connectionOptions(settings: Readonly<Record<string, string | number>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ');
}

/** The position of a group's checkpoint, 0 when it has none. */
export async function readCheckpoint(
  db: Pick<pg.Pool | pg.Client, 'query'>,
  group: string,
  partition = 0,
): Promise<bigint> {
  const { rows } = await db.query<{ position: string }>(
    'SELECT position FROM work.checkpoints WHERE "group" = $1 AND partition = $2',
    [group, partition],
  );
  return BigInt(rows[0]?.position ?? 0);
}

/** The position of a group's checkpoint, its row (made when missing) locked to the end of the transaction. */
export async function lockCheckpoint(client: pg.ClientBase, group: string, partition = 0): Promise<bigint> {
  for (;;) {
    const { rows } = await client.query<{ position: string }>({
      name: 'checkpoint-lock',
      text: 'SELECT position FROM work.checkpoints WHERE "group" = $1 AND partition = $2 FOR UPDATE',
      values: [group, partition],
    });
    if (rows[0]) return BigInt(rows[0].position);
    await client.query(
      'INSERT INTO work.checkpoints ("group", partition, position, at) VALUES ($1, $2, 0, now()) ON CONFLICT DO NOTHING',
      [group, partition],
    );
  }
}

/** What a group does with the events of a batch that are new to it, in the transaction that moves its checkpoint. */
export type CheckpointedWork = (client: pg.PoolClient, events: readonly RecordedEvent[]) => Promise<void>;

/**
 * Does the work of a batch and moves the checkpoint, in one transaction: each event takes effect exactly once. Answers
 * where the checkpoint stands now: `batch.to`, or another position when the batch had nothing new, or does not follow on
 * what was done (a hole). Rejects when work or Postgres fails; then nothing was done, or (the connection broke at the
 * commit) the row tells.
 *
 * `durable: false` does not wait for the disk: right where all that the work writes is in the same database as the
 * checkpoint and made from the log again, as rows of projections are. A crash takes back both or neither.
 */
export async function withCheckpoint(
  pool: pg.Pool,
  group: string,
  batch: FeedBatch,
  work: CheckpointedWork,
  options: { readonly durable?: boolean } = {},
): Promise<bigint> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await client.query(options.durable === false ? 'BEGIN; SET LOCAL synchronous_commit = off' : 'BEGIN');
    const position = await lockCheckpoint(client, group, batch.partition);
    if (batch.from > position || batch.to <= position) {
      await client.query('ROLLBACK');
      return position;
    }
    const events = batch.from === position ? batch.events : batch.events.filter((event) => event.position > position);
    if (events.length > 0) await work(client, events);
    await client.query({
      name: 'checkpoint-move',
      text: 'UPDATE work.checkpoints SET position = $3, at = now() WHERE "group" = $1 AND partition = $2',
      values: [group, batch.partition, batch.to.toString()],
    });
    await client.query('COMMIT');
    return batch.to;
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
    await client.query('ROLLBACK').then(
      () => {
        failure = undefined;
      },
      () => {},
    );
    throw error;
  } finally {
    // A connection that could not roll back is not used again.
    client.release(failure);
  }
}
