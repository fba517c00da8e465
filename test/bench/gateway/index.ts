/**
 * Benchmarks of sockets (issue of the gateway, numbers a, b and d): how many frames go out, what a socket takes, how sockets
 * come back. A server, the bare process, and the generator, each a process of its own.
 *
 * `node test/bench/gateway/index.ts [--target FILE] [--only fanout,latency,memory,reconnect] [--sockets 1,100,...] [--quick]`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { maxOwnCpuShare } from '../load-control.ts';
import { type Bar, figure, printBars, type Report, table, writeReport } from '../report.ts';
import { type Compared, medianOf, type Sample, type Shape, Stage } from './measure.ts';
import type { TargetModule } from './target.ts';

/** What can be measured. */
export const parts = ['fanout', 'latency', 'memory', 'reconnect'] as const;
export type Part = (typeof parts)[number];

/** How the benchmarks run. */
export interface SocketBenchOptions {
  /** Module that starts the server; default: the hub with the dialect of its tests. */
  readonly target?: string;
  readonly quick: boolean;
  readonly only: readonly Part[];
  /** Sizes of the room. */
  readonly sockets: readonly number[];
  /** Below it the server keeps its data. */
  readonly dir?: string;
}

const shapes: Readonly<Record<'full' | 'quick', Shape>> = {
  full: { warmupMs: 2_000, durationMs: 6_000, alternations: 3, reconnectMs: 60_000, drainEveryMs: 15_000 },
  quick: { warmupMs: 1_000, durationMs: 2_500, alternations: 1, reconnectMs: 16_000, drainEveryMs: 5_000 },
};
const postsPerSecond = 500;
const idleSockets = { full: 8_000, quick: 1_000 } as const;
/** Rooms whose ratio is a bar. */
const barredRooms = [1_000, 5_000];

/** Runs the benchmarks of sockets and prints them. */
export async function socketBench(options: SocketBenchOptions): Promise<Report> {
  const shape = shapes[options.quick ? 'quick' : 'full'];
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const file = options.target === undefined ? new URL('./chat-target.ts', import.meta.url).href : options.target;
  const { startTarget } = (await import(file)) as TargetModule;
  const stage = new Stage(await startTarget({ dir }));
  const report = { name: 'sockets', ratios: {} as Record<string, number>, samples: {} as Record<string, unknown> };
  const bars: Bar[] = [];
  console.log(`Sockets: ${stage.target.name}, against bare ws\n`);
  try {
    if (options.only.includes('fanout')) {
      for (const sockets of options.sockets) {
        const compared = await stage.fanout(sockets, shape);
        const ratio = rateOf(compared.parley) / rateOf(compared.bare);
        report.ratios[`fanout-${sockets}`] = ratio;
        report.samples[`fanout-${sockets}`] = compared;
        printCompared(`${sockets} sockets in one room: ratio ${figure(ratio)}`, compared);
        if (barredRooms.includes(sockets)) {
          bars.push({ name: `fan-out to ${sockets} sockets`, value: ratio, bound: 'at least', limit: 0.7 });
        }
      }
    }
    if (options.only.includes('latency')) {
      const compared = await stage.pace(postsPerSecond, shape);
      report.samples.latency = compared;
      const p99 = medianOf(compared.parley, ({ load }) => load.p99Ms);
      printCompared(`${postsPerSecond} posts/s to 20 sockets each, from POST to frame`, compared);
      bars.push({ name: 'p99 from POST to frame', value: p99, bound: 'at most', limit: 25, unit: ' ms' });
    }
    if (options.only.includes('memory')) {
      const idle = idleSockets[options.quick ? 'quick' : 'full'];
      const { parley, bare } = await stage.memory(idle);
      report.samples.memory = { parley, bare };
      report.ratios.memory = parley / bare;
      console.log(
        `\nAn idle socket (of ${figure(idle)}): ${figure(parley)} bytes, bare ${figure(bare)}: ratio ${figure(parley / bare)}`,
      );
      bars.push({ name: 'memory per idle socket', value: parley / bare, bound: 'at most', limit: 2, unit: 'x' });
    }
    if (options.only.includes('reconnect')) {
      const compared = await stage.reconnect(shape);
      report.samples.reconnect = compared;
      printCompared('2,000 sockets sent away and back, from greeting to the last missed frame', compared);
      const [parley] = compared.parley as [Sample];
      console.log(`${figure(parley.load.reconnects)} came back, having missed ${figure(parley.load.missed)} frames`);
      bars.push(
        { name: 'frames lost, repeated or out of order', value: parley.load.faults, bound: 'at most', limit: 0 },
        { name: 'p99 to the last missed frame', value: parley.load.p99Ms, bound: 'at most', limit: 1_500, unit: ' ms' },
      );
    }
  } finally {
    await stage.close();
    if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
  }
  return { ...report, bars };
}

function rateOf(samples: readonly Sample[]): number {
  return medianOf(samples, ({ load }) => load.framesPerSecond);
}

function printCompared(title: string, { parley, bare }: Compared): void {
  const row = (name: string, samples: readonly Sample[]) => [
    name,
    figure(rateOf(samples)),
    figure(medianOf(samples, ({ serverCpuUs }) => serverCpuUs)),
    figure(medianOf(samples, ({ postgresCpuUs }) => postgresCpuUs)),
    figure(medianOf(samples, ({ load }) => load.p50Ms)),
    figure(medianOf(samples, ({ load }) => load.p99Ms)),
    `${figure(medianOf(samples, ({ load }) => load.ownCpuShare) * 100)} %`,
  ];
  const header = ['', 'frames/s', 'us/frame', 'us Postgres', 'p50 ms', 'p99 ms', 'generator'];
  console.log(`\n${title}\n${table(header, [row('parley', parley), row('bare ws', bare)])}`);
  const share = Math.max(...[...parley, ...bare].map(({ load }) => load.ownCpuShare));
  if (share > maxOwnCpuShare) console.log(`WARNING: the generator took ${figure(share * 100)} % of a core`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      target: { type: 'string' },
      only: { type: 'string', default: parts.join(',') },
      sockets: { type: 'string', default: '1,100,1000,5000' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      bars: { type: 'boolean', default: false },
    },
  });
  const report = await socketBench({
    quick: values.quick,
    only: parts.filter((part) => values.only.split(',').includes(part)),
    sockets: values.sockets.split(',').map(Number),
    ...(values.target !== undefined && { target: pathToFileURL(resolve(values.target)).href }),
  });
  const all = printBars(report);
  if (values.json !== undefined) writeReport(values.json, report);
  if (!all && values.bars) process.exitCode = 1;
}

if (import.meta.main) await main();
