/**
 * What a fault run stands on: a folder of its own, the sandbox in this process, the server and its Postgres in theirs.
 * However this process ends, they end with it; the folder stays when the run failed.
 */
import { chmodSync, lstatSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import pg from 'pg';
import { openPostgres, type PostgresLog } from '../../src/platform/embedded-postgres.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { texts } from './ledger.ts';
import { PostgresProcesses, quietPort, Server } from './processes.ts';
import type { Random } from './random.ts';
import type { Arrival } from './verify.ts';

const silent: PostgresLog = { info() {}, warn() {}, error() {} };
export const whatsappSecret = 'the app secret of the fault run';
/** The most that a send may be under way on an idle machine; the delays of this process's own loop come on top. */
export const inFlightMs = 150;

/** Everything a run needs, and its end. */
export interface Ground {
  readonly dir: string;
  readonly dataDir: string;
  readonly server: Server;
  readonly postgres: PostgresProcesses;
  readonly sandbox: Sandbox;
  /** Every send that arrived, in order. */
  readonly arrivals: Arrival[];
  /** Time between the moment a send sets out and its arrival being noted, at most, as measured so far. */
  inFlightMs(): number;
  /** Ends everything; removes the folder unless told to keep it. */
  close(keep: boolean): Promise<void>;
}

/** Prepares a ground. Throws when the database cannot be made or no port is to be had. */
export async function layGround(random: Random): Promise<Ground> {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'parley-faults-')));
  // Open to others to pass through, so that as root Postgres's user can reach its data in here.
  chmodSync(dir, 0o711);
  const dataDir = path.join(dir, 'data');
  const postgres = new PostgresProcesses(dataDir);
  const port = await quietPort(random);
  const sandbox = await startSandbox({
    // Providers do not give up either while a slow machine takes longer to come back than it stays up.
    callbackAttempts: 40,
    callbackBaseUrl: `http://127.0.0.1:${port}`,
    whatsappAppSecret: whatsappSecret,
    maxRecords: 1_000,
  });
  sandbox.behave({ latencyMs: 5, callbackDelayMs: 50, retryAfterS: 1 });
  const server = new Server({ port, dataDir, logPath: path.join(dir, 'server.log'), env: environment(port, sandbox) });
  const arrivals: Arrival[] = [];
  sandbox.onReceived(({ text, at, dispatchId, outcome }) => {
    arrivals.push({ number: texts.numberOfMessage(text), at, dispatchId, accepted: outcome === 'accepted' });
  });
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();

  let keepFolder = false;
  const endNow = (): void => {
    server.killNow();
    postgres.killNow();
    if (!keepFolder) removeFolder(dir, dataDir);
  };
  process.once('exit', endNow);
  await prepareDatabase(dataDir);
  return {
    dir,
    dataDir,
    server,
    postgres,
    sandbox,
    arrivals,
    inFlightMs: () => inFlightMs + Math.ceil(delays.max / 1e6),
    async close(keep) {
      keepFolder = keep;
      delays.disable();
      await sandbox.close();
      process.off('exit', endNow);
      endNow();
    },
  };
}

/** Limits raised and pacing off, so that nothing but the faults holds the load up; a short schedule of attempts. */
export function environment(port: number, sandbox: Sandbox): Record<string, string> {
  const off = [
    ...['FREE', 'PRO', 'ENTERPRISE'].flatMap((tier) => [
      `KEY_RATE_LIMIT_${tier}`,
      `DASHBOARD_RATE_LIMIT_${tier}`,
      `QUOTA_${tier}`,
    ]),
    'AUTH_RATE_LIMIT_POINTS',
    'WHATSAPP_RATE_PER_SECOND',
    'TELEGRAM_RATE_PER_SECOND',
    'TELEGRAM_CHAT_RATE_PER_SECOND',
    'TWILIO_RATE_PER_SECOND',
  ];
  return {
    ...Object.fromEntries(off.map((name) => [name, '0'])),
    DEFAULT_RATE_LIMIT: '1000000000',
    API_BASE_URL: `http://127.0.0.1:${port}`,
    WHATSAPP_API_URL: sandbox.whatsappUrl,
    TELEGRAM_API_URL: sandbox.telegramUrl,
    TWILIO_API_URL: sandbox.twilioUrl,
    WHATSAPP_APP_SECRET: whatsappSecret,
    DISPATCH_RETRY_SCHEDULE: '0,1,3',
    DISPATCH_ATTEMPT_TIMEOUT: '2s',
    LOG_LEVEL: 'info',
  };
}

/** A cluster whose Postgres remembers when each transaction was committed: that is what resends are judged by. */
async function prepareDatabase(dataDir: string): Promise<void> {
  await withDatabase(dataDir, async (url) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query('ALTER SYSTEM SET track_commit_timestamp = on');
    } finally {
      await client.end();
    }
  });
}

/** The database, whether the server runs or not, for the time of some work. */
export async function withDatabase<T>(dataDir: string, work: (url: string) => Promise<T>): Promise<T> {
  const opened = await openPostgres({ dataDir, log: silent });
  try {
    return await work(opened.url);
  } finally {
    await opened.close();
  }
}

/** Removes a run's folder, and its cluster where that had to stand elsewhere. */
export function removeFolder(dir: string, dataDir: string): void {
  // As root under a closed directory, the cluster stands elsewhere and the data directory has a link to it.
  const place = path.join(dataDir, 'postgres');
  if (lstatSync(place, { throwIfNoEntry: false })?.isSymbolicLink())
    rmSync(path.dirname(realpathSync(place)), { recursive: true, force: true });
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}
