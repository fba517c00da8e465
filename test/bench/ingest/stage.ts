/** Everything that stands while ingest is measured: server, sandbox, bare route, load generator, a sender. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { forkListening, type ListeningChild } from '../children.ts';
import { LoadGenerator } from '../load-control.ts';
import { cpuMs, heldStill, machineCpuMs, treeCpuMs } from '../processes.ts';
import { Closing } from '../run.ts';
import { type BenchServer, startServer } from '../server.ts';
import { makeSender, raisedLimits, type Sender } from './account.ts';

/** The dispatcher's pace while ingest is measured, messages/s. */
export const dispatchPerSecond = 200;

/** How much is measured. */
export interface Effort {
  readonly alternations: number;
  /** Of (a). Bare windows are below the 5 s after which a server that was held still gives up on its transactions. */
  readonly single: Shape;
  /** Of (e). */
  readonly atSize: Shape;
  readonly sizes: { readonly small: number; readonly large: number };
  readonly batches: number;
  readonly batchMessages: number;
  readonly fullRateMessages: number;
}

/** Milliseconds of warm-up and measurement of a pair of windows. */
export interface Shape {
  readonly parley: { readonly warmupMs: number; readonly durationMs: number };
  readonly bare: { readonly warmupMs: number; readonly durationMs: number };
}

export const fullEffort: Effort = {
  alternations: 5,
  single: { parley: { warmupMs: 1_500, durationMs: 5_000 }, bare: { warmupMs: 800, durationMs: 3_000 } },
  atSize: { parley: { warmupMs: 500, durationMs: 1_500 }, bare: { warmupMs: 500, durationMs: 1_500 } },
  sizes: { small: 10_000, large: 1_000_000 },
  batches: 3,
  batchMessages: 200_000,
  fullRateMessages: 20_000,
};

export const quickEffort: Effort = {
  alternations: 3,
  single: { parley: { warmupMs: 700, durationMs: 1_500 }, bare: { warmupMs: 500, durationMs: 1_500 } },
  atSize: { parley: { warmupMs: 400, durationMs: 1_000 }, bare: { warmupMs: 400, durationMs: 1_000 } },
  sizes: { small: 10_000, large: 100_000 },
  batches: 1,
  batchMessages: 40_000,
  fullRateMessages: 4_000,
};

export interface StageOptions {
  readonly effort: Effort;
  /** Directory of the run; removed at the end. */
  readonly dir: string;
  /** Whether the sandbox makes its status callbacks to the server. */
  readonly callbacks: boolean;
  /** Whether the server is held still while the references are measured. */
  readonly holdStill: boolean;
  readonly profileDir?: string;
}

export interface Stage extends StageOptions {
  readonly server: BenchServer;
  readonly sandbox: ListeningChild;
  readonly bare: ListeningChild;
  readonly load: LoadGenerator;
  readonly sender: Sender;
  readonly database: pg.Client;
  /** Messages that the server has accepted so far. */
  accepted: number;
  /** Before the end, for what needs a server of another kind. */
  stopServer(): Promise<void>;
  close(): Promise<void>;
}

/** The server's environment; what of it differs from the defaults is printed. */
export function serverEnv(sandbox: ListeningChild, dispatchRateLimit: number): Record<string, string> {
  return {
    ...raisedLimits,
    DISPATCH_RATE_LIMIT: String(dispatchRateLimit),
    WHATSAPP_API_URL: `http://127.0.0.1:${sandbox.port}/whatsapp`,
  };
}

/** Sets everything up. What was started is stopped again when something fails, or at a signal. */
export async function setStage(options: StageOptions): Promise<Stage> {
  const closing = new Closing();
  closing.push(() => rmSync(options.dir, { recursive: true, force: true }));
  try {
    const load = new LoadGenerator();
    closing.push(() => load.close());
    const sandbox = await forkListening('./sandbox.ts');
    closing.push(() => sandbox.stop());
    const bare = await forkListening('./bare.ts');
    closing.push(() => bare.stop());
    const { profileDir } = options;
    const server = await startServer({
      dataDir: join(options.dir, 'data'),
      env: serverEnv(sandbox, dispatchPerSecond),
      ...(profileDir !== undefined && { profileDir }),
    });
    const clients: pg.Client[] = [];
    const stopServer = async (): Promise<void> => {
      for (const each of clients.splice(0)) await each.end().catch(() => {});
      await server.stop();
    };
    closing.push(stopServer);
    if (options.callbacks) await callBack(sandbox, server);
    const sender = await makeSender(server.url);
    const database = new pg.Client({ connectionString: server.databaseUrl, application_name: 'parley-bench' });
    // When the server ends, the next query fails: that is early enough.
    database.on('error', () => {});
    await database.connect();
    clients.push(database);
    return {
      ...options,
      server,
      sandbox,
      bare,
      load,
      sender,
      database,
      accepted: 0,
      stopServer,
      close: () => closing.close(),
    };
  } catch (error) {
    await closing.close();
    throw error;
  }
}

/** Measures a reference: meanwhile the server is held still, if so chosen. Resolves when it is ready again. */
export async function reference<T>({ server, holdStill }: Stage, work: () => Promise<T>): Promise<T> {
  if (!holdStill) return work();
  const result = await heldStill(server.pid, work);
  await server.ready();
  return result;
}

/** Processor time that the machine spent on what does not belong to the benchmark, milliseconds so far. */
export function othersCpuMs({ server, sandbox, bare, load }: Stage): number {
  const own = [server.pid, sandbox.pid, bare.pid, load.pid, process.pid].reduce((sum, pid) => sum + cpuMs(pid), 0);
  return machineCpuMs() - own - treeCpuMs(server.postgresPid);
}

/** Points the sandbox's status callbacks at a server. */
export async function callBack(sandbox: ListeningChild, server: BenchServer): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${sandbox.port}/sandbox/behaviour`, {
    method: 'PUT',
    body: JSON.stringify({ callbackBaseUrl: server.url }),
  });
  if (!answer.ok) throw new Error(`the sandbox answered ${answer.status}: ${await answer.text()}`);
}

/** Sends that the sandbox got so far, and those of them that it accepted. */
export async function sandboxCounts(sandbox: ListeningChild): Promise<{ sends: number; accepted: number }> {
  const answer = await fetch(`http://127.0.0.1:${sandbox.port}/sandbox/counts`);
  const { whatsapp } = (await answer.json()) as { whatsapp: { sends: number; accepted: number } };
  return whatsapp;
}
