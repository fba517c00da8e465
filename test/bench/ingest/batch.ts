/** (b) Batches of sends against plain INSERTs of the same rows. */
import type { LoadResult } from '../load-job.ts';
import { type Lag, LagWatch, readPlace } from '../metrics.ts';
import { CpuWatch, cpuMs, treeCpuMs } from '../processes.ts';
import { median } from '../stats.ts';
import { dropRawTable, insertRaw, makeRawTable, type RawResult, takeRows } from './raw.ts';
import { batchJob, itemsPerBatch, projected, sendTo } from './send.ts';
import { reference, type Stage, sandboxCounts } from './stage.ts';

export interface BatchSample {
  readonly messages: number;
  readonly load: LoadResult;
  readonly messagesPerSecond: number;
  readonly eventsPerMessage: number;
  /** Processor time per message, microseconds. */
  readonly serverCpuUs: number;
  readonly postgresCpuUs: number;
  readonly lag: Lag;
  /** From the last answer to a projector that has everything. */
  readonly catchUpMs: number;
  readonly dispatchedPerSecond: number;
  readonly backlog: number;
  readonly eventsBefore: number;
}

export interface BatchFigures {
  readonly parley: readonly BatchSample[];
  readonly raw: readonly RawResult[];
  readonly charactersPerRow: number;
  /** Accepted messages/s times events per message over rows/s, of the medians. */
  readonly ratio: number;
  /** The longest. */
  readonly catchUpMs: number;
}

/** Each batch run is followed by plain INSERTs of the rows that it has made. */
export async function measureBatch(stage: Stage): Promise<BatchFigures> {
  const parley: BatchSample[] = [];
  const raw: RawResult[] = [];
  let charactersPerRow = 0;
  for (let round = 0; round < stage.effort.batches; round++) {
    const { sample, ...reference } = await batchAndRaw(stage);
    parley.push(sample);
    raw.push(reference.raw);
    charactersPerRow = reference.charactersPerRow;
  }
  const events = median(parley.map((each) => each.messagesPerSecond * each.eventsPerMessage));
  return {
    parley,
    raw,
    charactersPerRow,
    ratio: events / median(raw.map(({ perSecond }) => perSecond)),
    catchUpMs: Math.max(...parley.map((each) => each.catchUpMs)),
  };
}

async function batchAndRaw(stage: Stage): Promise<{ sample: BatchSample; raw: RawResult; charactersPerRow: number }> {
  const { server, database } = stage;
  await projected(stage);
  const { head } = await readPlace(server.url);
  const sample = await batchRun(stage, head);
  const rows = await takeRows(database, head, sample.messages);
  await makeRawTable(database);
  const raw = await reference(stage, () => insertRaw(server.databaseUrl, rows));
  await dropRawTable(database);
  const { eventsPerMessage, charactersPerRow } = rows;
  return { sample: { ...sample, eventsPerMessage }, raw, charactersPerRow };
}

async function batchRun(stage: Stage, eventsBefore: number): Promise<Omit<BatchSample, 'eventsPerMessage'>> {
  const { server, sandbox, sender, effort } = stage;
  const cpu = new CpuWatch({ server: () => cpuMs(server.pid), postgres: () => treeCpuMs(server.postgresPid) });
  const sentBefore = await sandboxCounts(sandbox);
  const watch = new LagWatch(server.url);
  const load = await sendTo(stage, batchJob(sender, server.port, effort.batchMessages), {
    begins: () => cpu.begins(),
    ends: () => cpu.ends(),
  });
  const catchUpMs = await projected(stage);
  const lag = await watch.stop();
  const sent = await sandboxCounts(sandbox);
  const messages = load.requests * itemsPerBatch;
  return {
    messages,
    load,
    messagesPerSecond: (messages / load.durationMs) * 1_000,
    serverCpuUs: (cpu.usedMs('server') * 1_000) / messages,
    postgresCpuUs: (cpu.usedMs('postgres') * 1_000) / messages,
    lag,
    catchUpMs,
    dispatchedPerSecond: ((sent.sends - sentBefore.sends) / (load.durationMs + catchUpMs)) * 1_000,
    backlog: stage.accepted - sent.accepted,
    eventsBefore,
  };
}
