import { type Dispatcher, Pool } from 'undici';
import type { HttpCall, HttpOutcome } from '../../platform/http-client.ts';
import type { OutboundGuard } from '../../platform/outbound-guard.ts';

const MAX_RESPONSE_BYTES = 64 * 1024;

/**
 * One call to an address that a tenant named, over a connection of its own that the guard made and that ends with the call:
 * tenants are many, and none of them keeps sockets open here. Never throws; redirects are not followed; of a body no more
 * than 64 KiB is read; texts are fixed ones.
 */
export async function guardedCall(
  guard: Pick<OutboundGuard, 'connector'>,
  baseUrl: string,
  call: HttpCall,
): Promise<HttpOutcome> {
  const base = URL.parse(baseUrl);
  if (base === null || !/^https?:$/.test(base.protocol)) {
    return { kind: 'failure', reason: 'unsendable', message: 'the address is not an http(s) address' };
  }
  const pool = new Pool(base.origin, {
    connect: guard.connector(),
    connections: 1,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const timeout = AbortSignal.timeout(call.timeoutMs);
  try {
    return await answerOf(pool, {
      method: call.method,
      path: base.pathname.replace(/\/$/, '') + call.path,
      headers: call.headers ?? {},
      body: call.body ?? null,
      signal: timeout,
    });
  } catch (error) {
    if (timeout.aborted) {
      return { kind: 'failure', reason: 'timeout', message: `no answer within ${call.timeoutMs} ms` };
    }
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'UND_ERR_INVALID_ARG' || code === 'ERR_INVALID_CHAR' || code === 'TARGET_NOT_ALLOWED') {
      return { kind: 'failure', reason: 'unsendable', message: 'the address is not one that may be called' };
    }
    return { kind: 'failure', reason: 'network', message: 'the address could not be reached' };
  } finally {
    await pool.destroy();
  }
}

async function answerOf(pool: Pool, options: Dispatcher.RequestOptions): Promise<HttpOutcome> {
  const response = await pool.request(options);
  const chunks: Buffer[] = [];
  let bytes = 0;
  let cut = false;
  for await (const chunk of response.body) {
    const piece = Buffer.from(chunk as Uint8Array);
    const room = MAX_RESPONSE_BYTES - bytes;
    chunks.push(piece.subarray(0, room));
    bytes += Math.min(room, piece.length);
    if (piece.length > room) {
      cut = true;
      break;
    }
  }
  return {
    kind: 'answer',
    status: response.statusCode,
    headers: response.headers,
    body: Buffer.concat(chunks),
    cut,
  };
}
