/**
 * `npm run demo`: the main job on real input. Registers, makes a project, a key, a connector and a template for each
 * channel, sends the recipients of `recipients.csv` in one batch, follows them until all are delivered or failed, and
 * prints the analytics. Uses a running server when that has the sandbox; otherwise starts one of its own, on a free port
 * with data of its own, and removes both at the end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse } from 'csv-parse/sync';
import { sleep } from '../platform/clock.ts';
import { progressLine } from '../platform/progress.ts';

type Channel = 'whatsapp' | 'telegram' | 'twilio';

interface Recipient {
  readonly name: string;
  readonly channel: Channel;
  readonly to: string;
  readonly code: string;
}

interface Server {
  readonly base: string;
  stop(): Promise<void>;
}

const channels: Readonly<Record<Channel, Record<string, string>>> = {
  whatsapp: { phoneNumberId: '106540352242922', accessToken: `EAAG${randomBytes(24).toString('hex')}` },
  telegram: { botToken: `110201543:${randomBytes(16).toString('hex')}xyz` },
  twilio: {
    accountSid: `AC${randomBytes(16).toString('hex')}`,
    authToken: randomBytes(16).toString('hex'),
    fromNumber: '+15557654321',
  },
};

/** Dashboard requests are limited to 100 a minute. */
const pollIntervalMs = 1_000;
const readyWithinMs = 30_000;
const settledWithinMs = 180_000;

/** An answer that is not what the demo needs. */
class AnswerError extends Error {
  readonly status: number;
  constructor(what: string, status: number, text: string) {
    super(`${what}: ${status} ${text}`);
    this.status = status;
  }
}

async function call<T>(
  base: string,
  what: string,
  init: RequestInit & { token?: string; json?: unknown } = {},
): Promise<T> {
  const { token, json, ...rest } = init;
  const headers = new Headers(rest.headers);
  if (token) headers.set('authorization', `Bearer ${token}`);
  if (json !== undefined) headers.set('content-type', 'application/json');
  const response = await fetch(`${base}${what}`, {
    method: json === undefined ? 'GET' : 'POST',
    ...rest,
    headers,
    ...(json !== undefined && { body: JSON.stringify(json) }),
  });
  const text = await response.text();
  if (!response.ok) throw new AnswerError(what, response.status, text);
  return JSON.parse(text) as T;
}

async function sandboxServer(port: number): Promise<Server | null> {
  const base = `http://127.0.0.1:${port}`;
  try {
    const ready = await call<{ sandbox?: unknown }>(base, '/health/ready', { signal: AbortSignal.timeout(2_000) });
    return ready.sandbox ? { base, stop: async () => {} } : null;
  } catch {
    return null;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

async function ownServer(): Promise<Server> {
  const data = mkdtempSync(path.join(tmpdir(), 'parley-demo-'));
  // So that Postgres, which as root runs as another user, can have its files in it.
  chmodSync(data, 0o755);
  const port = await freePort();
  const main = path.resolve(import.meta.dirname, '../main.ts');
  // What the operator has set for a server of theirs is not for this one.
  const ours = /^(DATABASE_URL|API_BASE_URL|HOST|(QUOTA|KEY_RATE|DASHBOARD_RATE|AUTH_RATE|DISPATCH|DEFAULT)_\w+)$/;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
  const child = spawn(process.execPath, [main, 'start', '--sandbox'], {
    env: { ...env, PORT: String(port), PARLEY_DATA: data },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const stop = async () => {
    await ended(child);
    rmSync(data, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stop().then(() => process.exit(130)));
  for (const until = Date.now() + readyWithinMs; Date.now() < until; await sleep(100)) {
    if (child.exitCode !== null) break;
    const server = await sandboxServer(port);
    if (server) return { base: server.base, stop };
  }
  await stop();
  throw new Error('the server of the demo did not become ready');
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await exit;
}

/** A fresh user, so that no quota of an earlier run is in the way. */
async function register(base: string): Promise<string> {
  const email = `demo-${randomBytes(6).toString('hex')}@example.com`;
  const json = { email, password: randomBytes(12).toString('hex'), name: 'Demo' };
  const { token } = await call<{ token: string }>(base, '/api/v1/auth/register', { json });
  return token;
}

async function play(base: string, token: string): Promise<void> {
  const recipients = parse(readFileSync(path.join(import.meta.dirname, 'recipients.csv')), {
    columns: true,
  }) as Recipient[];
  const project = await call<{ id: string }>(base, '/api/v1/projects', { token, json: { name: 'Demo project' } });
  const home = `/api/v1/projects/${project.id}`;
  const { key } = await call<{ key: string }>(base, `${home}/keys`, { token, json: { name: 'Demo key' } });
  const ids = new Map<Channel, { connectorId: string; templateId: string }>();
  for (const [type, credentials] of Object.entries(channels) as [Channel, Record<string, string>][]) {
    const connector = await call<{ id: string }>(base, `${home}/connectors`, {
      token,
      json: { type, name: type, credentials },
    });
    const template = await call<{ id: string }>(base, `${home}/templates`, {
      token,
      json: {
        name: `Welcome by ${type}`,
        connectorType: type,
        content: 'Hello {{name}}, welcome to Parley! Your code is {{code}}.',
        variables: ['name', 'code'],
      },
    });
    ids.set(type, { connectorId: connector.id, templateId: template.id });
  }
  console.log(`project ${project.id}: a key, ${ids.size} connectors, ${ids.size} templates`);

  const lines = recipients.map(({ name, channel, to, code }, row) =>
    JSON.stringify({ to, ...ids.get(channel), variables: { name, code }, idempotencyKey: `recipients.csv:${row + 1}` }),
  );
  const started = performance.now();
  const response = await fetch(`${base}/api/v1/messages/batch`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
  });
  const answer = await response.text();
  if (!response.ok) throw new AnswerError('/api/v1/messages/batch', response.status, answer);
  const accepted = answer.split('\n').filter((line) => line.includes('"messageId"')).length;
  console.log(`${accepted} of ${recipients.length} messages accepted in ${Math.round(performance.now() - started)} ms`);

  await follow(base, token, home, accepted);
  await printAnalytics(base, token, project.id);
}

interface StatusCounts {
  readonly statusCounts: { queued: number; sent: number; delivered: number; failed: number };
}

async function follow(base: string, token: string, home: string, accepted: number): Promise<void> {
  const bar = progressLine(process.stdout);
  for (const until = Date.now() + settledWithinMs; ; await sleep(pollIntervalMs)) {
    const { statusCounts: now } = await call<StatusCounts>(base, `${home}/analytics`, { token });
    const { delivered, failed, sent, queued } = now;
    bar.show(
      (delivered + failed) / accepted,
      `${queued} pending, ${sent} sent, ${delivered} delivered, ${failed} failed`,
    );
    if (delivered + failed >= accepted) break;
    if (Date.now() > until) throw new Error('some messages are neither delivered nor failed after three minutes');
  }
  bar.end();
}

interface Figures {
  readonly sent: number;
  readonly delivered: number;
  readonly failed: number;
}

async function printAnalytics(base: string, token: string, projectId: string): Promise<void> {
  const { totals, byConnector } = await call<{
    totals: Figures & { deliveredRate: number };
    byConnector: Record<string, Figures>;
  }>(base, `/api/v1/analytics/messages?projectId=${projectId}`, { token });
  const row = (name: string, { sent, delivered, failed }: Figures) =>
    [name.padEnd(12), ...[sent, delivered, failed].map((figure) => String(figure).padStart(10))].join('');
  console.log(['connector'.padEnd(12), ...['sent', 'delivered', 'failed'].map((word) => word.padStart(10))].join(''));
  for (const [type, figures] of Object.entries(byConnector)) console.log(row(type, figures));
  console.log(row('all', totals));
  console.log(`delivered rate ${(totals.deliveredRate * 100).toFixed(1)} %`);
}

async function main(): Promise<void> {
  const running = await sandboxServer(Number(process.env.PORT ?? 8000));
  console.log(running ? `using the running server at ${running.base}` : 'starting a server of the demo’s own ...');
  let server = running ?? (await ownServer());
  try {
    let token: string;
    try {
      token = await register(server.base);
    } catch (error) {
      // The running server takes five registrations in fifteen minutes from one address.
      if (!running || !(error instanceof AnswerError) || error.status !== 429) throw error;
      console.log('the running server takes no more registrations for now: starting one of the demo’s own ...');
      server = await ownServer();
      token = await register(server.base);
    }
    await play(server.base, token);
  } finally {
    await server.stop();
  }
}

try {
  await main();
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
