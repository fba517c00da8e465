/** A way to a server that can be cut or held up: for what a log does while its storage is away. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Test } from 'tap';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Passes bytes on, until told otherwise. */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #way: 'open' | 'cut' | 'held' = 'open';
  address: Address = { host: '127.0.0.1', port: 0 };
  /** Connections that were made so far. */
  taken = 0;

  constructor(target: Address) {
    this.#server = createServer((near) => {
      this.taken++;
      if (this.#way === 'cut') {
        near.resetAndDestroy();
        return;
      }
      const far = connect(target.port, target.host);
      const pair = [near, far] as const;
      this.#pairs.add(pair);
      for (const [from, to] of [pair, pair.toReversed() as [Socket, Socket]]) {
        from.on('data', (chunk) => to.write(chunk));
        from.on('end', () => to.end());
        from.on('error', () => to.destroy());
        from.on('close', () => this.#pairs.delete(pair));
        if (this.#way === 'held') from.pause();
      }
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, this.address.host);
    await once(this.#server, 'listening');
    this.address = { ...this.address, port: (this.#server.address() as AddressInfo).port };
  }

  /** Every connection breaks, and new ones too. */
  cut(): void {
    this.#way = 'cut';
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** Nothing arrives any more, and nobody is told. */
  hold(): void {
    this.#way = 'held';
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  /** All is well; what was held up arrives now. */
  restore(): void {
    this.#way = 'open';
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Starts a proxy that ends with `t`. */
export async function startProxy(t: Test, target: Address): Promise<TcpProxy> {
  const proxy = new TcpProxy(target);
  await proxy.listen();
  t.teardown(() => proxy.close());
  return proxy;
}
