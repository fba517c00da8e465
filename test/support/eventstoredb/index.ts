/**
 * A stand-in for EventStoreDB 23.10, for tests where there is no real one: a process of its own that speaks the client's
 * gRPC protocol and keeps what it acknowledged in an append-only file, through kill -9. It follows the real server in what a
 * client can see (expected revisions, replay, deletion, scavenges, positions, filters, errors) and can be made to fail in the
 * ways that one does. It shows neither durability nor speed: nothing it did may be taken for what the real server would have
 * kept, or how fast.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { compiledDir } from '../../../src/platform/compiled.ts';
import type { Faults, OneShots } from './faults.ts';

export type { Counted, ErrorName, Failing, Faults, OneShots } from './faults.ts';

/** How a stand-in is started. */
export interface StandInOptions {
  /** The append-only file. Without it a fresh one that `stop` deletes. */
  readonly file?: string;
  /** Without it a free one, which `restart` keeps. */
  readonly port?: number;
  /** Each append waits for the disk. Default false. */
  readonly fsync?: boolean;
  /** Set again after each `restart`; what `faults()` set since is not. */
  readonly faults?: Partial<Faults>;
}

/** What the stand-in counted since it started, and what it holds. */
export interface StandInState {
  /** Writes that arrived, and those that were answered. */
  readonly appends: number;
  readonly appendsAnswered: number;
  readonly reads: number;
  /** Open now. */
  readonly subscriptions: number;
  /** Events in `$all`, the position of the last one (-1 without one), and the end of the file. */
  readonly records: number;
  readonly head: number;
  readonly end: number;
}

const serverFile = fileURLToPath(new URL('server.ts', import.meta.url));

/** A running stand-in, seen from the test. */
export class StandIn implements AsyncDisposable {
  readonly file: string;
  readonly #options: StandInOptions;
  readonly #temporary: string | null;
  #port: number;
  #controlPort = 0;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();
  #silent = false;

  constructor(options: StandInOptions, file: string, temporary: string | null) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.file = file;
    this.#temporary = temporary;
  }

  get port(): number {
    return this.#port;
  }

  /** For `EventStoreDBClient.connectionString`. */
  get url(): string {
    return `esdb://127.0.0.1:${this.#port}?tls=false`;
  }

  /** Of the admin HTTP API: the same port, as in the real server. */
  get adminUrl(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get running(): boolean {
    return this.#child !== null;
  }

  /** Settles when the process that runs now is gone. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  async start(): Promise<void> {
    const args = ['--file', this.file, '--port', String(this.#port), ...(this.#options.fsync ? ['--fsync'] : [])];
    // What it compiles is kept, so that it starts in a tenth of a second.
    const env = { NODE_COMPILE_CACHE: compiledDir, ...process.env };
    const child = spawn(process.execPath, [serverFile, ...args], { stdio: ['pipe', 'pipe', 'inherit'], env });
    const die = (): void => void child.kill('SIGKILL');
    process.once('exit', die);
    this.#silent = false;
    this.#child = child;
    this.#exited = once(child, 'exit').then(() => {
      process.off('exit', die);
      if (this.#child === child) this.#child = null;
    });
    const lines = createInterface({ input: child.stdout });
    const [line] = await Promise.race([
      once(lines, 'line') as Promise<[string]>,
      this.#exited.then((): never => {
        throw new Error('the stand-in ended before it listened');
      }),
    ]);
    const ports = JSON.parse(line) as { port: number; controlPort: number } | { error: string };
    if ('error' in ports) throw new Error(`the stand-in did not start: ${ports.error}`);
    this.#port = ports.port;
    this.#controlPort = ports.controlPort;
    if (this.#options.faults) await this.faults(this.#options.faults);
  }

  /**
   * Sets switches, and does once what is to be done once. `silent`: the process is frozen, so that connections are accepted
   * and nothing is answered; on waking it takes what arrived meanwhile.
   */
  async faults(patch: Partial<Faults> & OneShots & { readonly silent?: boolean }): Promise<void> {
    const { silent, ...rest } = patch;
    const frozen = this.#silent;
    if (frozen && (silent === false || Object.keys(rest).length > 0)) this.#freeze(false);
    if (Object.keys(rest).length > 0) await this.#control('POST', rest);
    if (silent ?? (frozen && !rest.reset)) this.#freeze(true);
  }

  async state(): Promise<StandInState> {
    return (await this.#control('GET')) as StandInState;
  }

  /** Starts a scavenge over the admin HTTP API; it is done when this returns. */
  async scavenge(): Promise<void> {
    const response = await fetch(`${this.adminUrl}/admin/scavenge`, { method: 'POST' });
    if (!response.ok) throw new Error(`scavenge: ${response.status}`);
  }

  /** kill -9. Settles when the process is gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** Kills it if it runs, and starts it on the same file and port. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async stop(): Promise<void> {
    await this.kill();
    if (this.#temporary) await rm(this.#temporary, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #freeze(frozen: boolean): void {
    this.#child?.kill(frozen ? 'SIGSTOP' : 'SIGCONT');
    this.#silent = frozen;
  }

  async #control(method: 'GET' | 'POST', body?: object): Promise<unknown> {
    if (this.#silent) throw new Error('the stand-in is silent');
    const init = body ? { method, body: JSON.stringify(body) } : { method };
    const response = await fetch(`http://127.0.0.1:${this.#controlPort}/`, init);
    const answer = (await response.json()) as unknown;
    if (!response.ok) throw new Error(`the stand-in refused: ${JSON.stringify(answer)}`);
    return answer;
  }
}

/** Starts a stand-in and waits until it listens. `stop` (or `await using`) ends it. */
export async function startStandIn(options: StandInOptions = {}): Promise<StandIn> {
  const temporary = options.file ? null : await mkdtemp(path.join(tmpdir(), 'parley-eventstoredb-'));
  const file = options.file ?? path.join(temporary ?? '', 'log');
  const standIn = new StandIn(options, file, temporary);
  await standIn.start();
  return standIn;
}
