/**
 * The log on Postgres: group commit. A process gathers the commits that wait and hands them over in one call of one SQL
 * function (`migrations.ts`), which holds the head row until its commit: positions become visible in order and without
 * gaps under any number of writer processes. One connection appends, one listens, a small pool reads.
 */
import type { MessagePort } from 'node:worker_threads';
import pg from 'pg';
import type { EventCodec } from '../../schemas/index.ts';
import { sleep } from '../platform/clock.ts';
import { Gather } from '../platform/gather.ts';
import { isConnectionTrouble } from '../platform/postgres.ts';
import { type Commit, type Holder, type Log, LogUnavailableError, type Outcome, type RecordedEvent } from './log.ts';
import { Appender, type FlushReport, preparedOnce } from './postgres-appender.ts';
import { LogPeer } from './postgres-peer.ts';
import { askedOf, decodeRow, type EventRow, eventColumns, isErased, positionOf, revisionOf } from './postgres-rows.ts';
import { TailHub, trustMemoryMs } from './postgres-tail.ts';

/** How the adapter runs. Times in milliseconds. */
export interface PostgresLogOptions {
  readonly url: string;
  readonly codec: EventCodec;
  /** An append unsettled for this long is `unknown`; the server ends its transaction then. Default 5000. */
  readonly flushTimeoutMs?: number;
  /** Commits of one flush at most. Default 1000. */
  readonly maxFlushCommits?: number;
  /** Commits that may wait at most; beyond that an append is `unknown` at once. Default 50 000. */
  readonly maxWaitingCommits?: number;
  /** Time between clean-ups of erased content from the disk. Default one hour. */
  readonly vacuumIntervalMs?: number;
  readonly onFlush?: (flush: FlushReport) => void;
  /** The way to the log of another thread of this process, on the same database. */
  readonly peer?: MessagePort;
}

/** Streams read in one statement: those that are asked for while another is under way. */
const maxReadTogether = 100;

/** A stream, and the first of its revisions that is asked for. */
interface StreamRead {
  readonly stream: string;
  readonly from: number;
}

/** Streams erased in one transaction, which holds the head: some 10 ms. */
const maxErasedAtOnce = 100;

/** Opens the log. The database must have been migrated (`logMigrations`). Rejects when it cannot be reached. */
export async function openPostgresLog(options: PostgresLogOptions): Promise<PostgresLog> {
  const log = new PostgresLog(options);
  await log.open();
  return log;
}

/** The Postgres adapter of the log port. */
export class PostgresLog implements Log {
  readonly #options: Required<Omit<PostgresLogOptions, 'onFlush' | 'peer'>> & Pick<PostgresLogOptions, 'onFlush'>;
  readonly #reads: pg.Pool;
  readonly #streams = new Gather<StreamRead, EventRow[]>(maxReadTogether, (asked) => this.#readStreams(asked));
  readonly #hub: TailHub;
  readonly #peer: LogPeer | null;
  readonly #appender: Appender;
  #closed = false;
  /** What an earlier process erased may still stand on the disk. */
  #vacuumDue = true;
  #vacuumTimer: NodeJS.Timeout | undefined;

  constructor(options: PostgresLogOptions) {
    this.#options = {
      flushTimeoutMs: 5_000,
      maxFlushCommits: 1_000,
      maxWaitingCommits: 50_000,
      vacuumIntervalMs: 3_600_000,
      ...options,
    };
    this.#reads = new pg.Pool({
      connectionString: options.url,
      max: 4,
      application_name: 'parley-log-read',
      connectionTimeoutMillis: 5_000,
      query_timeout: 5_000,
      options: preparedOnce,
    });
    this.#reads.on('error', () => {});
    const { peer } = options;
    this.#hub = new TailHub(options.url, (from, max) => this.#history(from, max), { hasPeer: peer !== undefined });
    this.#peer = peer ? new LogPeer(peer, ({ base, events, ...word }) => this.#hub.push(base, events, word)) : null;
    this.#appender = new Appender({ ...this.#options, hub: this.#hub, peer: this.#peer });
  }

  /** Commits waiting for a flush. */
  get waitingCommits(): number {
    return this.#appender.waiting;
  }

  /** Times a tail met a hole in the positions: 0 unless something is broken. */
  get gaps(): number {
    return this.#hub.gaps;
  }

  /** Connects and learns the head. */
  async open(): Promise<void> {
    await this.#hub.open();
    this.#vacuumTimer = setInterval(() => void this.#vacuum(), this.#options.vacuumIntervalMs).unref();
  }

  append(commits: readonly Commit[]): Promise<Outcome[]> {
    return this.#appender.append(commits);
  }

  async read(stream: string, from = 0): Promise<{ events: RecordedEvent[]; revision: number; closed: boolean }> {
    const rows = await this.#streams.ask({ stream, from });
    const last = rows.at(-1);
    if (!last && from > 0) {
      const { rows: ends } = await this.#query<{ revision: number; closed: boolean }>({
        text: 'SELECT revision, data IS NULL AS closed FROM log.events WHERE stream = $1 ORDER BY revision DESC LIMIT 1',
        values: [stream],
      });
      return { events: [], ...(ends[0] ?? { revision: -1, closed: false }) };
    }
    const closed = last !== undefined && isErased(last);
    const events = closed ? [] : rows.map((row) => decodeRow(row, this.#options.codec)).filter((e) => e !== null);
    return { events, revision: last ? revisionOf(last) : -1, closed };
  }

  async holder(name: string, at: number): Promise<Holder | null> {
    const { rows } = await this.#query<{ stream: string; made: string | null }>({
      name: 'log-holder',
      text: 'SELECT stream, made FROM log.claims WHERE name = $1 AND (NOT stream_closed OR at_least_until > $2)',
      values: [name, at],
    });
    return rows[0] ?? null;
  }

  /** The rows of several streams, in the order that they were asked for. */
  async #readStreams(asked: readonly StreamRead[]): Promise<EventRow[][]> {
    const rows = await this.#events({
      name: 'log-read-streams',
      text: `SELECT ${eventColumns}, nth FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS asked(name, since, nth)
        JOIN log.events ON stream = name AND revision >= since ORDER BY nth, revision`,
      values: [asked.map(({ stream }) => stream), asked.map(({ from }) => from)],
    });
    const found: EventRow[][] = asked.map(() => []);
    for (const row of rows) found[askedOf(row) - 1]?.push(row);
    return found;
  }

  tail(from: bigint, signal: AbortSignal): AsyncIterable<{ events: readonly RecordedEvent[]; position: bigint }> {
    return this.#hub.tail(from, signal);
  }

  async page(from: bigint, maxEvents: number): Promise<{ events: RecordedEvent[]; position: bigint; atHead: boolean }> {
    const { events, position } = await this.#history(from, maxEvents);
    return { events: events.filter((e) => e !== null), position, atHead: events.length < maxEvents };
  }

  /** One page of history; erased events stand as null, so that places are positions. */
  async #history(from: bigint, max: number): Promise<{ events: (RecordedEvent | null)[]; position: bigint }> {
    const rows = await this.#events({
      name: 'log-history',
      text: `SELECT ${eventColumns} FROM log.events WHERE position > $1 ORDER BY position LIMIT $2`,
      values: [from.toString(), max],
    });
    const events = rows.map((row) => decodeRow(row, this.#options.codec));
    const last = rows.at(-1);
    return { events, position: last ? positionOf(last) : from };
  }

  async head(): Promise<bigint> {
    return this.#hub.checkHead();
  }

  /** Positions are consecutive. */
  async count(from: bigint, to: bigint, most: number): Promise<number> {
    return Math.min(Math.max(0, Number(to - from)), most);
  }

  async erase(streams: readonly string[]): Promise<void> {
    const all = [...new Set(streams)];
    for (let at = 0; at < all.length; at += maxErasedAtOnce) {
      await this.#query({
        text: 'SELECT log.erase(stream, gen_random_uuid()::text, $2) FROM unnest($1::text[]) AS u(stream)',
        values: [all.slice(at, at + maxErasedAtOnce), Date.now()],
      });
    }
    this.#vacuumDue = true;
    // From then on no process serves from a memory that has not heard of it.
    await sleep(trustMemoryMs);
  }

  /** Erased content leaves the disk: Postgres keeps the old version of a row until it is vacuumed. */
  async #vacuum(): Promise<void> {
    if (!this.#vacuumDue) return;
    this.#vacuumDue = false;
    // On a connection of its own: it may take longer than any answer is waited for.
    const client = new pg.Client({ connectionString: this.#options.url, application_name: 'parley-log-vacuum' });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query('VACUUM log.events');
    } catch {
      this.#vacuumDue = true;
    } finally {
      await client.end().catch(() => {});
    }
  }

  async #events(query: pg.QueryConfig): Promise<EventRow[]> {
    const { rows } = await this.#query<never>({ ...query, rowMode: 'array' } as pg.QueryConfig);
    return rows;
  }

  async #query<R extends pg.QueryResultRow>(query: pg.QueryConfig): Promise<pg.QueryResult<R>> {
    try {
      return await this.#reads.query<R>(query);
    } catch (error) {
      throw isConnectionTrouble(error) ? new LogUnavailableError(error) : error;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#vacuumTimer);
    await this.#appender.drained();
    this.#peer?.close();
    await this.#hub.close();
    await this.#appender.close();
    await this.#reads.end();
  }
}
