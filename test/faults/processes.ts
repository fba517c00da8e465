/**
 * The processes under test: the server, our child, and its Postgres, which is the server's. Both can be killed, and
 * neither outlives this process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, lstatSync, openSync, realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { sleep } from '../../src/platform/clock.ts';
import { accountFor } from '../../src/platform/embedded-postgres-account.ts';
import {
  type ClusterOwner,
  clusterProcesses,
  readPostmasterFile,
} from '../../src/platform/embedded-postgres-orphans.ts';
import { findCluster } from '../../src/platform/embedded-postgres-place.ts';
import type { Random } from './random.ts';

const main = path.resolve(import.meta.dirname, '../../src/main.ts');
const readyPollMs = 20;
const readyAttemptMs = 1_000;
const killWithinMs = 5_000;
const goneWithinMs = 10_000;

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How the server is run. */
export interface ServerOptions {
  readonly port: number;
  readonly dataDir: string;
  /** What it writes goes here. */
  readonly logPath: string;
  readonly env: Readonly<Record<string, string>>;
  /** Arguments after `start`; none unless told. */
  readonly args?: readonly string[];
}

/** `parley start`, started and ended again and again on the same port and data. */
export class Server {
  readonly #options: ServerOptions;
  #child: ChildProcess | null = null;
  #ended: Promise<Ended> = Promise.resolve({ code: null, signal: null });
  #expected = false;
  /** Told when the server ends although nobody asked it to. */
  onOwnEnd: (ended: Ended) => void = () => {};

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  get base(): string {
    return `http://127.0.0.1:${this.#options.port}`;
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Process id of the life at hand; null when it does not run. */
  get pid(): number | null {
    return this.isRunning ? (this.#child?.pid ?? null) : null;
  }

  start(): void {
    if (this.isRunning) throw new Error('the server runs already');
    const { port, dataDir, logPath, env, args = [] } = this.#options;
    const log = openSync(logPath, 'a');
    const { PATH = '/usr/bin:/bin', HOME = dataDir, LD_LIBRARY_PATH } = process.env;
    const child = spawn(process.execPath, [main, 'start', ...args], {
      env: {
        PATH,
        HOME,
        ...(LD_LIBRARY_PATH !== undefined && { LD_LIBRARY_PATH }),
        PORT: String(port),
        HOST: '127.0.0.1',
        PARLEY_DATA: dataDir,
        ...env,
      },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    this.#expected = false;
    this.#ended = new Promise((resolve) => {
      child.once('error', () => resolve({ code: null, signal: null }));
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    void this.#ended.then((ended) => {
      if (this.#child === child && !this.#expected) this.onOwnEnd(ended);
    });
  }

  /** Resolves when it says that it is ready; answers false when it ends, or `signal` aborts, before. */
  async ready(signal: AbortSignal): Promise<boolean> {
    while (this.isRunning && !signal.aborted) {
      try {
        const attempt = AbortSignal.any([signal, AbortSignal.timeout(readyAttemptMs)]);
        const response = await fetch(`${this.base}/health/ready`, { signal: attempt });
        await response.arrayBuffer();
        if (response.ok) return true;
      } catch {
        // Nobody listens yet.
      }
      await sleep(readyPollMs);
    }
    return false;
  }

  /** Freezes it (SIGSTOP) and lets it go on (SIGCONT). */
  freeze(): void {
    if (this.isRunning) this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    if (this.isRunning) this.#child?.kill('SIGCONT');
  }

  /** `kill -9`; resolves when it has ended. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL', killWithinMs);
  }

  /** Asks it to stop. Throws when it has not ended in time. */
  async stop(withinMs: number): Promise<Ended> {
    return this.#end('SIGTERM', withinMs);
  }

  async #end(signal: NodeJS.Signals, withinMs: number): Promise<Ended> {
    if (!this.isRunning) return this.#ended;
    this.#expected = true;
    this.#child?.kill(signal);
    const late = new AbortController();
    const timeOut = sleep(withinMs, late.signal).then(
      () => null,
      () => null,
    );
    const ended = await Promise.race([this.#ended, timeOut]);
    late.abort();
    if (ended === null) throw new Error(`the server did not end within ${withinMs} ms of ${signal}`);
    return ended;
  }

  /** For the very end of this process: no waiting. */
  killNow(): void {
    this.#expected = true;
    if (this.isRunning) this.#child?.kill('SIGKILL');
  }
}

/** The Postgres of a data directory, whoever started it. */
export class PostgresProcesses {
  readonly #dataDir: string;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** Kills the postmaster; its other processes notice. Answers false when none runs. */
  killPostmaster(): boolean {
    const owner = this.#owner();
    const file = owner && readPostmasterFile(owner.cluster);
    if (!file || !clusterProcesses(owner).includes(file.pid)) return false;
    return kill(file.pid);
  }

  /** Kills one of the postmaster's processes, upon which it restarts all of them. Answers false when there is none. */
  killOther(random: Random): boolean {
    const owner = this.#owner();
    const file = owner && readPostmasterFile(owner.cluster);
    if (!file) return false;
    const [first, ...others] = clusterProcesses(owner).filter((pid) => pid !== file.pid);
    return first === undefined ? false : kill(random.pick([first, ...others]));
  }

  /** Those that live now. */
  pids(): number[] {
    const owner = this.#owner();
    return owner ? clusterProcesses(owner) : [];
  }

  /** Kills all there are; the write-ahead log makes that safe. For the very end of this process: no waiting. */
  killNow(): void {
    // The postmaster first, so that it starts no others.
    this.killPostmaster();
    for (const pid of this.pids()) kill(pid);
  }

  /** Resolves when none lives any more; throws when that takes too long. */
  async gone(): Promise<void> {
    for (const until = Date.now() + goneWithinMs; this.pids().length > 0; await sleep(50))
      if (Date.now() > until) throw new Error(`Postgres outlived the server: processes ${this.pids().join(', ')}`);
  }

  #owner(): ClusterOwner | null {
    if (lstatSync(this.#dataDir, { throwIfNoEntry: false }) === undefined) return null;
    const home = realpathSync(this.#dataDir);
    const cluster = findCluster(home);
    return cluster === null ? null : { cluster, account: accountFor(home, cluster) };
  }
}

function kill(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}

/**
 * A port on which nobody listens, below the range from which the system takes ports for outgoing connections: while the
 * server is down, none of the many attempts to reach it may take its port, or meet itself there.
 */
export async function quietPort(random: Random): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = random.int(12_000, 19_999);
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once('error', () => resolve(false));
      probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
  throw new Error('no free port was found on 127.0.0.1');
}
