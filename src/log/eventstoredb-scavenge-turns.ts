/**
 * Whose turn it is to start a scavenge, and when. A row for each node in Postgres tells when it was last told to: so that
 * restarts do not put it off, and of all the processes that look one starts it. A turn is taken by one statement, and is
 * over by itself: when its process died, or the node did not answer, another look takes the next.
 */
import type pg from 'pg';
import { sleep } from '../platform/clock.ts';
import { openPool } from '../platform/postgres.ts';
import { defaultTimeoutMs, type ScavengeOptions, scavenge } from './eventstoredb-scavenge.ts';

/** The nodes, and how often they are told. Times in milliseconds. */
export interface ScavengesOptions extends Omit<ScavengeOptions, 'signal'> {
  /** Of the Postgres database that is up to date. */
  readonly url: string;
  /** From one start at a node to the next. */
  readonly intervalMs: number;
  /** How often it is looked whether one is due. Default a minute. */
  readonly lookMs?: number;
  /** Told when Postgres could not be asked; it is looked again. */
  readonly onTrouble?: (error: unknown) => void;
}

/** What looks whether a scavenge is due, until it is stopped. */
export interface Scavenges {
  /** Resolves when the first look has ended, whatever it found. */
  readonly ready: Promise<void>;
  /**
   * Since when, at the latest, every node has had its last start, whichever process did it: seconds since the epoch by
   * Postgres's clock, as of the last look. 0 while there is a node that never was told, or nothing is known.
   */
  startedSeconds(): number;
  stop(): Promise<void>;
}

/** Looks now, and then once in a while. */
export function startScavenges(options: ScavengesOptions): Scavenges {
  return new Turns(options);
}

class Turns implements Scavenges {
  readonly ready: Promise<void>;
  readonly #options: ScavengesOptions;
  readonly #pool: pg.Pool;
  readonly #stopping = new AbortController();
  readonly #looking: Promise<void>;
  #startedSeconds = 0;
  #stopped: Promise<void> | null = null;

  constructor(options: ScavengesOptions) {
    this.#options = options;
    this.#pool = openPool({ url: options.url, name: 'scavenges', maxConnections: 1 });
    this.ready = this.#look();
    this.#looking = this.#lookOn();
  }

  startedSeconds(): number {
    return this.#startedSeconds;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#looking;
    await this.#pool.end();
  }

  async #lookOn(): Promise<void> {
    const { signal } = this.#stopping;
    await this.ready;
    for (;;) {
      await sleep(this.#lookMs, signal).catch(() => {});
      if (signal.aborted) return;
      await this.#look();
    }
  }

  get #lookMs(): number {
    return this.#options.lookMs ?? 60_000;
  }

  async #look(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      const adminUrls = await this.#take();
      if (adminUrls.length > 0) {
        const results = await scavenge({ ...this.#options, adminUrls, signal });
        await this.#started(results.filter(({ error }) => error === null).map(({ adminUrl }) => adminUrl));
      }
      this.#startedSeconds = await this.#read();
    } catch (error) {
      if (!signal.aborted) this.#options.onTrouble?.(error);
    }
  }

  /** Takes the turn at the nodes that are due and at which nobody else has it; answers them. */
  async #take(): Promise<string[]> {
    const { adminUrls, intervalMs, timeoutMs = defaultTimeoutMs } = this.#options;
    // Longer than a start may take; and over at the next look, though it comes a little early.
    const turnMs = Math.max(this.#lookMs / 2, timeoutMs * 2);
    const { rows } = await this.#pool.query<{ node: string }>(
      `INSERT INTO log.scavenges AS known (node, tried_at)
         SELECT DISTINCT node, now() FROM unnest($1::text[]) AS node ORDER BY node
       ON CONFLICT (node) DO UPDATE SET tried_at = now()
         WHERE known.tried_at <= now() - $3::float8 * interval '1 millisecond'
           AND (known.started_at IS NULL OR known.started_at <= now() - $2::float8 * interval '1 millisecond')
       RETURNING node`,
      [adminUrls, intervalMs, turnMs],
    );
    return rows.map(({ node }) => node);
  }

  async #started(nodes: readonly string[]): Promise<void> {
    if (nodes.length === 0) return;
    await this.#pool.query('UPDATE log.scavenges SET started_at = now() WHERE node = ANY($1)', [nodes]);
  }

  async #read(): Promise<number> {
    const nodes = [...new Set(this.#options.adminUrls)];
    const { rows } = await this.#pool.query<{ known: number; seconds: number | null }>(
      `SELECT count(started_at)::int AS known, extract(epoch FROM min(started_at))::float8 AS seconds
         FROM log.scavenges WHERE node = ANY($1)`,
      [nodes],
    );
    return rows[0]?.known === nodes.length ? (rows[0].seconds ?? 0) : 0;
  }
}
