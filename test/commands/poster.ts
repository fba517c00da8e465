/**
 * A process that posts to a room. Forked by tests (`startPoster`), so that it can be frozen: it opens a node on the database
 * that its environment names, says `ready`, and does what it is told by messages.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Test } from 'tap';
import { codec } from '../../schemas/index.ts';
import { CommandDoor, IdAllocator, Idempotency, MessageCommands, RoomCommands } from '../../src/commands/index.ts';
import type { Log } from '../../src/log/log.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { forkModule } from '../support/forked.ts';

const variable = 'PARLEY_TEST_POSTER';

/** What a poster is told: to post so many texts at once, and where in the next append it stops itself. */
interface Order {
  readonly workspace: number;
  readonly account: number;
  readonly room: number;
  readonly texts: readonly string[];
  readonly freeze: 'before' | 'after' | null;
}
/** Numbers of the messages, in the order of the texts. */
type Answer = { readonly posted: number[] } | { readonly frozen: true } | { readonly failed: string };

/** Its transactions on counters end after so long: above the 2,500 ms that an append of its may take. */
export const transactionTimeoutMs = 4_000;

/** A poster, seen from the test. */
export class Poster {
  readonly #child: ChildProcess;
  #posted = Promise.withResolvers<number[]>();
  #frozen = Promise.withResolvers<void>();

  constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (answer: Answer | 'ready') => {
      if (answer === 'ready') return;
      if ('frozen' in answer) this.#frozen.resolve();
      else if ('posted' in answer) this.#posted.resolve(answer.posted);
      else this.#posted.reject(new Error(answer.failed));
    });
  }

  /** Posts all at once; answers the numbers of the messages. */
  post(order: Omit<Order, 'freeze'>): Promise<number[]> {
    return this.#order({ ...order, freeze: null });
  }

  /** Posts all at once, and stands still inside the first append. Resolves when it does. */
  async postFrozen(
    order: Omit<Order, 'freeze'>,
    freeze: 'before' | 'after',
  ): Promise<{ readonly posted: Promise<number[]>; thaw(): void }> {
    this.#frozen = Promise.withResolvers<void>();
    const posted = this.#order({ ...order, freeze });
    posted.catch(() => {});
    await this.#frozen.promise;
    return { posted, thaw: () => this.#child.kill('SIGCONT') };
  }

  #order(order: Order): Promise<number[]> {
    this.#posted = Promise.withResolvers<number[]>();
    this.#child.send(order);
    return this.#posted.promise;
  }
}

/** Starts a poster; it ends with the test. */
export async function startPoster(t: Test, url: string): Promise<Poster> {
  const child = forkModule(import.meta.url, { env: { ...process.env, [variable]: url } });
  t.teardown(() => {
    child.kill('SIGKILL');
  });
  const poster = new Poster(child);
  await once(child, 'message');
  return poster;
}

/** The process itself. */
async function run(url: string): Promise<void> {
  const real = await openPostgresLog({ url, codec, flushTimeoutMs: 2_000 });
  let freeze: Order['freeze'] = null;
  const stand = async (at: Order['freeze']) => {
    if (freeze !== at) return;
    freeze = null;
    await new Promise((sent) => process.send?.({ frozen: true } satisfies Answer, sent));
    process.kill(process.pid, 'SIGSTOP');
  };
  const log: Log = {
    append: async (commits) => {
      await stand('before');
      const outcomes = await real.append(commits);
      await stand('after');
      return outcomes;
    },
    read: (stream, from) => real.read(stream, from),
    holder: (name, at) => real.holder(name, at),
    tail: (from, signal) => real.tail(from, signal),
    page: (from, max) => real.page(from, max),
    head: () => real.head(),
    count: (from, to, most) => real.count(from, to, most),
    erase: (streams) => real.erase(streams),
    close: () => real.close(),
  };
  const clock = systemClock;
  const door = new CommandDoor({ log, clock });
  await door.start();
  const pool = openPool({ url, name: 'poster', maxConnections: 4 });
  const ids = new IdAllocator(pool, async () => 0, { transactionTimeoutMs });
  const nameKey = Buffer.alloc(32, 1);
  const idempotency = new Idempotency({ door, nameKey });
  const rooms = new RoomCommands({ door, ids, idempotency, nameKey });
  const messages = new MessageCommands({ door, ids, rooms, idempotency });
  process.on('message', (order: Order) => {
    freeze = order.freeze;
    const { workspace, account, room, texts } = order;
    Promise.all(
      texts.map((text) => messages.post({ workspace, account }, { room, body: { kind: 'text', text } })),
    ).then(
      (all) => process.send?.({ posted: all.map(({ message }) => message) } satisfies Answer),
      (error: Error) => process.send?.({ failed: error.message } satisfies Answer),
    );
  });
  process.on('disconnect', () => process.exit());
  process.send?.('ready');
}

const url = process.env[variable];
if (url !== undefined) await run(url);
