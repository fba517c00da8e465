/** The socket of `@chatapi/sdk`. */

import type { Priority } from './public-outgoing.d.ts';
import type { Message, Meta, NewMessage, OnlineUsers, Participant } from './public-shapes.d.ts';

/** Whom and what a socket is for. Nothing at all: the key's user, and all rooms that it is a member of. */
export interface SocketOptions {
  /** Only this room. */
  room_id?: string | undefined;
  /** With a master key: whom the socket is for; else the client itself. */
  user_id?: string | undefined;
  /** With a master key: the name that is shown. */
  user_name?: string | undefined;
  /**
   * The position to go on from: that of an earlier socket, or of a write. Without it a scoped key gets what its user missed
   * since its last socket, up to 1,000 things.
   */
  after?: string | undefined;
}

/** What a socket is welcomed with. */
export interface ConnectionStatus {
  status: 'connected';
  user_id: string;
  /** Where the socket is of one room alone. */
  room_id?: string;
  /** At most 100. */
  online_users: string[];
  total_online: number;
  total_participants: number;
}

/** A message as sockets show it: what few messages have is there only where they have it. */
export interface SocketMessage
  extends Pick<Message, 'id' | 'sender_id' | 'sender_name' | 'content' | 'message_type' | 'meta' | 'created_at'> {
  file_url?: string;
  file_name?: string;
  file_size?: number;
  file_mime_type?: string;
  reply_to_id?: string;
}

/** What is told, by the type of the frame. */
export interface SocketFrames {
  connection_status: ConnectionStatus;
  message: SocketMessage;
  message_updated: { id: string; content: string; edited_at: string; meta?: Meta | null };
  message_deleted: { id: string; deleted_by: string; deleted_at: string | null };
  messages_read: { user_id: string; message_id: string };
  user_joined: Participant;
  user_left: { user_id: string; user_name: string; left_at: string };
  /** Somebody else types, or stops. */
  typing: { user_id: string; user_name: string | null; is_typing: boolean };
  notification: { id: string; title: string; content: string; priority: Priority; action_url?: string; icon?: string };
  /** The answer to `getOnlineUsers`. */
  online_users: OnlineUsers;
  pong: Record<string, never>;
  /** A frame was refused, or `after` (`POSITION_INVALID`: what happens from now on follows). The socket stays. */
  error: { code: string; message: string; timestamp: string; retry_after?: number };
  /** The server goes away; the socket comes back by itself. */
  'server.shutdown': { reconnect_after_ms: number; position: string };
}

/** A frame of the server. */
export interface SocketFrame<Type extends keyof SocketFrames = keyof SocketFrames> {
  type: Type;
  data: SocketFrames[Type];
  timestamp: string;
  room_id?: string;
  /** Everything that this socket may see up to here has been sent. */
  position: string;
}

/**
 * `connecting`: a connection is being made, or not welcomed yet. `open`: in use. `waiting`: it was lost, and another will be
 * made. `closed`: for good, by `close` or because the key, the room or the protocol does not allow another.
 */
export type SocketState = 'connecting' | 'open' | 'waiting' | 'closed';

/** Why a connection ended; see the API for its codes. */
export interface SocketEnd {
  code: number;
  reason: string;
}

/** What listeners are told: frames, and of the socket itself. */
export interface SocketEvents extends SocketFrames {
  /** The state changed; `end` says why where a connection ended. */
  state: { state: SocketState; end?: SocketEnd };
}

/** A listener. `frame` is what came over the wire; there is none for `state`. */
export type SocketListener<Type extends keyof SocketEvents> = (
  data: SocketEvents[Type],
  frame: Type extends keyof SocketFrames ? SocketFrame<Type> : undefined,
) => void;

/**
 * A socket that stays: it authenticates, comes back after every loss (with a growing, random pause, or the one that the server
 * asked for), goes on from the last position, and tells of nothing twice. What it shows of rooms, it shows in their order.
 *
 * Whatever it sends is sent at once or not at all: the methods answer false while it is not `open`. A `sendMessage` that a
 * connection was lost after may have been stored or not; `ChatAPI.messages.send` knows, and sends once.
 */
export interface ChatSocket {
  readonly state: SocketState;
  /** The position to go on from; null before the first frame. To be kept by who wants to go on after a restart. */
  readonly position: string | null;
  /** Tells a listener from now on. Answers a function that ends it. */
  on<Type extends keyof SocketEvents>(type: Type, listener: SocketListener<Type>): () => void;
  /** Resolves with the welcome once it is open, at once where it is. Rejects with a `ChatAPIError` when it closes for good. */
  opened(): Promise<ConnectionStatus>;
  /** Stores and broadcasts a message; it comes back as a `message`. */
  sendMessage(message: NewMessage): boolean;
  /** Tells the others in a room whether one is typing. The room may be left out of a socket of one room. */
  typing(isTyping: boolean, roomId?: string): boolean;
  /** Everything up to a message has been read. */
  markRead(roomId: string, messageId: string): boolean;
  /** Shows what happens in a room, after a loss as well. Of a room that one is not a member of, what happened during it is lost. */
  joinRoom(roomId: string): boolean;
  /** Shows it no more, after a loss as well. One stays a member. */
  leaveRoom(roomId: string): boolean;
  /** Asks who is online, in a room or in all that the socket is about; `online_users` answers. */
  getOnlineUsers(roomId?: string): boolean;
  /** Asks for a sign of life: resolves with the position that came with it. Rejects when there is no connection, or it is lost. */
  ping(): Promise<string>;
  /** Ends it for good. */
  close(): void;
}
