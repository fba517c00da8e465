/** Parley as a process of its own, for tests that start, signal and kill it. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import path from 'node:path';

/** The repository. */
export const root = path.resolve(import.meta.dirname, '../..');

/** How a process is started. */
export interface ParleyOptions {
  readonly dataDir: string;
  /** Arguments of `parley`; `['start']` unless told. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** `npm`: as a newcomer does; `node`: the program itself. */
  readonly by?: 'npm' | 'node';
  /** Where the checkout is, when it is not this one. */
  readonly checkout?: string;
  readonly spawn?: SpawnOptions;
}

/** A running process. */
export interface ParleyProcess {
  readonly child: ChildProcess;
  readonly port: number;
  readonly url: string;
  /** What it wrote so far. */
  output(): string;
  /** Resolves when it answers that it is ready; rejects when it ends before, or after 60 s. */
  ready(): Promise<void>;
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

/** A free port of loopback. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return address.port;
}

/** The environment without what npm, tap and the machine's owner put there. */
export function cleanEnv(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name, value]) =>
      value !== undefined && !/^(npm_|TAP|_TAPJS|NODE_OPTIONS|PARLEY_|DATABASE_URL|PORT$|INIT_CWD)/i.test(name),
  );
  return Object.fromEntries(kept) as Record<string, string>;
}

/** Starts Parley; its group is its own, so that the whole group can be signalled. */
export async function startProcess(options: ParleyOptions): Promise<ParleyProcess> {
  const { dataDir, args = ['start'], by = 'node', checkout = root } = options;
  const port = await freePort();
  const env = { ...cleanEnv(), PORT: String(port), HOST: '127.0.0.1', PARLEY_DATA: dataDir, ...options.env };
  const [command, commandArgs] =
    by === 'npm'
      ? ['npm', ['start', '--', ...args.slice(1)]]
      : [process.execPath, [path.join(checkout, 'src/main.ts'), ...args]];
  const child = spawn(command, commandArgs, {
    cwd: checkout,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...options.spawn,
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  const url = `http://127.0.0.1:${port}`;
  return { child, port, url, output: () => output, ended, ready: () => ready(url, ended, () => output) };
}

async function ready(url: string, ended: Promise<unknown>, output: () => string): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  for (const until = Date.now() + 60_000; Date.now() < until; ) {
    if (over) throw new Error(`ended before it was ready:\n${output()}`);
    try {
      const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_000) });
      await response.arrayBuffer();
      if (response.status === 200) return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not ready within a minute:\n${output()}`);
}
