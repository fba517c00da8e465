/**
 * `npm run bench -- ingest`: what durability costs.
 *
 * - (a) single sends against a bare route that stores nothing, at 64 and 256 connections, in turn;
 * - (b) batches against plain INSERTs of the same rows into an equal table;
 * - (c) p50 and p99 of each, (d) memory, (e) the ratio of (a) with few and with many events in the log;
 * - and the dispatcher without a pace, a figure without a bar.
 *
 * Load, sandbox, bare route and server are processes of their own on the one machine. The server stands on the embedded
 * Postgres with all that belongs to it: the projector follows, the dispatcher sends at its fixed rate to the sandbox.
 * While a reference is measured the server is held still, so that its work on what it accepted is not the reference's burden.
 */
import { statfsSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { readPlace } from '../metrics.ts';
import { canSample, residentBytes, treeBytes } from '../processes.ts';
import type { Report } from '../report.ts';
import { step, workDirectory } from '../run.ts';
import { raisedLimits } from './account.ts';
import { barsOf } from './bars.ts';
import { type BatchFigures, measureBatch } from './batch.ts';
import { type FullRate, measureFullRate } from './full-rate.ts';
import { printAll } from './print.ts';
import { fillUp, warmUp } from './send.ts';
import { type DispatchAlone, measureDispatchAlone, measureSingle, type SingleFigures } from './single.ts';
import { dispatchPerSecond, fullEffort, quickEffort, type Stage, setStage } from './stage.ts';

/** What can be chosen with `--only`. */
export const parts = ['a', 'b', 'e', 'full'] as const;
export type Part = (typeof parts)[number];

export interface IngestOptions {
  readonly quick: boolean;
  readonly only: readonly Part[];
  /** Below which the data is kept for the time of the run; default: the system's temporary directory. */
  readonly dir?: string;
  readonly callbacks: boolean;
  readonly holdStill: boolean;
  readonly profileDir?: string;
}

/** Memory of the server's process and of its Postgres, bytes. */
export interface Memory {
  readonly events: number;
  readonly serverBytes: number;
  readonly postgresBytes: number;
}

/** Everything that was measured; what was not chosen is absent. */
export interface Ingest {
  readonly quick: boolean;
  readonly readyMs: number;
  readonly memory: { readonly start: Memory; readonly end: Memory };
  readonly single64?: SingleFigures;
  readonly single?: SingleFigures;
  readonly dispatchAlone?: DispatchAlone;
  readonly batch?: BatchFigures;
  readonly atSize?: { readonly small: SingleFigures; readonly large: SingleFigures };
  readonly fullRate?: FullRate;
}

/** Runs the benchmark. Rejects when anything fails to run; a missed bar is none of that. */
export async function ingest(options: IngestOptions): Promise<Report> {
  if (!canSample) throw new Error('the benchmark reads /proc, which only Linux has');
  const effort = options.quick ? quickEffort : fullEffort;
  const dir = workDirectory(options.dir ?? tmpdir());
  const { callbacks, profileDir } = options;
  // A profile counts the time for which a process is held still as work.
  const holdStill = options.holdStill && profileDir === undefined;
  const stage = await setStage({ effort, dir, callbacks, holdStill, ...(profileDir !== undefined && { profileDir }) });
  try {
    introduce(stage, options);
    const measured = await measure(stage, options);
    printAll(measured);
    const { single, single64, batch } = measured;
    return {
      name: 'ingest',
      ratios: {
        ...(single && { single: single.ratio }),
        ...(single64 && { single64: single64.ratio }),
        ...(batch && { batch: batch.ratio }),
      },
      samples: measured,
      bars: barsOf(measured),
    };
  } catch (error) {
    console.error(`the server's last words:\n${stage.server.lastWords()}`);
    throw error;
  } finally {
    await stage.close();
  }
}

async function measure(stage: Stage, { only, quick }: IngestOptions): Promise<Ingest> {
  const { effort } = stage;
  const has = (part: Part): boolean => only.includes(part);
  const start = await memoryOf(stage);
  await step('warm-up', () => warmUp(stage, effort.sizes.small));
  const atSize = (events: number) =>
    step(`(e) at ${events.toLocaleString('en-US')} events`, async () => {
      await fillUp(stage, events);
      return measureSingle(stage, 256, effort.atSize, effort.alternations);
    });
  const single = (connections: number) =>
    step(`(a) ${connections} connections`, () => measureSingle(stage, connections, effort.single, effort.alternations));

  const small = has('e') ? await atSize(effort.sizes.small) : undefined;
  const dispatchAlone = has('a')
    ? await step('dispatch alone', () => measureDispatchAlone(stage, effort.single.parley.durationMs))
    : undefined;
  const single64 = has('a') ? await single(64) : undefined;
  const single256 = has('a') ? await single(256) : undefined;
  const batch = has('b') ? await step('(b) batches', () => measureBatch(stage)) : undefined;
  const large = has('e') ? await atSize(effort.sizes.large) : undefined;
  const end = await memoryOf(stage);
  const fullRate = has('full') ? await step('dispatch at full rate', () => measureFullRate(stage)) : undefined;
  return {
    quick,
    readyMs: stage.server.readyMs,
    memory: { start, end },
    ...(single64 && { single64 }),
    ...(single256 && { single: single256 }),
    ...(dispatchAlone && { dispatchAlone }),
    ...(batch && { batch }),
    ...(small && large && { atSize: { small, large } }),
    ...(fullRate && { fullRate }),
  };
}

async function memoryOf({ server }: Stage): Promise<Memory> {
  const { head } = await readPlace(server.url);
  return { events: head, serverBytes: residentBytes(server.pid), postgresBytes: treeBytes(server.postgresPid) };
}

const tmpfs = 0x01021994;

function introduce({ server, dir, effort, holdStill }: Stage, { quick, callbacks }: IngestOptions): void {
  const limits = Object.entries({ ...raisedLimits, DISPATCH_RATE_LIMIT: dispatchPerSecond });
  console.log(`ingest${quick ? ', quick' : ''}: Node ${process.version}, ${availableParallelism()} cores`);
  console.log(`server ready after ${(server.readyMs / 1_000).toFixed(2)} s`);
  console.log(`limits raised by configuration: ${limits.map(([name, value]) => `${name}=${value}`).join(' ')}`);
  console.log(
    `${effort.alternations} alternations; medians; the sandbox makes ${callbacks ? 'its' : 'no'} status callbacks; ` +
      `the server is ${holdStill ? '' : 'not '}held still while a reference is measured`,
  );
  if (statfsSync(dir).type === tmpfs) {
    console.log('WARNING: the data is in memory (tmpfs), where durability costs nothing: choose a disk with --dir');
  }
}
