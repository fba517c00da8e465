/**
 * `npm run bench -- webhooks`: what it costs that webhooks are durable.
 *
 * - A backlog to a fast receiver over 32 connections, against a bare undici loop that posts bodies that are signed already over
 *   as many connections and records nothing, in turn. Parley reads its backlog from the log, signs, posts, and records
 *   every delivery; its time, like that of the loop, is the receiver's, from the first request to the last.
 * - The time from the acceptance of an event to its first attempt at a steady rate.
 *
 * Receiver, loop and Parley's side (log, projector and delivery, on an embedded Postgres that syncs) are processes of their own.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { commandMigrations } from '../../../src/commands/index.ts';
import { deliveryMigrations } from '../../../src/delivery/index.ts';
import { feedMigrations } from '../../../src/feed/migrations.ts';
import { logMigrations } from '../../../src/log/migrations.ts';
import { migrate } from '../../../src/platform/migrate.ts';
import { readsideMigrations } from '../../../src/readside/index.ts';
import { startTestPostgres } from '../../support/postgres-server.ts';
import { alternate } from '../alternate.ts';
import { stopChild } from '../children.ts';
import type { Report } from '../report.ts';
import { figure, table } from '../report.ts';
import { median } from '../stats.ts';

/** How much is measured. */
export interface WebhookEffort {
  readonly backlog: number;
  readonly alternations: number;
  readonly perSecond: number;
  readonly seconds: number;
}

export const fullWebhookEffort: WebhookEffort = { backlog: 20_000, alternations: 5, perSecond: 200, seconds: 30 };
export const quickWebhookEffort: WebhookEffort = { backlog: 20_000, alternations: 2, perSecond: 200, seconds: 5 };

const minRatio = 0.5;
const maxP99Ms = 100;

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
  /** Events of outcomes. */
  readonly appends: number;
}

interface Done {
  readonly ms: number;
  readonly connections: number;
  readonly cpuMs: number;
  readonly latenciesMs: number[];
}

/** Runs the benchmark. */
export async function webhooks(effort: WebhookEffort = fullWebhookEffort): Promise<Report> {
  const postgres = await startTestPostgres();
  const children: ChildProcess[] = [];
  const child = (file: string, ...args: string[]) => {
    const forked = fork(fileURLToPath(new URL(file, import.meta.url)), args);
    children.push(forked);
    return forked;
  };
  try {
    await migrate(postgres.url, [
      ...logMigrations,
      ...feedMigrations,
      ...commandMigrations,
      ...readsideMigrations,
      ...deliveryMigrations,
    ]);
    const receiver = child('./receiver.ts');
    const { port } = await said<{ port: number }>(receiver, 'port');
    const bare = child('./bare.ts');
    const node = child('./node.ts', postgres.url);
    await said(node, 'ready');
    await ask(node, { hook: `http://127.0.0.1:${port}/hook` }, 'hooked');
    const backlog = await measureBacklog(effort, { receiver, bare, node, port });
    const latency = await measureLatency(effort, { receiver, node });
    return report(backlog, latency);
  } finally {
    await Promise.all(children.map(stopChild));
    await postgres.stop();
  }
}

interface Sides {
  readonly receiver: ChildProcess;
  readonly bare: ChildProcess;
  readonly node: ChildProcess;
  readonly port: number;
}

async function measureBacklog({ backlog, alternations }: WebhookEffort, { receiver, bare, node, port }: Sides) {
  let recorded = 0;
  const parley = async (): Promise<Parleys> => {
    await ask(node, { post: backlog }, 'posted');
    await ask(receiver, { reset: backlog }, 'reset');
    recorded += backlog;
    const done = said<{ done: Done }>(receiver, 'done');
    const { switched } = await ask<{ switched: { cpuMs: number } }>(node, { on: true }, 'switched');
    const began = performance.now();
    const stored = ask<{ recorded: { cpuMs: number; appends: number } }>(node, { recorded }, 'recorded');
    const run = runOf((await done).done, backlog);
    const { cpuMs, appends } = (await stored).recorded;
    const recordedMs = performance.now() - began;
    await ask(node, { on: false }, 'switched');
    return { ...run, cpuUs: ((cpuMs - switched.cpuMs) * 1_000) / backlog, recordedMs, appends };
  };
  const loop = async (): Promise<Run> => {
    await ask(bare, { port, bodies: backlog }, 'ready');
    await ask(receiver, { reset: backlog }, 'reset');
    const done = said<{ done: Done }>(receiver, 'done');
    const { done: own } = await ask<{ done: { cpuMs: number } }>(bare, { go: true }, 'done');
    return { ...runOf((await done).done, backlog), cpuUs: (own.cpuMs * 1_000) / backlog };
  };
  // Once each, unmeasured: code is compiled, connections are made.
  await alternate(1, parley, loop);
  return alternate(alternations, parley, loop);
}

function runOf({ ms, connections, cpuMs }: Done, count: number): Omit<Run, 'cpuUs'> {
  return { perSecond: (count * 1_000) / ms, connections, receiverCpuShare: cpuMs / ms };
}

async function measureLatency({ perSecond, seconds }: WebhookEffort, { receiver, node }: Omit<Sides, 'bare' | 'port'>) {
  const count = perSecond * seconds;
  await ask(node, { on: true }, 'switched');
  await ask(receiver, { reset: perSecond }, 'reset');
  const warm = said(receiver, 'done');
  await ask(node, { perSecond, seconds: 1 }, 'posted');
  await warm;
  await ask(receiver, { reset: count, looks: true }, 'reset');
  const done = said<{ done: Done }>(receiver, 'done');
  await ask(node, { perSecond, seconds }, 'posted');
  const sorted = (await done).done.latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1) ?? 0 };
}

type Backlog = Awaited<ReturnType<typeof measureBacklog>>;
type Latency = Awaited<ReturnType<typeof measureLatency>>;

function report({ a: parley, b: bare }: Backlog, latency: Latency): Report {
  const of = <R extends Run>(runs: readonly R[], value: (run: R) => number) => median(runs.map(value));
  const rate = (runs: readonly Run[]) => of(runs, ({ perSecond }) => perSecond);
  const ratio = rate(parley) / rate(bare);
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
  const ms = [latency.p50Ms, latency.p99Ms, latency.maxMs].map(figure).join(', ');
  console.log(`accept to first attempt: p50, p99, most: ${ms} ms`);
  const busiest = Math.max(...[...parley, ...bare].map(({ receiverCpuShare }) => receiverCpuShare));
  if (busiest > 0.85)
    console.log(`WARNING: the receiver used ${figure(busiest * 100)} % of a core: it may be the limit`);
  return {
    name: 'webhooks',
    ratios: { backlog: ratio },
    samples: { parley, bare, latency },
    bars: [
      { name: 'webhooks: backlog, ratio', value: ratio, bound: 'at least', limit: minRatio },
      {
        name: 'webhooks: accept to first attempt, p99',
        value: latency.p99Ms,
        bound: 'at most',
        limit: maxP99Ms,
        unit: ' ms',
      },
    ],
  };
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
