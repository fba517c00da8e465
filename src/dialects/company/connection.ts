import type { RawData, WebSocket } from 'ws';
import { DomainError } from '../../commands/index.ts';
import type { Opened, Session } from '../../gateway/index.ts';
import { FrameTurns } from '../frame-turns.ts';
import { type ChannelContext, closings, TOPIC } from './channel.ts';
import { type Frame, type Ref, readFrame, spell } from './frames.ts';
import type { CompanyOptions } from './options.ts';
import { DIALECT } from './routes.ts';
import type { TokenClaims } from './tokens.ts';
import { isStorable, objectOf, readId, recipientIn } from './wire.ts';

/**
 * One socket's side of the protocol: what its client sends, in the order it came. Joins, leaves and messages take turns;
 * heartbeats are answered at once. Frames that come before the gateway has opened the session wait.
 */
export class Connection {
  readonly #ws: WebSocket;
  readonly #options: CompanyOptions;
  readonly #claims: TokenClaims;
  readonly #context: ChannelContext;
  readonly #opened = Promise.withResolvers<Session<ChannelContext> | null>();
  readonly #turns: FrameTurns;
  #session: Session<ChannelContext> | null = null;

  constructor(ws: WebSocket, options: CompanyOptions, claims: TokenClaims, context: ChannelContext) {
    this.#ws = ws;
    this.#options = options;
    this.#claims = claims;
    this.#context = context;
    this.#turns = new FrameTurns(ws, this.#opened.promise);
    ws.on('message', (data: RawData, isBinary: boolean) => this.#take(data, isBinary));
  }

  /** The gateway has answered. */
  opened(answer: Opened<ChannelContext>): void {
    if (answer.outcome === 'opened') {
      this.#session = answer.session;
      answer.session.start();
    } else if (answer.reason !== 'gone') {
      const { code, reason } = closings[answer.reason === 'draining' ? 'drained' : 'slow'];
      this.#ws.close(code, answer.reason === 'draining' ? reason : 'try again later');
    }
    this.#opened.resolve(this.#session);
  }

  #take(data: RawData, isBinary: boolean): void {
    const frame = isBinary ? null : readFrame(this.#context.version, String(data));
    if (frame === null) {
      this.#close(isBinary ? 1003 : 1007, isBinary ? 'text only' : 'not a frame');
      return;
    }
    if (frame.topic === 'phoenix' && frame.event === 'heartbeat') {
      if (this.#session) this.#reply(frame, 'ok');
      else void this.#opened.promise.then(() => this.#reply(frame, 'ok'));
      return;
    }
    this.#turns.take(
      () => this.#handle(frame),
      () => this.#close(closings.fault.code, closings.fault.reason),
    );
  }

  #handle(frame: Frame): Promise<void> | undefined {
    if (!this.#session || this.#session.closed) return undefined;
    const { topic, event, joinRef, ref } = frame;
    const context = this.#context;
    const own = context.version === 2 ? (joinRef ?? ref) : ref;
    if (event === 'phx_join') {
      this.#join(frame, own);
      return undefined;
    }
    const isJoined = topic === TOPIC && context.joinRef !== undefined;
    if (event === 'phx_leave') {
      this.#reply(frame, 'ok');
      // One that names an earlier join leaves nothing.
      if (isJoined && (joinRef === null || joinRef === context.joinRef)) this.#leave();
      return undefined;
    }
    if (!isJoined) this.#reply(frame, 'error', { reason: 'unmatched topic' });
    else if (event === 'send_msg') return this.#post(frame);
    else this.#reply(frame, 'error', { reason: 'unknown event' });
    return undefined;
  }

  #join(frame: Frame, own: Ref): void {
    const { topic } = frame;
    if (topic !== TOPIC) {
      this.#reply(frame, 'error', { reason: topic.startsWith('room:') ? 'join crashed' : 'unmatched topic' });
      return;
    }
    // A second join takes the place of the first.
    if (this.#context.joinRef !== undefined) this.#leave();
    this.#context.joinRef = own;
    this.#reply(frame, 'ok');
  }

  #leave(): void {
    const joinRef = this.#context.joinRef ?? null;
    this.#context.joinRef = undefined;
    this.#send({ joinRef, ref: joinRef, topic: TOPIC, event: 'phx_close', payload: {} });
  }

  /** What cannot be sent is not answered (sheet, section 5); what is not known to be stored is, so that nothing gets lost unseen. */
  async #post(frame: Frame): Promise<void> {
    const { people, rooms, messages, gateway, config } = this.#options;
    const { account } = this.#claims;
    const { user, conv, message } = objectOf(frame.payload);
    const [recipient, room] = [readId(user), readId(conv)];
    if (recipient === null || room === null || typeof message !== 'string' || !isStorable(message)) return;
    try {
      await people.authenticateSession(this.#claims);
      if (gateway?.fresh === false) throw new DomainError('unavailable');
      const state = await rooms.stateOf(config.workspace, room);
      if (recipientIn(state, account) !== recipient) return;
      const actor = { workspace: config.workspace, account, dialect: DIALECT };
      await messages.post(actor, { room, body: { kind: 'text', text: message } });
    } catch (error) {
      if (!(error instanceof DomainError)) this.#reply(frame, 'error', { reason: 'unavailable' });
      else if (error.code === 'unavailable') this.#reply(frame, 'error', { reason: 'unavailable' });
      else if (tokenCodes.has(error.code)) this.#close(closings.revoked.code, closings.revoked.reason);
    }
  }

  #reply({ joinRef, ref, topic }: Frame, status: 'ok' | 'error', response: object = {}): void {
    this.#send({ joinRef, ref, topic, event: 'phx_reply', payload: { status, response } });
  }

  #send(frame: Frame): void {
    this.#session?.send(spell(this.#context.version, frame));
  }

  #close(code: number, reason: string): void {
    if (this.#session) this.#session.close({ code, reason });
    else this.#ws.close(code, reason);
  }
}

const tokenCodes: ReadonlySet<string> = new Set(['credential-invalid', 'credential-expired', 'account-inactive']);
