import {
  AUTO_INACTIVE,
  type DomainEvent,
  type EventData,
  event,
  inactiveAfterDays,
  type RoomCommand,
  SERVICE_ACCOUNT,
} from '../../schemas/index.ts';
import type { Aggregate, Happened } from './aggregate.ts';
import { DomainError } from './errors.ts';
import {
  type Members,
  mayManage,
  memberOf,
  type RoomRole,
  roleSetOf,
  withMember,
  withoutMember,
} from './membership.ts';

export type { RoomCommand } from '../../schemas/index.ts';

/** Kinds of conversation. */
export type RoomKind = EventData<'RoomCreated'>['kind'];

/** What is known of a room. Times are milliseconds since the epoch. */
export interface RoomState extends EventData<'RoomCreated'> {
  /** False before it was created, and once its content is being erased. */
  readonly exists: boolean;
  readonly deleted: boolean;
  readonly members: Members;
  /** The highest membership there was. */
  readonly lastMembership: number;
  /** Why and since when it takes no messages; null while it does. */
  readonly inactive: { readonly reason: string; readonly at: number } | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/**
 * The rules of rooms: membership and settings. A claim that its command chose is the door's to take with the creation, and
 * to release (`claim`) with the deletion.
 */
export const room: Aggregate<RoomState, RoomCommand> = {
  initial: {
    exists: false,
    deleted: false,
    workspace: 0,
    room: 0,
    kind: 'group',
    name: null,
    description: null,
    avatar: null,
    joinPolicy: 'closed',
    postPolicy: 'members',
    visibility: 'members',
    maxMembers: null,
    meta: null,
    creator: SERVICE_ACCOUNT,
    claim: null,
    members: [],
    lastMembership: 0,
    inactive: null,
    createdAt: 0,
    updatedAt: 0,
  },

  decide(state, command) {
    if (command.command === 'CreateRoom') return create(state, command);
    if (!state.exists) throw new DomainError('not-found');
    const ref = { workspace: command.workspace, room: command.room };
    switch (command.command) {
      case 'ChangeRoom': {
        manages(state, command.by);
        const { command: _, by: __, ...data } = command;
        return [event('RoomChanged', data)];
      }
      case 'JoinRoom':
        return join(state, command);
      case 'LeaveRoom':
        return leave(state, command);
      case 'ChangeMembers':
        manages(state, command.by);
        return settle(state, command);
      case 'HideHistory': {
        const member = memberOf(state.members, command.account);
        if (!member) throw new DomainError('not-a-member');
        const { account, until } = command;
        if (until <= member.hiddenUntil) return [];
        return [event('HistoryHidden', { ...ref, account, membership: member.membership, until })];
      }
      case 'DeactivateRoom': {
        manages(state, command.by);
        const { reason } = command;
        // The rule at query time gives way to a person's decision, never the other way round.
        if (state.inactive && (reason === AUTO_INACTIVE || state.inactive.reason !== AUTO_INACTIVE)) return [];
        return [event('RoomDeactivated', { ...ref, reason })];
      }
      case 'ActivateRoom':
        manages(state, command.by);
        return state.inactive ? [event('RoomActivated', ref)] : [];
      case 'ReviveRoom':
        return state.inactive?.reason === AUTO_INACTIVE ? [event('RoomActivated', ref)] : [];
      case 'DeleteRoom':
        manages(state, command.by, { deletedToo: true });
        if (state.deleted && !command.erase) return [];
        return [event('RoomDeleted', { ...ref, erase: command.erase })];
    }
  },

  evolve(state, happened) {
    switch (happened.type) {
      case 'RoomCreated':
        return { ...state, ...happened.data, exists: true, createdAt: happened.at, updatedAt: happened.at };
      case 'RoomChanged': {
        const changed = Object.entries(happened.data).filter(([, value]) => value !== undefined);
        return { ...state, ...(Object.fromEntries(changed) as Partial<RoomState>), updatedAt: happened.at };
      }
      case 'RoomDeactivated':
        return { ...state, inactive: { reason: happened.data.reason, at: happened.at }, updatedAt: happened.at };
      case 'RoomActivated':
        return { ...state, inactive: null, updatedAt: happened.at };
      case 'RoomDeleted': {
        const { erase } = happened.data;
        const closed = { ...state, deleted: true, claim: null, updatedAt: happened.at };
        // Nothing of what is being erased stays in memory.
        return erase ? { ...room.initial, deleted: true } : closed;
      }
      default:
        return evolveMembers(state, happened);
    }
  },
};

function evolveMembers(state: RoomState, happened: Happened): RoomState {
  switch (happened.type) {
    case 'MembershipStarted': {
      const { account, membership, roles, historyFrom } = happened.data;
      const member = { account, membership, roles, historyFrom, hiddenUntil: 0, joinedAt: happened.at };
      return { ...state, members: withMember(state.members, member), lastMembership: membership };
    }
    case 'MembershipEnded':
      return { ...state, members: withoutMember(state.members, happened.data.account) };
    case 'MemberRolesChanged':
    case 'HistoryHidden': {
      const member = memberOf(state.members, happened.data.account);
      if (!member) return state;
      const changed =
        happened.type === 'HistoryHidden'
          ? { ...member, hiddenUntil: happened.data.until }
          : { ...member, roles: happened.data.roles };
      return { ...state, members: withMember(state.members, changed) };
    }
    default:
      return state;
  }
}

type Command<K extends RoomCommand['command']> = Extract<RoomCommand, { command: K }>;

function create(state: RoomState, command: Command<'CreateRoom'>): DomainEvent[] {
  if (state.exists || state.deleted) throw new DomainError('already-exists');
  const { command: _, members, historyFrom, ...data } = command;
  const { workspace, room, maxMembers } = data;
  const started = startings({ workspace, room, historyFrom }, members, 0);
  if (maxMembers !== null && started.length > maxMembers) throw new DomainError('room-full');
  return [event('RoomCreated', data), ...started];
}

/** Throws unless the acting account manages the room: `not-a-member`, `role-required`, `room-deleted`. */
function manages(state: RoomState, by: number, { deletedToo = false } = {}): void {
  if (!mayManage(state.members, by)) {
    throw new DomainError(memberOf(state.members, by) ? 'role-required' : 'not-a-member');
  }
  if (state.deleted && !deletedToo) throw new DomainError('room-deleted');
}

function join(state: RoomState, command: Command<'JoinRoom'>): DomainEvent[] {
  const { by, account, through, historyFrom, meta } = command;
  if (state.deleted) throw new DomainError('room-deleted');
  if (by !== SERVICE_ACCOUNT) {
    if (by !== account) throw new DomainError('access-denied');
    const open = state.joinPolicy === 'open' || (state.joinPolicy === 'invite' && through === 'invite');
    // Who is in already learns that first: the policy tells them nothing new.
    if (!open && !memberOf(state.members, account)) throw new DomainError('join-closed');
  }
  if (memberOf(state.members, account)) throw new DomainError('already-member');
  return settle(state, { ...command, historyFrom, add: [{ account, roles: [], ...(meta !== undefined && { meta }) }] });
}

function leave(state: RoomState, command: Command<'LeaveRoom'>): DomainEvent[] {
  const { by, account, successors = [] } = command;
  if (by !== account && by !== SERVICE_ACCOUNT) throw new DomainError('access-denied');
  if (!memberOf(state.members, account)) throw new DomainError('not-a-member');
  const managed = state.members.some((member) => member.account !== account && member.roles.length > 0);
  const heirs = managed ? [] : successors.filter((heir) => heir !== account);
  const admin: RoomRole[] = ['admin'];
  return settle(state, {
    ...command,
    remove: [account],
    add: heirs.map((heir) => ({ account: heir, roles: admin })),
    roles: heirs.map((heir) => ({ account: heir, roles: admin })),
  });
}

type Changes = Omit<Command<'ChangeMembers'>, 'command' | 'by'>;

/** Removes, adds, sets roles. Throws `room-full` and `last-admin`; then nothing of it happens. */
function settle(state: RoomState, changes: Changes): DomainEvent[] {
  const { workspace, room: id, remove = [], add = [], roles = [], historyFrom } = changes;
  const ref = { workspace, room: id };
  const events: DomainEvent[] = [];
  let next = state;
  const take = (happened: DomainEvent) => {
    events.push(happened);
    // Only who is in with which roles is looked at here: the time does not matter.
    next = evolveMembers(next, { ...happened, at: 0 });
  };
  for (const account of remove) {
    const member = memberOf(next.members, account);
    if (member) take(event('MembershipEnded', { ...ref, account, membership: member.membership }));
  }
  const fresh = add.filter(({ account }) => !memberOf(next.members, account));
  for (const started of startings({ ...ref, historyFrom }, fresh, state.lastMembership)) take(started);
  for (const wanted of roles) {
    const member = memberOf(next.members, wanted.account);
    const set = roleSetOf(wanted.roles);
    if (!member || String(member.roles) === String(set)) continue;
    take(event('MemberRolesChanged', { ...ref, account: member.account, membership: member.membership, roles: set }));
  }
  const { length } = next.members;
  if (state.maxMembers !== null && length > state.maxMembers && length > state.members.length) {
    throw new DomainError('room-full');
  }
  if (changes.requireAdmin && length > 0 && !next.members.some((member) => member.roles.length > 0)) {
    throw new DomainError('last-admin');
  }
  if (changes.deleteWhenEmpty && length === 0) events.push(event('RoomDeleted', { ...ref, erase: true }));
  return events;
}

type NewMember = Command<'CreateRoom'>['members'][number];

/** The memberships that start, numbered on from `last`; an account that is named twice starts one. */
function startings(
  ref: { workspace: number; room: number; historyFrom: number },
  members: readonly NewMember[],
  last: number,
): DomainEvent<'MembershipStarted'>[] {
  const once = new Map<number, NewMember>();
  for (const member of members) if (!once.has(member.account)) once.set(member.account, member);
  return [...once.values()].map(({ account, roles, meta }, i) => {
    const data = { ...ref, account, membership: last + 1 + i, roles: roleSetOf(roles) };
    return event('MembershipStarted', meta === undefined ? data : { ...data, meta });
  });
}

/** Milliseconds without a message after which a room of each kind counts as inactive; 0: never. */
export type InactiveAfterMs = Readonly<Record<RoomKind, number>>;

const dayMs = 24 * 3_600_000;

/** ChatAPI sheet, section 8. */
export const defaultInactiveAfterMs: InactiveAfterMs = {
  private: inactiveAfterDays.private * dayMs,
  group: inactiveAfterDays.group * dayMs,
  channel: inactiveAfterDays.channel * dayMs,
  support: inactiveAfterDays.support * dayMs,
};

/**
 * Since when a room has been inactive for want of messages, or null while it is not: the rule at query time. `lastActivityAt`
 * is its last message's time, or that of its creation when there never was one.
 */
export function autoInactiveSince(
  kind: RoomKind,
  lastActivityAt: number,
  now: number,
  after: InactiveAfterMs = defaultInactiveAfterMs,
): number | null {
  const since = lastActivityAt + after[kind];
  return after[kind] > 0 && now >= since ? since : null;
}
