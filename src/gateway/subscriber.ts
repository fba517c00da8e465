/** Where a session's frames go: one socket or one event stream. The hub knows no transport. */
import { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/** What a subscriber tells its session. */
export interface SubscriberListener {
  /** Nothing can be sent any more. `clean`: both sides said goodbye, so that everything sent before has arrived. */
  ended(clean: boolean): void;
  /** A ping was answered: everything sent before it has arrived. */
  ponged(): void;
}

/** One peer. None of its functions throws, also after its end. */
export interface Subscriber {
  /** Sends bytes, whole frames in the session's encoding. `onFlushed` is called when they have left, or never will. */
  write(bytes: Buffer, onFlushed?: () => void): void;
  /** Bytes that have not left yet. */
  readonly bufferedBytes: number;
  /** Bytes that came from the peer so far; that the number moves is a sign of life. */
  readonly receivedBytes: number;
  /** A ping of the protocol; nothing where it has none. */
  ping(): void;
  /** Ends after what has been written. */
  close(code: number, reason: string): void;
  /** Ends at once. */
  terminate(): void;
  bind(listener: SubscriberListener): void;
}

const owner = Symbol('subscriber');
type Owned<T> = T & { [owner]?: SubscriberListener };

const open = 1;
const noCloseFrame = 1006;

// One function for all sockets, told apart by `this`: a closure for each would be held as long as the socket.
function onClose(this: Owned<WebSocket>, code: number): void {
  this[owner]?.ended(code !== noCloseFrame);
}

function onPong(this: Owned<WebSocket>): void {
  this[owner]?.ponged();
}

function ignore(): void {}

/**
 * A WebSocket of `ws` as a subscriber. Frames are written past `ws` onto its connection, already framed: that is safe as
 * long as `ws` itself sends nothing but control frames, which it writes whole, and as long as messages are not compressed.
 *
 * @param ws    without `permessage-deflate`; whoever has it sends messages through the session alone
 * @param connection what it runs on: `request.raw.socket` of the upgrade
 */
export function socketSubscriber(ws: WebSocket, connection: Duplex & { readonly bytesRead?: number }): Subscriber {
  if (ws.extensions !== '') throw new TypeError('sockets of the gateway are not compressed');
  return new WebSocketSubscriber(ws, connection);
}

/** Lets go of the answer that an upgrade was handled with, where it still has hold of the connection. */
function detachAnswer(connection: Duplex & { readonly _httpMessage?: unknown }): void {
  const answer = connection._httpMessage;
  if (answer instanceof ServerResponse) answer.detachSocket(connection as Socket);
}

class WebSocketSubscriber implements Subscriber {
  readonly #ws: Owned<WebSocket>;
  readonly #connection: Duplex & { readonly bytesRead?: number };

  constructor(ws: WebSocket, connection: Duplex & { readonly bytesRead?: number }) {
    this.#ws = ws;
    this.#connection = connection;
  }

  bind(listener: SubscriberListener): void {
    const ws = this.#ws;
    ws[owner] = listener;
    ws.on('close', onClose);
    ws.on('pong', onPong);
    // The upgrade's own listener, and its answer, would hold the whole request as long as the socket: 2.7 of 7.5 KiB of heap.
    // Trouble with a connection ends in `close` all the same.
    ws.removeAllListeners('error');
    ws.on('error', ignore);
    detachAnswer(this.#connection);
    if (ws.readyState > open) queueMicrotask(() => listener.ended(false));
  }

  write(bytes: Buffer, onFlushed?: () => void): void {
    if (this.#ws.readyState !== open) {
      if (onFlushed !== undefined) queueMicrotask(onFlushed);
      return;
    }
    this.#connection.write(bytes, onFlushed);
  }

  get bufferedBytes(): number {
    return this.#connection.writableLength;
  }

  get receivedBytes(): number {
    return this.#connection.bytesRead ?? 0;
  }

  ping(): void {
    if (this.#ws.readyState === open) this.#ws.ping();
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }
}

/**
 * The answer to a request as an event stream: its head has been written and the answer is out of the framework's hands.
 */
export function eventStreamSubscriber(response: ServerResponse): Subscriber {
  const state = { received: 0 };
  return {
    write(bytes, onFlushed) {
      if (response.writableEnded || response.destroyed) {
        if (onFlushed !== undefined) queueMicrotask(onFlushed);
        return;
      }
      // What has left has reached the peer's machine or a middlebox: all there is to tell that somebody listens.
      response.write(bytes, (error) => {
        if (!error) state.received++;
        onFlushed?.();
      });
    },
    get bufferedBytes() {
      return response.writableLength;
    },
    get receivedBytes() {
      return state.received;
    },
    ping() {},
    close() {
      response.end();
    },
    terminate() {
      response.destroy();
    },
    bind(listener) {
      response.on('error', ignore);
      response.once('close', () => listener.ended(response.writableFinished));
      if (response.destroyed) queueMicrotask(() => listener.ended(false));
    },
  };
}
