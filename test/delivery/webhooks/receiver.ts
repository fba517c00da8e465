/** A real receiver of webhooks: keeps what it gets and answers as it is told. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Test } from 'tap';

export interface Got {
  readonly path: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly raw: string;
  /** The body, as the sheet has it. */
  readonly body: {
    readonly id: string;
    readonly event: string;
    readonly created_at: string;
    readonly data: { readonly message: number; readonly text: string };
    readonly meta: {
      readonly client_id: string;
      readonly webhook_id: string;
      readonly delivery_id: string;
      readonly attempt: number;
      readonly position: string;
    };
  };
  readonly at: number;
}

/** Answers a request; a number is a status. */
export type Answer = (got: Got, response: ServerResponse) => number | undefined;

export class Receiver {
  readonly got: Got[] = [];
  answer: Answer = () => 200;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #waiting: { readonly wanted: () => boolean; readonly resolve: () => void }[] = [];

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('error', () => {});
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const raw = Buffer.concat(chunks).toString();
        const { url: path = '', method = '', headers } = request;
        const got: Got = { path, method, headers, raw, body: JSON.parse(raw), at: Date.now() };
        this.got.push(got);
        const status = this.answer(got, response);
        if (status !== undefined) response.writeHead(status).end('ok');
        this.#waiting = this.#waiting.filter(({ wanted, resolve }) => {
          if (!wanted()) return true;
          resolve();
          return false;
        });
      });
    });
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook?a=1`;
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Messages that arrived, by number, in order. */
  get messages(): number[] {
    return this.got.map(({ body }) => body.data.message);
  }

  async until(wanted: () => boolean): Promise<void> {
    if (wanted()) return;
    await new Promise<void>((resolve) => this.#waiting.push({ wanted, resolve }));
  }

  /** Resolves when that many requests came. */
  count(requests: number): Promise<void> {
    return this.until(() => this.got.length >= requests);
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** A receiver that ends with `t`. */
export async function receiver(t: Test, answer?: Answer): Promise<Receiver> {
  const made = new Receiver();
  if (answer) made.answer = answer;
  await made.listen();
  t.teardown(() => made.close());
  return made;
}
