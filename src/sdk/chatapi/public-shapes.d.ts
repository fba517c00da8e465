/** What goes over the wire of clients, users, rooms and messages. Ids are UUIDs, times ISO 8601 in UTC. */

/** Any JSON object. */
export type Meta = Record<string, unknown>;

/** A time to give: ISO 8601, or a `Date`. Of ranges also a bare date, which covers that whole day, UTC. */
export type Moment = string | Date;

// Lists.

/** Where a page of a list is. */
export interface Pagination {
  page: number;
  size: number;
  total: number;
  pages: number;
  has_next: boolean;
  has_prev: boolean;
}

/** One page of a list. */
export interface Page<T> {
  data: T[];
  pagination: Pagination;
}

/**
 * A list that was asked for: `await` gives the page, `for await` everything from that page on, asking for the next page when
 * it gets there. What is added or removed meanwhile may show twice or not at all.
 */
export interface Listing<T> extends Promise<Page<T>>, AsyncIterable<T> {}

/** Which page: from 1, of 1 to 100 entries (default 20). */
export interface PageQuery {
  page?: number | undefined;
  size?: number | undefined;
}

/** Which page, in which order. */
export interface SortedQuery<Column extends string = 'created_at'> extends PageQuery {
  sort?: Column | undefined;
  /** Default `desc`. */
  order?: 'asc' | 'desc' | undefined;
}

/** A range of times, both ends in it. */
export interface Range {
  start_date?: Moment | undefined;
  end_date?: Moment | undefined;
}

// Clients.

export interface Client {
  id: string;
  name: string;
  description: string | null;
  is_active: boolean;
  created_at: string;
  updated_at: string;
}

export interface NewClient {
  name?: string | null | undefined;
  description?: string | null | undefined;
}

export interface ClientCreated extends Client {
  /** Shown this once. */
  master_api_key: string;
}

export interface ScopedKey {
  id: string;
  user_id: string;
  /** Null: all that a user may. */
  permissions: string[] | null;
  is_active: boolean;
  created_at: string;
  updated_at: string;
}

export interface ClientOfKey extends Client {
  /** Of the scoped key that asked. */
  scoped_key?: ScopedKey;
}

export interface ClientChanges {
  name?: string | undefined;
  description?: string | null | undefined;
  /** False: all keys of the client fail from then on. */
  is_active?: boolean | undefined;
}

// Users.

/** A user without times. */
export interface UserIdentity {
  id: string;
  email: string;
  username: string;
  full_name: string | null;
  is_active: boolean;
}

export interface User extends UserIdentity {
  created_at: string;
  updated_at: string;
}

export interface NewUser {
  email: string;
  username: string;
  full_name?: string | null | undefined;
}

/** The mark, in the answer to a repeated create, of what was deleted since: only ids and times are left of it. */
export interface Tombstone {
  is_deleted?: boolean;
}

export interface UserCreated extends UserIdentity, Tombstone {
  created_at: string;
  /** Shown to this request and its repetitions, by their idempotency key, alone. */
  scoped_api_key: string;
  /** False where a repetition finds that the key was replaced or has ended. */
  scoped_api_key_is_active?: boolean;
}

export interface Login {
  user: UserIdentity;
  /** The one before has stopped working. */
  scoped_api_key: string;
  /** Null: without end. */
  expires_at: string | null;
}

export interface UserChanges {
  email?: string | undefined;
  username?: string | undefined;
  full_name?: string | null | undefined;
  /** With a master key. */
  is_active?: boolean | undefined;
}

export interface UserQuery extends SortedQuery<'created_at' | 'updated_at' | 'email' | 'username' | 'full_name'> {
  search?: string | undefined;
  is_active?: boolean | undefined;
}

// Rooms.

export type RoomType = 'direct' | 'group' | 'channel' | 'support';
export type Role = 'owner' | 'admin' | 'member';

export interface Room {
  id: string;
  client_id: string;
  name: string | null;
  description: string | null;
  room_type: RoomType;
  max_members: number | null;
  created_by_user_id: string;
  is_active: boolean;
  meta: Meta | null;
  participant_count: number;
  message_count: number;
  last_message_at: string | null;
  deactivated_reason: string | null;
  deactivated_at: string | null;
  created_at: string;
  updated_at: string;
}

export interface RoomCreated extends Room, Tombstone {}

export interface RoomChanges {
  name?: string | null | undefined;
  description?: string | null | undefined;
  max_members?: number | null | undefined;
  meta?: Meta | null | undefined;
}

export interface NewRoom extends RoomChanges {
  /** Default `group`. */
  room_type?: RoomType | undefined;
}

export interface RoomQuery extends SortedQuery<'created_at' | 'updated_at' | 'last_message_at' | 'name'> {
  search?: string | undefined;
  /** Default true. */
  is_active?: boolean | undefined;
}

export interface Participant {
  user_id: string;
  user_name: string;
  joined_at: string;
  meta: Meta | null;
}

export interface Member extends Participant {
  role: Role;
}

export interface NewMember {
  user_id: string;
  /** Default `member`. */
  role?: Role | undefined;
  meta?: Meta | null | undefined;
}

/** With a master key `user_id` says who joins; with a scoped key it is its user. */
export interface JoinRequest {
  user_id?: string | undefined;
  /** With a master key: what the user is called from here on, if it has no `full_name`. */
  user_name?: string | null | undefined;
  meta?: Meta | null | undefined;
}

export interface Joined extends Participant {
  message: string;
  room_id: string;
}

export interface Left {
  message: string;
  room_id: string;
  user_id: string;
  user_name: string;
  left_at: string;
}

export interface MemberRole {
  user_id: string;
  role: Role;
}

export interface OnlineUsers {
  /** At most 1,000. */
  online_users: string[];
  total_online: number;
}

// Messages.

export interface Message {
  id: string;
  room_id: string;
  client_id: string;
  sender_id: string;
  sender_name: string | null;
  /** Null of a message that was deleted. */
  content: string | null;
  message_type: string;
  meta: Meta | null;
  file_url: string | null;
  file_name: string | null;
  file_size: number | null;
  file_mime_type: string | null;
  reply_to_id: string | null;
  is_edited: boolean;
  is_deleted: boolean;
  created_at: string;
  updated_at: string;
  edited_at: string | null;
}

export interface NewMessage {
  room_id: string;
  /** May be empty or left out only with `file_url`. */
  content?: string | null | undefined;
  /** Default `text`; `image`, `file`, `system`, `custom`, or a word of your own. */
  message_type?: string | undefined;
  file_url?: string | null | undefined;
  file_name?: string | null | undefined;
  file_size?: number | null | undefined;
  file_mime_type?: string | null | undefined;
  reply_to_id?: string | null | undefined;
  meta?: Meta | null | undefined;
  /** With a master key: in whose name. */
  sender_id?: string | null | undefined;
  /** With a master key: the name that is shown. */
  sender_name?: string | null | undefined;
}

export interface MessageChanges {
  content: string;
  meta?: Meta | null | undefined;
}

export interface MessageFilter extends SortedQuery<'created_at' | 'updated_at'>, Range {
  room_id?: string | undefined;
  message_type?: string | undefined;
  sender_id?: string | undefined;
  /** Default false. */
  include_deleted?: boolean | undefined;
}

export interface MessageQuery extends MessageFilter {
  /** A part of the content, whatever its case. */
  search?: string | undefined;
}

/** Which of the latest messages of a room. */
export interface LatestQuery {
  /** 1 to 100, default 50. */
  limit?: number | undefined;
  /** How many of the latest to pass over. */
  offset?: number | undefined;
  before_message_id?: string | undefined;
}

export interface MarkedRead {
  message: string;
  room_id: string;
  message_id: string;
}
