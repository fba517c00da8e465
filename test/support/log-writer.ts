/**
 * A process that writes to a log. Forked by tests (`startWriter`), so that it can be killed or frozen: it opens the log that
 * its environment names, says `ready`, and does what it is told by messages.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Test } from 'tap';
import { codec } from '../../schemas/index.ts';
import { openEventStoreLog } from '../../src/log/eventstoredb.ts';
import type { Commit, Log, Outcome } from '../../src/log/log.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { forkModule } from './forked.ts';
import { type Ack, type Load, runLoad } from './log-load.ts';

/** Which log a writer process opens. Each adapter adds its own. */
export type WriterTarget =
  | { readonly adapter: 'postgres'; readonly url: string; readonly flushTimeoutMs?: number }
  | {
      readonly adapter: 'eventstoredb';
      readonly url: string;
      readonly namespace: string;
      /** A bigint's decimal digits. */
      readonly origin: string;
      readonly appendTimeoutMs?: number;
      /** The process stops itself as soon as the server has answered so many appends. */
      readonly stop?: { readonly afterAppends: number; readonly by: 'SIGKILL' | 'SIGSTOP' };
    };

const variable = 'PARLEY_TEST_LOG';

type Order = { readonly append: readonly Commit[] } | { readonly load: Load } | { readonly close: true };
type Answer = { readonly outcomes: Outcome[] } | { readonly acks: Ack[] } | { readonly closed: true };
type Request = { readonly id: number; readonly order: Order };
type Response = { readonly id: number; readonly answer: Answer } | { readonly id: number; readonly error: string };

/** The process ended before it answered. */
export class WriterGoneError extends Error {
  constructor() {
    super('the writer process is gone');
    this.name = 'WriterGoneError';
  }
}

/** A writer process, seen from the test. */
export class Writer {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  #lastId = 0;
  #gone = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (message: Response | 'ready') => {
      if (message === 'ready') return;
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if ('answer' in message) waiting?.resolve(message.answer);
      else waiting?.reject(new Error(message.error));
    });
    child.on('exit', () => {
      this.#gone = true;
      for (const { reject } of this.#waiting.values()) reject(new WriterGoneError());
      this.#waiting.clear();
    });
    // A message to a process that was just killed fails; its exit tells the waiting ones.
    child.on('error', () => {});
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** As Log.append; rejects with WriterGoneError when the process dies first. */
  async append(commits: readonly Commit[]): Promise<Outcome[]> {
    const answer = await this.#ask({ append: commits });
    if (!('outcomes' in answer)) throw new Error('an answer to another question');
    return answer.outcomes;
  }

  /** Runs a whole load in the process. */
  async run(load: Load): Promise<Ack[]> {
    const answer = await this.#ask({ load });
    if (!('acks' in answer)) throw new Error('an answer to another question');
    return answer.acks;
  }

  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    if (this.#gone) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  /** Closes the log and ends the process. */
  async close(): Promise<void> {
    if (this.#gone) return;
    const exit = once(this.#child, 'exit');
    await this.#ask({ close: true });
    await exit;
  }

  #ask(order: Order): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#gone) return reject(new WriterGoneError());
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, order });
    });
  }
}

/** Starts a writer process; it is killed when `t` ends, unless it has ended by itself. Resolves when its log is open. */
export async function startWriter(t: Test, target: WriterTarget): Promise<Writer> {
  // Nothing of the test runner's own hooks: the process is to start fast and to die at any instruction.
  const env = { PATH: process.env.PATH, [variable]: JSON.stringify(target) };
  const child = forkModule(import.meta.url, { env, execArgv: [], serialization: 'advanced' });
  const writer = new Writer(child);
  t.teardown(() => writer.kill());
  const [first] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
  if (first !== 'ready') throw new Error(`the writer process ended with ${first}`);
  return writer;
}

function open(target: WriterTarget): Promise<Log> {
  if (target.adapter === 'eventstoredb') {
    const { url, namespace, origin, appendTimeoutMs = 2_500, stop } = target;
    let answered = 0;
    const onAnswer = () => {
      if (++answered === stop?.afterAppends) process.kill(process.pid, stop.by);
    };
    return openEventStoreLog({ url, codec, namespace, origin: BigInt(origin), appendTimeoutMs, onAnswer });
  }
  const { url, flushTimeoutMs } = target;
  return openPostgresLog({ url, codec, ...(flushTimeoutMs === undefined ? {} : { flushTimeoutMs }) });
}

async function obey(log: Log, order: Order): Promise<Answer> {
  if ('append' in order) return { outcomes: await log.append(order.append) };
  if ('load' in order) return { acks: await runLoad(log, order.load) };
  await log.close();
  return { closed: true };
}

async function main(target: WriterTarget): Promise<void> {
  const log = await open(target);
  process.on('message', ({ id, order }: Request) => {
    obey(log, order).then(
      (answer) => process.send?.({ id, answer }, () => 'closed' in answer && process.disconnect()),
      (error: unknown) => process.send?.({ id, error: String(error) }),
    );
  });
  // The test is gone: so is the reason to live.
  process.on('disconnect', () => process.exit());
  process.send?.('ready');
}

const target = process.env[variable];
if (target !== undefined && process.send) await main(JSON.parse(target) as WriterTarget);
