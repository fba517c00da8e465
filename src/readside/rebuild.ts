import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Projection, projections } from '../../projections/index.ts';
import { connectionOptions, GroupCheckpoint, readGroup } from '../feed/checkpoint.ts';
import type { History, RecordedEvent } from '../feed/feed.ts';
import {
  applySettings,
  dropTables,
  lockProjector,
  projectorGroup,
  register,
  tableNames,
  tableVersions,
} from './tables.ts';

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
  /** Told at the beginning and after every page: how far it is, and how far it has to get. */
  readonly onProgress?: (position: bigint, to: bigint) => void;
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

/**
 * Fills the tables of a projection in a schema of their own: with what the projector has done, which is told per partition.
 * Events are applied in the order of the log; those that a partition further ahead has done come before others'.
 */
export class Builder {
  readonly #client: pg.Client;
  readonly #projection: Projection;
  readonly #history: History;
  readonly #pageEvents: number;
  readonly schema: string;
  /** What is in the tables: all that was done here. */
  at = new GroupCheckpoint([], []);

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

  /** Goes up to about where the projector is, in steps that are each a transaction. After a failure: not again. */
  async catchUp(options: Pick<RebuildOptions, 'onProgress' | 'signal'> = {}): Promise<void> {
    for (;;) {
      const to = await readGroup(this.#client, projectorGroup);
      const applied = await this.#goTo(to, (events) => this.#applyDurably(events), options);
      this.at = to;
      if (applied <= this.#pageEvents) return;
    }
  }

  /** Goes on to where the projector is, within the running transaction. `at` stays: the transaction may fail. */
  async catchUpWithin(to: GroupCheckpoint): Promise<void> {
    await this.#goTo(to, (events) => this.#projection.apply(this.#client, events));
  }

  /** Applies what was done at `to` and not at `at`; answers how many events that were. */
  async #goTo(
    to: GroupCheckpoint,
    apply: (events: readonly RecordedEvent[]) => Promise<void>,
    { onProgress, signal }: Pick<RebuildOptions, 'onProgress' | 'signal'> = {},
  ): Promise<number> {
    let applied = 0;
    let from = this.at.smallest;
    onProgress?.(from, to.largest);
    while (from < to.largest) {
      signal?.throwIfAborted();
      const page = await this.#history.page(from, this.#pageEvents);
      const events = page.events.flatMap((event) => newlyDone(event, this.at, to) ?? []);
      if (events.length > 0) await apply(events);
      applied += events.length;
      from = page.atHead || page.position > to.largest ? to.largest : page.position;
      onProgress?.(from, to.largest);
    }
    return applied;
  }

  async #applyDurably(events: readonly RecordedEvent[]): Promise<void> {
    await this.#client.query('BEGIN');
    await this.#projection.apply(this.#client, events);
    await this.#client.query('COMMIT');
  }
}

/** What of an event is done at `now` and was not at `before`; null for nothing. */
function newlyDone(event: RecordedEvent, before: GroupCheckpoint, now: GroupCheckpoint): RecordedEvent | null {
  if (event.position <= before.smallest) return null;
  const done = now.done(event);
  const had = done && before.done(done);
  if (!had) return done;
  // Of what is about many keys a part may be done.
  if (had.type !== 'DispatchesErased' || done.type !== 'DispatchesErased' || had === done) return null;
  const known = new Set(had.data.items.map(({ dispatch }) => dispatch));
  const items = done.data.items.filter(({ dispatch }) => !known.has(dispatch));
  return { ...done, data: { ...done.data, items } };
}

/** Puts the new tables in the place of the old ones, where the projector stands in each partition. */
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
      await builder.catchUpWithin(await lockProjector(client));
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
