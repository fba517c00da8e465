/** A Parley server under measurement: `parley start` on data of its own, with the embedded Postgres. */
import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findRunningPostgres } from '../../src/platform/embedded-postgres.ts';
import { stopChild } from './children.ts';
import { postgresOf } from './processes.ts';

const readyTimeoutMs = 60_000;
const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface ServerOptions {
  /** Made when missing. */
  readonly dataDir: string;
  /** Beside `PORT`, `PARLEY_DATA` and `LOG_LEVEL`; nothing else of our own environment's configuration is handed on. */
  readonly env: Readonly<Record<string, string>>;
  /** Directory for a processor profile of the server's whole life. */
  readonly profileDir?: string;
}

export interface BenchServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Of the Postgres server's first process. */
  readonly postgresPid: number;
  readonly databaseUrl: string;
  /** Time from the start of the process to ready. */
  readonly readyMs: number;
  /** Resolves when the server says that it is ready. */
  ready(): Promise<void>;
  /** The end of what it has printed; empty when it has printed nothing. */
  lastWords(): string;
  stop(): Promise<void>;
}

/** Starts a server and resolves when it is ready. Rejects with the end of its output when it does not become so. */
export async function startServer({ dataDir, env, profileDir }: ServerOptions): Promise<BenchServer> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const logFile = join(dataDir, '..', `server-${port}.log`);
  const output = openSync(logFile, 'a');
  const flags = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
  const began = performance.now();
  const child = spawn(process.execPath, [...flags, mainFile, 'start'], {
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TMPDIR: process.env.TMPDIR,
      PORT: String(port),
      HOST: '127.0.0.1',
      PARLEY_DATA: dataDir,
      LOG_LEVEL: 'warn',
      ...env,
    },
    stdio: ['ignore', output, output],
  });
  // Whatever ends this process, the server does not outlive it.
  const orphaned = (): void => {
    child.kill('SIGCONT');
    child.kill('SIGTERM');
  };
  process.once('exit', orphaned);
  child.once('exit', () => process.off('exit', orphaned));
  try {
    await becomesReady(url, child);
    const readyMs = performance.now() - began;
    const pid = child.pid as number;
    const postgresPid = postgresOf(pid);
    const postgres = await findRunningPostgres(dataDir);
    if (postgresPid === null || postgres === null) throw new Error('the server is ready and has no Postgres');
    return {
      url,
      port,
      pid,
      postgresPid,
      databaseUrl: postgres.url,
      readyMs,
      ready: () => becomesReady(url, child),
      lastWords: () => lastLines(logFile),
      stop: () => stopChild(child),
    };
  } catch (error) {
    await stopChild(child);
    throw new Error(`the server did not start: ${messageOf(error)}\n${lastLines(logFile)}`, { cause: error });
  }
}

async function becomesReady(url: string, child: ChildProcess): Promise<void> {
  const until = performance.now() + readyTimeoutMs;
  while (performance.now() < until) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('it ended');
    const answer = await fetch(`${url}/health/ready`).catch(() => null);
    await answer?.body?.cancel();
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`it was not ready after ${readyTimeoutMs / 1_000} s`);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function lastLines(file: string): string {
  return readFileSync(file, 'utf8').split('\n').slice(-20).join('\n');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
