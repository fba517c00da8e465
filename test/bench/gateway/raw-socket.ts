/** The client's side of WebSockets and of posts, over raw sockets: lighter than what is measured. */
import { connect, type Socket } from 'node:net';
import type { PostRequest, SocketSpec, Wire } from './target.ts';

/** Gets each whole frame: its payload stands in `buffer` from `start` to `end`, until it returns. */
export interface FrameListener {
  onFrame(socket: RawSocket, buffer: Buffer, start: number, end: number): void;
  /** Bytes were read, frames or not. */
  onBytes(bytes: number): void;
  onClosed(socket: RawSocket): void;
}

const readBuffer = Buffer.allocUnsafe(256 * 1024);
const headEnd = Buffer.from('\r\n\r\n');
const textOpcode = 1;
const closeOpcode = 8;
const pingOpcode = 9;
const pongOpcode = 10;

/** One WebSocket. */
export class RawSocket {
  readonly spec: SocketSpec;
  readonly #listener: FrameListener;
  #socket: Socket | null = null;
  #upgraded = false;
  /** The beginning of a frame, or of the answer to the upgrade, whose rest has not come. */
  #begun: Buffer | null = null;
  /** What the job keeps with it. */
  seen = 0;
  position: string | null = null;
  greetedAtMs = 0;
  /** Number of the room's last message by the time it came back; -1 when it misses nothing. */
  wanted = -1;
  reconnectAfterMs = -1;

  constructor(spec: SocketSpec, listener: FrameListener) {
    this.spec = spec;
    this.#listener = listener;
  }

  /** Connects and upgrades. Resolves when the upgrade was answered. */
  open(port: number, wire: Wire, after: string | null): Promise<void> {
    this.#upgraded = false;
    this.#begun = null;
    return new Promise((resolve, reject) => {
      const { path, headers } = wire.upgrade(this.spec, after);
      const greeting = wire.greeting(this.spec, after);
      const socket = connect({
        host: '127.0.0.1',
        port,
        noDelay: true,
        onread: {
          buffer: readBuffer,
          callback: (bytes, buffer) => {
            const wasUpgraded = this.#upgraded;
            try {
              this.#read(buffer as Buffer, bytes);
            } catch (error) {
              reject(error as Error);
              socket.destroy();
            }
            if (!wasUpgraded && this.#upgraded) resolve();
            return true;
          },
        },
      });
      this.#socket = socket;
      socket.once('connect', () => {
        this.greetedAtMs = performance.now();
        const lines = [
          `GET ${path} HTTP/1.1`,
          `Host: 127.0.0.1:${port}`,
          'Connection: Upgrade',
          'Upgrade: websocket',
          'Sec-WebSocket-Version: 13',
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
          ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
        ];
        socket.write(`${lines.join('\r\n')}\r\n\r\n`);
        if (greeting !== null) socket.write(frameOf(textOpcode, Buffer.from(greeting)));
      });
      socket.on('error', reject);
      socket.on('close', () => {
        this.#socket = null;
        reject(new Error('the connection closed'));
        this.#listener.onClosed(this);
      });
    });
  }

  close(): void {
    this.#socket?.destroy();
  }

  #read(chunk: Buffer, bytes: number): void {
    this.#listener.onBytes(bytes);
    let buffer = chunk;
    let end = bytes;
    if (this.#begun !== null) {
      buffer = Buffer.concat([this.#begun, chunk.subarray(0, bytes)]);
      end = buffer.length;
      this.#begun = null;
    }
    let at = 0;
    if (!this.#upgraded) {
      const head = buffer.subarray(0, end).indexOf(headEnd);
      if (head < 0) {
        this.#begun = Buffer.from(buffer.subarray(0, end));
        return;
      }
      const status = buffer.toString('latin1', 9, 12);
      if (status !== '101') throw new Error(`an upgrade was answered with ${buffer.toString('latin1', 0, end)}`);
      this.#upgraded = true;
      at = head + 4;
    }
    while (at < end) {
      const next = this.#frame(buffer, at, end);
      if (next < 0) {
        this.#begun = Buffer.from(buffer.subarray(at, end));
        return;
      }
      at = next;
    }
  }

  /** Hands over the frame that begins here. Answers where the next one does; -1 when this one is not complete. */
  #frame(buffer: Buffer, at: number, end: number): number {
    if (end - at < 2) return -1;
    let length = (buffer[at + 1] as number) & 0x7f;
    let start = at + 2;
    if (length === 126) {
      if (end - at < 4) return -1;
      length = buffer.readUInt16BE(at + 2);
      start = at + 4;
    } else if (length === 127) {
      if (end - at < 10) return -1;
      length = Number(buffer.readBigUInt64BE(at + 2));
      start = at + 10;
    }
    const next = start + length;
    if (next > end) return -1;
    const opcode = (buffer[at] as number) & 0x0f;
    if (opcode === textOpcode) this.#listener.onFrame(this, buffer, start, next);
    else if (opcode === pingOpcode) this.#socket?.write(frameOf(pongOpcode, buffer.subarray(start, next)));
    else if (opcode === closeOpcode) this.#socket?.end(frameOf(closeOpcode, buffer.subarray(start, start + 2)));
    return next;
  }
}

/** A whole frame of a client, masked with zeros. */
function frameOf(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  const head = length < 126 ? Buffer.alloc(6) : Buffer.alloc(8);
  head[0] = 0x80 | opcode;
  if (length < 126) head[1] = 0x80 | length;
  else {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(length, 2);
  }
  return Buffer.concat([head, payload]);
}

/** One keep-alive connection for posts, one at a time. */
export class Poster {
  readonly #port: number;
  /** Null when the server has closed it, which it may while nothing is asked. */
  #socket: Socket | null = null;
  #answered: ((problem: string | null) => void) | null = null;
  #answer = '';

  constructor(port: number) {
    this.#port = port;
    this.#connect();
  }

  #connect(): Socket {
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', () => this.#done('the connection failed'));
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = null;
      this.#done('the connection closed');
    });
    this.#socket = socket;
    return socket;
  }

  /** Sends a post. Calls back when it is answered; with what is wrong when that is no success. */
  post({ path, headers, body }: PostRequest, onAnswered: (problem: string | null) => void): void {
    this.#answered = onAnswered;
    this.#answer = '';
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const socket = this.#socket ?? this.#connect();
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\n${lines.join('')}Content-Length: ${Buffer.byteLength(
        body,
      )}\r\n\r\n${body}`,
    );
  }

  close(): void {
    this.#answered = null;
    this.#socket?.destroy();
  }

  #read(text: string): void {
    this.#answer += text;
    const head = this.#answer.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = /content-length: *(\d+)/i.exec(this.#answer)?.[1];
    const isWhole =
      length === undefined ? this.#answer.endsWith('0\r\n\r\n') : this.#answer.length >= head + 4 + Number(length);
    if (isWhole) this.#done(this.#answer[9] === '2' ? null : this.#answer.slice(0, 600));
  }

  #done(problem: string | null): void {
    const answered = this.#answered;
    this.#answered = null;
    answered?.(problem);
  }
}
