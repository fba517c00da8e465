import type { IncomingMessage, ServerResponse } from 'node:http';

/** An answer of the sandbox. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly type: 'application/json' | 'text/html; charset=utf-8';
  readonly body: string;
}

export function json(status: number, value: unknown, headers?: Readonly<Record<string, string>>): Reply {
  const body = JSON.stringify(value);
  return headers === undefined
    ? { status, type: 'application/json', body }
    : { status, type: 'application/json', body, headers };
}

export function answer(response: ServerResponse, reply: Reply): void {
  if (response.destroyed || response.headersSent) return;
  const body = Buffer.from(reply.body, 'utf8');
  response.writeHead(reply.status, {
    'content-type': reply.type,
    'content-length': body.length,
    ...reply.headers,
  });
  response.end(body);
}

/** The whole body as text; null when it is longer than `maxBytes` or the sender went away. */
export function bodyOf(request: IncomingMessage, maxBytes: number): Promise<string | null> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
    });
    request.on('end', () => {
      if (bytes > maxBytes) resolve(null);
      else resolve(chunks.length === 1 ? chunks[0]!.toString('utf8') : Buffer.concat(chunks).toString('utf8'));
    });
    request.on('error', () => resolve(null));
    request.on('close', () => resolve(null));
  });
}

/** The JSON in `text` when it is an object. */
export function jsonObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** User and password of HTTP Basic; empty texts where there are none. */
export function basicOf(authorization: string | undefined): [user: string, password: string] {
  const encoded = /^Basic (.*)$/.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return ['', ''];
  const pair = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon < 0 ? [pair, ''] : [pair.slice(0, colon), pair.slice(colon + 1)];
}
