/** Sockets of ChatAPI, as tests open them; see `harness.ts`. */
import { once } from 'node:events';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { Client, type Received } from '../../gateway/world.ts';
import type { Harness } from './harness.ts';

/** A frame of the server. */
export interface Frame extends Received {
  readonly data: Readonly<Record<string, unknown>>;
  readonly timestamp: string;
  readonly room_id?: string;
}

/** One socket of a client's. */
export class ChatSocket extends Client {
  #read = 0;

  /** The next frame. Rejects when the socket closes first. */
  async next(): Promise<Frame> {
    const nth = this.#read++;
    return (await this.frame((frame) => this.frames.indexOf(frame) === nth)) as Frame;
  }

  /** Frames up to the next of a type, that one included. */
  async upTo(type: string): Promise<Frame[]> {
    const frames: Frame[] = [];
    do frames.push(await this.next());
    while (frames.at(-1)?.type !== type);
    return frames;
  }

  /** Sends a frame; a text as it is. */
  send(frame: object | string): void {
    this.ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** Sends a frame and resolves with what comes next. */
  ask(type: string, data: object = {}): Promise<Frame> {
    this.send({ type, data });
    return this.next();
  }

  /** What came until everything sent so far was answered. */
  async quiet(): Promise<Frame[]> {
    this.send({ type: 'ping', data: {} });
    return (await this.upTo('pong')).slice(0, -1);
  }
}

/** Where sockets are opened. */
export interface Place {
  readonly url: string;
}

/** A socket that has said nothing yet. */
export async function dial(t: Test, { url }: Place, query = '', headers: Record<string, string> = {}) {
  const ws = new WebSocket(`${url.replace('http', 'ws')}/api/v1/websocket/open${query}`, { headers });
  t.teardown(() => ws.terminate());
  const socket = new ChatSocket(ws);
  await once(ws, 'open');
  return socket;
}

/** A socket by the first frame, from now on unless told; what it is welcomed with has been read. */
export async function open(t: Test, place: Place & Pick<Harness, 'history'>, key: string, asked: object = {}) {
  const socket = await dial(t, place);
  const after = String((await place.history()).at(-1)?.position ?? 0n);
  socket.send({ type: 'auth', token: key, after, ...asked });
  const welcome = await socket.next();
  return Object.assign(socket, { welcome });
}

/** The code that a socket is closed with. */
export async function codeOf(socket: ChatSocket): Promise<number> {
  return (await socket.closed).code;
}
