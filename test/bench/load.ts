/**
 * The load generator's process: HTTP/1.1 over raw sockets, requests built beforehand, so that it stays lighter than what
 * it measures. Forked by `load-control.ts`; takes `LoadJob`s as messages, one at a time.
 *
 * Any answer but 2xx, a cut connection, or an item of a batch that was not accepted, ends the job as failed.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { keyMark, type LoadJob, type LoadMessage, type LoadResult } from './load-job.ts';
import { Histogram } from './stats.ts';

const headEnd = Buffer.from('\r\n\r\n');
const lengthHeader = Buffer.from('content-length:');
const maxSampleCharacters = 600;
/** The last requests under way are waited for this long. */
const drainTimeoutMs = 20_000;
const hexDigits = Buffer.from('0123456789abcdef');
/** Digits at the end of a key that count; those before them are the job's own. */
const countedDigits = 8;

/** One keep-alive connection and its request. */
class Connection {
  readonly #run: Run;
  readonly #request: Buffer;
  readonly #keyEnds: readonly number[];
  #socket: Socket | undefined;
  #begun: Buffer | null = null;
  #sentAt = 0;

  constructor(run: Run, request: Buffer, keyEnds: readonly number[]) {
    this.#run = run;
    this.#request = request;
    this.#keyEnds = keyEnds;
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({
        host: '127.0.0.1',
        port: this.#run.job.port,
        noDelay: true,
        // One buffer for all: what was read is looked at before the next read.
        onread: { buffer: this.#run.readBuffer, callback: (bytes, buffer) => this.#read(buffer as Buffer, bytes) },
      });
      this.#socket = socket;
      socket.once('connect', resolve);
      socket.once('error', reject);
      socket.on('error', (error) => this.#run.fail(`connection: ${error.message}`));
      socket.on('close', () => this.#run.cut());
    });
  }

  send(): void {
    for (const end of this.#keyEnds) this.#run.writeKey(this.#request, end);
    this.#sentAt = performance.now();
    this.#socket?.write(this.#request);
  }

  close(): void {
    this.#socket?.destroy();
  }

  #read(buffer: Buffer, bytes: number): boolean {
    const chunk = buffer.subarray(0, bytes);
    const answer = this.#begun === null ? chunk : Buffer.concat([this.#begun, chunk]);
    const end = answerEnd(answer);
    if (end === 0) {
      this.#begun = this.#begun === null ? Buffer.from(chunk) : answer;
      return true;
    }
    this.#begun = null;
    this.#run.answered(this, answer, end, performance.now() - this.#sentAt);
    return true;
  }
}

/** Where the answer ends; 0 while it is not complete; -1 for one whose length is not told. */
function answerEnd(answer: Buffer): number {
  const head = answer.indexOf(headEnd);
  if (head < 0) return 0;
  const at = headerAt(answer, head);
  if (at < 0) return -1;
  let length = 0;
  for (let i = at; i < head; i++) {
    const digit = (answer[i] as number) - 48;
    if (digit >= 0 && digit <= 9) length = length * 10 + digit;
    else if (digit !== -16) break;
  }
  const end = head + 4 + length;
  return answer.length >= end ? end : 0;
}

/** Behind the name of the length's header. */
function headerAt(answer: Buffer, head: number): number {
  const found = answer.indexOf(lengthHeader);
  if (found >= 0 && found < head) return found + lengthHeader.length;
  const text = answer.toString('latin1', 0, head).toLowerCase();
  const at = text.indexOf('content-length:');
  return at < 0 ? -1 : at + lengthHeader.length;
}

/** One job. */
class Run {
  readonly job: LoadJob;
  readonly readBuffer = Buffer.allocUnsafe(256 * 1024);
  readonly #histogram = new Histogram();
  readonly #connections: Connection[];
  readonly #failed: Promise<never>;
  #reject: (error: Error) => void = () => {};
  #key = 0;
  #sent = 0;
  #underWay = 0;
  #answered = 0;
  #open = false;
  #sending = true;
  #finished: (() => void) | undefined;

  constructor(job: LoadJob) {
    this.job = job;
    const prefix = randomBytes(18).toString('hex');
    this.#connections = Array.from({ length: job.connections }, (_, number) => {
      const { request, keyEnds } = buildRequest(job, number, prefix);
      return new Connection(this, request, keyEnds);
    });
    this.#failed = new Promise((_, reject) => {
      this.#reject = reject;
    });
    this.#failed.catch(() => {});
  }

  async run(): Promise<LoadResult> {
    await Promise.all(this.#connections.map((each) => each.open()));
    this.#open = true;
    try {
      return await Promise.race([this.#measure(), this.#failed]);
    } finally {
      this.#open = false;
      this.#sending = false;
      for (const each of this.#connections) each.close();
    }
  }

  async #measure(): Promise<LoadResult> {
    const { end } = this.job;
    const done = new Promise<void>((resolve) => {
      this.#finished = resolve;
    });
    if ('durationMs' in end) {
      for (const each of this.#connections) this.#next(each);
      await sleep(end.warmupMs);
      this.#histogram.reset();
    }
    tell({ kind: 'window-begins' });
    const cpuBefore = process.cpuUsage();
    const startedAt = performance.now();
    if ('requests' in end) {
      for (const each of this.#connections) this.#next(each);
      await done;
    } else {
      await sleep(end.durationMs);
    }
    const durationMs = performance.now() - startedAt;
    const cpu = process.cpuUsage(cpuBefore);
    tell({ kind: 'window-ends' });
    const requests = this.#histogram.total;
    const figures = {
      p50Ms: this.#histogram.quantile(0.5) / 1_000,
      p99Ms: this.#histogram.quantile(0.99) / 1_000,
      maxMs: this.#histogram.quantile(1) / 1_000,
    };
    this.#sending = false;
    if ('durationMs' in end && this.#underWay > 0) {
      const late = setTimeout(() => this.fail('requests were not answered'), drainTimeoutMs);
      await done;
      clearTimeout(late);
    }
    return {
      requests,
      durationMs,
      perSecond: (requests / durationMs) * 1_000,
      ...figures,
      ownCpuShare: (cpu.user + cpu.system) / 1_000 / durationMs,
      answered: this.#answered,
    };
  }

  answered(connection: Connection, answer: Buffer, end: number, durationMs: number): void {
    const problem = this.#problem(answer, end);
    if (problem !== null) {
      this.fail(problem);
      return;
    }
    this.#histogram.record(durationMs * 1_000);
    this.#answered++;
    this.#underWay--;
    if (this.#sending) this.#next(connection);
    if (this.#underWay === 0) this.#finished?.();
  }

  /** Null for an answer that is as it should be. */
  #problem(answer: Buffer, end: number): string | null {
    // "HTTP/1.1 2": the digits of the status stand at 9.
    if (end < 0 || answer[9] !== 50) return sample(answer);
    return this.job.itemsPerRequest === undefined ? null : batchProblem(answer, end, this.job.itemsPerRequest);
  }

  #next(connection: Connection): void {
    const { end } = this.job;
    if ('requests' in end) {
      if (this.#sent === end.requests) return;
      this.#sent++;
    }
    this.#underWay++;
    connection.send();
  }

  /** Puts the next key into the place that ends at `end`. */
  writeKey(request: Buffer, end: number): void {
    let count = this.#key++;
    if (this.job.repeatKeysAfter !== undefined) count %= this.job.repeatKeysAfter;
    for (let i = 1; i <= countedDigits; i++) {
      request[end - i] = hexDigits[count & 15] as number;
      count >>>= 4;
    }
  }

  cut(): void {
    if (this.#open) this.fail('the server closed a connection');
  }

  fail(message: string): void {
    this.#reject(new Error(message));
  }
}

function buildRequest(job: LoadJob, number: number, prefix: string): { request: Buffer; keyEnds: number[] } {
  const body = job.bodies[number % job.bodies.length] ?? '';
  const lines = [
    `${job.target} HTTP/1.1`,
    `Host: 127.0.0.1:${job.port}`,
    ...Object.entries(job.headers).map(([name, value]) => `${name}: ${value}`),
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ];
  const text = lines.join('\r\n');
  const hex = prefix.slice(0, 32 - countedDigits) + '0'.repeat(countedDigits);
  const key = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  const request = Buffer.from(text.replaceAll(keyMark, key));
  const keyEnds: number[] = [];
  const wanted = Buffer.from(key);
  for (let at = request.indexOf(wanted); at >= 0; at = request.indexOf(wanted, at + 1)) {
    keyEnds.push(at + wanted.length);
  }
  return { request, keyEnds };
}

function batchProblem(answer: Buffer, end: number, items: number): string | null {
  const body = answer.toString('utf8', answer.indexOf(headEnd) + 4, end);
  const results = JSON.parse(body) as { status?: unknown }[];
  if (!Array.isArray(results) || results.length !== items) return `a batch was answered with ${clip(body)}`;
  const refused = results.find((each) => each.status !== 202);
  return refused === undefined ? null : `an item of a batch was answered with ${clip(JSON.stringify(refused))}`;
}

function sample(answer: Buffer): string {
  return `a request was answered with ${clip(answer.toString('utf8'))}`;
}

function clip(text: string): string {
  return text.length > maxSampleCharacters ? `${text.slice(0, maxSampleCharacters)}...` : text;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function tell(message: LoadMessage): void {
  process.send?.(message);
}

process.on('message', (job: LoadJob) => {
  new Run(job).run().then(
    (result) => tell({ kind: 'result', result }),
    (error: unknown) => tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
