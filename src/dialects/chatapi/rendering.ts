/** How what is known is shown (sheet, sections 6 to 9): from what was just written, or from rows. */
import type { AccountView } from '../../../projections/accounts/queries.ts';
import type { MessageView, Poster } from '../../../projections/messages/queries.ts';
import type { MemberView, RoomKind, RoomView } from '../../../projections/rooms/queries.ts';
import {
  type AccountState,
  autoInactiveSince,
  type MessageBody,
  type MessageState,
  type RoomState,
  SERVICE_ACCOUNT,
  type WorkspaceState,
} from '../../commands/index.ts';
import type { ChatApiConfig, ChatApiOptions } from './options.ts';
import { paginationOf } from './reading.ts';
import { iso, isoOrNull } from './routes.ts';
import type { Spelling } from './spelling.ts';
import type { roomTypes } from './wire.ts';

/** Shown in place of the name of somebody who is gone. */
export const deletedUser = 'Deleted user';

type RoomType = (typeof roomTypes)[number];
const typeOfKind: Readonly<Record<RoomKind, RoomType>> = {
  private: 'direct',
  group: 'group',
  channel: 'channel',
  support: 'support',
};
/** Kinds of room by the wire's words. */
export const kindOfType: Readonly<Record<RoomType, RoomKind>> = {
  direct: 'private',
  group: 'group',
  channel: 'channel',
  support: 'support',
};

type Profile = Pick<AccountState, 'displayName' | 'givenName' | 'familyName' | 'username'>;

/** What somebody is called: null where nothing was said. */
export function nameOf({ displayName, givenName, familyName, username }: Profile): string | null {
  const whole = [givenName, familyName].filter((part) => part).join(' ');
  return displayName ?? (whole === '' ? username : whole);
}

/** What is shown of a message that was just written. */
type Written = Omit<MessageState, 'exists' | 'deletedFor' | 'profileRevision'>;

/** What rendering needs; every context has it. */
export interface Shown {
  readonly spelling: Spelling;
  readonly options: Pick<ChatApiOptions, 'clock'> & { readonly config: Pick<ChatApiConfig, 'inactiveAfterMs'> };
}

/** Renders what one context knows. */
export class Renderer {
  readonly #context: Shown;

  constructor(context: Shown) {
    this.#context = context;
  }

  /** One object, in its envelope. */
  one<T>(data: T) {
    return { data, status: 'success', timestamp: iso(this.#now()) };
  }

  /** A list, in its envelope. */
  list<T>(data: readonly T[], page: { readonly page: number; readonly size: number }, total: number) {
    return { data, pagination: paginationOf(page, total), status: 'success', timestamp: iso(this.#now()) };
  }

  /** What was done, in words: in `data`, and beside `status`. */
  action<T extends object>(message: string, data: T) {
    return { ...this.one({ message, ...data }), message };
  }

  client(
    workspace: number,
    state: Pick<WorkspaceState, 'name' | 'description' | 'isActive' | 'createdAt' | 'updatedAt'>,
  ) {
    const { name, description, isActive, createdAt, updatedAt } = state;
    return {
      id: this.#context.spelling.client(workspace),
      name,
      description,
      is_active: isActive,
      created_at: iso(createdAt),
      updated_at: iso(updatedAt),
    };
  }

  /** A user without times. An account of another dialect may lack what is shown here (design section 8). */
  person(workspace: number, account: number, of: Profile & Pick<AccountState, 'email' | 'active'>) {
    return {
      id: this.#context.spelling.user(workspace, account),
      email: of.email ?? '',
      username: of.username ?? `user${account}`,
      full_name: nameOf({ ...of, username: null }),
      is_active: of.active,
    };
  }

  user(view: AccountView) {
    return {
      ...this.person(view.workspace, view.account, view),
      created_at: iso(view.openedAt),
      updated_at: iso(view.updatedAt),
    };
  }

  /** A room, from rows. */
  room(view: RoomView) {
    const { spelling } = this.#context;
    const { workspace, deleted } = view;
    return {
      id: spelling.room(workspace, view.room),
      client_id: spelling.client(workspace),
      name: view.name,
      description: view.description,
      room_type: typeOfKind[view.kind],
      max_members: view.maxMembers,
      created_by_user_id: spelling.user(workspace, view.creator),
      is_active: view.isActive && !deleted,
      meta: view.meta,
      participant_count: view.participantCount,
      message_count: view.messageCount,
      last_message_at: isoOrNull(view.lastMessageAt),
      deactivated_reason: deleted ? 'deleted' : view.inactiveReason,
      deactivated_at: isoOrNull(deleted ? view.updatedAt : view.inactiveAt),
      created_at: iso(view.createdAt),
      updated_at: iso(view.updatedAt),
    };
  }

  /** A room as it was just written; `counts` is what only rows know. */
  writtenRoom(state: RoomState, counts: Pick<RoomView, 'messageCount' | 'lastMessageAt'> | null) {
    const { config } = this.#context.options;
    const { messageCount = 0, lastMessageAt = null } = counts ?? {};
    const decided = state.inactive && state.inactive.reason !== autoInactive ? state.inactive : null;
    const quiet = autoInactiveSince(state.kind, lastMessageAt ?? state.createdAt, this.#now(), config.inactiveAfterMs);
    return this.room({
      ...state,
      participantCount: state.members.length,
      messageCount,
      lastMessage: null,
      lastMessageAt,
      isActive: !decided && quiet === null,
      inactiveReason: decided?.reason ?? (quiet === null ? null : autoInactive),
      inactiveAt: decided?.at ?? quiet,
    });
  }

  participant(workspace: number, view: MemberView) {
    return {
      user_id: this.#context.spelling.user(workspace, view.account),
      user_name: view.deletedAccount ? deletedUser : (view.name ?? view.username ?? `user${view.account}`),
      joined_at: iso(view.startedAt),
      meta: view.meta,
    };
  }

  /** A message, from rows. */
  message(view: MessageView) {
    const { spelling } = this.#context;
    const { workspace, body } = view;
    const createdAt = iso(view.postedAt);
    const changedAt = view.deletedAt ?? view.editedAt;
    return {
      id: spelling.message(workspace, view.message),
      room_id: spelling.room(workspace, view.room),
      client_id: spelling.client(workspace),
      sender_id: spelling.user(workspace, view.sender),
      sender_name: senderNameOf(view),
      content: body?.text ?? null,
      message_type: view.label ?? view.kind,
      meta: view.meta,
      file_url: null,
      file_name: null,
      file_size: null,
      file_mime_type: null,
      ...(body && attachmentOf(body)),
      reply_to_id: view.replyTo === null ? null : spelling.message(workspace, view.replyTo.message),
      is_edited: view.edits > 0,
      is_deleted: view.deleted,
      created_at: createdAt,
      updated_at: changedAt === null ? createdAt : iso(changedAt),
      edited_at: isoOrNull(view.editedAt),
    };
  }

  /** A message as it was just written; `senderName` as its rows will have it. */
  writtenMessage(state: Written, senderName: string | null, senderDeleted = false) {
    const { body } = state;
    return this.message({
      ...state,
      senderName: state.senderName ?? senderName,
      senderDeleted,
      kind: body?.kind ?? 'text',
      label: body === null ? null : labelOf(body),
      body,
      deletedBy: null,
      deletedAt: null,
    });
  }

  #now(): number {
    return this.#context.options.clock.now();
  }
}

const autoInactive = 'auto_inactive';

/** What stands for the name of an account that has none; the client itself is nobody. */
export function unnamed(account: number): string | null {
  return account === SERVICE_ACCOUNT ? null : `user${account}`;
}

/** The name that is shown with a message. */
export function senderNameOf({ senderName, senderDeleted, sender }: Poster): string | null {
  return senderName ?? (senderDeleted ? deletedUser : unnamed(sender));
}

/** What is known of the file of a message, as the wire has it; nothing of one that has none. */
export function attachmentOf(body: MessageBody): Readonly<Record<string, string | number>> {
  const attachment = body.kind === 'file' || body.kind === 'custom' ? body.attachment : undefined;
  if (attachment === undefined) return noFile;
  const { url, name, sizeBytes, mimeType } = attachment;
  return {
    ...(url !== undefined && { file_url: url }),
    ...(name !== undefined && { file_name: name }),
    ...(sizeBytes !== undefined && { file_size: sizeBytes }),
    ...(mimeType !== undefined && { file_mime_type: mimeType }),
  };
}

const noFile = {};

/** The word of the wire for the type of a message; null where the body's kind is that. */
export function labelOf(body: MessageBody): string | null {
  if (body.kind === 'file') return body.label ?? body.media;
  return body.kind === 'custom' ? body.label : null;
}

const mediaOfType: Readonly<Record<string, 'image' | 'audio' | 'video'>> = {
  image: 'image',
  audio: 'audio',
  video: 'video',
};

/** What is sent of a message, as the wire has it. */
export interface SentContent {
  readonly content?: string | null | undefined;
  readonly message_type?: string | undefined;
  readonly file_url?: string | null | undefined;
  readonly file_name?: string | null | undefined;
  readonly file_size?: number | null | undefined;
  readonly file_mime_type?: string | null | undefined;
}

/** The body of a message: a text, a file where there is its address, else of a type that we give back and do not judge. */
export function bodyOf(sent: SentContent): MessageBody {
  const { message_type: type = 'text', file_url: url } = sent;
  const text = sent.content ?? '';
  const attachment = {
    ...(url && { url }),
    ...(sent.file_name && { name: sent.file_name }),
    ...(sent.file_size != null && { sizeBytes: sent.file_size }),
    ...(sent.file_mime_type && { mimeType: sent.file_mime_type }),
  };
  if (url) {
    const media = mediaOfType[type] ?? 'document';
    return { kind: 'file', media, text, attachment, ...(type !== media && { label: type }) };
  }
  const described = Object.keys(attachment).length > 0;
  if (type === 'text' && !described) return { kind: 'text', text };
  return { kind: 'custom', label: type, text, ...(described && { attachment }) };
}
