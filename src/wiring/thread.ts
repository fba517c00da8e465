/**
 * The thread of a process that answers requests and works in the background too: relay, projector and delivery run beside
 * the requests, so that these have an event loop of their own. It is another process's wiring in all but its address: it
 * reads the log and writes through commands of its own. What passes between the two: how far the rows are, who waits for
 * them, where the API listens, figures, and the end.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { Config } from '../platform/config.ts';
import { GroupPositions } from '../readside/index.ts';
import type { Sandbox } from '../sandbox/index.ts';
import type { Projected } from './core.ts';
import type { Role } from './roles.ts';
import type { Storage } from './storage.ts';

/** Where the emulations of the providers are. */
export type SandboxUrls = Pick<
  Sandbox,
  'whatsappUrl' | 'telegramUrl' | 'twilioUrl' | 'mailgunUrl' | 'sendgridUrl' | 'postmarkUrl' | 'sesUrl' | 'smtp'
>;

/** The addresses alone, as plain data. */
export function sandboxUrls(sandbox: Sandbox): SandboxUrls {
  const { whatsappUrl, telegramUrl, twilioUrl, mailgunUrl, sendgridUrl, postmarkUrl, sesUrl, smtp } = sandbox;
  return { whatsappUrl, telegramUrl, twilioUrl, mailgunUrl, sendgridUrl, postmarkUrl, sesUrl, smtp };
}

/** What the thread is started with: plain data. */
export interface ThreadData {
  readonly config: Config;
  readonly storage: Omit<Storage, 'close'>;
  readonly roles: ReadonlySet<Role>;
  readonly sandbox: SandboxUrls | null;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** With the way to the log of the thread that serves requests. */
export type ThreadStart = ThreadData & { readonly peer: MessagePort };

/** What the thread is told. */
export type ToThread =
  /** The API listens; the outside reaches it here. */
  | { readonly listening: string }
  /** Whether anybody waits for rows. */
  | { readonly watched: boolean }
  | { readonly figures: number }
  | { readonly stop: true };

/** What the thread tells. */
export type FromThread =
  /** Everything runs; today's queries can read every projection. */
  | { readonly ready: true }
  /** The rows are so far. */
  | { readonly reached: bigint; readonly rebuilding: boolean }
  | { readonly figures: number; readonly text: string }
  | { readonly failed: unknown }
  | { readonly stopped: true };

/** The running thread, as the rest of the process sees it. */
export interface BackgroundThread {
  readonly projected: Projected;
  /** The way to its log. */
  readonly peer: MessagePort;
  /** Rejects when a part of it cannot go on, or it ended by itself. */
  readonly done: Promise<void>;
  /** Nothing that names the API's address leaves before. */
  listening(baseUrl: string): void;
  /** Its figures, as Prometheus reads them. Empty when it has ended. */
  figures(): Promise<string>;
  /** Lets it finish what is under way. */
  stop(): Promise<void>;
}

/** Starts it. What goes wrong at its start rejects `projected.ready` and `done`. */
export function startThread(data: ThreadData): BackgroundThread {
  const { port1: peer, port2 } = new MessageChannel();
  const workerData: ThreadStart = { ...data, peer: port2 };
  const worker = new Worker(new URL('./thread-main.ts', import.meta.url), { workerData, transferList: [port2] });
  const tell = (message: ToThread) => worker.postMessage(message);
  const positions = new GroupPositions();
  positions.set([0n]);
  const ready = Promise.withResolvers<void>();
  const done = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  ready.promise.catch(() => {});
  done.promise.catch(() => {});
  const asked = new Map<number, (text: string) => void>();
  let questions = 0;
  let rebuilding = false;
  let isOver = false;
  const over = (error: unknown) => {
    isOver = true;
    ready.reject(error);
    done.reject(error);
    for (const answer of asked.values()) answer('');
    asked.clear();
  };
  worker.on('message', (message: FromThread) => {
    if ('reached' in message) {
      rebuilding = message.rebuilding;
      // The rows may hold less than they did: a crash of the database took something back.
      positions.set([message.reached]);
    } else if ('ready' in message) ready.resolve();
    else if ('figures' in message) {
      asked.get(message.figures)?.(message.text);
      asked.delete(message.figures);
    } else if ('failed' in message) over(message.failed);
    else ended.resolve();
  });
  worker.on('error', over);
  worker.on('exit', () => {
    over(new Error('the thread in the background ended'));
    ended.resolve();
  });
  let watchers = 0;
  return {
    projected: {
      ready: ready.promise,
      done: done.promise,
      reached: () => positions.smallest,
      rebuilding: () => rebuilding,
      watch(onReached) {
        const unwatch = positions.watch(onReached);
        if (watchers++ === 0) tell({ watched: true });
        return () => {
          unwatch();
          if (--watchers === 0) tell({ watched: false });
        };
      },
    },
    peer,
    done: done.promise,
    listening: (baseUrl) => tell({ listening: baseUrl }),
    figures() {
      if (isOver) return Promise.resolve('');
      return new Promise((resolve) => {
        const question = ++questions;
        asked.set(question, resolve);
        tell({ figures: question });
      });
    },
    async stop() {
      if (!isOver) tell({ stop: true });
      await ended.promise;
      await worker.terminate();
    },
  };
}
