/**
 * A small HTTP client for calls to one address: one pool of kept-alive connections, every call bounded in time and in the
 * size of what is read. No opinion on what is called or what an answer means.
 *
 * Promises: `call` never throws and never waits longer than its `timeoutMs`, which covers waiting for a connection,
 * connecting, headers and body. A failure's text is chosen here from the kind of failure: it never holds the address,
 * a header or a body. Redirects are not followed; an answer of any status is an answer.
 *
 * Limits: at most `connections` calls are on the wire, one per connection; more wait in order, on their own time, so a
 * caller keeps the number of its calls near that. Of a body no more than `maxResponseBytes` is read, the rest is cut off.
 */

import { type Dispatcher, Pool } from 'undici';

/** Where a client calls, and its bounds. */
export interface HttpClientOptions {
  /** `http:` or `https:` address; its path is put before the path of every call. */
  readonly baseUrl: string;
  /** Connections kept at most. */
  readonly connections: number;
  /** Bytes of a body that are read at most; 64 KiB unless told. */
  readonly maxResponseBytes?: number;
  /** Time for establishing a connection; 10 s unless told. The time of the call counts beside it. */
  readonly connectTimeoutMs?: number;
}

/** One request. */
export interface HttpCall {
  readonly method: 'GET' | 'POST';
  /** Appended to the base address as it is: the caller has escaped what needs it. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly timeoutMs: number;
  /**
   * Asked right before the first byte leaves, which may be long after the call: a connection is made or awaited, or the process
   * stood still. False ends the call as `withdrawn`.
   */
  readonly mayLeave?: (() => boolean) | undefined;
}

/** The other side answered, with whatever status. */
export interface HttpAnswer {
  readonly kind: 'answer';
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** True when the body was longer than is read. */
  readonly cut: boolean;
}

/** There was no whole answer. */
export interface HttpFailure {
  readonly kind: 'failure';
  /**
   * `unsendable`: the call itself is not valid HTTP (a line break in a header); `closed`: this client was closed; `withdrawn`:
   * nothing was sent, as the caller did not want it any more.
   */
  readonly reason: 'timeout' | 'network' | 'unsendable' | 'closed' | 'withdrawn';
  /** Text for people, without the address. */
  readonly message: string;
}

export type HttpOutcome = HttpAnswer | HttpFailure;

export interface HttpClient {
  call(call: HttpCall): Promise<HttpOutcome>;
  /** Ends all connections at once; calls that are on their way end as `closed`. */
  close(): Promise<void>;
}

const DEFAULT_MAX_RESPONSE_BYTES = 64 * 1024;
const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;

/**
 * Makes a client; no connection is made before the first call.
 * @throws TypeError when the base address is not a plain http(s) address (no user, query or fragment)
 */
export function httpClient(options: HttpClientOptions): HttpClient {
  const { origin, prefix } = splitBase(options.baseUrl);
  const maxResponseBytes = options.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES;
  const pool = new Pool(origin, {
    connections: Math.max(1, options.connections),
    pipelining: 1,
    // HTTP/2 would put many calls on one connection, and `connections` would no longer bound them.
    allowH2: false,
    connectTimeout: options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
    // The whole call has one timer of its own; undici's are per phase, and coarse.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return {
    call(call) {
      return new Promise<HttpOutcome>((resolve) => {
        const attempt = new Attempt(maxResponseBytes, call, resolve);
        try {
          pool.dispatch(
            {
              method: call.method,
              path: join(prefix, call.path),
              headers: call.headers ?? {},
              body: call.body ?? null,
            },
            attempt,
          );
        } catch (error) {
          attempt.onResponseError(null, error);
        }
      });
    },
    async close() {
      if (!pool.destroyed) await pool.destroy();
    },
  };
}

/** One call on its way: undici's handler and the timer, settled exactly once. */
class Attempt implements Dispatcher.DispatchHandler {
  #resolve: ((outcome: HttpOutcome) => void) | null;
  #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #headers: HttpAnswer['headers'] = {};
  #chunks: Buffer[] = [];
  #bytes = 0;
  #maxBytes: number;
  readonly #mayLeave: HttpCall['mayLeave'];

  constructor(maxBytes: number, { timeoutMs, mayLeave }: HttpCall, resolve: (outcome: HttpOutcome) => void) {
    this.#maxBytes = maxBytes;
    this.#mayLeave = mayLeave;
    this.#resolve = resolve;
    this.#timer = setTimeout(() => {
      this.#settle({ kind: 'failure', reason: 'timeout', message: `no answer within ${timeoutMs} ms` });
      this.#controller?.abort(new Error('timeout'));
    }, timeoutMs);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // Its time ran out while it waited for a connection: it must not go out now.
    if (this.#resolve === null) controller.abort(new Error('timeout'));
    else if (this.#mayLeave?.() === false) {
      this.#settle({ kind: 'failure', reason: 'withdrawn', message: 'not sent' });
      controller.abort(new Error('withdrawn'));
    }
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: HttpAnswer['headers']): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const room = this.#maxBytes - this.#bytes;
    // The parser reuses its memory after this call returns.
    this.#chunks.push(Buffer.from(chunk.subarray(0, room)));
    this.#bytes += Math.min(room, chunk.length);
    if (chunk.length <= room) return;
    this.#answer(true);
    controller.abort(new Error('body too long'));
  }

  onResponseEnd(): void {
    this.#answer(false);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: unknown): void {
    this.#settle(failureOf(error));
  }

  #answer(cut: boolean): void {
    const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#settle({ kind: 'answer', status: this.#status, headers: this.#headers, body, cut });
  }

  #settle(outcome: HttpOutcome): void {
    const resolve = this.#resolve;
    if (resolve === null) return;
    this.#resolve = null;
    clearTimeout(this.#timer);
    resolve(outcome);
  }
}

const NETWORK_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection lost',
  EPIPE: 'connection lost',
  UND_ERR_SOCKET: 'connection lost',
  ENOTFOUND: 'host not found',
  EAI_AGAIN: 'host not found',
  EHOSTUNREACH: 'host not reachable',
  ENETUNREACH: 'network not reachable',
  ETIMEDOUT: 'could not connect in time',
  UND_ERR_CONNECT_TIMEOUT: 'could not connect in time',
};

/** The library's own texts are not passed on: some quote what was sent. */
function failureOf(error: unknown): HttpFailure {
  const code = codeOf(error);
  if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED') {
    return { kind: 'failure', reason: 'closed', message: 'the client is closed' };
  }
  if (code === 'UND_ERR_INVALID_ARG' || code === 'ERR_INVALID_CHAR') {
    return { kind: 'failure', reason: 'unsendable', message: 'the request cannot be sent over HTTP' };
  }
  const known = NETWORK_TEXTS[code];
  if (known !== undefined) return { kind: 'failure', reason: 'network', message: known };
  const plain = /^[A-Z][A-Z0-9_]{2,60}$/.test(code) ? ` (${code})` : '';
  return { kind: 'failure', reason: 'network', message: `network error${plain}` };
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

function splitBase(baseUrl: string): { origin: string; prefix: string } {
  let url: URL;
  try {
    url = new URL(baseUrl);
  } catch {
    throw new TypeError('the base address is not a URL');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new TypeError('the base address is not http(s)');
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new TypeError('the base address has a user, query or fragment');
  }
  return { origin: url.origin, prefix: url.pathname };
}

/** Plain appending (Telegram's base ends in `/bot`), except that two slashes at the seam become one. */
function join(prefix: string, path: string): string {
  return path.startsWith('/') && prefix.endsWith('/') ? prefix.slice(0, -1) + path : prefix + path;
}
