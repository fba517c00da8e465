/** The measurements: each is run on a server and on the bare process in turn. */
import { alternate } from '../alternate.ts';
import { CpuWatch, canSample, cpuMs, residentBytes, treeCpuMs } from '../processes.ts';
import { median } from '../stats.ts';
import { collectGarbage } from './collect.ts';
import { forkTarget } from './fork.ts';
import { SocketGenerator } from './generator-control.ts';
import type { Job, JobResult } from './job.ts';
import type { Population, Target, WireSource } from './target.ts';

/** Length of the measurements. */
export interface Shape {
  readonly warmupMs: number;
  readonly durationMs: number;
  readonly alternations: number;
  readonly reconnectMs: number;
  readonly drainEveryMs: number;
}

/** Characters of a posted text. */
const textCharacters = 100;
/** Posts that are not yet with everybody. */
const postsUnderWay = 16;

/** One run, with what it cost the server. */
export interface Sample {
  readonly load: JobResult;
  /** Processor time per frame, microseconds. */
  readonly serverCpuUs: number;
  readonly postgresCpuUs: number;
}

/** Both sides of a measurement. */
export interface Compared {
  readonly parley: readonly Sample[];
  readonly bare: readonly Sample[];
}

/** The server, the bare process and the generator. */
export class Stage {
  readonly target: Target;
  readonly generator = new SocketGenerator();

  constructor(target: Target) {
    this.target = target;
  }

  async close(): Promise<void> {
    this.generator.close();
    await this.target.stop();
  }

  /** Frames per second to one room. */
  async fanout(sockets: number, shape: Shape): Promise<Compared> {
    const job = { kind: 'fanout', window: postsUnderWay, textCharacters, ...shape } as const;
    return this.#compare({ sockets, perRoom: sockets }, shape.alternations, job);
  }

  /** Time from POST to frame. */
  async pace(postsPerSecond: number, shape: Shape): Promise<Compared> {
    const job = { kind: 'pace', postsPerSecond, textCharacters, ...shape } as const;
    return this.#compare({ sockets: 500, perRoom: 20 }, shape.alternations, job);
  }

  /** What was missed while sockets were sent away, and how long they waited for it. */
  async reconnect(shape: Shape): Promise<Compared> {
    const job = { kind: 'reconnect', postsPerSecond: 100, textCharacters, durationMs: shape.reconnectMs } as const;
    return this.#compare({ sockets: 2_000, perRoom: 20 }, 1, job, shape.drainEveryMs);
  }

  /** Bytes of memory per idle socket. */
  async memory(sockets: number): Promise<{ readonly parley: number; readonly bare: number }> {
    const population = { sockets, perRoom: 20 };
    const wire = await this.target.prepare(population);
    const bare = await startBare(wire, false);
    try {
      return {
        parley: await this.#memoryPerSocket(this.target.pid, this.target.port, population, wire),
        bare: await this.#memoryPerSocket(bare.pid, bare.port, population, bare.wire),
      };
    } finally {
      await bare.stop();
    }
  }

  /** By what more sockets take, garbage collected: what a process takes once is no socket's. */
  async #memoryPerSocket(pid: number, port: number, population: Population, wire: WireSource): Promise<number> {
    const held = async (sockets: number) => {
      await this.generator.run({ kind: 'open', port, wire, sockets, perRoom: population.perRoom });
      await calm();
      await collectGarbage(pid);
      await calm();
      return residentBytes(pid);
    };
    const few = Math.floor(population.sockets / 4);
    const before = await held(few);
    const after = await held(population.sockets);
    this.generator.closeSockets();
    return (after - before) / (population.sockets - few);
  }

  async #compare(
    population: Population,
    alternations: number,
    job: Job extends infer J ? (J extends Job ? Omit<J, 'port' | 'wire' | 'sockets' | 'perRoom'> : never) : never,
    drainEveryMs?: number,
  ): Promise<Compared> {
    const { target } = this;
    const wire = await target.prepare(population);
    const bare = await startBare(wire, job.kind === 'reconnect');
    try {
      const { a: parley, b } = await alternate(
        alternations,
        () => this.#sample(target, { ...job, ...population, port: target.port, wire } as Job, drainEveryMs),
        () => this.#sample(bare, { ...job, ...population, port: bare.port, wire: bare.wire } as Job, drainEveryMs),
      );
      return { parley, bare: b };
    } finally {
      await bare.stop();
    }
  }

  async #sample(
    { pid, postgresPid, drain }: Pick<Target, 'pid' | 'postgresPid' | 'drain'>,
    job: Job,
    drainEveryMs: number | undefined,
  ): Promise<Sample> {
    const cpu = new CpuWatch({
      server: () => (canSample ? cpuMs(pid) : 0),
      postgres: () => (canSample && postgresPid !== null ? treeCpuMs(postgresPid) : 0),
    });
    let timer: NodeJS.Timeout | undefined;
    const drains = drainEveryMs === undefined ? 0 : Math.floor(durationOf(job) / drainEveryMs - 0.5);
    let drained = 0;
    const load = await this.generator.run(job, {
      begins() {
        cpu.begins();
        if (drains === 0) return;
        timer = setInterval(() => {
          drained++;
          if (drained <= drains) void drain();
        }, drainEveryMs);
      },
      ends() {
        cpu.ends();
        clearInterval(timer);
      },
    });
    clearInterval(timer);
    const perFrame = (ms: number) => (ms * 1_000) / Math.max(1, load.frames);
    return { load, serverCpuUs: perFrame(cpu.usedMs('server')), postgresCpuUs: perFrame(cpu.usedMs('postgres')) };
  }
}

function durationOf(job: Job): number {
  return 'durationMs' in job ? job.durationMs : 0;
}

const calm = () => new Promise((resolve) => setTimeout(resolve, 2_000));

interface Bare extends Pick<Target, 'pid' | 'port' | 'postgresPid' | 'drain' | 'stop'> {
  readonly wire: WireSource;
}

async function startBare(frames: WireSource, keep: boolean): Promise<Bare> {
  const child = await forkTarget('./bare-ws.ts', [JSON.stringify({ ...frames, keep })]);
  return {
    pid: child.pid,
    port: child.port,
    postgresPid: null,
    drain: () => child.tell('drain'),
    stop: () => child.stop(),
    wire: { file: new URL('./bare-wire.ts', import.meta.url).href, data: null },
  };
}

/** Medians of the runs of one side. */
export function medianOf(samples: readonly Sample[], value: (sample: Sample) => number): number {
  return median(samples.map(value));
}
