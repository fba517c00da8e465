/** A real WebSocket server that does what a test says. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';

type Frame = Readonly<Record<string, unknown>>;

/** One connection, as the server sees it. */
export class Peer {
  readonly ws: WebSocket;
  readonly frames: Frame[] = [];
  readonly closed: Promise<number>;
  #told = new EventTarget();

  constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on('message', (data) => {
      this.frames.push(JSON.parse(String(data)) as Frame);
      this.#told.dispatchEvent(new Event('frame'));
    });
    this.closed = new Promise((resolve) => ws.on('close', resolve));
  }

  /** The frame of that number, from 0, as soon as it is there. */
  async frame(nth: number): Promise<Frame> {
    for (;;) {
      const found = this.frames[nth];
      if (found) return found;
      await once(this.#told, 'frame');
    }
  }

  /** Sends a frame. */
  say(type: string, data: object = {}, position = '0', more: object = {}): void {
    this.ws.send(JSON.stringify({ type, data, timestamp: '2026-01-01T00:00:00Z', position, ...more }));
  }

  /** Waits for the auth frame and answers it. */
  async welcome(position = '0'): Promise<Frame> {
    const auth = await this.frame(0);
    this.say('connection_status', { status: 'connected', user_id: 'me' }, position);
    return auth;
  }
}

/** The server, and its connections in their order. */
export class SocketServer {
  readonly url: string;
  readonly #peers: Peer[] = [];
  readonly #told = new EventTarget();

  constructor(server: WebSocketServer) {
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/websocket/open`;
    server.on('connection', (ws) => {
      this.#peers.push(new Peer(ws));
      this.#told.dispatchEvent(new Event('peer'));
    });
  }

  /** Connections so far. */
  get count(): number {
    return this.#peers.length;
  }

  /** The connection of that number, from 0, as soon as it is there. */
  async peer(nth: number): Promise<Peer> {
    for (;;) {
      const found = this.#peers[nth];
      if (found) return found;
      await once(this.#told, 'peer');
    }
  }
}

/** Starts it; closed when the test ends. */
export async function startSocketServer(t: Test): Promise<SocketServer> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  t.teardown(() => {
    for (const ws of server.clients) ws.terminate();
    server.close();
  });
  return new SocketServer(server);
}
