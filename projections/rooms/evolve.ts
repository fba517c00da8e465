import type { RecordedEvent } from '../projection.ts';
import type { MembershipRow, RoomRow } from './rows.ts';

/** An event that changes the row of a room itself. */
export type RoomEvent = RecordedEvent & {
  readonly type: 'RoomCreated' | 'RoomChanged' | 'RoomDeactivated' | 'RoomActivated' | 'RoomDeleted' | 'RoomErased';
};

/** An event about one membership. */
export type MembershipEvent = RecordedEvent & {
  readonly type: 'MembershipStarted' | 'MembershipEnded' | 'MemberRolesChanged' | 'HistoryHidden';
};

/** What is left of a room that is being erased: nothing that a person wrote. */
const unsaid = { name: null, description: null, avatar: null, meta: null };

/** The row after an event; null when it stays as it is. */
export function evolveRoom(row: RoomRow | null, event: RoomEvent): RoomRow | null {
  if (row?.erased) return null;
  if (event.type === 'RoomErased') return tombstone(event);
  if (event.type === 'RoomCreated') return created(event);
  if (!row || row.erasing) return null;
  switch (event.type) {
    case 'RoomChanged': {
      const { kind = row.kind, name = row.name, description = row.description, avatar = row.avatar } = event.data;
      const { maxMembers = row.max_members, meta = row.meta, visibility = row.visibility } = event.data;
      const { joinPolicy = row.join_policy, postPolicy = row.post_policy } = event.data;
      const policies = { join_policy: joinPolicy, post_policy: postPolicy, visibility, max_members: maxMembers };
      return { ...row, kind, name, description, avatar, meta, ...policies, updated_at: event.at };
    }
    case 'RoomDeactivated':
      return { ...row, inactive_reason: event.data.reason, inactive_at: event.at, updated_at: event.at };
    case 'RoomActivated':
      return { ...row, inactive_reason: null, inactive_at: null, updated_at: event.at };
    case 'RoomDeleted': {
      const { erase } = event.data;
      // Deleted twice, the second time with its content: it has been closed since the first.
      const { deleted_at, deleted_position } = row.deleted
        ? row
        : { deleted_at: event.at, deleted_position: String(event.position) };
      const closed = { ...row, deleted: true, deleted_at, deleted_position, updated_at: event.at };
      return erase ? { ...closed, ...unsaid, erasing: true } : closed;
    }
  }
}

function created({ data, at }: RoomEvent & { readonly type: 'RoomCreated' }): RoomRow {
  const { workspace, room, kind, name, description, avatar, visibility, meta, creator } = data;
  return {
    workspace,
    room,
    kind,
    name,
    description,
    avatar,
    join_policy: data.joinPolicy,
    post_policy: data.postPolicy,
    visibility,
    max_members: data.maxMembers,
    meta,
    creator,
    participant_count: 0,
    inactive_reason: null,
    inactive_at: null,
    created_at: at,
    updated_at: at,
    deleted: false,
    deleted_at: null,
    deleted_position: null,
    erasing: false,
    erased: false,
  };
}

function tombstone({ data }: RoomEvent & { readonly type: 'RoomErased' }): RoomRow {
  const { workspace, room, kind, createdAt } = data;
  return {
    workspace,
    room,
    kind,
    ...unsaid,
    join_policy: null,
    post_policy: null,
    visibility: null,
    max_members: null,
    creator: null,
    participant_count: 0,
    inactive_reason: null,
    inactive_at: null,
    created_at: createdAt,
    updated_at: null,
    deleted: true,
    deleted_at: null,
    deleted_position: null,
    erasing: true,
    erased: true,
  };
}

/** The row after an event; null when it stays as it is. */
export function evolveMembership(row: MembershipRow | null, event: MembershipEvent): MembershipRow | null {
  if (event.type === 'MembershipStarted') {
    if (row) return null;
    const { workspace, room, membership, account, roles, historyFrom, meta = null } = event.data;
    return {
      workspace,
      room,
      membership,
      account,
      roles,
      history_from: historyFrom === 0 ? null : historyFrom,
      hidden_until: null,
      meta,
      started_at: event.at,
      started_position: String(event.position),
      ended_at: null,
      ended_position: null,
    };
  }
  if (!row || row.ended_at !== null) return null;
  switch (event.type) {
    case 'MembershipEnded':
      return { ...row, ended_at: event.at, ended_position: String(event.position) };
    case 'MemberRolesChanged':
      return { ...row, roles: event.data.roles };
    case 'HistoryHidden':
      return { ...row, hidden_until: event.data.until };
  }
}
