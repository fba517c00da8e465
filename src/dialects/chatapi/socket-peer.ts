import type { RawData, WebSocket } from 'ws';
import { DomainError } from '../../commands/index.ts';
import { FrameBudget, type Session } from '../../gateway/index.ts';
import { FrameTurns } from '../frame-turns.ts';
import { authenticate } from './credentials.ts';
import { WireError, wireError } from './errors.ts';
import { actions, answer } from './socket-actions.ts';
import { closings, type SocketContext } from './socket-dialect.ts';
import { badFrame, type ClientFrame, errorData, isAway, readFrame } from './socket-frames.ts';
import type { Asked, Opening, Transport } from './socket-opening.ts';

/** Time in which a key has to come (sheet, section 12). */
const authTimeoutMs = 10_000;
const notAuthenticated = { code: 4001, reason: 'not authenticated' };
const textOnly = { code: 1003, reason: 'text only' };

/** The sheet's figure: a whole window, however much of it has passed. */
const tooManyFrames = new WireError('RATE_LIMIT_EXCEEDED', 'Too many frames', { headers: { 'retry-after': '60' } });

type Open = Session<SocketContext>;

/** One socket's side of the protocol: what its client sends, in the order in which it came, after the key that it begins with. */
export class SocketPeer {
  readonly #ws: WebSocket;
  readonly #opening: Opening;
  readonly #budget: FrameBudget;
  readonly #turns: FrameTurns;
  readonly #opened = Promise.withResolvers<void>();
  #session: Open | null = null;
  /** Null once a key has come. */
  #waiting: { readonly transport: Transport; readonly asked: Asked; readonly timer: NodeJS.Timeout } | null = null;
  #key = '';

  /** @param asked what the upgrade itself says; with a key in it no other is waited for */
  constructor(transport: Transport, opening: Opening, asked: Asked) {
    const { ws } = transport;
    this.#ws = ws;
    this.#opening = opening;
    this.#budget = new FrameBudget(opening.context.options.config.framesPerMinute);
    this.#turns = new FrameTurns(ws, this.#opened.promise);
    ws.on('message', (data: RawData, isBinary: boolean) => this.#take(data, isBinary));
    if (asked.token === undefined) {
      const timer = setTimeout(() => this.#close(notAuthenticated), authTimeoutMs).unref();
      this.#waiting = { transport, asked, timer };
    } else {
      this.#open(transport, asked);
    }
  }

  #take(data: RawData, isBinary: boolean): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    const mayCome = this.#budget.take(performance.now());
    const frame = isBinary || !mayCome ? null : readFrame(String(data));
    if (this.#waiting !== null) {
      const { transport, asked, timer } = this.#waiting;
      clearTimeout(timer);
      if (frame?.type === 'auth') this.#open(transport, { ...asked, ...frame.data, ...frame.top });
      else this.#close(notAuthenticated);
    } else if (isBinary) {
      this.#close(textOnly);
    } else {
      this.#turns.take(
        () => (mayCome ? this.#handle(frame) : this.#refuse(tooManyFrames)),
        () => this.#close(closings.fault),
      );
    }
  }

  /** A key has come, by the upgrade or by the first frame. */
  #open(transport: Transport, asked: Asked): void {
    this.#waiting = null;
    if (typeof asked.token !== 'string') {
      this.#close(notAuthenticated);
      return;
    }
    this.#key = asked.token;
    this.#opening
      .open(transport, { ...asked, token: asked.token })
      .then((opened) => {
        if ('session' in opened) this.#session = opened.session;
        else this.#close(opened);
      })
      .catch(() => this.#close(closings.fault))
      .finally(() => this.#opened.resolve());
  }

  #handle(frame: ClientFrame | null): Promise<void> | undefined {
    const session = this.#session;
    if (session === null || session.closed) return undefined;
    if (frame === null) return this.#refuse(badFrame('A frame is a JSON object with a type'));
    if (frame.type === 'ping') {
      answer(this.#opening.context, session, 'pong', {});
      return undefined;
    }
    const action = Object.hasOwn(actions, frame.type) ? actions[frame.type] : undefined;
    if (action === undefined) return this.#refuse(badFrame('There is no frame of this type'));
    return this.#act(session, () => action(this.#opening, session, frame.data));
  }

  async #act(session: Open, act: () => Promise<void>): Promise<void> {
    const { gateway, context } = this.#opening;
    try {
      // What the key allowed a moment ago it may not allow any more.
      await authenticate(context.options, this.#key);
    } catch (error) {
      if (isAway(error)) this.#refuse(error);
      else session.close(closings.revoked);
      return;
    }
    try {
      if (!gateway.fresh) throw new DomainError('unavailable');
      await act();
    } catch (error) {
      this.#refuse(error);
    }
  }

  #refuse(error: unknown): undefined {
    const { context } = this.#opening;
    const now = context.options.clock.now();
    if (this.#session) answer(context, this.#session, 'error', errorData(wireError(error, now), now));
  }

  #close({ code, reason }: { readonly code: number; readonly reason: string }): void {
    if (this.#session) this.#session.close({ code, reason });
    else this.#ws.close(code, reason);
  }
}
