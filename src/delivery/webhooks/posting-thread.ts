/**
 * A thread that posts: half of what a delivery takes is HTTP and, on the way to most receivers, TLS, and none of it is to hold
 * up what is prepared, signed and recorded beside it. What passes between the two goes in batches, as flat lists, which cost
 * a copy each.
 */
import { Worker } from 'node:worker_threads';
import { closedAnswer, type Post, type Poster, type PostTarget } from './poster.ts';
import type { WebhookAnswer } from './sender.ts';

/** What the thread is started with: plain data. */
export interface PostingThreadOptions {
  /** What the outbound guard allows beside global unicast, and the operator's proxy: see platform/outbound-guard.ts. */
  readonly allowCidrs: readonly string[];
  readonly proxy: string | null;
  readonly attemptTimeoutMs: number;
}

/** Of each post its number, the place of its target, what its proof is made of, its body and how many may be under way. */
export type PostFields = [
  number: number,
  place: number,
  id: string,
  timestamp: string,
  own: string,
  theirs: string,
  body: string,
  most: number,
];
/** Its length. */
export const postWidth = 8;
/** What the thread is told. */
export type ToPostingThread =
  | { readonly targets: readonly PostTarget[]; readonly posts: readonly (number | string)[] }
  | { readonly recall: true }
  | { readonly close: true };

/** Of each answer the number of its post, the status and the error. */
export const answerWidth = 3;
/** What the thread tells. */
export type FromPostingThread = { readonly answers: readonly (number | string | null)[] } | { readonly closed: true };

/** Posts and answers that go together at most: a message costs as much as a few of them. */
export const maxTogether = 32;

/**
 * Makes a poster whose thread begins with the first post. A thread that ends by itself ends its owner too: nobody would know what
 * became of what was under way.
 */
export function postingThread(options: PostingThreadOptions): Poster {
  return new PostingThread(options);
}

class PostingThread implements Poster {
  readonly #options: PostingThreadOptions;
  #worker: Worker | null = null;
  readonly #waiting = new Map<number, (answer: WebhookAnswer) => void>();
  readonly #targets = new Map<PostTarget, number>();
  #posts: (number | string)[] = [];
  #count = 0;
  #closing: PromiseWithResolvers<void> | null = null;

  constructor(options: PostingThreadOptions) {
    this.#options = options;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./posting-thread-main.ts', import.meta.url), { workerData: this.#options });
    worker.on('message', (message: FromPostingThread) => {
      if ('answers' in message) this.#settle(message.answers);
      else this.#closing?.resolve();
    });
    worker.on('exit', () => {
      if (!this.#closing) throw new Error('the thread that posts webhooks ended');
      this.#closing.resolve();
    });
    return worker;
  }

  post({ target, proof, body, most }: Post): Promise<WebhookAnswer> {
    if (this.#closing) return Promise.resolve(closedAnswer);
    return new Promise((resolve) => {
      const number = ++this.#count;
      this.#waiting.set(number, resolve);
      // What is begun in one turn of the event loop goes together.
      if (this.#posts.length === 0) setImmediate(() => this.#flush());
      let place = this.#targets.get(target);
      if (place === undefined) {
        place = this.#targets.size;
        this.#targets.set(target, place);
      }
      this.#posts.push(number, place, proof.id, proof.timestamp, proof.own, proof.theirs, body, most);
      if (this.#posts.length === maxTogether * postWidth) this.#flush();
    });
  }

  #flush(): void {
    if (this.#posts.length === 0) return;
    const posts = this.#posts;
    this.#posts = [];
    this.#tell({ targets: [...this.#targets.keys()], posts });
    this.#targets.clear();
  }

  recall(): void {
    this.#flush();
    if (this.#worker) this.#tell({ recall: true });
  }

  #tell(message: ToPostingThread): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(message);
  }

  #settle(answers: readonly (number | string | null)[]): void {
    for (let at = 0; at < answers.length; at += answerWidth) {
      const number = answers[at] as number;
      const resolve = this.#waiting.get(number);
      this.#waiting.delete(number);
      resolve?.({ status: answers[at + 1] as number | null, error: answers[at + 2] as string | null });
    }
  }

  async close(): Promise<void> {
    if (this.#closing) return this.#closing.promise;
    this.#closing = Promise.withResolvers();
    this.#flush();
    if (this.#worker) {
      this.#tell({ close: true });
      await this.#closing.promise;
      await this.#worker.terminate();
    } else this.#closing.resolve();
    for (const resolve of this.#waiting.values()) resolve(closedAnswer);
    this.#waiting.clear();
  }
}
