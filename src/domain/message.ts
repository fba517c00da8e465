import {
  AUTO_INACTIVE,
  type DomainEvent,
  type EventData,
  event,
  type MessageBody,
  type MessageCommand as MessageWords,
  SERVICE_ACCOUNT,
} from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';
import { isLongerThan } from './checks.ts';
import { DomainError } from './errors.ts';
import { memberOf } from './membership.ts';
import type { RoomState } from './room.ts';

export type { MessageBody } from '../../schemas/index.ts';

/** What is known of a message. Times are milliseconds since the epoch; of a deleted one nothing that it said is left. */
export interface MessageState extends Omit<EventData<'MessagePosted'>, 'body'> {
  readonly exists: boolean;
  /** For everyone. */
  readonly deleted: boolean;
  /** Accounts that it was deleted for alone. */
  readonly deletedFor: readonly number[];
  readonly body: MessageBody | null;
  /** How often it was edited. */
  readonly edits: number;
  readonly postedAt: number;
  readonly editedAt: number | null;
}

/**
 * A command of a message, and the room that it is judged against, as its node last saw it: a removal that races a message
 * is no error.
 */
export type MessageCommand = MessageWords & { readonly standing: RoomState };

/** The rules of messages. */
export const message: Aggregate<MessageState, MessageCommand> = {
  initial: {
    exists: false,
    deleted: false,
    deletedFor: [],
    workspace: 0,
    room: 0,
    message: 0,
    sender: SERVICE_ACCOUNT,
    profileRevision: 0,
    senderName: null,
    device: null,
    body: null,
    meta: null,
    replyTo: null,
    forwardedFrom: null,
    audience: null,
    edits: 0,
    postedAt: 0,
    editedAt: null,
  },

  decide(state, command) {
    const { workspace, room, message: id, by, standing } = command;
    const ref = { workspace, room, message: id };
    if (command.command === 'PostMessage') {
      if (state.exists) throw new DomainError('already-exists');
      return post(command);
    }
    if (!state.exists || state.deleted || state.room !== room || !standing.exists) throw new DomainError('not-found');
    if (by !== SERVICE_ACCOUNT && !memberOf(standing.members, by)) throw new DomainError('not-a-member');
    if (command.command === 'DeleteMessage' && command.scope === 'account') {
      if (!canSee(standing, state, by)) return [];
      return [event('MessageDeleted', { ...ref, account: by, scope: 'account' })];
    }
    if (by !== SERVICE_ACCOUNT && by !== state.sender) throw new DomainError('not-the-sender');
    if (command.command === 'DeleteMessage') {
      return [event('MessageDeleted', { ...ref, account: by, scope: 'everyone' })];
    }
    const { text, meta, maxTextCharacters } = command;
    const { body } = state;
    if (body?.kind !== 'text' && body?.kind !== 'file' && body?.kind !== 'custom') {
      throw new DomainError('not-editable');
    }
    checkContent({ ...body, text }, maxTextCharacters);
    return [event('MessageEdited', meta === undefined ? { ...ref, text } : { ...ref, text, meta })];
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'MessagePosted':
        return { ...state, ...happened.data, exists: true, postedAt: happened.at };
      case 'MessageEdited': {
        const { text, meta = state.meta } = happened.data;
        const { body } = state;
        const edited = body === null || body.kind === 'invite' ? body : { ...body, text };
        return { ...state, body: edited, meta, edits: state.edits + 1, editedAt: happened.at };
      }
      case 'MessageDeleted': {
        const { scope, account } = happened.data;
        if (scope === 'account') return { ...state, deletedFor: [...state.deletedFor, account] };
        return { ...state, deleted: true, body: null, meta: null, senderName: null };
      }
      default:
        return state;
    }
  },
};

function post(command: Extract<MessageCommand, { command: 'PostMessage' }>): DomainEvent[] {
  const { command: _, by, maxTextCharacters, standing, ...data } = command;
  judgePost(standing, by);
  if (by !== SERVICE_ACCOUNT && by !== data.sender) throw new DomainError('access-denied');
  checkContent(data.body, maxTextCharacters);
  return [event('MessagePosted', data)];
}

/**
 * Throws unless the account may post in the room: `not-found`, `not-a-member`, `role-required`, `room-deleted`,
 * `room-inactive`. For what comes before a message, too: an upload, a typing notice.
 */
export function judgePost(room: RoomState, by: number): void {
  if (!room.exists) throw new DomainError('not-found');
  if (by !== SERVICE_ACCOUNT) {
    const member = memberOf(room.members, by);
    if (!member) throw new DomainError('not-a-member');
    if (room.postPolicy === 'admins' && member.roles.length === 0 && !room.deleted) {
      throw new DomainError('role-required');
    }
  }
  if (room.deleted) throw new DomainError('room-deleted');
  if (room.inactive && room.inactive.reason !== AUTO_INACTIVE) throw new DomainError('room-inactive');
}

/** Throws `content-empty` and `content-too-long`. */
function checkContent(body: MessageBody, maxTextCharacters = 0): void {
  const said = body.text.trim() !== '' || body.kind === 'invite';
  const attached = body.kind === 'file' || (body.kind === 'custom' && body.attachment !== undefined);
  if (!said && !attached) throw new DomainError('content-empty');
  const texts =
    body.kind === 'poll'
      ? [body.text, ...body.options]
      : body.kind === 'action'
        ? [body.text, ...body.actions]
        : [body.text];
  if (maxTextCharacters > 0 && texts.some((text) => isLongerThan(text, maxTextCharacters))) {
    throw new DomainError('content-too-long');
  }
}

/**
 * Whether a message is shown to an account; null is anybody without one. The room's as the node last saw it, as with
 * everything about a message.
 */
export function canSee(room: RoomState, of: MessageState, account: number | null): boolean {
  if (!room.exists || !of.exists || of.deleted || of.room !== room.room) return false;
  if (account === SERVICE_ACCOUNT) return true;
  if (account !== null && of.deletedFor.includes(account)) return false;
  if (of.audience && (account === null || !of.audience.receivers.includes(account))) return false;
  const member = account === null ? undefined : memberOf(room.members, account);
  if (!member) return room.visibility === 'public';
  return of.postedAt >= member.historyFrom && of.postedAt > member.hiddenUntil;
}

/**
 * What a message that answers another says of it. `room` is the room that the other must be in: that of the answer, unless
 * the dialect lets answers cross rooms. Throws `reply-not-found`.
 */
export function answering(
  room: RoomState,
  answered: MessageState,
  account: number,
): NonNullable<MessageState['replyTo']> {
  if (!canSee(room, answered, account)) throw new DomainError('reply-not-found');
  return { message: answered.message, edit: answered.edits };
}
