import { foldTable } from '../fold-table.ts';

/** A room as its row has it. Times are milliseconds since the epoch, positions spelled. */
export type RoomRow = {
  readonly workspace: number;
  readonly room: number;
  readonly kind: string;
  readonly name: string | null;
  readonly description: string | null;
  readonly avatar: number | null;
  readonly join_policy: string | null;
  readonly post_policy: string | null;
  readonly visibility: string | null;
  readonly max_members: number | null;
  readonly meta: Readonly<Record<string, unknown>> | null;
  readonly creator: number | null;
  readonly participant_count: number;
  readonly inactive_reason: string | null;
  readonly inactive_at: number | null;
  readonly created_at: number;
  readonly updated_at: number | null;
  readonly deleted: boolean;
  readonly deleted_at: number | null;
  readonly deleted_position: string | null;
  readonly erasing: boolean;
  readonly erased: boolean;
};

/** A membership as its row has it. */
export type MembershipRow = {
  readonly workspace: number;
  readonly room: number;
  readonly membership: number;
  readonly account: number;
  readonly roles: readonly string[];
  readonly history_from: number | null;
  readonly hidden_until: number | null;
  readonly meta: Readonly<Record<string, unknown>> | null;
  readonly started_at: number;
  readonly started_position: string;
  readonly ended_at: number | null;
  readonly ended_position: string | null;
};

export const roomTable = foldTable<RoomRow>(
  'rooms',
  2,
  {
    workspace: 'int',
    room: 'int',
    kind: 'text',
    name: 'text',
    description: 'text',
    avatar: 'int',
    join_policy: 'text',
    post_policy: 'text',
    visibility: 'text',
    max_members: 'int',
    meta: 'json',
    creator: 'int',
    participant_count: 'int',
    inactive_reason: 'text',
    inactive_at: 'time',
    created_at: 'time',
    updated_at: 'time',
    deleted: 'bool',
    deleted_at: 'time',
    deleted_position: 'position',
    erasing: 'bool',
    erased: 'bool',
  },
  { erasable: true },
);

export const membershipTable = foldTable<MembershipRow>(
  'memberships',
  3,
  {
    workspace: 'int',
    room: 'int',
    membership: 'int',
    account: 'int',
    roles: 'json',
    history_from: 'time',
    hidden_until: 'time',
    meta: 'json',
    started_at: 'time',
    started_position: 'position',
    ended_at: 'time',
    ended_position: 'position',
  },
  { erasable: false },
);
