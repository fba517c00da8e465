import type pg from 'pg';
import type { Projection } from '../../projections/index.ts';
import { type GroupCheckpoint, lockCheckpoint, readGroup, takeOverGroup } from '../feed/checkpoint.ts';
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

/** Where the projector stands, all its rows locked to the end of the transaction: nothing is projected meanwhile. */
export async function lockProjector(client: pg.ClientBase): Promise<GroupCheckpoint> {
  for (let tries = 1; ; tries++) {
    const group = await readGroup(client, projectorGroup, { lock: true });
    if (group.partitions > 0) return group;
    // Rows that were made anew while we waited for the old ones are seen now; where there are none, one is made.
    if (tries > 1) await lockCheckpoint(client, projectorGroup);
  }
}

/** A projection whose tables have to be rebuilt; `readable` when the ones there are serve today's queries meanwhile. */
export interface ToRebuild {
  readonly projection: Projection;
  readonly readable: boolean;
}

/**
 * Makes the tables that can be made at once: all of them while nothing was projected. Answers what has to be rebuilt. A group
 * that has no rows yet gets those of so many partitions.
 */
export async function ensureTables(
  pool: pg.Pool,
  projections: readonly Projection[],
  partitions: number,
): Promise<ToRebuild[]> {
  if ((await readGroup(pool, projectorGroup)).partitions === 0) await takeOverGroup(pool, projectorGroup, partitions);
  return inTransaction(pool, async (client) => {
    const { largest } = await lockProjector(client);
    const versions = await tableVersions(client);
    const outdated = projections.filter(({ name, version }) => versions.get(name) !== version);
    if (largest > 0n) return outdated.map((projection) => ({ projection, readable: isReadable(projection, versions) }));
    await client.query('SET LOCAL search_path = read');
    for (const projection of outdated) {
      await dropTables(client, projection);
      await client.query(projection.tables);
      await register(client, projection);
    }
    return [];
  });
}

/** Whether today's queries can read the tables that a projection has. */
export function isReadable(projection: Projection, versions: ReadonlyMap<string, number>): boolean {
  const version = versions.get(projection.name) ?? -1;
  return version >= projection.readableFrom && version <= projection.version;
}
