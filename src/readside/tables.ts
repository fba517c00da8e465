import type pg from 'pg';
import type { Projection } from '../../projections/index.ts';
import { lockCheckpoint } from '../feed/checkpoint.ts';
import { inTransaction } from '../platform/postgres.ts';

/** The consumer group that all projections share. */
export const projectorGroup = 'projector';

/**
 * Settings of connections that projections write through. Their statements find rows by key, many at a time: a plan made
 * while a table was small, and kept, must not read the whole table when it has grown.
 */
export const applySettings = {
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  plan_cache_mode: 'force_generic_plan',
  jit: 'off',
} as const;

/** Names of the tables that a projection makes. */
export function tableNames(projection: Projection): string[] {
  return [...projection.tables.matchAll(/^CREATE TABLE ([a-z_]+)/gm)].map((match) => match[1] as string);
}

/** The versions of the projections' tables in schema `read`. */
export async function tableVersions(db: Pick<pg.ClientBase, 'query'>): Promise<Map<string, number>> {
  const { rows } = await db.query<{ name: string; version: number }>({
    name: 'projection-versions',
    text: 'SELECT name, version FROM work.projections',
  });
  return new Map(rows.map(({ name, version }) => [name, version]));
}

/** Writes down whose tables stand in schema `read`, and lets readers read them. */
export async function register(client: pg.ClientBase, projection: Projection): Promise<void> {
  await client.query(
    `INSERT INTO work.projections (name, version, tables) VALUES ($1, $2, $3)
      ON CONFLICT (name) DO UPDATE SET version = excluded.version, tables = excluded.tables`,
    [projection.name, projection.version, tableNames(projection)],
  );
  await client.query('SELECT work.grant_read()');
}

/** Drops the tables that a projection has in schema `read`, whatever version they are of. */
export async function dropTables(client: pg.ClientBase, projection: Projection): Promise<void> {
  const { rows } = await client.query<{ tables: string[] }>('SELECT tables FROM work.projections WHERE name = $1', [
    projection.name,
  ]);
  const tables = rows[0]?.tables ?? [];
  if (tables.length > 0) await client.query(`DROP TABLE ${tables.map((table) => `read.${table}`).join(', ')}`);
}

/** A projection whose tables have to be rebuilt; `readable` when the ones there are serve today's queries meanwhile. */
export interface ToRebuild {
  readonly projection: Projection;
  readonly readable: boolean;
}

/** Makes the tables that can be made at once: all of them while nothing was projected. Answers what has to be rebuilt. */
export function ensureTables(pool: pg.Pool, projections: readonly Projection[]): Promise<ToRebuild[]> {
  return inTransaction(pool, async (client) => {
    const position = await lockCheckpoint(client, projectorGroup);
    const versions = await tableVersions(client);
    const outdated = projections.filter(({ name, version }) => versions.get(name) !== version);
    if (position > 0n) {
      return outdated.map((projection) => {
        const version = versions.get(projection.name);
        return { projection, readable: version !== undefined && isReadable(projection, version) };
      });
    }
    await client.query('SET LOCAL search_path = read');
    for (const projection of outdated) {
      await dropTables(client, projection);
      await client.query(projection.tables);
      await register(client, projection);
    }
    return [];
  });
}

function isReadable(projection: Projection, version: number): boolean {
  return version >= projection.readableFrom && version <= projection.version;
}
