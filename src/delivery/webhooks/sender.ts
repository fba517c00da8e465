import { Agent, type Dispatcher } from 'undici';
import type { OutboundGuard } from '../../platform/outbound-guard.ts';
import { type Bounded, Deadlines } from './deadlines.ts';

/** One request. */
export interface WebhookPost {
  readonly origin: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** How a request ended. */
export interface WebhookAnswer {
  /** Null when there was no answer. */
  readonly status: number | null;
  /** A code, null for a 2xx: `HTTP_<status>`, `TIMEOUT`, `TARGET_NOT_ALLOWED`, `CLOSED` (by us), or the network's. */
  readonly error: string | null;
}

/** What the sender needs. */
export interface SenderOptions {
  readonly guard: Pick<OutboundGuard, 'connector'>;
  readonly attemptTimeoutMs: number;
}

/** Of the head of an answer. */
const maxHeaderBytes = 16 * 1024;
/** Of the body of an answer, which is not looked at: read so far, the connection can be used again. */
const maxBodyBytes = 64 * 1024;
/** For the body, from the head on. */
const bodyTimeoutMs = 5_000;

/**
 * Posts over kept-alive connections, each request on a connection of its own: who calls bounds their number. Redirects are
 * not followed. What the receiver answers is bounded in time and in size, and none of it is kept but the status.
 */
export class WebhookSender {
  readonly #agent: Agent;
  readonly #bounds: Bounds;

  constructor({ guard, attemptTimeoutMs }: SenderOptions) {
    this.#bounds = { heads: new Deadlines(attemptTimeoutMs), bodies: new Deadlines(bodyTimeoutMs), ended: new Ended() };
    this.#agent = new Agent({
      connect: guard.connector(),
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: maxHeaderBytes,
      // One timer for all of an attempt; undici's are per phase, and coarse.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** Never rejects. */
  post({ origin, path, headers, body }: WebhookPost): Promise<WebhookAnswer> {
    return new Promise((resolve) => {
      const attempt = new Attempt(this.#bounds, resolve);
      try {
        this.#agent.dispatch({ origin, path, method: 'POST', headers, body }, attempt);
      } catch (error) {
        attempt.onResponseError(null, error);
      }
    });
  }

  /** Ends all connections; what is under way ends as `CLOSED`. */
  async close(): Promise<void> {
    await this.#agent.destroy();
    this.#bounds.heads.close();
    this.#bounds.bodies.close();
  }
}

/** What the attempts of a sender share. */
interface Bounds {
  readonly heads: Deadlines;
  readonly bodies: Deadlines;
  readonly ended: Ended;
}

/**
 * Attempts whose answers have ended. The library frees their connections at the end of this turn of the event loop: what
 * follows before would have others made.
 */
class Ended {
  #attempts: Attempt[] = [];

  add(attempt: Attempt): void {
    if (this.#attempts.push(attempt) > 1) return;
    setImmediate(() => {
      const attempts = this.#attempts;
      this.#attempts = [];
      setImmediate(() => {
        for (const each of attempts) each.settle();
      });
    });
  }
}

class Attempt implements Dispatcher.DispatchHandler, Bounded {
  readonly #bounds: Bounds;
  #resolve: ((answer: WebhookAnswer) => void) | null;
  #controller: Dispatcher.DispatchController | null = null;
  #status: number | null = null;
  #bodyBytes = 0;

  constructor(bounds: Bounds, resolve: (answer: WebhookAnswer) => void) {
    this.#bounds = bounds;
    this.#resolve = resolve;
    bounds.heads.begin(this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#resolve === null) controller.abort(new Error('late'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    // 1xx is no answer yet.
    if (status < 200 || this.#resolve === null) return;
    this.#status = status;
    this.#bounds.heads.end(this);
    this.#bounds.bodies.begin(this);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes <= maxBodyBytes) return;
    this.settle();
    controller.abort(new Error('body too long'));
  }

  onResponseEnd(): void {
    this.#bounds.bodies.end(this);
    this.#bounds.ended.add(this);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: unknown): void {
    this.settle(codeOf(error));
  }

  onLate(): void {
    this.settle('TIMEOUT');
    this.#controller?.abort(new Error('late'));
  }

  /** The status decides, once it is known. */
  settle(error = 'NETWORK'): void {
    const resolve = this.#resolve;
    if (resolve === null) return;
    this.#resolve = null;
    this.#bounds.heads.end(this);
    this.#bounds.bodies.end(this);
    const status = this.#status;
    if (status === null) resolve({ status, error });
    else resolve({ status, error: status <= 299 ? null : `HTTP_${status}` });
  }
}

/** The library's own texts are not passed on: some quote what was sent. */
function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED') return 'CLOSED';
  return /^[A-Z][A-Z0-9_]{2,60}$/.test(code) ? code : 'NETWORK';
}
