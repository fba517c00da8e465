/** A room, its members and one message, for the stories that tests tell. */
import type { Test } from 'tap';
import { checkEvent, type DomainEvent, type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from '../../src/domain/aggregate.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import type { MessageCommand } from '../../src/domain/message.ts';
import { room } from '../../src/domain/room.ts';
import { given, type Past, stateAfter } from './given.ts';

/** The workspace of it all. */
export const workspace = 2;

/** Given, when, then; and every event is of its schema. */
export function tell<State, Command>(
  t: Test,
  aggregate: Aggregate<State, Command>,
  past: readonly Past[],
  command: Command,
  then: readonly DomainEvent[] | ErrorCode,
  what: string,
): void {
  for (const happened of [...past, ...(typeof then === 'string' ? [] : then)]) checkEvent(happened);
  given(t, aggregate, past).when(command).yields(then, what);
}

type Settings = Omit<EventData<'RoomCreated'>, 'workspace' | 'room'>;

/** A room that nobody said anything of. */
export const bare: Settings = {
  kind: 'private',
  name: null,
  description: null,
  avatar: null,
  joinPolicy: 'closed',
  postPolicy: 'members',
  visibility: 'members',
  maxMembers: null,
  meta: null,
  creator: 7,
  claim: null,
};
/** Which room. */
export const inRoom = { workspace, room: 4 };
/** Omni Chat's private chat: one per unordered pair, which the claim says. */
export const omniPrivate: Settings = { ...bare, maxMembers: 2, claim: 'pair-of-7-and-8' };
/** Omni Chat's group chat, INVITABLE. */
export const omniGroup: Settings = { ...bare, kind: 'group', name: 'Title', description: '', joinPolicy: 'invite' };
/** Spika's group. */
export const spikaGroup: Settings = { ...bare, kind: 'group', name: 'Untitled room' };

/** The events of the room. */
export function created(settings: Settings): DomainEvent<'RoomCreated'> {
  return event('RoomCreated', { ...inRoom, ...settings });
}
/** A membership starts. */
export function started(
  account: number,
  membership: number,
  roles: EventData<'MembershipStarted'>['roles'] = [],
  historyFrom = 0,
) {
  return event('MembershipStarted', { ...inRoom, account, membership, roles, historyFrom });
}
/** A membership ends. */
export function ended(account: number, membership: number) {
  return event('MembershipEnded', { ...inRoom, account, membership });
}

/** Which message. */
export const aMessage = { ...inRoom, message: 31 };
const said: EventData<'MessagePosted'> = {
  ...aMessage,
  sender: 7,
  profileRevision: 3,
  senderName: null,
  device: null,
  body: { kind: 'text', text: 'hi' },
  meta: null,
  replyTo: null,
  forwardedFrom: null,
  audience: null,
};
/** The message, as it was posted. */
export const posted = (more: Partial<EventData<'MessagePosted'>> = {}) => event('MessagePosted', { ...said, ...more });
/** The command to post it, in the room that this past leaves. */
export const posting = (past: readonly Past[], more: Partial<EventData<'MessagePosted'>> = {}): MessageCommand => ({
  command: 'PostMessage',
  ...said,
  ...more,
  by: more.sender ?? said.sender,
  standing: stateAfter(room, past),
});
