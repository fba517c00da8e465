/**
 * Checkpoints: how far a consumer group has got, stored in the transaction that did the work. The row decides what of a
 * batch is new, never memory: a consumer that was paused and replaced finds the row further and does no harm.
 *
 * A group has a row per partition of its feed. When the feed changes to another number of partitions the rows are made
 * anew (`takeOverGroup`): each begins at the smallest of the old positions and keeps the old ones as `former`, so that of
 * every event is dropped what its old partition had done. Old consumers meet rows that are not theirs and stand by.
 */
import pg from 'pg';
import { isConnectionTrouble } from '../platform/postgres.ts';
import { type FeedBatch, partitionOfKey, partOf, type RecordedEvent, type RecordPlace } from './feed.ts';

/** How consumers' connections are made. Times in milliseconds. */
export interface ConsumerPoolOptions {
  /** Shown in `pg_stat_activity` as `parley-<name>`. */
  readonly name: string;
  /** Connections at most. Default 2. */
  readonly maxConnections?: number;
  /** A transaction is ended by the server after this long, so that a frozen process holds no row. Default 30 000. */
  readonly transactionTimeoutMs?: number;
  /**
   * A statement without an answer for so long fails, and its connection is let go: one that died without a word would be
   * waited for for ever. Default 10 000, and no longer than a transaction may take.
   */
  readonly answerTimeoutMs?: number;
  /** Further settings of the connections, such as `search_path`. Without blanks. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** A transaction of a consumer that says nothing for so long is ended by the server, so that another can go on. */
const silentTransactionMs = 5_000;
const sayAliveEveryMs = 1_000;

/** A pool for consumers: its connections run under a transaction time-out, and their end is no end of the process. */
export function consumerPool(url: string, options: ConsumerPoolOptions): pg.Pool {
  const { name, maxConnections = 2, transactionTimeoutMs = 30_000 } = options;
  const { answerTimeoutMs = Math.min(10_000, transactionTimeoutMs) } = options;
  const settings = {
    transaction_timeout: transactionTimeoutMs,
    // Of a process that was frozen, or whose connection died without a word: whoever lives says so (`whileAlive`).
    idle_in_transaction_session_timeout: Math.min(silentTransactionMs, transactionTimeoutMs),
    jit: 'off',
    ...options.settings,
  };
  const pool = new pg.Pool({
    connectionString: url,
    application_name: `parley-${name}`,
    max: maxConnections,
    connectionTimeoutMillis: 3_000,
    query_timeout: answerTimeoutMs,
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

type Queryable = Pick<pg.Pool | pg.ClientBase, 'query'>;

/** The group's feed has another number of partitions now: whoever started later has taken the group over. */
export class PartitionsChangedError extends Error {
  constructor(group: string, partitions: number, found: number) {
    super(`group ${group} reads ${found} partitions now, and this process is set up for ${partitions}`);
    this.name = 'PartitionsChangedError';
  }
}

/** How far a group had got under another number of partitions: what of that lies beyond its positions of today is done. */
interface Former {
  readonly partitions: number;
  readonly positions: readonly bigint[];
}

type StoredFormer = readonly { readonly partitions: number; readonly positions: readonly string[] }[];

function formerOf(stored: StoredFormer | null | undefined): readonly Former[] {
  return (stored ?? []).map(({ partitions, positions }) => ({ partitions, positions: positions.map(BigInt) }));
}

function isDone(former: readonly Former[], key: string, position: bigint): boolean {
  return former.some(({ partitions, positions }) => position <= (positions[partitionOfKey(key, partitions)] ?? 0n));
}

/** Where a whole group stands. */
export class GroupCheckpoint {
  /** 0 for a group that has no rows yet. */
  readonly partitions: number;
  readonly positions: readonly bigint[];
  readonly #former: readonly Former[];

  constructor(positions: readonly bigint[], former: readonly Former[]) {
    this.partitions = positions.length;
    this.positions = positions;
    this.#former = former;
  }

  /** Everything up to here is done: the position of the group. 0 without rows. */
  get smallest(): bigint {
    return this.positions.reduce((least, each) => (each < least ? each : least), this.positions[0] ?? 0n);
  }

  /** Nothing beyond here is done. */
  get largest(): bigint {
    return [...this.positions, ...this.#former.flatMap(({ positions }) => positions)].reduce(
      (most, each) => (each > most ? each : most),
      0n,
    );
  }

  /** What of an event the group has done: all of it, nothing (null), or a page with some of its items. */
  done(event: RecordedEvent): RecordedEvent | null {
    if (this.partitions === 0) return null;
    return partOf(event, (key) => isDone([this, ...this.#former], key, event.position));
  }

  /** What is to be kept in rows that all begin at `smallest`. */
  formerForm(): StoredFormer {
    const { smallest } = this;
    return [{ partitions: this.partitions, positions: this.positions }, ...this.#former]
      .filter(({ positions }) => positions.some((position) => position > smallest))
      .map(({ partitions, positions }) => ({ partitions, positions: positions.map(String) }));
  }
}

/** Where a group stands. With `lock`, its rows are locked to the end of the transaction: nobody does anything meanwhile. */
export async function readGroup(
  db: Queryable,
  group: string,
  options: { readonly lock?: boolean } = {},
): Promise<GroupCheckpoint> {
  const { rows } = await db.query<{ position: string; former: StoredFormer | null }>(
    `SELECT position, former FROM work.checkpoints WHERE "group" = $1 ORDER BY partition ${options.lock ? 'FOR UPDATE' : ''}`,
    [group],
  );
  const former = rows.find((row) => row.former !== null)?.former;
  return new GroupCheckpoint(
    rows.map(({ position }) => BigInt(position)),
    formerOf(former),
  );
}

/**
 * The position of one partition's checkpoint, 0 when it has none. Without a partition the position of the group: the
 * smallest of its partitions.
 */
export async function readCheckpoint(db: Queryable, group: string, partition?: number): Promise<bigint> {
  const { rows } = await db.query<{ position: string | null }>(
    'SELECT min(position) AS position FROM work.checkpoints WHERE "group" = $1 AND ($2::int IS NULL OR partition = $2)',
    [group, partition ?? null],
  );
  return BigInt(rows[0]?.position ?? 0);
}

/** Where the records after a partition's checkpoint begin in a topic; null when that was never told. */
export async function readOffset(
  db: Queryable,
  group: string,
  partition: number,
  topic: string,
): Promise<bigint | null> {
  const { rows } = await db.query<{ next_offset: string | null }>(
    'SELECT next_offset FROM work.checkpoints WHERE "group" = $1 AND partition = $2 AND topic = $3',
    [group, partition, topic],
  );
  const offset = rows[0]?.next_offset;
  return offset === null || offset === undefined ? null : BigInt(offset);
}

/** Notes that records up to here had nothing new, so that they are not read again. The position stays. */
export async function moveOffset(db: Queryable, group: string, partition: number, place: RecordPlace): Promise<void> {
  await db.query(
    `UPDATE work.checkpoints SET topic = $3, next_offset = $4
      WHERE "group" = $1 AND partition = $2 AND (topic IS DISTINCT FROM $3 OR next_offset < $4)`,
    [group, partition, place.topic, place.offset.toString()],
  );
}

/** Serialises who makes rows of a group. */
const rowsLock = "SELECT pg_advisory_xact_lock(hashtextextended('parley-checkpoints ' || $1, 0))";

const makeRows = `INSERT INTO work.checkpoints ("group", partition, partitions, position, at, former)
  SELECT $1, partition, $2, $3, now(), $4::jsonb FROM generate_series(0, $2 - 1) AS g(partition)`;

/**
 * Makes a group's rows those of a feed with so many partitions. Whoever still consumes it under another number has its
 * next batch refused (PartitionsChangedError). Does nothing when they are that already. In a transaction of its own.
 */
export async function takeOverGroup(pool: pg.Pool, group: string, partitions: number): Promise<void> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await client.query('BEGIN');
    await client.query(rowsLock, [group]);
    const before = await readGroup(client, group, { lock: true });
    if (before.partitions !== partitions) {
      const former = before.partitions === 0 ? [] : before.formerForm();
      await client.query('DELETE FROM work.checkpoints WHERE "group" = $1', [group]);
      await client.query(makeRows, [
        group,
        partitions,
        before.smallest.toString(),
        former.length === 0 ? null : JSON.stringify(former),
      ]);
    }
    await client.query('COMMIT');
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
    throw error;
  } finally {
    // A connection with a transaction that failed is not used again.
    client.release(failure);
  }
}

interface LockedRow {
  readonly position: string;
  readonly partitions: number;
  readonly former: StoredFormer | null;
}

async function lockRow(
  client: pg.ClientBase,
  group: string,
  partition: number,
  partitions: number,
): Promise<LockedRow> {
  for (let tries = 0; ; tries++) {
    const { rows } = await client.query<LockedRow>({
      name: 'checkpoint-lock',
      text: 'SELECT position, partitions, former FROM work.checkpoints WHERE "group" = $1 AND partition = $2 FOR UPDATE',
      values: [group, partition],
    });
    if (rows[0]) return rows[0];
    await client.query(rowsLock, [group]);
    const { partitions: found } = await readGroup(client, group);
    if (found === 0) await client.query(makeRows, [group, partitions, '0', null]);
    else if (tries > 0 || found !== partitions) throw new PartitionsChangedError(group, partitions, found);
  }
}

/** The position of a group's checkpoint, its row (made when missing) locked to the end of the transaction. */
export async function lockCheckpoint(client: pg.ClientBase, group: string, partition = 0): Promise<bigint> {
  return BigInt((await lockRow(client, group, partition, 1)).position);
}

/** What a group does with the events of a batch that are new to it, in the transaction that moves its checkpoint. */
export type CheckpointedWork = (client: pg.PoolClient, events: readonly RecordedEvent[]) => Promise<void>;

/**
 * Does the work of a batch and moves the checkpoint, in one transaction: each event takes effect exactly once. Answers
 * where the checkpoint stands now: `batch.to`, or another position when the batch had nothing new, or does not follow on
 * what was done (a hole). Rejects when work or Postgres fails; then nothing was done, or (the connection broke at the
 * commit) the row tells. Rejects with PartitionsChangedError when the row is of another feed.
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
  const { partition, partitions = 1, source } = batch;
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await client.query(options.durable === false ? 'BEGIN; SET LOCAL synchronous_commit = off' : 'BEGIN');
    const row = await lockRow(client, group, partition, partitions);
    if (row.partitions !== partitions) throw new PartitionsChangedError(group, partitions, row.partitions);
    const position = BigInt(row.position);
    if (batch.from > position || batch.to <= position) {
      await client.query('ROLLBACK');
      return position;
    }
    let events = batch.from === position ? batch.events : batch.events.filter((event) => event.position > position);
    const former = formerOf(row.former);
    if (former.length > 0) events = notDone(events, former);
    if (events.length > 0) await whileAlive(client, () => work(client, events));
    await client.query({
      name: 'checkpoint-move',
      text: `UPDATE work.checkpoints SET position = $3, at = now(),
          topic = coalesce($4, topic), next_offset = coalesce($5, next_offset)
        WHERE "group" = $1 AND partition = $2`,
      values: [group, partition, batch.to.toString(), source?.topic ?? null, source?.offset.toString() ?? null],
    });
    if (former.length > 0) await forgetFormer(client, group, partition, former, batch.to);
    await client.query('COMMIT');
    return batch.to;
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
    // One that does not answer is not asked again: that would take as long once more.
    if (!isConnectionTrouble(error)) {
      await client.query('ROLLBACK').then(
        () => {
          failure = undefined;
        },
        () => {},
      );
    }
    throw error;
  } finally {
    // A connection that could not roll back is not used again.
    client.release(failure);
  }
}

/** Work that does more than speak to the server lets it know, meanwhile, that its process lives. */
async function whileAlive(client: pg.PoolClient, work: () => Promise<void>): Promise<void> {
  let said = Promise.resolve();
  let saying = false;
  const timer = setInterval(() => {
    if (saying) return;
    saying = true;
    said = client.query('SELECT').then(
      () => {
        saying = false;
      },
      // The statement after it tells what is wrong.
      () => {},
    );
  }, sayAliveEveryMs);
  try {
    await work();
  } finally {
    clearInterval(timer);
    await said;
  }
}

function notDone(events: readonly RecordedEvent[], former: readonly Former[]): RecordedEvent[] {
  return events.flatMap((event) => partOf(event, (key) => !isDone(former, key, event.position)) ?? []);
}

/** Beyond all that was done before, the old positions say nothing any more. */
async function forgetFormer(
  client: pg.PoolClient,
  group: string,
  partition: number,
  former: readonly Former[],
  to: bigint,
): Promise<void> {
  if (former.some(({ positions }) => positions.some((position) => position > to))) return;
  await client.query('UPDATE work.checkpoints SET former = NULL WHERE "group" = $1 AND partition = $2', [
    group,
    partition,
  ]);
}
