import type { WebSocket } from 'ws';
import { DomainError, isLongerThan, memberOf, SERVICE_ACCOUNT } from '../../commands/index.ts';
import { type Gateway, type OpenRequest, type Session, type Sockets, socketSubscriber } from '../../gateway/index.ts';
import type { Context } from './context.ts';
import { authenticate } from './credentials.ts';
import { nameNow } from './names.ts';
import type { Crowd, Crowds } from './presence.ts';
import { DIALECT, iso } from './routes.ts';
import { closings, masterCredential, type SocketContext, scopedCredential, socketDialect } from './socket-dialect.ts';
import { isAway, readPosition, spellFrame } from './socket-frames.ts';

/** What a client asks for when it opens a socket: in the query, and in its first frame, which wins. All of it unchecked. */
export interface Asked {
  readonly token?: unknown;
  readonly user_id?: unknown;
  readonly user_name?: unknown;
  readonly room_id?: unknown;
  readonly after?: unknown;
}

/** A socket that is not opened, and how it is closed. */
export interface Refused {
  readonly code: number;
  readonly reason: string;
}

/** Who a socket is for, by its key. */
interface Identity {
  readonly workspace: number;
  readonly account: number;
  readonly isMaster: boolean;
  readonly name: string | null;
  readonly credential: string;
  readonly expiresAt: number | null;
}

/** How sockets are closed that are not opened (sheet, section 12). */
const refusals = {
  unauthorized: { code: 4001, reason: 'unauthorized' },
  'no-such-user': { code: 4001, reason: 'there is no such user' },
  'room-not-found': { code: 4002, reason: 'room not found' },
  'room-denied': { code: 4003, reason: 'room access denied' },
  limit: { code: 4004, reason: 'too many connections' },
  full: { code: 1013, reason: 'try again later' },
  unavailable: { code: 1013, reason: 'try again later' },
  draining: closings.drained,
  gone: closings.revoked,
} as const satisfies Record<string, Refused>;

/** Items that a scoped key gets of what its account missed, where it does not say since when. */
const maxMissed = 1_000;
/** Ids of the welcome: what is online in large rooms is asked for by who wants to know. */
const maxWelcomed = 100;
const maxNameCharacters = 255;
const typingTopic = 'chatapi-typing';

/** A WebSocket, and what it runs on. */
export interface Transport {
  readonly ws: WebSocket;
  readonly connection: Parameters<typeof socketSubscriber>[1];
}

type Own = Pick<Session<SocketContext>, 'workspace' | 'account' | 'context'>;

interface Typing {
  readonly room: number;
  readonly account: number;
  readonly name: string | null;
  readonly isTyping: boolean;
}

/** Opens sockets: whom a key is for, which room, from where on; and what all sockets of this process share. */
export class Opening {
  readonly context: Context;
  readonly gateway: Pick<Gateway, 'fresh' | 'ephemeral'>;
  readonly crowds: Crowds;
  readonly #sockets: Sockets<SocketContext>;

  /** Adds the dialect's sockets to the gateway, which must not have started. */
  constructor(context: Context, gateway: Pick<Gateway, 'sockets' | 'fresh' | 'ephemeral'>, crowds: Crowds) {
    this.context = context;
    this.gateway = gateway;
    this.crowds = crowds;
    this.#sockets = gateway.sockets(socketDialect(context));
    gateway.ephemeral.subscribe(typingTopic, (workspace, payload) => this.#type(workspace, payload));
  }

  /** Opens a socket, welcomes it and starts it. Rejects with a defect alone. */
  async open(
    { ws, connection }: Transport,
    asked: Asked & { readonly token: string },
  ): Promise<{ readonly session: Session<SocketContext> } | Refused> {
    const authenticatedAtMs = performance.now();
    try {
      const who = await this.#identify(asked);
      if ('code' in who) return who;
      const room = asked.room_id == null ? null : await this.#room(who, asked.room_id);
      if (room !== null && 'code' in room) return room;
      const { workspace, account, isMaster, name, ...key } = who;
      const only = room === null ? null : [room.number];
      const context: SocketContext = {
        isMaster,
        name,
        only,
        extra: room === null || room.isMember ? [] : [room.number],
      };
      const since = sinceOf(asked.after, isMaster);
      const around = this.around({ workspace, account, context });
      // Its answer is looked at when the socket is open.
      around.catch(() => {});
      const opened = await this.#sockets.open({
        subscriber: socketSubscriber(ws, connection),
        workspace,
        account,
        context,
        ...key,
        authenticatedAtMs,
        limit: { scope: `${DIALECT}-${workspace}`, max: this.context.options.config.maxConnections },
        ...(only !== null && { rooms: only }),
        ...since,
      });
      if (opened.outcome === 'refused') return refusals[opened.reason];
      const { session, positionInvalid } = opened;
      this.#welcome(session, await around, positionInvalid || since === null);
      return { session };
    } catch (error) {
      if (isAway(error)) return refusals.unavailable;
      throw error;
    }
  }

  /** Whom the key is for, and whom it speaks for. */
  async #identify({ token, user_id: id, user_name: name }: Asked & { token: string }): Promise<Identity | Refused> {
    const { options, spelling } = this.context;
    let found: Awaited<ReturnType<typeof authenticate>>;
    try {
      found = await authenticate(options, token);
    } catch (error) {
      if (error instanceof DomainError && error.code !== 'unavailable') return refusals.unauthorized;
      throw error;
    }
    const { workspace } = found;
    if ('issuedAt' in found) {
      const { account, issuedAt, expiresAt } = found;
      return { workspace, account, isMaster: false, name: null, credential: scopedCredential(issuedAt), expiresAt };
    }
    const account = id == null ? SERVICE_ACCOUNT : typeof id === 'string' ? spelling.readSender(workspace, id) : null;
    if (account === null) return refusals['no-such-user'];
    if (account !== SERVICE_ACCOUNT) {
      const { exists, active } = await options.people.stateOf(workspace, account);
      if (!exists || !active) return refusals['no-such-user'];
    }
    const credential = masterCredential(found.key);
    return { workspace, account, isMaster: true, name: isName(name) ? name : null, credential, expiresAt: null };
  }

  /** The room that a socket is narrowed to, where the key may read it. */
  async #room(
    { workspace, account, isMaster }: Identity,
    id: unknown,
  ): Promise<{ readonly number: number; readonly isMember: boolean } | Refused> {
    const { options, spelling } = this.context;
    const number = typeof id === 'string' ? spelling.readRoom(workspace, id) : null;
    if (number === null) return refusals['room-not-found'];
    const actor = { workspace, account: isMaster ? SERVICE_ACCOUNT : account, dialect: DIALECT };
    try {
      const { members } = await options.rooms.readable(actor, number);
      return { number, isMember: memberOf(members, account) !== undefined };
    } catch (error) {
      if (!(error instanceof DomainError) || error.code === 'unavailable') throw error;
      return refusals[error.code === 'not-found' ? 'room-not-found' : 'room-denied'];
    }
  }

  /** What comes first; then what was missed, then what happens. */
  #welcome(session: Session<SocketContext>, { online, listed, participants }: Crowd, isPositionInvalid: boolean): void {
    const { spelling, options } = this.context;
    const { workspace, account, context } = session;
    for (const room of context.extra) session.follow(room);
    const user = spelling.user(workspace, account);
    // Its own connection may be younger than the answer.
    const isCounted = online.has(account) || account === SERVICE_ACCOUNT;
    const [room, ...others] = context.only ?? [];
    const data = {
      status: 'connected',
      user_id: user,
      ...(room !== undefined && others.length === 0 && { room_id: spelling.room(workspace, room) }),
      online_users: (isCounted ? listed : [user, ...listed]).slice(0, maxWelcomed),
      total_online: online.size + (isCounted ? 0 : 1),
      total_participants: participants,
    };
    const at = options.clock.now();
    const place = { at, position: session.position.toString() };
    session.send(spellFrame('connection_status', data, place));
    if (isPositionInvalid) {
      const message = 'after is no position of the log: what happens from now on follows';
      session.send(spellFrame('error', { code: 'POSITION_INVALID', message, timestamp: iso(at) }, place));
    }
    session.start();
  }

  // What open sockets do.

  /** Who is online, of those that a socket is about. */
  around({ workspace, account, context: { only } }: Own): Promise<Crowd> {
    const [room, ...others] = only ?? [];
    if (room !== undefined && others.length === 0) return this.crowds.ofRoom(workspace, room);
    return account === SERVICE_ACCOUNT ? this.crowds.ofClient(workspace) : this.crowds.around(workspace, account);
  }

  /** The socket is shown what happens in a room, which its key may read. */
  async follow(session: Session<SocketContext>, room: number): Promise<void> {
    const { workspace, account, context } = session;
    const { members } = await this.context.options.rooms.stateOf(workspace, room);
    const isKnown = context.extra.includes(room) || memberOf(members, account) !== undefined;
    if (!isKnown) context.extra = [...context.extra, room];
    if (context.only?.includes(room) === false) context.only = [...context.only, room];
    session.follow(room);
  }

  /** The socket is not shown any more what happens in a room. */
  unfollow(session: Session<SocketContext>, room: number): void {
    const { context } = session;
    context.extra = context.extra.filter((each) => each !== room);
    if (context.only !== null) context.only = context.only.filter((each) => each !== room);
    session.unfollow(room);
  }

  /** Tells the others in a room, in all processes, who is typing there. */
  async tellTyping({ workspace, account, context }: Own, room: number, isTyping: boolean): Promise<void> {
    const name = context.name ?? (await nameNow(this.context, workspace, account));
    const typing: Typing = { room, account, name, isTyping };
    this.gateway.ephemeral.publish(workspace, typingTopic, JSON.stringify(typing));
  }

  #type(workspace: number, payload: string): void {
    const { spelling, options } = this.context;
    const { room, account, name, isTyping } = JSON.parse(payload) as Typing;
    this.#sockets.broadcast(
      { workspace, room },
      (session) => (session.account === account ? null : 0),
      (_, position) => {
        const data = { user_id: spelling.user(workspace, account), user_name: name, is_typing: isTyping };
        return spellFrame('typing', data, { at: options.clock.now(), position, room: spelling.room(workspace, room) });
      },
    );
  }
}

/** Since when a socket is told what it missed; null for a position that is none. */
function sinceOf(after: unknown, isMaster: boolean): Pick<OpenRequest<SocketContext>, 'after' | 'maxItems'> | null {
  if (after == null) return isMaster ? {} : { after: 'last-ended', maxItems: maxMissed };
  const position = readPosition(after);
  return position === null ? null : { after: position };
}

function isName(name: unknown): name is string {
  return (
    typeof name === 'string' && !isLongerThan(name, maxNameCharacters) && /^[^\0]+$/.test(name) && name.isWellFormed()
  );
}
