/**
 * What can be read of rooms: single ones and lists here; members and memberships in `members.ts`. A room that is being erased
 * is in no answer; one that was deleted and keeps its content is, flagged.
 */
import { AUTO_INACTIVE } from '../../schemas/index.ts';
import { listed } from '../listed.ts';
import type { Listed, Page, Queryable } from '../projection.ts';
import { containing, living, ms } from '../sql.ts';

export {
  accountsIn,
  findMember,
  listMembers,
  type MembershipSpan,
  type MemberView,
  memberAccounts,
  membershipSpans,
  membershipsByNumber,
  membersOf,
} from './members.ts';

/** Kinds of conversation. */
export type RoomKind = 'private' | 'group' | 'channel' | 'support';

/** What the rule of inactivity at query time needs. Times in milliseconds; 0 in `inactiveAfterMs`: never. */
export interface Inactivity {
  readonly nowMs: number;
  readonly inactiveAfterMs: Readonly<Record<RoomKind, number>>;
}

/** A room as it can be read. Times are milliseconds since the epoch. */
export interface RoomView {
  readonly workspace: number;
  readonly room: number;
  readonly kind: RoomKind;
  readonly name: string | null;
  readonly description: string | null;
  readonly avatar: number | null;
  readonly joinPolicy: 'open' | 'invite' | 'closed';
  readonly postPolicy: 'members' | 'admins';
  readonly visibility: 'members' | 'public';
  readonly maxMembers: number | null;
  readonly meta: Readonly<Record<string, unknown>> | null;
  /** 0: the service account. */
  readonly creator: number;
  readonly participantCount: number;
  /** Messages that were not deleted. */
  readonly messageCount: number;
  /** Number and time of the latest message, deleted or not; null when there never was one. */
  readonly lastMessage: number | null;
  readonly lastMessageAt: number | null;
  /** False: it takes no messages, or had none for so long that it counts as inactive (then a message revives it). */
  readonly isActive: boolean;
  /** `auto_inactive` by the rule at query time; null while it is active. */
  readonly inactiveReason: string | null;
  readonly inactiveAt: number | null;
  /** Closed for ever. */
  readonly deleted: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** The caller's own membership of a room. */
export interface OwnMembership {
  readonly membership: number;
  readonly roles: readonly ('owner' | 'admin')[];
  /** Messages from here on are shown; 0: all. */
  readonly historyFrom: number;
  /** Messages up to here are hidden; 0: none. */
  readonly hiddenUntil: number;
  readonly startedAt: number;
}

/** A room as a member sees it. */
export interface OwnRoomView extends RoomView {
  readonly own: OwnMembership;
}

/** A room (`r`) with its activity (`a`) and since when it is inactive by the rule (`i.since`); parameters $2 and $3. */
const from = `rooms r LEFT JOIN room_activity a USING (workspace, room)
  CROSS JOIN LATERAL (SELECT ($3::float8[])[CASE r.kind WHEN 'private' THEN 1 WHEN 'group' THEN 2 WHEN 'channel' THEN 3 ELSE 4 END]
    AS after) k
  CROSS JOIN LATERAL (SELECT CASE WHEN k.after > 0 AND
      coalesce(a.last_message_at, r.created_at) + k.after * interval '1 millisecond' <= to_timestamp($2::float8 / 1000)
    THEN coalesce(a.last_message_at, r.created_at) + k.after * interval '1 millisecond' END AS since,
    r.inactive_reason <> '${AUTO_INACTIVE}' AS decided) i`;

/** A person's decision stands; else the rule alone says it, whatever the sweep wrote down. */
const isActive = '(i.decided IS NOT TRUE AND i.since IS NULL)';

const columns = `r.workspace, r.room, r.kind, r.name, r.description, r.avatar, r.join_policy AS "joinPolicy",
  r.post_policy AS "postPolicy", r.visibility, r.max_members AS "maxMembers", r.meta, r.creator,
  r.participant_count AS "participantCount", coalesce(a.message_count, 0) AS "messageCount", a.last_message AS "lastMessage",
  ${ms('a.last_message_at')} AS "lastMessageAt", ${isActive} AS "isActive",
  CASE WHEN i.decided THEN r.inactive_reason WHEN i.since IS NOT NULL THEN '${AUTO_INACTIVE}' END AS "inactiveReason",
  ${ms('CASE WHEN i.decided THEN r.inactive_at ELSE i.since END')} AS "inactiveAt",
  r.deleted, ${ms('r.created_at')} AS "createdAt", ${ms('r.updated_at')} AS "updatedAt"`;

const own = `json_build_object('membership', o.membership, 'roles', o.roles,
  'historyFrom', coalesce(${ms('o.history_from')}, 0), 'hiddenUntil', coalesce(${ms('o.hidden_until')}, 0),
  'startedAt', ${ms('o.started_at')}) AS own`;

function rule({ nowMs, inactiveAfterMs: after }: Inactivity): unknown[] {
  return [nowMs, [after.private, after.group, after.channel, after.support]];
}

/** One room, or null. */
export async function findRoom(
  db: Queryable,
  workspace: number,
  room: number,
  inactivity: Inactivity,
): Promise<RoomView | null> {
  const [found] = await roomsByNumber(db, workspace, [room], inactivity);
  return found ?? null;
}

/** What is left of a room that is being erased. Times are milliseconds since the epoch. */
export interface RoomTombstone {
  readonly kind: RoomKind;
  readonly createdAt: number;
  /** Null once it is erased. */
  readonly deletedAt: number | null;
}

/** What is left of a room that somebody knows to be gone; null when the rows do not know it yet. */
export async function findRoomTombstone(db: Queryable, workspace: number, room: number): Promise<RoomTombstone | null> {
  const { rows } = await db.query<RoomTombstone>({
    text: `SELECT kind, ${ms('created_at')} AS "createdAt", ${ms('deleted_at')} AS "deletedAt" FROM rooms
      WHERE workspace = $1 AND room = $2 AND ${living('$1')}`,
    values: [workspace, room],
  });
  return rows[0] ?? null;
}

/** Rooms by number, in the order of their numbers; unknown ones are left out. */
export async function roomsByNumber(
  db: Queryable,
  workspace: number,
  rooms: readonly number[],
  inactivity: Inactivity,
): Promise<RoomView[]> {
  const { rows } = await db.query<RoomView>({
    text: `SELECT ${columns} FROM ${from}
      WHERE r.workspace = $1 AND r.room = ANY ($4::int[]) AND NOT r.erasing AND ${living('$1')} ORDER BY r.room`,
    values: [workspace, ...rule(inactivity), rooms],
  });
  return rows;
}

/** Which rooms to list, and how. */
export interface RoomFilter extends Inactivity {
  readonly workspace: number;
  readonly kinds?: readonly RoomKind[];
  /** Rooms of any kind that take messages by the rule, or those that do not. */
  readonly isActive?: boolean;
  /** Closed ones too. Default false. */
  readonly deletedToo?: boolean;
  /** A part of the name or the description, whatever its case. */
  readonly search?: string;
  readonly visibility?: RoomView['visibility'];
  /** `activity`: by the last message, rooms without one last, then by creation (ChatAPI sheet, section 8). Default. */
  readonly sort?: 'activity' | 'created' | 'updated' | 'name' | 'room';
  /** Default `desc`. */
  readonly order?: 'asc' | 'desc';
}

function ordered(sort: NonNullable<RoomFilter['sort']>, order: 'asc' | 'desc'): string {
  const direction = order === 'asc' ? 'ASC' : 'DESC';
  const by = {
    activity: `a.last_message_at ${direction} NULLS LAST, r.created_at ${direction}, `,
    created: `r.created_at ${direction}, `,
    updated: `r.updated_at ${direction}, `,
    name: `r.name ${direction} NULLS LAST, `,
    room: '',
  };
  return `${by[sort]}r.room ${direction}`;
}

const filtered = `r.workspace = $1 AND NOT r.erasing AND ${living('$1')} AND ($4::text[] IS NULL OR r.kind = ANY ($4))
  AND ($5::bool IS NULL OR ${isActive} = $5) AND ($6::bool OR NOT r.deleted)
  AND ($7::text IS NULL OR r.name ILIKE $7 OR r.description ILIKE $7) AND ($8::text IS NULL OR r.visibility = $8)`;

function list<T extends RoomView>(
  db: Queryable,
  filter: RoomFilter,
  page: Page | undefined,
  member: number | null,
): Promise<Listed<T>> {
  const { workspace, kinds, isActive: active, deletedToo = false, search, visibility } = filter;
  const { sort = 'activity', order = 'desc' } = filter;
  const given = [kinds ?? null, active ?? null, deletedToo, search ? containing(search) : null, visibility ?? null];
  const values = [workspace, ...rule(filter), ...given, member];
  const those =
    member === null
      ? `FROM ${from} WHERE ${filtered} AND $9::int IS NULL`
      : `FROM memberships o JOIN ${from} ON o.workspace = $1 AND o.account = $9 AND o.ended_position IS NULL AND r.room = o.room
        WHERE ${filtered}`;
  const shown = member === null ? columns : `${columns}, ${own}`;
  return listed(db, { columns: shown, those, order: ordered(sort, order), values }, page);
}

/** A workspace's rooms; all of them without a page. Page and total look at every room of it: about 2 ms per 1,000. */
export function listRooms(db: Queryable, filter: RoomFilter, page?: Page): Promise<Listed<RoomView>> {
  return list(db, filter, page, null);
}

/** The rooms that an account is a member of; all of them without a page. Page and total look at all of these. */
export function listRoomsOf(
  db: Queryable,
  account: number,
  filter: RoomFilter,
  page?: Page,
): Promise<Listed<OwnRoomView>> {
  return list(db, filter, page, account);
}

/**
 * The first private room that was not deleted and whose members are these two, or null. For one with oneself name it twice.
 * With `creator`, of those that this account made.
 */
export async function privateRoomOf(
  db: Queryable,
  workspace: number,
  one: number,
  other: number,
  { creator }: { readonly creator?: number } = {},
): Promise<number | null> {
  const { rows } = await db.query<{ room: number }>({
    text: `SELECT r.room FROM memberships x JOIN rooms r USING (workspace, room)
      WHERE x.workspace = $1 AND x.account = $2 AND x.ended_position IS NULL AND r.kind = 'private' AND NOT r.deleted
        AND r.participant_count = CASE WHEN $2::int = $3::int THEN 1 ELSE 2 END AND ${living('$1')}
        AND ($4::int IS NULL OR r.creator = $4)
        AND EXISTS (SELECT FROM memberships y WHERE y.workspace = $1 AND y.room = r.room AND y.account = $3
          AND y.ended_position IS NULL)
      ORDER BY r.room LIMIT 1`,
    values: [workspace, one, other, creator ?? null],
  });
  return rows[0]?.room ?? null;
}

/** A room, by workspace and number. */
export interface RoomRef {
  readonly workspace: number;
  readonly room: number;
}

/**
 * Rooms of all workspaces that count as inactive by the rule and of which the log does not say so yet, in the order of their
 * keys after `after`: for the sweep that writes it down. Looks at every room there is, page by page.
 */
export async function roomsToDeactivate(
  db: Queryable,
  inactivity: Inactivity,
  { limit, after }: { readonly limit: number; readonly after?: RoomRef },
): Promise<RoomRef[]> {
  const { rows } = await db.query<RoomRef>({
    text: `SELECT r.workspace, r.room FROM ${from}
      WHERE (r.workspace, r.room) > ($1::int, $4::int) AND i.since IS NOT NULL AND r.inactive_reason IS NULL AND NOT r.deleted
        AND ${living('r.workspace')} ORDER BY r.workspace, r.room LIMIT $5`,
    values: [after?.workspace ?? -1, ...rule(inactivity), after?.room ?? -1, limit],
  });
  return rows;
}
