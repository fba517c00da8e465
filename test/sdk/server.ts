/** A real HTTP server that answers sends from a script and remembers what it was asked. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** When it arrived, and when its answer was handed over: epoch milliseconds. */
  readonly arrivedAtMs: number;
  readonly answeredAtMs: number;
}

/** `drop` closes the connection without an answer; `cut` ends it in the middle of the body. A string body is sent as it is. */
export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly failure?: 'drop' | 'cut';
}

export interface ScriptedServer {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  readonly port: number;
  /** All requests but preflights, in the order of their arrival. */
  readonly requests: Request[];
  readonly preflights: Request[];
}

export const accepted: Answer = { status: 202, body: { messageId: 'msg_abc123def456', status: 'queued' } };

const corsHeaders = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Methods': 'GET, POST, PUT, DELETE, OPTIONS',
  'Access-Control-Allow-Headers': 'Content-Type, Authorization, Idempotency-Key',
  'Access-Control-Expose-Headers': 'Retry-After',
};

/** Starts a server that gives `answers` in turn, the last one for ever; it answers preflights itself. Closed at the test's end. */
export async function startServer(t: Test, answers: readonly Answer[]): Promise<ScriptedServer> {
  const requests: Request[] = [];
  const preflights: Request[] = [];
  const server = createServer(async (request, response) => {
    const { method = '', url: path = '', headers } = request;
    const arrivedAtMs = Date.now();
    const body = await text(request);
    const seen = { method, path, headers, body, arrivedAtMs, answeredAtMs: Date.now() };
    if (method === 'OPTIONS') {
      preflights.push(seen);
      response.writeHead(204, corsHeaders).end();
      return;
    }
    const answer = answers[Math.min(requests.length, answers.length - 1)] ?? accepted;
    requests.push(seen);
    give(response, answer);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, port, requests, preflights };
}

function give(response: ServerResponse, { status = 200, headers = {}, body, failure }: Answer): void {
  if (failure === 'drop') {
    response.destroy();
    return;
  }
  const content = typeof body === 'string' ? body : JSON.stringify(body ?? {});
  response.writeHead(status, { 'Content-Type': 'application/json', ...corsHeaders, ...headers });
  if (failure === 'cut') response.write(content, () => response.destroy());
  else response.end(content);
}
