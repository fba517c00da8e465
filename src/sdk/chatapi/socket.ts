import { isObject } from '../shared/http.ts';
import { ChatAPIError } from './error.ts';
import { isAfter } from './positions.ts';
import type {
  ChatSocket,
  ConnectionStatus,
  NewMessage,
  SocketEnd,
  SocketEvents,
  SocketFrame,
  SocketFrames,
  SocketListener,
  SocketOptions,
  SocketState,
  WebSocketLike,
} from './public.d.ts';
import { Seen } from './seen.ts';

/** What a socket is made of. */
export interface SocketSetup {
  readonly url: string;
  readonly apiKey: string;
  readonly options: SocketOptions;
  readonly WebSocket: new (url: string) => WebSocketLike;
  /** Milliseconds; those of the tests alone differ. */
  readonly times?: Partial<typeof defaultTimes>;
}

const defaultTimes = {
  /** A connection that is not welcomed within this is given up. */
  welcome: 30_000,
  /** After so long without a frame a sign of life is asked for. */
  silence: 30_000,
  /** One that does not come within this means that the connection is dead. */
  answer: 15_000,
  /** The pause after a loss: up to the first, doubled with every further one in a row, up to the longest; half of it at random. */
  firstPause: 500,
  longestPause: 30_000,
};

/** Codes after which another connection would end the same: unsupported data, no key, no room, no access to it. */
const finalCodes = new Set([1003, 4001, 4002, 4003]);
const tooManyConnections = 4004;
/** As many losses in a row as a socket begins with that the API has no place for. */
const lossesWhenFull = 5;
/** `readyState` of a WebSocket in use. */
const OPEN = 1;

/** Somebody who waits for what a socket says. */
interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

type AnyListener = (data: unknown, frame: unknown) => void;

/** The socket; documented where it is declared for its users, `public-socket.d.ts`. */
export class Socket implements ChatSocket {
  readonly #setup: SocketSetup;
  readonly #times: typeof defaultTimes;
  readonly #listeners = new Map<string, Set<AnyListener>>();
  readonly #seen = new Seen();
  /** Rooms that were joined and left by frames: true for joined. */
  readonly #rooms = new Map<string, boolean>();
  #state: SocketState = 'connecting';
  #position: string | null;
  #ws: WebSocketLike | null = null;
  #welcome: ConnectionStatus | null = null;
  /** How it ended for good. */
  #ended: SocketEnd | null = null;
  /** Losses in a row, without a welcome between them. */
  #losses = 0;
  /** What the server asked to wait before the next connection. */
  #askedPauseMs: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #opened: Waiting<ConnectionStatus>[] = [];
  /** Those who sent the pings under way, in their order; null for the socket itself. */
  #pings: (Waiting<string> | null)[] = [];

  constructor(setup: SocketSetup) {
    this.#setup = setup;
    this.#times = { ...defaultTimes, ...setup.times };
    this.#position = setup.options.after ?? null;
    this.#dial();
  }

  get state(): SocketState {
    return this.#state;
  }

  get position(): string | null {
    return this.#position;
  }

  on<Type extends keyof SocketEvents>(type: Type, listener: SocketListener<Type>): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    // Each registration is its own, also of the same function.
    const own: AnyListener = (data, frame) => (listener as AnyListener)(data, frame);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  opened(): Promise<ConnectionStatus> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== null) reject(closedError(this.#ended));
      else if (this.#state === 'open' && this.#welcome !== null) resolve(this.#welcome);
      else this.#opened.push({ resolve, reject });
    });
  }

  sendMessage(message: NewMessage): boolean {
    return this.#send('send_message', message);
  }

  typing(isTyping: boolean, roomId?: string): boolean {
    return this.#send('typing', { is_typing: isTyping, room_id: roomId });
  }

  markRead(roomId: string, messageId: string): boolean {
    return this.#send('mark_messages_read', { room_id: roomId, message_id: messageId });
  }

  joinRoom(roomId: string): boolean {
    return this.#follow(roomId, true);
  }

  leaveRoom(roomId: string): boolean {
    return this.#follow(roomId, false);
  }

  getOnlineUsers(roomId?: string): boolean {
    return this.#send('get_online_users', { room_id: roomId });
  }

  ping(): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#send('ping', {})) this.#pings.push({ resolve, reject });
      else reject(new ChatAPIError('There is no connection', 'NOT_CONNECTED'));
    });
  }

  close(): void {
    if (this.#state === 'closed') return;
    const ws = this.#ws;
    this.#end({ code: 1000, reason: 'closed by this side' });
    ws?.close(1000);
  }

  #follow(room: string, isJoined: boolean): boolean {
    const isSent = this.#send(isJoined ? 'join_room' : 'leave_room', { room_id: room });
    if (isSent) this.#rooms.set(room, isJoined);
    return isSent;
  }

  #send(type: string, data: object): boolean {
    const ws = this.#ws;
    if (this.#state !== 'open' || ws?.readyState !== OPEN) return false;
    ws.send(JSON.stringify({ type, data }));
    return true;
  }

  // Connections.

  #dial(): void {
    const { WebSocket, url } = this.#setup;
    const ws = new WebSocket(url);
    this.#ws = ws;
    // What a connection says that was given up meanwhile is nobody's.
    const whileOurs =
      <Event>(handle: (event: Event) => void) =>
      (event: Event) => {
        if (this.#ws === ws) handle(event);
      };
    ws.addEventListener(
      'open',
      whileOurs<void>(() => {
        const { apiKey: token, options } = this.#setup;
        ws.send(JSON.stringify({ ...options, type: 'auth', token, after: this.#position ?? undefined }));
      }),
    );
    ws.addEventListener(
      'message',
      whileOurs(({ data }) => this.#take(data)),
    );
    ws.addEventListener(
      'close',
      whileOurs(({ code, reason }) => this.#lost({ code, reason })),
    );
    // A close follows.
    ws.addEventListener('error', () => {});
    this.#after(this.#times.welcome, () => this.#abandon('not welcomed in time'));
  }

  /** One timer at a time: what the state is waiting for. */
  #after(ms: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  /** Asks for a sign of life when nothing was heard for long. */
  #watch(): void {
    this.#after(this.#times.silence, () => {
      if (this.#send('ping', {})) this.#pings.push(null);
      this.#after(this.#times.answer, () => this.#abandon('the connection is dead'));
    });
  }

  /** Gives a connection up that does not say itself that it has ended. */
  #abandon(reason: string): void {
    const ws = this.#ws;
    this.#lost({ code: 1006, reason });
    ws?.close();
  }

  #lost(end: SocketEnd): void {
    if (finalCodes.has(end.code)) {
      this.#end(end);
      return;
    }
    if (end.code === tooManyConnections) this.#losses = Math.max(this.#losses, lossesWhenFull);
    const { firstPause, longestPause } = this.#times;
    const pauseMs = Math.min(longestPause, firstPause * 2 ** this.#losses) * (0.5 + 0.5 * Math.random());
    this.#after(this.#askedPauseMs ?? pauseMs, () => {
      this.#change('connecting');
      // Whoever was told may have closed it.
      if (this.#state === 'connecting') this.#dial();
    });
    this.#askedPauseMs = null;
    this.#losses++;
    this.#disconnected();
    this.#change('waiting', end);
  }

  #end(end: SocketEnd): void {
    clearTimeout(this.#timer);
    this.#ended = end;
    this.#disconnected();
    const opened = this.#opened.splice(0);
    this.#change('closed', end);
    for (const { reject } of opened) reject(closedError(end));
  }

  #disconnected(): void {
    this.#ws = null;
    const error = new ChatAPIError('The connection was lost', 'NOT_CONNECTED');
    for (const waiting of this.#pings.splice(0)) waiting?.reject(error);
  }

  // Frames.

  #take(text: unknown): void {
    const frame = readFrame(text);
    if (frame === null) return;
    const { type, data, position } = frame;
    if (this.#state === 'open') this.#watch();
    if (type === 'connection_status') this.#begin(data as ConnectionStatus);
    else if (type === 'server.shutdown') this.#askedPauseMs = pauseOf(data as SocketFrames['server.shutdown']);
    else if (type === 'pong') this.#pings.shift()?.resolve(position);
    // Where a position was none, those that follow may well be smaller.
    if (type === 'error' && (data as SocketFrames['error']).code === 'POSITION_INVALID') this.#position = position;
    if (this.#seen.isNew(frame)) this.#tell(type, data, frame);
    if (isAfter(position, this.#position)) this.#position = position;
  }

  #begin(welcome: ConnectionStatus): void {
    this.#losses = 0;
    this.#welcome = welcome;
    this.#watch();
    this.#change('open');
    for (const [room, isJoined] of this.#rooms) this.#follow(room, isJoined);
    for (const { resolve } of this.#opened.splice(0)) resolve(welcome);
  }

  #change(state: SocketState, end?: SocketEnd): void {
    this.#state = state;
    this.#tell('state', end === undefined ? { state } : { state, end }, undefined);
  }

  #tell(type: string, data: unknown, frame: unknown): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(data, frame);
      } catch (error) {
        // As with events of the platform: a listener that throws is reported, and keeps nobody from anything.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/** A frame; null for what is none. */
function readFrame(text: unknown): SocketFrame | null {
  if (typeof text !== 'string') return null;
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(frame) || !isObject(frame.data)) return null;
  const { type, position } = frame;
  return typeof type === 'string' && typeof position === 'string' ? (frame as unknown as SocketFrame) : null;
}

/** Milliseconds that a server asks to wait; what it says wrongly counts as nothing. */
function pauseOf({ reconnect_after_ms: ms }: SocketFrames['server.shutdown']): number | null {
  return typeof ms === 'number' && ms >= 0 ? ms : null;
}

function closedError(end: SocketEnd): ChatAPIError {
  const text = `The socket is closed: ${end.code} ${end.reason}`;
  return new ChatAPIError(text, 'SOCKET_CLOSED', undefined, undefined, { cause: end });
}
