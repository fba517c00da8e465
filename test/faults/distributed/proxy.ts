/**
 * Ways of TCP that can be made bad: what stands between Parley's processes and the servers they use, and the addresses behind
 * which the API's processes and the gateways stand.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Random } from '../random.ts';

const host = '127.0.0.1';

/** What befalls a connection. `dead`: nothing arrives any more, in neither direction, and nobody is told. */
interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  dead: boolean;
  timer: NodeJS.Timeout | undefined;
}

type Way =
  | { readonly is: 'open' }
  | { readonly is: 'delayed'; readonly ms: readonly [number, number]; readonly random: Random }
  | { readonly is: 'cutting'; readonly ms: readonly [number, number]; readonly random: Random }
  | { readonly is: 'dead' };

/** A way to a server, on a port of its own. */
export class FaultProxy {
  readonly port: number;
  readonly #target: () => number;
  readonly #pairs = new Set<Pair>();
  #server: Server | null = null;
  #way: Way = { is: 'open' };

  /** @param target port of loopback that it leads to */
  constructor(port: number, target: () => number) {
    this.port = port;
    this.#target = target;
  }

  /** Takes connections, as they should be. */
  async back(): Promise<void> {
    this.open();
    if (this.#server) return;
    this.#server = createServer((near) => this.#pass(near));
    this.#server.listen(this.port, host);
    await once(this.#server, 'listening');
  }

  /** Every connection breaks, and new ones are refused, as if nobody listened. */
  async away(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    const closed = server && once(server.close(), 'close');
    for (const pair of this.#pairs) this.#break(pair);
    await closed;
  }

  /** All is well. Connections that died stay dead until one of their ends lets go. */
  open(): void {
    this.#way = { is: 'open' };
    for (const { timer } of this.#pairs) clearTimeout(timer);
  }

  /** Whatever arrives, either way, arrives so many milliseconds later, in order. */
  delay(random: Random, ms: readonly [number, number]): void {
    this.#way = { is: 'delayed', ms, random };
  }

  /** Every connection, new ones too, is reset within so many milliseconds. */
  cut(random: Random, ms: readonly [number, number]): void {
    this.#way = { is: 'cutting', ms, random };
    for (const pair of this.#pairs) this.#doom(pair);
  }

  /** Half-open: connections die without a word and stay so; new ones are taken and lead nowhere, until `open`. */
  halfOpen(): void {
    this.#way = { is: 'dead' };
    for (const pair of this.#pairs) pair.dead = true;
  }

  async close(): Promise<void> {
    await this.away();
  }

  #pass(near: Socket): void {
    const far = connect({ host, port: this.#target(), noDelay: true });
    near.setNoDelay(true);
    const pair: Pair = { near, far, dead: this.#way.is === 'dead', timer: undefined };
    this.#pairs.add(pair);
    this.#pipe(pair, near, far);
    this.#pipe(pair, far, near);
    if (this.#way.is === 'cutting') this.#doom(pair);
  }

  #pipe(pair: Pair, from: Socket, to: Socket): void {
    let last = Promise.resolve();
    from.on('data', (chunk: Buffer) => {
      if (pair.dead) return;
      const way = this.#way;
      if (way.is === 'delayed') {
        const ms = way.random.int(...way.ms);
        const due = new Promise<void>((resolve) => setTimeout(resolve, ms));
        last = Promise.all([last, due]).then(() => write());
      } else last = last.then(write);
      function write(): void {
        if (!pair.dead && to.writable) to.write(chunk);
      }
    });
    // Of a dead connection each end only knows its own: the other one is told nothing.
    from.on('end', () => void last.then(() => (pair.dead ? from.destroy() : to.end())));
    from.on('error', () => {});
    from.on('close', () => {
      if (pair.dead && !to.destroyed) return;
      this.#pairs.delete(pair);
      clearTimeout(pair.timer);
      void last.then(() => to.destroy());
    });
  }

  #doom(pair: Pair): void {
    if (this.#way.is !== 'cutting') return;
    clearTimeout(pair.timer);
    pair.timer = setTimeout(() => this.#break(pair), this.#way.random.int(...this.#way.ms));
  }

  #break(pair: Pair): void {
    this.#pairs.delete(pair);
    clearTimeout(pair.timer);
    for (const socket of [pair.near, pair.far]) {
      if (socket.connecting || socket.destroyed) socket.destroy();
      else socket.resetAndDestroy();
    }
  }
}

/** One address before several processes: connections go to each in turn, past those that refuse. */
export class Front {
  readonly port: number;
  readonly #targets: readonly number[];
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #turn = 0;

  constructor(port: number, targets: readonly number[]) {
    this.port = port;
    this.#targets = targets;
    this.#server = createServer({ pauseOnConnect: true }, (near) => this.#lead(near, this.#targets.length));
  }

  async listen(): Promise<void> {
    this.#server.listen(this.port, host);
    await once(this.#server, 'listening');
  }

  #lead(near: Socket, tries: number): void {
    near.on('error', () => {});
    if (tries === 0) {
      near.destroy();
      return;
    }
    const port = this.#targets[this.#turn++ % this.#targets.length] as number;
    const far = connect(port, host);
    const refused = () => this.#lead(near, tries - 1);
    far.once('error', refused);
    far.once('connect', () => {
      far.off('error', refused);
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.on('error', () => {});
        one.on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
