import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Projection, projections } from '../../projections/index.ts';
import { connectionOptions, lockCheckpoint, readCheckpoint } from '../feed/checkpoint.ts';
import type { History } from '../feed/feed.ts';
import { applySettings, dropTables, projectorGroup, register, tableNames, tableVersions } from './tables.ts';

/** There is no projection of this name. */
export class UnknownProjectionError extends Error {
  constructor(name: string) {
    super(`there is no projection ${name}: there are ${projections.map((each) => each.name).join(', ')}`);
    this.name = 'UnknownProjectionError';
  }
}

/** How a rebuild runs. */
export interface RebuildOptions {
  readonly url: string;
  readonly history: History;
  /** Told after every page: how far it is, and where the log ends. */
  readonly onProgress?: (position: bigint, head: bigint) => void;
  readonly signal?: AbortSignal;
  /** Events of one page. Default 5000. */
  readonly pageEvents?: number;
  /** Leaves tables alone that are of today's version already. */
  readonly onlyIfOutdated?: boolean;
}

/** A lock is waited for no longer than this, so that readers behind it never run into a deadlock check. */
const lockTimeoutMs = 500;
const swapRetryMs = 200;
/** Tries of the swap; each waits for a gap between long readers. */
const maxSwapTries = 300;

/**
 * Rebuilds one projection beside its tables, from position 0, and swaps the new ones in. Runs beside servers in other
 * processes: they go on reading and projecting, and find the new tables under the old names. One rebuild of a projection at
 * a time: a second one waits. Throws UnknownProjectionError; after any failure the tables are as they were.
 */
export async function rebuildProjection(name: string | Projection, options: RebuildOptions): Promise<void> {
  const projection = typeof name === 'string' ? projections.find((each) => each.name === name) : name;
  if (!projection) throw new UnknownProjectionError(String(name));
  const client = new pg.Client({
    connectionString: options.url,
    application_name: 'parley-rebuild',
    options: connectionOptions({ synchronous_commit: 'off', ...applySettings }),
  });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [`parley-rebuild-${projection.name}`]);
    if (options.onlyIfOutdated && (await tableVersions(client)).get(projection.name) === projection.version) return;
    const schema = `rebuild_${projection.name}`;
    const builder = new Builder(client, projection, schema, options.history, options.pageEvents);
    await builder.create();
    await builder.catchUp(options);
    await client.query(`ANALYZE ${tableNames(projection).join(', ')}`);
    await swap(client, projection, builder, options.signal);
    await client.query(`DROP SCHEMA ${schema} CASCADE`);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Fills the tables of a projection in a schema of their own. */
export class Builder {
  readonly #client: pg.Client;
  readonly #projection: Projection;
  readonly #history: History;
  readonly #pageEvents: number;
  readonly schema: string;
  /** Everything up to here is in the tables. */
  position = 0n;

  constructor(client: pg.Client, projection: Projection, schema: string, history: History, pageEvents = 5_000) {
    this.#client = client;
    this.#projection = projection;
    this.schema = schema;
    this.#history = history;
    this.#pageEvents = pageEvents;
  }

  /** Makes the schema, whatever an earlier try left there, and turns the connection to it. */
  async create(): Promise<void> {
    await this.#client.query(`DROP SCHEMA IF EXISTS ${this.schema} CASCADE`);
    await this.#client.query(`CREATE SCHEMA ${this.schema}`);
    await this.#client.query(`SET search_path = ${this.schema}`);
    await this.#client.query(this.#projection.tables);
  }

  /** Goes up to the projector's checkpoint, in steps that are each a transaction. */
  async catchUp(options: Pick<RebuildOptions, 'onProgress' | 'signal'> = {}): Promise<void> {
    for (;;) {
      options.signal?.throwIfAborted();
      const to = await readCheckpoint(this.#client, projectorGroup);
      options.onProgress?.(this.position, to);
      if (to <= this.position) return;
      await this.#client.query('BEGIN');
      const reached = await this.#page(this.position, to);
      await this.#client.query('COMMIT');
      this.position = reached;
    }
  }

  /** Goes on from `position` up to `to` within the running transaction. `position` stays: the transaction may fail. */
  async catchUpWithin(to: bigint): Promise<void> {
    for (let at = this.position; at < to; ) at = await this.#page(at, to);
  }

  /** Applies one page after `from`, of what lies up to `to`. Answers where the next one begins. */
  async #page(from: bigint, to: bigint): Promise<bigint> {
    const page = await this.#history.page(from, this.#pageEvents);
    const events = page.position <= to ? page.events : page.events.filter((event) => event.position <= to);
    if (events.length > 0) await this.#projection.apply(this.#client, events);
    return page.atHead || page.position > to ? to : page.position;
  }
}

/** Puts the new tables in the place of the old ones, at the projector's checkpoint. */
async function swap(
  client: pg.Client,
  projection: Projection,
  builder: Builder,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    signal?.throwIfAborted();
    await client.query('BEGIN');
    try {
      const position = await lockCheckpoint(client, projectorGroup);
      await builder.catchUpWithin(position);
      await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
      await dropTables(client, projection);
      for (const table of tableNames(projection)) {
        await client.query(`ALTER TABLE ${builder.schema}.${table} SET SCHEMA read`);
      }
      await register(client, projection);
      await client.query('COMMIT');
      return;
    } catch (error) {
      await client.query('ROLLBACK');
      if (!isLockTimeout(error) || tries >= maxSwapTries) throw error;
      await sleep(swapRetryMs);
      // What the projector did meanwhile is done outside of the next try, which keeps it waiting.
      await builder.catchUp();
    }
  }
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '55P03';
}
