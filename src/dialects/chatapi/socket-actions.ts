/** What clients do by frames (sheet, section 12): the same commands as by requests. All throw the refusals of these. */
import { SERVICE_ACCOUNT } from '../../commands/index.ts';
import type { Session } from '../../gateway/index.ts';
import { type Context, known, orNotFound } from './context.ts';
import type { Caller } from './credentials.ts';
import { invalidField } from './errors.ts';
import { onlineUsers } from './presence.ts';
import { DIALECT } from './routes.ts';
import { sendMessage } from './sending.ts';
import type { SocketContext } from './socket-dialect.ts';
import { type ClientFrame, clientData, type ServerType, spellFrame } from './socket-frames.ts';
import type { Opening } from './socket-opening.ts';
import * as wire from './wire.ts';

type Open = Session<SocketContext>;
type Action = (opening: Opening, session: Open, data: ClientFrame['data']) => Promise<void>;

/** Sends a frame that answers one. */
export function answer({ options }: Context, session: Open, type: ServerType, data: object, room?: string): void {
  session.send(spellFrame(type, data, { at: options.clock.now(), position: session.position.toString(), room }));
}

/** Actions by the type of the frame. */
export const actions: Readonly<Record<string, Action>> = {
  async send_message({ context }, session, data) {
    const { workspace, account, context: own } = session;
    const body = wire.readBody(context.messageBodies.send, data);
    // A socket that a master key opened for a user speaks for it unless told.
    const speaks = body.sender_id == null && { sender_id: context.spelling.user(workspace, account) };
    const called = body.sender_id == null && body.sender_name == null && { sender_name: own.name };
    await sendMessage(context, callerOf(session), own.isMaster ? { ...body, ...speaks, ...called } : body);
  },

  async typing(opening, session, data) {
    const { room_id: id, is_typing: isTyping } = wire.readBody(clientData.typing, data);
    await opening.tellTyping(session, await readableRoom(opening.context, session, id), isTyping);
  },

  async get_online_users(opening, session, data) {
    const { crowds, context } = opening;
    const { room_id: id } = wire.readBody(clientData.get_online_users, data);
    if (id == null && session.context.only?.length !== 1) {
      answer(context, session, 'online_users', onlineUsers(await opening.around(session)));
      return;
    }
    const room = await readableRoom(context, session, id ?? undefined);
    const crowd = await crowds.ofRoom(session.workspace, room);
    answer(context, session, 'online_users', onlineUsers(crowd), context.spelling.room(session.workspace, room));
  },

  async join_room(opening, session, data) {
    const { room_id: id } = wire.readBody(clientData.join_room, data);
    await opening.follow(session, await readableRoom(opening.context, session, id));
  },

  async leave_room(opening, session, data) {
    const { room_id: id } = wire.readBody(clientData.leave_room, data);
    opening.unfollow(session, await readableRoom(opening.context, session, id));
  },

  async mark_messages_read({ context }, session, data) {
    const { spelling, options } = context;
    const { room_id: id, message_id: text } = wire.readBody(clientData.mark_messages_read, data);
    const { workspace, account } = session;
    const room = known(spelling.readRoom(workspace, id), 'Room');
    const message = known(spelling.readMessage(workspace, text), 'Message');
    // Read by whom the socket is for, also where a master key opened it.
    await orNotFound('Message', options.messages.markRead({ workspace, account, dialect: DIALECT }, room, message));
  },
};

/** As whom a socket's commands are judged: a master key may all, whomever its socket is for. */
function callerOf({
  workspace,
  account,
  context: { isMaster },
}: Open): Pick<Caller, 'actor' | 'workspace' | 'isMaster'> {
  const actor = { workspace, account: isMaster ? SERVICE_ACCOUNT : account, dialect: DIALECT };
  return { actor, workspace, isMaster };
}

/** The room that a frame names, where the key may read it; without one that of a socket of one room. */
async function readableRoom({ spelling, options }: Context, session: Open, id: string | undefined): Promise<number> {
  const { workspace, context } = session;
  const [only, ...others] = context.only ?? [];
  if (id === undefined && (only === undefined || others.length > 0)) throw invalidField('room_id', 'Field required');
  const room = id === undefined ? (only as number) : known(spelling.readRoom(workspace, id), 'Room');
  await orNotFound('Room', options.rooms.readable(callerOf(session).actor, room));
  return room;
}
