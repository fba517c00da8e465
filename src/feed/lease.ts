import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** How far a relay has got. */
export interface RelayState {
  /** Everything up to here was acknowledged by the topic. */
  readonly position: bigint;
  /** Position of the latest record of each partition. */
  readonly latest: readonly bigint[];
}

/** What a lease is taken of. Times in milliseconds. */
export interface LeaseOptions {
  readonly pool: pg.Pool;
  readonly topic: string;
  /** Who asks: told to people who look at the table. */
  readonly holder: string;
  readonly partitions: number;
  /** For how long it holds unless it is renewed, by the database's clock. Default 3000. */
  readonly leaseMs?: number;
  /** Default 1000. */
  readonly renewEveryMs?: number;
}

/** The lease was lost: another process relays. */
export class LeaseLostError extends Error {
  constructor(topic: string) {
    super(`the lease of the relay into ${topic} was lost`);
    this.name = 'LeaseLostError';
  }
}

interface LeaseRow {
  readonly epoch: string;
  readonly position: string;
  readonly latest: string[];
}

/**
 * The right to relay into a topic, held by one process at a time as far as clocks can tell: who holds it stops by its own
 * clock before the database's lets another in. A process frozen past it may still have a send under way when it wakes; it
 * can only repeat, and what it writes down is refused by the epoch.
 */
export class Lease {
  readonly epoch: bigint;
  /** How far the relay had got when it was taken, or was last written down. */
  state: RelayState;
  readonly #options: LeaseOptions;
  readonly #leaseMs: number;
  readonly #lost = new AbortController();
  #validUntil: number;
  #renewing: NodeJS.Timeout | undefined;

  private constructor(options: LeaseOptions, row: LeaseRow, askedAt: number) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? 3_000;
    this.epoch = BigInt(row.epoch);
    this.state = { position: BigInt(row.position), latest: row.latest.map(BigInt) };
    this.#validUntil = askedAt + this.#leaseMs;
    this.#renewing = setInterval(() => void this.#renew(), options.renewEveryMs ?? 1_000);
  }

  /**
   * Takes the lease when nobody has it. Null when somebody has.
   *
   * A topic that was never relayed into begins where the furthest consumer group stands: who is behind reads the log up
   * to there, and nobody waits until a long history has been copied for nothing.
   */
  static async take(options: LeaseOptions): Promise<Lease | null> {
    const { pool, topic, holder, partitions, leaseMs = 3_000 } = options;
    const askedAt = performance.now();
    const { rows } = await pool.query<LeaseRow>(
      `INSERT INTO work.relays AS r (topic, holder, epoch, until, position, latest, at)
        SELECT $1, $2, 1, clock_timestamp() + $4 * interval '1 ms', start, array_fill(start, ARRAY[$3::int]), now()
          FROM (SELECT coalesce(max(position), 0) AS start FROM work.checkpoints) AS s
        ON CONFLICT (topic) DO UPDATE SET holder = excluded.holder, epoch = r.epoch + 1, until = excluded.until
          WHERE r.until < clock_timestamp()
        RETURNING epoch, position, latest`,
      [topic, holder, partitions, leaseMs],
    );
    return rows[0] ? new Lease(options, rows[0], askedAt) : null;
  }

  /** Waits, as often as it takes, until the lease is ours; null when the signal aborts. */
  static async wait(options: LeaseOptions, signal: AbortSignal): Promise<Lease | null> {
    while (!signal.aborted) {
      const lease = await Lease.take(options);
      if (lease) return lease;
      await sleep(options.renewEveryMs ?? 1_000, undefined, { signal }).catch(() => {});
    }
    return null;
  }

  /** Aborts when the lease is lost. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Throws LeaseLostError unless the lease holds now, by our own clock. */
  check(): void {
    if (performance.now() >= this.#validUntil) this.#lose();
    if (this.#lost.signal.aborted) throw new LeaseLostError(this.#options.topic);
  }

  /** Writes down how far the relay has got. Rejects with LeaseLostError when another has the lease: nothing is written. */
  async save(state: RelayState): Promise<void> {
    const { pool, topic } = this.#options;
    const { rowCount } = await pool.query({
      name: 'relay-save',
      // A crash of the database that takes this back makes the next relay repeat a little.
      text: `WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))
        UPDATE work.relays SET position = $3, latest = $4, at = now() FROM quick WHERE topic = $1 AND epoch = $2`,
      values: [topic, this.epoch.toString(), state.position.toString(), state.latest.map(String)],
    });
    if (rowCount !== 1) {
      this.#lose();
      throw new LeaseLostError(topic);
    }
    this.state = state;
  }

  /** Lets another have it at once. */
  async release(): Promise<void> {
    this.#lose();
    const { pool, topic } = this.#options;
    await pool.query("UPDATE work.relays SET until = '-infinity' WHERE topic = $1 AND epoch = $2", [
      topic,
      this.epoch.toString(),
    ]);
  }

  async #renew(): Promise<void> {
    const { pool, topic } = this.#options;
    const askedAt = performance.now();
    try {
      const { rowCount } = await pool.query(
        `UPDATE work.relays SET until = clock_timestamp() + $3 * interval '1 ms' WHERE topic = $1 AND epoch = $2`,
        [topic, this.epoch.toString(), this.#leaseMs],
      );
      if (rowCount === 1) this.#validUntil = askedAt + this.#leaseMs;
      else this.#lose();
    } catch {
      // The database is away: the lease holds as long as it holds.
      if (performance.now() >= this.#validUntil) this.#lose();
    }
  }

  #lose(): void {
    clearInterval(this.#renewing);
    this.#renewing = undefined;
    this.#lost.abort();
  }
}
