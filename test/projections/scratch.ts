/** Projections applied to events in memory, in schemas of a scratch database, and what their tables hold then. */
import pg from 'pg';
import type { Test } from 'tap';
import { projections } from '../../projections/index.ts';
import type { RecordedEvent } from '../../schemas/index.ts';
import { tableNames } from '../../src/readside/tables.ts';
import { testDatabase } from '../support/postgres.ts';
import type { Random } from './history.ts';

/** A database with a connection to it, until `t` ends. */
export async function scratchDatabase(t: Test): Promise<pg.Client> {
  const { url } = await testDatabase(t);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

/** Makes every projection's tables in a schema and turns the connection to it. */
export async function useSchema(client: pg.Client, schema: string): Promise<void> {
  await client.query(`CREATE SCHEMA ${schema}; SET search_path = ${schema}`);
  for (const projection of projections) await client.query(projection.tables);
}

/** Applies batches to every projection, in the schema that the connection is turned to. */
export async function applyAll(client: pg.Client, batches: readonly (readonly RecordedEvent[])[]): Promise<void> {
  for (const batch of batches) for (const projection of projections) await projection.apply(client, batch);
}

/** Builds a schema from batches and answers its rows. */
export async function rowsFrom(
  client: pg.Client,
  schema: string,
  batches: readonly (readonly RecordedEvent[])[],
): Promise<Record<string, string[]>> {
  await useSchema(client, schema);
  await applyAll(client, batches);
  return allRows(client);
}

/** Every row of every table, as JSON in order. */
export async function allRows(client: pg.Client): Promise<Record<string, string[]>> {
  const tables: Record<string, string[]> = {};
  for (const table of projections.flatMap(tableNames)) {
    const { rows } = await client.query<{ row: string }>(`SELECT to_jsonb(t)::text AS row FROM ${table} t ORDER BY 1`);
    tables[table] = rows.map(({ row }) => row);
  }
  return tables;
}

/** Cuts a history into batches of up to `most` events. */
export function cut<T>(random: Random, events: readonly T[], most: number): T[][] {
  const batches: T[][] = [];
  for (let i = 0; i < events.length; ) {
    const size = 1 + Math.floor(random() * most);
    batches.push(events.slice(i, i + size));
    i += size;
  }
  return batches;
}

/** The seed of a run: told, and taken from PARLEY_TEST_SEED. */
export function seedOf(t: Test): number {
  const seed = Number(process.env.PARLEY_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.comment(`PARLEY_TEST_SEED=${seed}`);
  return seed;
}
