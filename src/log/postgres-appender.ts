import pg from 'pg';
import type { EventCodec } from '../../schemas/index.ts';
import { type Commit, LogUnavailableError, type Outcome, type RecordedEvent } from './log.ts';
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
import type { LogPeer } from './postgres-peer.ts';
import { destroyClient, type TailHub } from './postgres-tail.ts';
import { type Waiting, waiting } from './waiting.ts';

/** Settings of connections whose statements are planned once: each has one good plan, over an index, whatever its parameters. */
export const preparedOnce =
  '-c jit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off';

/** What one flush did, for metrics. */
export interface FlushReport {
  readonly commits: number;
  readonly events: number;
  readonly durationMs: number;
  readonly failed: boolean;
}

/** What appending needs. Limits and times are those of `PostgresLogOptions`. */
export interface AppenderOptions {
  readonly url: string;
  readonly codec: EventCodec;
  readonly flushTimeoutMs: number;
  readonly maxFlushCommits: number;
  readonly maxWaitingCommits: number;
  readonly onFlush?: (flush: FlushReport) => void;
  /** Told of every flush, and of what it wrote. */
  readonly hub: Pick<TailHub, 'flushBegins' | 'flushEnds' | 'push'>;
  readonly peer: Pick<LogPeer, 'tell'> | null;
}

/** Bytes of one flush at most: about what 1,000 sends hold. */
const maxFlushBytes = 4 * 1024 * 1024;

type MixedAnswer = [base: string | null, erasures: string, otherBase: string, verdicts: Verdict[] | null];

/** Group commit: what waits goes over one connection, in one call of one SQL function at a time. */
export class Appender {
  readonly #options: AppenderOptions;
  readonly #hub: AppenderOptions['hub'];
  readonly #peer: AppenderOptions['peer'];
  #connection: Promise<pg.Client> | null = null;
  /** The connection when there is one: a flush is sent without waiting a turn. */
  #ready: pg.Client | null = null;
  #queue: Waiting[] = [];
  #flushing = false;
  #scheduled = false;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(options: AppenderOptions) {
    this.#options = options;
    this.#hub = options.hub;
    this.#peer = options.peer;
  }

  /** Commits waiting for a flush. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** As the log port says it. */
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
    this.#connection = null;
  }

  /** The appender's connection, made anew when there is none; tries until an append's time is over. */
  #connect(): Promise<pg.Client> {
    this.#connection ??= this.#connectUntil(performance.now() + this.#options.flushTimeoutMs).catch(
      (error: unknown) => {
        this.#connection = null;
        throw error;
      },
    );
    return this.#connection;
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

  /** Takes no more; resolves when nothing waits any more. */
  async drained(): Promise<void> {
    this.#closed = true;
    if (this.#flushing || this.#queue.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Ends the connection; after `drained`. */
  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => null);
    await connection?.end().catch(() => {});
  }
}
