import pg from 'pg';
import { projections as allProjections, type Projection } from '../../projections/index.ts';
import { readGroup } from '../feed/checkpoint.ts';
import type { History } from '../feed/feed.ts';
import { Builder } from './rebuild.ts';
import { projectorGroup, tableNames } from './tables.ts';

/** How a projection's rows stand against those that a rebuild gives. */
export interface ProjectionComparison {
  readonly projection: string;
  readonly equal: boolean;
  /** A line per table that differs: how many rows, and some of them. */
  readonly differences: readonly string[];
}

/**
 * Rebuilds every projection into a scratch schema, up to the projector's checkpoints, and compares the rows both ways, in
 * one snapshot: servers may go on meanwhile. The database is left as it was.
 */
export async function compareWithRebuild(
  url: string,
  history: History,
  projections: readonly Projection[] = allProjections,
): Promise<ProjectionComparison[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'parley-compare', options: '-c jit=off' });
  client.on('error', () => {});
  await client.connect();
  try {
    const results: ProjectionComparison[] = [];
    for (const projection of projections) results.push(await compareOne(client, projection, history));
    return results;
  } finally {
    await client.end().catch(() => {});
  }
}

async function compareOne(client: pg.Client, projection: Projection, history: History): Promise<ProjectionComparison> {
  const builder = new Builder(client, projection, `compare_${projection.name}_${process.pid}`, history);
  const differences: string[] = [];
  try {
    await builder.create();
    await builder.catchUp();
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    // A checkpoint that was taken back in a crash: nothing is compared with rows that lie ahead of it.
    const to = await readGroup(client, projectorGroup);
    const { at } = builder;
    const isBack =
      to.smallest < at.smallest ||
      (to.partitions === at.partitions && to.positions.some((position, i) => position < (at.positions[i] ?? 0n)));
    if (isBack) throw new Error(`the checkpoint went back from ${at.positions} to ${to.positions}`);
    await builder.catchUpWithin(to);
    for (const table of tableNames(projection)) {
      const extra = await missingFrom(client, `read.${table}`, `${builder.schema}.${table}`);
      const missing = await missingFrom(client, `${builder.schema}.${table}`, `read.${table}`);
      if (extra) differences.push(`${table}: ${extra} that a rebuild does not give`);
      if (missing) differences.push(`${table}: ${missing} that only a rebuild gives`);
    }
  } finally {
    await client.query('ROLLBACK');
    await client.query(`DROP SCHEMA IF EXISTS ${builder.schema} CASCADE`);
  }
  return { projection: projection.name, equal: differences.length === 0, differences };
}

/** The rows of one table that another does not have, told in a few words; null for none. */
async function missingFrom(client: pg.Client, table: string, other: string): Promise<string | null> {
  const { rows } = await client.query<{ count: string; some: string }>(
    `SELECT count(*) AS count, (array_agg(to_jsonb(d)) FILTER (WHERE d.n <= 3))::text AS some
      FROM (SELECT *, row_number() OVER () AS n FROM (SELECT * FROM ${table} EXCEPT ALL SELECT * FROM ${other}) e) d`,
  );
  const count = Number(rows[0]?.count ?? 0);
  return count === 0 ? null : `${count} rows (${rows[0]?.some})`;
}
