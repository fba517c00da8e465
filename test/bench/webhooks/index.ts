/**
 * `npm run bench -- webhooks`: what it costs that webhooks are durable.
 *
 * - A backlog to a fast receiver over 32 connections, against a bare undici loop that posts bodies that are signed already over
 *   as many connections and records nothing, in turn. Parley reads its backlog from the log, signs, posts, and records
 *   every delivery; its time, like that of the loop, is the receiver's, from the first request to the last.
 * - The time from the acceptance of an event to its first attempt at a steady rate.
 *
 * The server (`parley start` with its embedded Postgres), the receiver and the loop are processes of their own. Endpoint and
 * messages are made through ChatAPI; the webhook is switched off while its backlog is posted.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { alternate } from '../alternate.ts';
import { stopChild } from '../children.ts';
import { canSample, cpuMs } from '../processes.ts';
import type { Bar, Report } from '../report.ts';
import { figure, table } from '../report.ts';
import { workDirectory } from '../run.ts';
import { type BenchServer, startServer } from '../server.ts';
import { median } from '../stats.ts';
import { type ChatClient, chatClient } from './client.ts';

/** What can be measured. */
export const webhookParts = ['backlog', 'latency'] as const;

/** How the benchmark runs. */
export interface WebhookBenchOptions {
  readonly quick: boolean;
  readonly only: readonly (typeof webhookParts)[number][];
  /** Below it the server keeps its data. */
  readonly dir?: string;
  readonly profileDir?: string;
}

/** How much is measured. */
interface Effort {
  readonly backlog: number;
  readonly alternations: number;
  readonly perSecond: number;
  readonly seconds: number;
}

const efforts: Readonly<Record<'full' | 'quick', Effort>> = {
  full: { backlog: 20_000, alternations: 5, perSecond: 200, seconds: 30 },
  quick: { backlog: 10_000, alternations: 2, perSecond: 200, seconds: 5 },
};
/** What differs from the defaults; it is printed. */
const raised = { CHATAPI_MESSAGE_RATE_LIMIT: '0', OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8' } as const;

const minRatio = 0.5;
const maxP99Ms = 100;
const maxReceiverShare = 0.85;

/** One run of one side. */
interface Run {
  readonly perSecond: number;
  readonly connections: number;
  /** Of the sending process, per delivery, microseconds. */
  readonly cpuUs: number;
  readonly receiverCpuShare: number;
}

interface Parleys extends Run {
  /** Until everything stands in the rows, from the first request on. */
  readonly recordedMs: number;
}

interface Done {
  readonly ms: number;
  readonly connections: number;
  readonly cpuMs: number;
  readonly latenciesMs: number[];
}

/** Runs the benchmark. Rejects when anything fails to run. */
export async function webhooks(options: WebhookBenchOptions): Promise<Report> {
  if (!canSample) throw new Error('the benchmark reads /proc, which only Linux has');
  const { quick, only, profileDir } = options;
  const effort = efforts[quick ? 'quick' : 'full'];
  const dir = workDirectory(options.dir ?? tmpdir());
  const closing: (() => unknown)[] = [() => rmSync(dir, { recursive: true, force: true })];
  const child = (file: string) => {
    const forked = fork(fileURLToPath(new URL(file, import.meta.url)));
    closing.push(() => stopChild(forked));
    return forked;
  };
  try {
    const receiver = child('./receiver.ts');
    const { port } = await said<{ port: number }>(receiver, 'port');
    const bare = child('./bare.ts');
    const profiled = profileDir === undefined ? {} : { profileDir };
    const server = await startServer({ dataDir: join(dir, 'data'), env: raised, ...profiled });
    closing.push(() => server.stop());
    console.log(
      `webhooks: ${Object.entries(raised)
        .map(([name, value]) => `${name}=${value}`)
        .join(' ')}`,
    );
    const chat = await chatClient(server.url, `http://127.0.0.1:${port}/hook`);
    closing.push(() => chat.close());
    const sides = { receiver, bare, server, chat, port };
    const backlog = only.includes('backlog') ? await measureBacklog(effort, sides) : null;
    const latency = only.includes('latency') ? await measureLatency(effort, sides) : null;
    return report(backlog, latency);
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

interface Sides {
  readonly receiver: ChildProcess;
  readonly bare: ChildProcess;
  readonly server: BenchServer;
  readonly chat: ChatClient;
  readonly port: number;
}

async function measureBacklog({ backlog, alternations }: Effort, { receiver, bare, server, chat, port }: Sides) {
  await chat.switch(false);
  const data = await chat.sample();
  let recorded = await chat.recorded();
  // The sample waits as well.
  let posted = 1;
  const parley = async (): Promise<Parleys> => {
    await chat.post(backlog - posted);
    posted = 0;
    await ask(receiver, { reset: backlog }, 'reset');
    recorded += backlog;
    const done = said<{ done: Done }>(receiver, 'done');
    const usedMs = cpuMs(server.pid);
    const began = performance.now();
    await chat.switch(true);
    const run = runOf((await done).done, backlog);
    while ((await chat.recorded()) < recorded) await new Promise((resolve) => setTimeout(resolve, 20));
    const recordedMs = performance.now() - began;
    const cpuUs = ((cpuMs(server.pid) - usedMs) * 1_000) / backlog;
    await chat.switch(false);
    return { ...run, cpuUs, recordedMs };
  };
  const loop = async (): Promise<Run> => {
    await ask(bare, { port, bodies: backlog, data }, 'ready');
    await ask(receiver, { reset: backlog }, 'reset');
    const done = said<{ done: Done }>(receiver, 'done');
    const { done: own } = await ask<{ done: { cpuMs: number } }>(bare, { go: true }, 'done');
    return { ...runOf((await done).done, backlog), cpuUs: (own.cpuMs * 1_000) / backlog };
  };
  // Once each, unmeasured: code is compiled, connections are made.
  await alternate(1, parley, loop);
  const measured = await alternate(alternations, parley, loop);
  await chat.switch(true);
  return measured;
}

function runOf({ ms, connections, cpuMs: usedMs }: Done, count: number): Omit<Run, 'cpuUs'> {
  return { perSecond: (count * 1_000) / ms, connections, receiverCpuShare: usedMs / ms };
}

async function measureLatency({ perSecond, seconds }: Effort, { receiver, chat }: Sides) {
  const count = perSecond * seconds;
  await ask(receiver, { reset: perSecond }, 'reset');
  const warm = said(receiver, 'done');
  await chat.postAt(perSecond, 1);
  await warm;
  await ask(receiver, { reset: count, looks: true }, 'reset');
  const done = said<{ done: Done }>(receiver, 'done');
  await chat.postAt(perSecond, seconds);
  const sorted = (await done).done.latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1) ?? 0 };
}

type Backlog = Awaited<ReturnType<typeof measureBacklog>>;
type Latency = Awaited<ReturnType<typeof measureLatency>>;

function report(backlog: Backlog | null, latency: Latency | null): Report {
  const ratio = backlog && printBacklog(backlog);
  if (latency) {
    const ms = [latency.p50Ms, latency.p99Ms, latency.maxMs].map(figure).join(', ');
    console.log(`accept to first attempt: p50, p99, most: ${ms} ms`);
  }
  const bars: Bar[] = [];
  if (ratio !== null) bars.push({ name: 'webhooks: backlog, ratio', value: ratio, bound: 'at least', limit: minRatio });
  if (latency) {
    const name = 'webhooks: accept to first attempt, p99';
    bars.push({ name, value: latency.p99Ms, bound: 'at most', limit: maxP99Ms, unit: ' ms' });
  }
  const ratios: Record<string, number> = ratio === null ? {} : { backlog: ratio };
  return { name: 'webhooks', ratios, samples: { parley: backlog?.a, bare: backlog?.b, latency }, bars };
}

/** Answers the ratio. */
function printBacklog({ a: parley, b: bare }: Backlog): number {
  const of = <R extends Run>(runs: readonly R[], value: (run: R) => number) => median(runs.map(value));
  const rate = (runs: readonly Run[]) => of(runs, ({ perSecond }) => perSecond);
  const row = (name: string, runs: readonly Run[]) => [
    name,
    figure(rate(runs)),
    figure(of(runs, ({ cpuUs }) => cpuUs)),
    figure(Math.max(...runs.map(({ connections }) => connections))),
    figure(of(runs, ({ receiverCpuShare }) => receiverCpuShare)),
  ];
  const header = ['backlog', 'deliveries/s', 'CPU us each', 'connections', "receiver's core"];
  console.log(`\n${table(header, [row('Parley', parley), row('bare undici', bare)])}`);
  console.log(
    `all of it recorded and in the rows after ${figure(of(parley, ({ recordedMs }) => recordedMs))} ms (median)`,
  );
  const busiest = Math.max(...[...parley, ...bare].map(({ receiverCpuShare }) => receiverCpuShare));
  if (busiest > maxReceiverShare)
    console.log(`WARNING: the receiver used ${figure(busiest * 100)} % of a core: it may be the limit`);
  return rate(parley) / rate(bare);
}

/** Tells a process something and waits for what it says under a name. */
async function ask<Answer extends object>(child: ChildProcess, message: object, name: string): Promise<Answer> {
  const answer = said<Answer>(child, name);
  child.send(message);
  return answer;
}

/** What a process says next under a name. */
async function said<Answer extends object>(child: ChildProcess, name: string): Promise<Answer> {
  const ended = new AbortController();
  const over = once(child, 'exit', { signal: ended.signal }).then(() => {
    throw new Error('a process of the benchmark ended');
  });
  over.catch(() => {});
  try {
    for (;;) {
      const [answer] = (await Promise.race([once(child, 'message', { signal: ended.signal }), over])) as [object];
      if (name in answer) return answer as Answer;
    }
  } finally {
    ended.abort();
  }
}
