/** The reference of (b): the same rows, put into an equal table with the same indexes by plain INSERTs. */
import pg from 'pg';
import { bigintArray, intArray, textArray } from '../../../src/platform/pg-arrays.ts';
import { Histogram } from '../stats.ts';

/** Rows of one statement. */
const rowsPerStatement = 1_000;

const insert = {
  name: 'bench-raw-insert',
  text: `INSERT INTO bench.events (position, commit_id, at, revision, index, version, stream, type, data, meta)
    SELECT position, commit_id::uuid, at, revision, index, version, stream, type, data, meta
      FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::int[], $5::int[], $6::int[], $7::text[], $8::text[],
                  $9::text[], $10::text[])
        AS e(position, commit_id, at, revision, index, version, stream, type, data, meta)`,
};

interface Row {
  readonly position: string;
  readonly commit_id: string;
  readonly at: string;
  readonly revision: number;
  readonly index: number;
  readonly version: number;
  readonly stream: string;
  readonly type: string;
  readonly data: string;
  readonly meta: string | null;
}

/** Rows of the log, ready to be inserted again. */
export interface RawRows {
  readonly rows: number;
  /** Parameters of the statements. */
  readonly statements: readonly (readonly Buffer[])[];
  /** Characters of a row's texts, on average. */
  readonly charactersPerRow: number;
  /** Events that accepting one message has appended. */
  readonly eventsPerMessage: number;
}

/** What plain INSERTs reach. */
export interface RawResult {
  readonly rows: number;
  readonly perSecond: number;
  /** Of a statement. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/**
 * Takes the events of messages that were accepted after a position, as the log has them: those of every commit with a
 * `DispatchAccepted`; what the dispatcher appended between them is left out.
 *
 * @param messages how many; fewer when the log has no more
 */
export async function takeRows(database: pg.Client, after: number, messages: number): Promise<RawRows> {
  const statements: Buffer[][] = [];
  const taken: Row[] = [];
  let commit: Row[] = [];
  let accepted = 0;
  let rows = 0;
  let characters = 0;
  const endCommit = (): void => {
    if (accepted < messages && commit.some(({ type }) => type === 'DispatchAccepted')) {
      accepted++;
      taken.push(...commit);
    }
    commit = [];
    if (taken.length >= rowsPerStatement) statements.push(parameters(taken.splice(0, rowsPerStatement)));
  };
  for (let position = String(after); accepted < messages; ) {
    const page = await database.query<Row>(
      `SELECT position, commit_id, at, revision, index, version, stream, type, data, meta FROM log.events
        WHERE position > $1 AND data IS NOT NULL ORDER BY position LIMIT 5000`,
      [position],
    );
    for (const row of page.rows) {
      if (commit[0] !== undefined && commit[0].commit_id !== row.commit_id) endCommit();
      commit.push(row);
      characters += row.stream.length + row.type.length + row.data.length + (row.meta?.length ?? 0);
      rows++;
    }
    const last = page.rows.at(-1);
    if (last === undefined) break;
    position = last.position;
  }
  endCommit();
  if (accepted === 0) throw new Error('the log holds no accepted messages to compare with');
  const inFull = statements.length * rowsPerStatement;
  if (taken.length > 0) statements.push(parameters(taken));
  const total = inFull + taken.length;
  return { rows: total, statements, charactersPerRow: characters / rows, eventsPerMessage: total / accepted };
}

function parameters(rows: readonly Row[]): Buffer[] {
  return [
    bigintArray(rows.map(({ position }) => BigInt(position))),
    textArray(rows.map(({ commit_id }) => commit_id)),
    bigintArray(rows.map(({ at }) => BigInt(at))),
    intArray(rows.map(({ revision }) => revision)),
    intArray(rows.map(({ index }) => index)),
    intArray(rows.map(({ version }) => version)),
    textArray(rows.map(({ stream }) => stream)),
    textArray(rows.map(({ type }) => type)),
    textArray(rows.map(({ data }) => data)),
    textArray(rows.map(({ meta }) => meta)),
  ];
}

/** Makes an empty table like the log's, with its indexes. */
export async function makeRawTable(database: pg.Client): Promise<void> {
  await database.query('CREATE SCHEMA IF NOT EXISTS bench');
  await database.query('DROP TABLE IF EXISTS bench.events');
  await database.query('CREATE TABLE bench.events (LIKE log.events INCLUDING ALL)');
}

/** Removes it again. */
export async function dropRawTable(database: pg.Client): Promise<void> {
  await database.query('DROP SCHEMA IF EXISTS bench CASCADE');
}

/**
 * Inserts the rows over one connection, a statement and a transaction per 1,000 of them. The parameters are built
 * beforehand: what is measured is Postgres.
 */
export async function insertRaw(databaseUrl: string, { rows, statements }: RawRows): Promise<RawResult> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'parley-bench-raw',
    // As the log's own connection.
    options: '-c synchronous_commit=on -c jit=off -c plan_cache_mode=force_generic_plan',
  });
  await client.connect();
  try {
    const histogram = new Histogram();
    const began = performance.now();
    for (const values of statements) {
      const at = performance.now();
      await client.query({ ...insert, values: values as Buffer[] });
      histogram.record((performance.now() - at) * 1_000);
    }
    const tookMs = performance.now() - began;
    return {
      rows,
      perSecond: (rows / tookMs) * 1_000,
      p50Ms: histogram.quantile(0.5) / 1_000,
      p99Ms: histogram.quantile(0.99) / 1_000,
    };
  } finally {
    await client.end();
  }
}
