/**
 * Keeps one Postgres running on one address until it is told to stop: an end that nobody asked for is told, and
 * followed by restarts with a growing pause.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataLock } from './data-lock.ts';
import { endLeftovers, type PostgresLog } from './embedded-postgres-orphans.ts';
import { boundLog, describeEnd, type LaunchOptions, type PostgresEnd, Postmaster } from './embedded-postgres-server.ts';

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;
/** A Postgres that ran this long has recovered: its next end starts the backoff anew. */
const STEADY_MS = 10_000;
const LOG_CHECK_MS = 60_000;

/** Why and when Postgres went down. */
export interface PostgresDown extends PostgresEnd {
  /** In words: `killed by SIGKILL`. */
  readonly reason: string;
}

/** A running embedded Postgres, owned by this process. */
export interface EmbeddedPostgres {
  /** `postgres://parley:<password>@127.0.0.1:<port>/parley`; the same for its whole life, across restarts. */
  readonly url: string;
  /** Real path of the cluster: links resolved, and outside the data directory when it had to be (embedded-postgres-place.ts). */
  readonly dataDir: string;
  /** Process id of the postmaster that runs now. */
  readonly pid: number;
  /** Calls back each time Postgres ends without being asked. It is being restarted already. */
  onDown(listener: (info: PostgresDown) => void): void;
  /** Calls back each time it accepts connections again after that. */
  onUp(listener: () => void): void;
  /** Ends Postgres cleanly, waits for its end, gives the data back. Calling it again waits for the same end. */
  stop(): Promise<void>;
}

/** The living Postgres of this process; it holds the data locks and gives them back after the end of Postgres. */
export class Supervisor implements EmbeddedPostgres {
  readonly url: string;
  readonly dataDir: string;
  readonly #launch: LaunchOptions;
  readonly #log: PostgresLog;
  readonly #locks: readonly DataLock[];
  readonly #downListeners: ((info: PostgresDown) => void)[] = [];
  readonly #upListeners: (() => void)[] = [];
  readonly #stopping = new AbortController();
  readonly #logTimer: NodeJS.Timeout;
  #postmaster: Postmaster;
  #upSince = Date.now();
  #backoffMs = FIRST_BACKOFF_MS;
  #reviving: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | null = null;

  constructor(
    url: string,
    launch: LaunchOptions,
    postmaster: Postmaster,
    log: PostgresLog,
    locks: readonly DataLock[],
  ) {
    this.url = url;
    this.dataDir = launch.cluster;
    this.#launch = launch;
    this.#log = log;
    this.#locks = locks;
    this.#postmaster = postmaster;
    this.#logTimer = setInterval(() => this.#boundLog(), LOG_CHECK_MS).unref();
    this.#watch();
  }

  get pid(): number {
    return this.#postmaster.pid;
  }

  onDown(listener: (info: PostgresDown) => void): void {
    this.#downListeners.push(listener);
  }

  onUp(listener: () => void): void {
    this.#upListeners.push(listener);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#logTimer);
    try {
      // Twice: a restart under way can have put a new one in its place.
      await this.#postmaster.stop();
      await this.#reviving;
      await this.#postmaster.stop();
      await endLeftovers(this.#launch, this.#launch.binaries.pgCtl, this.#log);
    } finally {
      for (const lock of this.#locks) lock.release();
    }
  }

  #watch(): void {
    void this.#postmaster.ended.then((end) => {
      if (!this.#stopping.signal.aborted) this.#reviving = this.#revive(end);
    });
  }

  async #revive(end: PostgresEnd): Promise<void> {
    const reason = describeEnd(end);
    this.#log.error({ reason, postgresPid: this.pid }, 'Postgres ended unasked: restarting it');
    if (Date.now() - this.#upSince > STEADY_MS) this.#backoffMs = FIRST_BACKOFF_MS;
    for (const listener of this.#downListeners) this.#call(() => listener({ ...end, reason }));
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const waitMs = this.#backoffMs;
      this.#backoffMs = Math.min(MAX_BACKOFF_MS, waitMs * 2);
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted || (await this.#relaunch())) return;
    }
  }

  async #relaunch(): Promise<boolean> {
    try {
      await endLeftovers(this.#launch, this.#launch.binaries.pgCtl, this.#log);
      if (this.#stopping.signal.aborted) return true;
      this.#postmaster = new Postmaster(this.#launch);
      await this.#postmaster.ready();
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#log.error({ err: error }, 'Postgres did not come back yet');
      return false;
    }
    this.#upSince = Date.now();
    this.#watch();
    this.#log.info({ postgresPid: this.pid }, 'Postgres is back');
    for (const listener of this.#upListeners) this.#call(listener);
    return true;
  }

  /** A listener that throws must not end the supervision. */
  #call(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.#log.error({ err: error }, 'a listener of the embedded Postgres failed');
    }
  }

  #boundLog(): void {
    try {
      boundLog(this.#launch.logPath);
    } catch (error) {
      this.#log.warn({ err: error }, 'the log of Postgres could not be cut');
    }
  }
}
