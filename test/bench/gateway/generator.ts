/** The generator's process: sockets, posts and the counting of frames. Forked by `generator-control.ts`; one job at a time. */
import { Histogram } from '../stats.ts';
import type { Job, JobMessage, JobResult } from './job.ts';
import { type FrameListener, Poster, RawSocket } from './raw-socket.ts';
import { roomOf, type Wire } from './target.ts';

/** Before a text's number; the number has `digits` digits. */
const mark = Buffer.from('@@');
const digits = 8;
/** Sockets opened at one time. */
const openAtATime = 64;
const posters = 32;
const settleMs = 500;
const lateMs = 20_000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function textOf(nth: number, characters: number): string {
  return `@@${String(nth).padStart(digits, '0')}`.padEnd(characters, 'x');
}

/** The number in a frame's text; -1 for frames that have none. */
function numberIn(buffer: Buffer, start: number, end: number): number {
  const at = buffer.indexOf(mark, start);
  if (at < 0 || at + 2 + digits > end) return -1;
  let number = 0;
  for (let i = at + 2; i < at + 2 + digits; i++) number = number * 10 + (buffer[i] as number) - 48;
  return number;
}

/** What all jobs share: their sockets, the counts, the connections that post. */
class Run implements FrameListener {
  readonly job: Job;
  readonly wire: Wire;
  readonly sockets: RawSocket[];
  readonly histogram = new Histogram();
  readonly #free: Poster[] = [];
  readonly #posters: Poster[] = [];
  frames = 0;
  bytes = 0;
  posts = 0;
  answered = 0;
  faults = 0;
  missed = 0;
  reconnects = 0;
  welcomed = 0;
  failure: string | null = null;
  /** Called for frames that are no welcome. */
  listen: (socket: RawSocket, buffer: Buffer, start: number, end: number) => void = () => {};
  closedSocket: (socket: RawSocket) => void = () => {
    this.failure ??= 'the server closed a socket';
  };

  constructor(job: Job, wire: Wire) {
    this.job = job;
    this.wire = wire;
    this.sockets = Array.from(
      { length: job.sockets },
      (_, number) => new RawSocket({ number, room: roomOf(number, job.perRoom) }, this),
    );
  }

  get rooms(): number {
    return roomOf(this.job.sockets - 1, this.job.perRoom);
  }

  onBytes(bytes: number): void {
    this.bytes += bytes;
  }

  onFrame(socket: RawSocket, buffer: Buffer, start: number, end: number): void {
    this.listen(socket, buffer, start, end);
  }

  onClosed(socket: RawSocket): void {
    this.closedSocket(socket);
  }

  /** Opens all sockets and waits for their welcomes. */
  async open(): Promise<void> {
    this.listen = (_, buffer, start, end) => {
      if (this.wire.isWelcome(buffer.toString('utf8', start, end))) this.welcomed++;
    };
    let next = 0;
    const worker = async () => {
      for (let socket = this.sockets[next++]; socket; socket = this.sockets[next++]) {
        await socket.open(this.job.port, this.wire, null);
      }
    };
    await Promise.all(Array.from({ length: openAtATime }, worker));
    const untilMs = performance.now() + lateMs;
    while (this.welcomed < this.sockets.length) {
      if (performance.now() > untilMs) throw new Error(`${this.welcomed} of ${this.sockets.length} were welcomed`);
      await pause(20);
    }
    await pause(settleMs);
    for (let i = 0; i < posters; i++) this.#posters.push(new Poster(this.job.port));
    this.#free.push(...this.#posters);
  }

  /** Posts a text to a room. False when all connections are busy. */
  post(room: number, text: string, onAnswered?: () => void): boolean {
    const poster = this.#free.pop();
    if (poster === undefined) return false;
    this.posts++;
    poster.post(this.wire.post(room, text), (problem) => {
      if (problem !== null) this.failure ??= `a post was answered with ${problem}`;
      this.answered++;
      this.#free.push(poster);
      onAnswered?.();
    });
    return true;
  }

  /** Waits until it is so. */
  async until(is: () => boolean, what: string): Promise<void> {
    const untilMs = performance.now() + lateMs;
    while (!is()) {
      if (this.failure !== null) throw new Error(this.failure);
      if (performance.now() > untilMs) {
        const { posts, answered, frames } = this;
        throw new Error(`${what} did not come to an end: ${posts} posts, ${answered} answered, ${frames} frames`);
      }
      await pause(5);
    }
  }

  close(): void {
    this.closedSocket = () => {};
    for (const socket of this.sockets) socket.close();
    for (const poster of this.#posters) poster.close();
  }
}

/** Measures a window: calls `work` to its end between two looks at the counts. */
async function windowOf(run: Run, work: () => Promise<void>): Promise<JobResult> {
  const { frames, bytes, posts } = run;
  run.histogram.reset();
  tell({ kind: 'window-begins' });
  const cpuBefore = process.cpuUsage();
  const beganMs = performance.now();
  await work();
  const durationMs = performance.now() - beganMs;
  const cpu = process.cpuUsage(cpuBefore);
  tell({ kind: 'window-ends' });
  if (run.failure !== null) throw new Error(run.failure);
  return {
    sockets: run.sockets.length,
    durationMs,
    posts: run.posts - posts,
    frames: run.frames - frames,
    bytes: run.bytes - bytes,
    framesPerSecond: ((run.frames - frames) / durationMs) * 1_000,
    p50Ms: run.histogram.quantile(0.5) / 1_000,
    p99Ms: run.histogram.quantile(0.99) / 1_000,
    maxMs: run.histogram.quantile(1) / 1_000,
    ownCpuShare: (cpu.user + cpu.system) / 1_000 / durationMs,
    reconnects: run.reconnects,
    missed: run.missed,
    faults: run.faults,
  };
}

async function fanout(run: Run, job: Job & { kind: 'fanout' }): Promise<JobResult> {
  const { sockets } = run;
  let posting = true;
  const text = textOf(0, job.textCharacters);
  // Everybody is in one room, so that a post is with everybody when so many frames have come.
  const next = () => {
    while (posting && run.posts * sockets.length - run.frames < job.window * sockets.length) {
      if (!run.post(1, text, next)) return;
    }
  };
  run.listen = () => {
    run.frames++;
    if (run.frames % sockets.length === 0) next();
  };
  next();
  await pause(job.warmupMs);
  const result = await windowOf(run, () => pause(job.durationMs).then(() => {}));
  posting = false;
  await run.until(() => run.answered === run.posts && run.frames === run.posts * sockets.length, 'the last posts');
  return result;
}

/** Posts at a rate, over all rooms in turn; each text has a number. Answers how to end it. */
function pacer(run: Run, postsPerSecond: number, onPost: (nth: number, room: number) => string): () => void {
  const beganMs = performance.now();
  let nth = 0;
  const timer = setInterval(() => {
    const due = ((performance.now() - beganMs) * postsPerSecond) / 1_000;
    while (nth < due) {
      const room = (nth % run.rooms) + 1;
      if (!run.post(room, onPost(nth, room))) return;
      nth++;
    }
  }, 1);
  return () => clearInterval(timer);
}

async function pace(run: Run, job: Job & { kind: 'pace' }): Promise<JobResult> {
  const postedAt: number[] = [];
  run.listen = (_, buffer, start, end) => {
    const nth = numberIn(buffer, start, end);
    if (nth < 0) return;
    run.frames++;
    run.histogram.record((performance.now() - (postedAt[nth] as number)) * 1_000);
  };
  const stop = pacer(run, job.postsPerSecond, (nth) => {
    postedAt[nth] = performance.now();
    return textOf(nth, job.textCharacters);
  });
  await pause(job.warmupMs);
  const result = await windowOf(run, () => pause(job.durationMs).then(() => {}));
  stop();
  await run.until(() => run.answered === run.posts && run.frames === run.posts * job.perRoom, 'the last posts');
  return result;
}

/** Numbers of a room count from 1, so that each socket sees at once what is missing. */
async function reconnect(run: Run, job: Job & { kind: 'reconnect' }): Promise<JobResult> {
  const posted = new Array<number>(run.rooms + 1).fill(0);
  const answered = new Array<number>(run.rooms + 1).fill(0);
  const { wire } = run;
  let away = 0;
  const caughtUp = (socket: RawSocket) => {
    if (socket.wanted < 0 || socket.seen < socket.wanted) return;
    run.histogram.record((performance.now() - socket.greetedAtMs) * 1_000);
    socket.wanted = -1;
    away--;
  };
  run.listen = (socket, buffer, start, end) => {
    const nth = numberIn(buffer, start, end);
    if (nth >= 0) {
      run.frames++;
      if (nth !== socket.seen + 1) run.faults++;
      socket.seen = nth;
      const position = wire.position(buffer.toString('utf8', start, end));
      socket.position = position ?? String(nth);
      caughtUp(socket);
      return;
    }
    const text = buffer.toString('utf8', start, end);
    const shutdown = wire.shutdown(text);
    if (shutdown !== null) {
      socket.reconnectAfterMs = shutdown.reconnectAfterMs;
      if (wire.position(text) !== null || socket.position === null) socket.position = shutdown.position;
    } else if (wire.isWelcome(text) && socket.wanted === Number.POSITIVE_INFINITY) {
      socket.wanted = answered[socket.spec.room] as number;
      run.missed += socket.wanted - socket.seen;
      caughtUp(socket);
    }
  };
  run.closedSocket = (socket) => {
    if (socket.reconnectAfterMs < 0) {
      run.failure ??= 'the server closed a socket without a word';
      return;
    }
    away++;
    const { reconnectAfterMs } = socket;
    socket.reconnectAfterMs = -1;
    socket.wanted = Number.POSITIVE_INFINITY;
    setTimeout(() => {
      run.reconnects++;
      socket.open(job.port, wire, socket.position).catch((error: Error) => {
        run.failure ??= `a socket could not come back: ${error.message}`;
      });
    }, reconnectAfterMs);
  };
  const order = new Map<number, number>();
  const beganMs = performance.now();
  let nth = 0;
  // One post of a room at a time, so that its numbers are in the order of the log.
  const timer = setInterval(() => {
    const due = ((performance.now() - beganMs) * job.postsPerSecond) / 1_000;
    while (nth < due) {
      const room = (nth % run.rooms) + 1;
      if (order.has(room)) return;
      const number = (posted[room] as number) + 1;
      order.set(room, number);
      posted[room] = number;
      const sent = run.post(room, textOf(number, job.textCharacters), () => {
        answered[room] = number;
        order.delete(room);
      });
      if (!sent) {
        posted[room] = number - 1;
        order.delete(room);
        return;
      }
      nth++;
    }
  }, 1);
  const result = await windowOf(run, async () => {
    await pause(job.durationMs);
    clearInterval(timer);
    const all = () => run.sockets.every(({ seen, spec }) => seen === posted[spec.room]);
    await run.until(() => away === 0 && run.answered === run.posts && all(), 'the last reconnects');
  });
  return result;
}

let current: Run | null = null;

async function work(job: Job): Promise<JobResult> {
  current?.close();
  const { wire: makeWire } = (await import(job.wire.file)) as { wire(data: unknown): Wire };
  const run = new Run(job, makeWire(job.wire.data));
  current = run;
  try {
    await run.open();
    if (job.kind === 'open') return await windowOf(run, () => pause(settleMs).then(() => {}));
    if (job.kind === 'fanout') return await fanout(run, job);
    if (job.kind === 'pace') return await pace(run, job);
    return await reconnect(run, job);
  } finally {
    if (job.kind !== 'open') run.close();
  }
}

function tell(message: JobMessage): void {
  process.send?.(message);
}

process.on('message', (job: Job | 'close') => {
  if (job === 'close') {
    current?.close();
    return;
  }
  work(job).then(
    (result) => tell({ kind: 'result', result }),
    (error: unknown) => tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
