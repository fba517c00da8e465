/** (a) Single sends against the bare route, and what they cost beside the time. */
import { alternate } from '../alternate.ts';
import type { LoadResult } from '../load-job.ts';
import { type Lag, LagWatch, readPlace } from '../metrics.ts';
import { CpuWatch, cpuMs, treeCpuMs } from '../processes.ts';
import { median } from '../stats.ts';
import { projected, sendTo, singleJob } from './send.ts';
import { othersCpuMs, reference, type Shape, type Stage, sandboxCounts } from './stage.ts';

/** One window of single sends to the server. */
export interface ParleySample {
  readonly load: LoadResult;
  /** Processor time per request, microseconds. */
  readonly serverCpuUs: number;
  readonly postgresCpuUs: number;
  readonly sandboxCpuUs: number;
  /** Cores that the machine spent on what does not belong to the benchmark. */
  readonly othersCpuShare: number;
  /** The projector's lag, warm-up included. */
  readonly lag: Lag;
  /** Events in the log before and after, warm-up included. */
  readonly eventsBefore: number;
  readonly eventsAfter: number;
  /** Messages to the sandbox per second, warm-up included. */
  readonly dispatchedPerSecond: number;
  /** Messages that wait for the dispatcher at the end. */
  readonly backlog: number;
  /** Processor time of Postgres per request by what its processes do, microseconds. */
  readonly postgresCpuUsBy: Readonly<Record<string, number>>;
}

/** One window of the same requests to the bare route. */
export interface BareSample {
  readonly load: LoadResult;
  readonly serverCpuUs: number;
  /** Share of a core that the server, its Postgres and the sandbox took meanwhile. */
  readonly backgroundCpuShare: number;
  /** Cores that the machine spent on what does not belong to the benchmark. */
  readonly othersCpuShare: number;
}

export interface SingleFigures {
  readonly connections: number;
  readonly parley: readonly ParleySample[];
  readonly bare: readonly BareSample[];
  /** Of the medians of requests per second. */
  readonly ratio: number;
  /** Of the medians of p99. */
  readonly p99Ratio: number;
}

/** What the dispatcher costs when nothing comes in: shares of a core. */
export interface DispatchAlone {
  readonly dispatchedPerSecond: number;
  readonly serverCpuShare: number;
  readonly postgresCpuShare: number;
}

/** Looks at a server that only works off its backlog, which has to last for so long. */
export async function measureDispatchAlone(stage: Stage, durationMs: number): Promise<DispatchAlone> {
  const { server, sandbox } = stage;
  await projected(stage);
  const cpu = new CpuWatch({ server: () => cpuMs(server.pid), postgres: () => treeCpuMs(server.postgresPid) });
  const { sends: before } = await sandboxCounts(sandbox);
  const began = performance.now();
  cpu.begins();
  await new Promise((resolve) => setTimeout(resolve, durationMs));
  cpu.ends();
  const tookMs = performance.now() - began;
  const { sends } = await sandboxCounts(sandbox);
  return {
    dispatchedPerSecond: ((sends - before) / tookMs) * 1_000,
    serverCpuShare: cpu.usedMs('server') / tookMs,
    postgresCpuShare: cpu.usedMs('postgres') / tookMs,
  };
}

/** Alternates windows of server and bare route. */
export async function measureSingle(
  stage: Stage,
  connections: number,
  shape: Shape,
  alternations: number,
): Promise<SingleFigures> {
  const { a: parley, b: bare } = await alternate(
    alternations,
    () => parleyWindow(stage, connections, shape),
    () => bareWindow(stage, connections, shape),
  );
  const rate = ({ load }: { load: LoadResult }): number => load.perSecond;
  const p99 = ({ load }: { load: LoadResult }): number => load.p99Ms;
  return {
    connections,
    parley,
    bare,
    ratio: median(parley.map(rate)) / median(bare.map(rate)),
    p99Ratio: median(parley.map(p99)) / median(bare.map(p99)),
  };
}

async function parleyWindow(stage: Stage, connections: number, shape: Shape): Promise<ParleySample> {
  const { server, sandbox, sender } = stage;
  await projected(stage);
  const backends = await backendsOf(stage);
  const cpu = new CpuWatch({
    server: () => cpuMs(server.pid),
    postgres: () => treeCpuMs(server.postgresPid),
    sandbox: () => cpuMs(sandbox.pid),
    others: () => othersCpuMs(stage),
  });
  const backendCpu = new CpuWatch(
    Object.fromEntries(
      [...backends].map(([name, pids]) => [name, () => pids.reduce((sum, pid) => sum + cpuMs(pid), 0)]),
    ),
  );
  const { head: eventsBefore } = await readPlace(server.url);
  const sentBefore = await sandboxCounts(sandbox);
  const beganMs = performance.now();
  const watch = new LagWatch(server.url);
  const load = await sendTo(stage, singleJob(sender, server.port, connections, shape.parley), {
    begins() {
      cpu.begins();
      backendCpu.begins();
    },
    ends() {
      cpu.ends();
      backendCpu.ends();
    },
  });
  const lag = await watch.stop();
  const sent = await sandboxCounts(sandbox);
  const tookS = (performance.now() - beganMs) / 1_000;
  const { head: eventsAfter } = await readPlace(server.url);
  const perRequest = (ms: number): number => (ms * 1_000) / load.requests;
  return {
    load,
    serverCpuUs: perRequest(cpu.usedMs('server')),
    postgresCpuUs: perRequest(cpu.usedMs('postgres')),
    sandboxCpuUs: perRequest(cpu.usedMs('sandbox')),
    othersCpuShare: cpu.usedMs('others') / load.durationMs,
    lag,
    eventsBefore,
    eventsAfter,
    dispatchedPerSecond: (sent.sends - sentBefore.sends) / tookS,
    backlog: stage.accepted - sent.accepted,
    postgresCpuUsBy: Object.fromEntries(
      [...backends.keys()].map((name) => [name, perRequest(backendCpu.usedMs(name))]),
    ),
  };
}

async function bareWindow(stage: Stage, connections: number, shape: Shape): Promise<BareSample> {
  const { server, sandbox, bare, sender, load } = stage;
  await projected(stage);
  const cpu = new CpuWatch({
    bare: () => cpuMs(bare.pid),
    background: () => cpuMs(server.pid) + treeCpuMs(server.postgresPid) + cpuMs(sandbox.pid),
    others: () => othersCpuMs(stage),
  });
  const measure = (): Promise<LoadResult> =>
    load.run(singleJob(sender, bare.port, connections, shape.bare), {
      begins: () => cpu.begins(),
      ends: () => cpu.ends(),
    });
  const result = await reference(stage, measure);
  return {
    load: result,
    serverCpuUs: (cpu.usedMs('bare') * 1_000) / result.requests,
    backgroundCpuShare: cpu.usedMs('background') / result.durationMs,
    othersCpuShare: cpu.usedMs('others') / result.durationMs,
  };
}

/** Postgres's processes by what they say they are for. */
async function backendsOf({ database }: Stage): Promise<Map<string, number[]>> {
  const { rows } = await database.query<{ pid: number; name: string }>(
    `SELECT pid, CASE WHEN application_name = '' THEN backend_type ELSE application_name END AS name
       FROM pg_stat_activity WHERE pid <> pg_backend_pid()`,
  );
  const groups = new Map<string, number[]>();
  for (const { pid, name } of rows) groups.set(name, [...(groups.get(name) ?? []), pid]);
  return groups;
}
