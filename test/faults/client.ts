/** The API as the load uses it: every request ends in time, and its outcome is known, unknown, or unexpected. */
import { Pool } from 'undici';
import type { Answer } from './ledger.ts';

const connections = 64;
const requestTimeoutMs = 15_000;

/** What a request carries. `json` becomes its body; `text` is one already. */
export interface Call {
  readonly method: 'POST' | 'PUT' | 'GET';
  readonly path: string;
  readonly credential: string | null;
  readonly json?: unknown;
  readonly text?: string;
  readonly contentType?: string;
  readonly idempotencyKey?: string;
}

/** A whole answer. */
export interface Reply {
  readonly status: number;
  readonly text: string;
}

/** Calls one server, through its ends and starts. */
export class Client {
  readonly #pool: Pool;

  constructor(base: string) {
    this.#pool = new Pool(base, {
      connections,
      headersTimeout: requestTimeoutMs,
      bodyTimeout: requestTimeoutMs,
      connect: { timeout: 2_000 },
    });
  }

  /** The whole answer; rejects when there is none. */
  async call({ method, path, credential, json, text, contentType, idempotencyKey }: Call): Promise<Reply> {
    const body = json === undefined ? (text ?? null) : JSON.stringify(json);
    const { statusCode, body: answer } = await this.#pool.request({
      method,
      path,
      body,
      headers: {
        ...(credential !== null && { authorization: `Bearer ${credential}` }),
        ...(body !== null && { 'content-type': contentType ?? 'application/json' }),
        ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
      },
    });
    return { status: statusCode, text: await answer.text() };
  }

  /** As `call`; null when there is no whole answer. */
  async tryCall(call: Call): Promise<Reply | null> {
    return this.call(call).catch(() => null);
  }

  /** For preparations, which must succeed. */
  async must<T>(call: Call): Promise<T> {
    const { status, text } = await this.call(call);
    if (status < 200 || status > 299) throw new Error(`${call.method} ${call.path} was answered ${status}: ${text}`);
    return JSON.parse(text) as T;
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

/** What an answer to a command means. `idField` is where its body has the id of what was made. */
export function judge(reply: Reply | null, idField: string): Answer {
  if (reply === null || reply.status === 503) return { outcome: 'unknown' };
  const { status, text } = reply;
  if (status < 200 || status > 299) return { outcome: 'unexpected', text: `${status} ${text.slice(0, 300)}` };
  try {
    const body: unknown = JSON.parse(text);
    const id: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, idField) : undefined;
    if (typeof id === 'string') return { outcome: 'acknowledged', id };
  } catch {
    // Told below.
  }
  return { outcome: 'unexpected', text: `${status} without ${idField}: ${text.slice(0, 300)}` };
}
