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
import {
  appendMixedQuery,
  appendNewQuery,
  appendQuery,
  type FlushPart,
  flushParameters,
  isNew,
  newParameters,
  part,
  settlePart,
  type Verdict,
} from './postgres-flush.ts';
import { LogPeer } from './postgres-peer.ts';
import { askedOf, decodeRow, type EventRow, eventColumns, isErased, positionOf, revisionOf } from './postgres-rows.ts';
import { destroyClient, TailHub, trustMemoryMs } from './postgres-tail.ts';
import { type Waiting, waiting } from './waiting.ts';

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

/** What one flush did, for metrics. */
export interface FlushReport {
  readonly commits: number;
  readonly events: number;
  readonly durationMs: number;
  readonly failed: boolean;
}

/** Bytes of one flush at most: about what 1,000 sends hold. */
const maxFlushBytes = 4 * 1024 * 1024;

/** Streams read in one statement: those that are asked for while another is under way. */
const maxReadTogether = 100;

/** A stream, and the first of its revisions that is asked for. */
interface StreamRead {
  readonly stream: string;
  readonly from: number;
}

/** Settings of connections whose statements are planned once: each has one good plan, over an index, whatever its parameters. */
const preparedOnce = '-c jit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off';

/** Streams erased in one transaction, which holds the head: some 10 ms. */
const maxErasedAtOnce = 100;

type MixedAnswer = [base: string | null, erasures: string, otherBase: string, verdicts: Verdict[] | null];

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
  #appender: Promise<pg.Client> | null = null;
  /** The appender's connection when there is one: a flush is sent without waiting a turn. */
  #ready: pg.Client | null = null;
  #queue: Waiting[] = [];
  #flushing = false;
  #scheduled = false;
  #closed = false;
  #idle: (() => void)[] = [];
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
  }

  /** Commits waiting for a flush. */
  get waitingCommits(): number {
    return this.#queue.length;
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

  async append(commits: readonly Commit[]): Promise<Outcome[]> {
    const all = commits.map((commit) => waiting(commit, this.#options.codec));
    return new Promise((resolve) => this.#enqueue(all, resolve));
  }

  /** Puts commits into the queue; one promise for all of them: a batch is a thousand. */
  #enqueue(entries: readonly Waiting[], onSettled: (outcomes: Outcome[]) => void): void {
    const outcomes: Outcome[] = new Array(entries.length);
    let open = entries.length;
    const settle = (at: number, outcome: Outcome): void => {
      outcomes[at] = outcome;
      if (--open === 0) onSettled(outcomes);
    };
    if (open === 0) onSettled(outcomes);
    for (let at = 0; at < entries.length; at++) {
      const entry = entries[at] as Waiting;
      if (this.#closed || this.#queue.length >= this.#options.maxWaitingCommits) {
        settle(at, { outcome: 'unknown', reason: this.#closed ? 'closed' : 'too many commits are waiting' });
        continue;
      }
      entry.settle = (outcome) => settle(at, outcome);
      this.#queue.push(entry);
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#flushing || this.#scheduled) return;
    this.#scheduled = true;
    // After the I/O of this turn: what arrived together is flushed together.
    setImmediate(() => {
      this.#scheduled = false;
      void this.#drain();
    });
  }

  /**
   * Flushes until nothing waits. The next flush is on its way before those who wait for the last one are answered, so that
   * Postgres works while answers are written: of 64 waiting writers it makes a third more.
   */
  async #drain(): Promise<void> {
    if (this.#flushing) return;
    this.#flushing = true;
    let settle = () => {};
    for (;;) {
      if (this.#queue.length === 0) {
        settle();
        settle = () => {};
        if (this.#queue.length === 0) break;
      }
      const flush = this.#flush(this.#takeBatch());
      settle();
      settle = await flush;
    }
    this.#flushing = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** The next flush: streams, claims and releases all different in it; a commit that repeats one waits for the next. */
  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    const later: Waiting[] = [];
    const held = new Set<string>();
    let bytes = 0;
    let at = 0;
    for (; at < this.#queue.length; at++) {
      const entry = this.#queue[at] as Waiting;
      if (batch.length >= this.#options.maxFlushCommits || (batch.length > 0 && bytes + entry.bytes > maxFlushBytes))
        break;
      const { stream, claims, releases } = entry.commit;
      const streamKey = `s${stream}`;
      if (
        held.has(streamKey) ||
        claims?.some((c) => held.has(`c${c.name}`)) ||
        releases?.some((r) => held.has(`c${r}`))
      ) {
        held.add(streamKey);
        for (const claim of claims ?? []) held.add(`c${claim.name}`);
        for (const name of releases ?? []) held.add(`c${name}`);
        later.push(entry);
        continue;
      }
      held.add(streamKey);
      for (const claim of claims ?? []) held.add(`c${claim.name}`);
      for (const name of releases ?? []) held.add(`c${name}`);
      bytes += entry.bytes;
      batch.push(entry);
    }
    this.#queue = later.length > 0 ? later.concat(this.#queue.slice(at)) : this.#queue.slice(at);
    return batch;
  }

  /** Sends a flush, at once when there is a connection. Resolves, when its outcome is known, with what answers its writers. */
  async #flush(batch: Waiting[]): Promise<() => void> {
    const started = performance.now();
    this.#hub.flushBegins();
    try {
      const parts = await this.#call(batch);
      this.#report(batch, started, false);
      return () => this.#settle(parts, started);
    } catch (error) {
      this.#hub.flushEnds();
      if (batch.length > 1 && error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? '')) {
        // Postgres will not have one of them: the others are not to suffer for it.
        for (const entry of batch) (await this.#flush([entry]))();
        return () => {};
      }
      this.#report(batch, started, true);
      const reason = error instanceof Error ? error.message : String(error);
      return () => {
        for (const entry of batch) entry.settle({ outcome: 'unknown', reason });
      };
    }
  }

  #report(batch: readonly Waiting[], started: number, failed: boolean): void {
    const { onFlush } = this.#options;
    if (!onFlush) return;
    const events = batch.reduce((sum, entry) => sum + entry.data.length, 0);
    onFlush({ commits: batch.length, events, durationMs: performance.now() - started, failed });
  }

  /** One transaction: new streams by the short way, the others by the general one. */
  async #call(batch: readonly Waiting[]): Promise<FlushPart[]> {
    const fresh = batch.filter(isNew);
    if (fresh.length === 0) return [await this.#general(batch)];
    const others = fresh.length === batch.length ? [] : batch.filter((entry) => !isNew(entry));
    const values = newParameters(fresh);
    const [base, erasures, otherBase, verdicts] =
      others.length === 0
        ? await this.#run<MixedAnswer>({ ...appendNewQuery, values })
        : await this.#run<MixedAnswer>({ ...appendMixedQuery, values: [...values, ...flushParameters(others)] });
    const parts: FlushPart[] = [];
    if (others.length > 0) parts.push(part(others, otherBase, erasures, verdicts));
    parts.push(base === null ? await this.#general(fresh) : part(fresh, base, erasures, null));
    return parts.sort((x, y) => (x.base < y.base ? -1 : 1));
  }

  async #general(batch: readonly Waiting[]): Promise<FlushPart> {
    const values = flushParameters(batch);
    const [base, erasures, verdicts] = await this.#run<[string, string, Verdict[] | null]>({ ...appendQuery, values });
    return part(batch, base, erasures, verdicts);
  }

  /** Runs a statement on the appender's connection; its one row. */
  async #run<R extends unknown[]>(query: pg.QueryArrayConfig): Promise<R> {
    const client = this.#ready ?? (await this.#connect());
    let timer: NodeJS.Timeout | undefined;
    try {
      const expired = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error('the append timed out')), this.#options.flushTimeoutMs + 500);
      });
      const { rows } = await Promise.race([client.query<R>(query), expired]);
      return rows[0] as R;
    } catch (error) {
      // Whatever happened, this connection is not trusted again; a statement of ours still running is ended with it.
      this.#lose(client);
      destroyClient(client);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A connection is not used again; the next flush makes another. */
  #lose(client: pg.Client): void {
    if (this.#ready !== client) return;
    this.#ready = null;
    this.#appender = null;
  }

  /** The appender's connection, made anew when there is none; tries until an append's time is over. */
  #connect(): Promise<pg.Client> {
    this.#appender ??= this.#connectUntil(performance.now() + this.#options.flushTimeoutMs).catch((error: unknown) => {
      this.#appender = null;
      throw error;
    });
    return this.#appender;
  }

  async #connectUntil(deadline: number): Promise<pg.Client> {
    for (let delayMs = 50; ; delayMs = Math.min(delayMs * 2, 500)) {
      const client = new pg.Client({
        connectionString: this.#options.url,
        application_name: 'parley-log-append',
        connectionTimeoutMillis: 2_000,
        options: `-c transaction_timeout=${this.#options.flushTimeoutMs} -c idle_in_transaction_session_timeout=${this.#options.flushTimeoutMs} -c synchronous_commit=on ${preparedOnce}`,
      });
      client.on('error', () => this.#lose(client));
      client.on('end', () => this.#lose(client));
      try {
        await client.connect();
        this.#ready = client;
        return client;
      } catch (error) {
        destroyClient(client);
        if (this.#closed || performance.now() + delayMs > deadline) throw new LogUnavailableError(error);
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }

  #settle(parts: readonly FlushPart[], askedAt: number): void {
    let recorded: RecordedEvent[] = [];
    let spelled: string[] | null = this.#peer && [];
    let base = parts[0]?.base ?? 0n;
    let end = base;
    const push = (erasures: number) => {
      const word = { erasures, askedAt };
      this.#hub.push(base, recorded, word);
      if (spelled && spelled.length > 0) this.#peer?.tell({ base, ...word }, spelled);
    };
    for (const each of parts) {
      if (each.base !== end) {
        push(each.erasures);
        recorded = [];
        spelled = this.#peer && [];
        base = each.base;
      }
      end = settlePart(each, recorded, spelled);
    }
    push(parts.at(-1)?.erasures ?? 0);
    this.#hub.flushEnds();
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
    if (this.#flushing || this.#queue.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#peer?.close();
    await this.#hub.close();
    const appender = await this.#appender?.catch(() => null);
    await appender?.end().catch(() => {});
    await this.#reads.end();
  }
}
