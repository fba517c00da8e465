/** What can be read of memberships. */
import type { AccountRef, Listed, Page, Queryable } from '../projection.ts';
import { living, ms, reachedPosition } from '../sql.ts';

/** A member of a room as others see it. Times are milliseconds since the epoch. */
export interface MemberView {
  readonly room: number;
  readonly account: number;
  /** Counts the memberships of the room from 1. */
  readonly membership: number;
  readonly roles: readonly ('owner' | 'admin')[];
  /** Messages from here on are shown; 0: all. */
  readonly historyFrom: number;
  /** Messages up to here are hidden; 0: none. */
  readonly hiddenUntil: number;
  readonly meta: Readonly<Record<string, unknown>> | null;
  readonly startedAt: number;
  /** Null while it lasts. */
  readonly endedAt: number | null;
  /** What the account is called now; null where nothing was said, and of a deleted one. */
  readonly name: string | null;
  readonly username: string | null;
  readonly kind: 'person' | 'bot' | 'service' | null;
  readonly deletedAccount: boolean;
}

/** An account (`n`) by what it is called now. */
export function calledNow(n: string): string {
  return `coalesce(${n}.display_name, nullif(concat_ws(' ', nullif(${n}.given_name, ''), nullif(${n}.family_name, '')), ''), ${n}.username)`;
}

const columns = `o.room, o.account, o.membership, o.roles, coalesce(${ms('o.history_from')}, 0) AS "historyFrom",
  coalesce(${ms('o.hidden_until')}, 0) AS "hiddenUntil", o.meta, ${ms('o.started_at')} AS "startedAt",
  ${ms('o.ended_at')} AS "endedAt", ${calledNow('n')} AS name, n.username, n.kind,
  coalesce(n.deleted, false) AS "deletedAccount"`;

const from = `memberships o JOIN rooms r USING (workspace, room)
  LEFT JOIN accounts n ON n.workspace = o.workspace AND n.account = o.account`;

/** The current membership of an account in a room, or null. */
export async function findMember(
  db: Queryable,
  workspace: number,
  room: number,
  account: number,
): Promise<MemberView | null> {
  const { rows } = await db.query<MemberView>({
    text: `SELECT ${columns} FROM ${from} WHERE o.workspace = $1 AND o.room = $2 AND o.account = $3
      AND o.ended_position IS NULL AND NOT r.erasing AND ${living('$1')}`,
    values: [workspace, room, account],
  });
  return rows[0] ?? null;
}

/**
 * A room's members in the order of their memberships; all of them without a page. `after`: only those of a higher membership,
 * for cursors; the total is the room's all the same.
 */
export async function listMembers(
  db: Queryable,
  workspace: number,
  room: number,
  page?: Page & { readonly after?: number },
): Promise<Listed<MemberView>> {
  const [{ rows }, total] = await Promise.all([
    db.query<MemberView>({
      text: `SELECT ${columns} FROM ${from} WHERE o.workspace = $1 AND o.room = $2 AND o.membership > $3
        AND o.ended_position IS NULL AND NOT r.erasing AND ${living('$1')} ORDER BY o.membership LIMIT $4 OFFSET $5`,
      values: [workspace, room, page?.after ?? 0, page?.limit ?? null, page?.offset ?? 0],
    }),
    db.query<{ count: number }>({
      text: `SELECT participant_count AS count FROM rooms r
        WHERE r.workspace = $1 AND r.room = $2 AND NOT r.erasing AND ${living('$1')}`,
      values: [workspace, room],
    }),
  ]);
  return { items: rows, total: total.rows[0]?.count ?? 0 };
}

/** The members of several rooms, by room and membership: for private rooms above all. With `endedToo`, past ones as well. */
export async function membersOf(
  db: Queryable,
  workspace: number,
  rooms: readonly number[],
  { endedToo = false }: { readonly endedToo?: boolean } = {},
): Promise<MemberView[]> {
  const { rows } = await db.query<MemberView>({
    text: `SELECT ${columns} FROM ${from} WHERE o.workspace = $1 AND o.room = ANY ($2::int[])
      ${endedToo ? '' : 'AND o.ended_position IS NULL'} AND NOT r.erasing AND ${living('$1')} ORDER BY o.room, o.membership`,
    values: [workspace, rooms],
  });
  return rows;
}

/** Memberships by room and number, past ones too; those of rooms that are gone are left out. */
export async function membershipsByNumber(
  db: Queryable,
  workspace: number,
  wanted: readonly { readonly room: number; readonly membership: number }[],
): Promise<MemberView[]> {
  const { rows } = await db.query<MemberView>({
    text: `SELECT ${columns} FROM ${from} JOIN unnest($2::int[], $3::int[]) w(room, membership)
      ON w.room = o.room AND w.membership = o.membership
      WHERE o.workspace = $1 AND NOT r.erasing AND ${living('$1')}`,
    values: [workspace, wanted.map(({ room }) => room), wanted.map(({ membership }) => membership)],
  });
  return rows;
}

/** The accounts that are members of a room, ascending. */
export async function memberAccounts(db: Queryable, workspace: number, room: number): Promise<number[]> {
  const { rows } = await db.query<{ account: number }>({
    text: `SELECT o.account FROM memberships o JOIN rooms r USING (workspace, room)
      WHERE o.workspace = $1 AND o.room = $2 AND o.ended_position IS NULL AND NOT r.erasing AND ${living('$1')}
      ORDER BY o.account`,
    values: [workspace, room],
  });
  return rows.map(({ account }) => account);
}

/** The accounts that are members of any of these rooms, ascending, each once, at most so many. */
export async function accountsIn(
  db: Queryable,
  workspace: number,
  rooms: readonly number[],
  maxAccounts: number,
): Promise<number[]> {
  const { rows } = await db.query<{ account: number }>({
    name: 'accounts-in-rooms',
    text: `SELECT DISTINCT o.account FROM memberships o
      WHERE o.workspace = $1 AND o.room = ANY ($2::int[]) AND o.ended_position IS NULL AND ${living('$1')}
      ORDER BY o.account LIMIT $3`,
    values: [workspace, rooms, maxAccounts],
  });
  return rows.map(({ account }) => account);
}

/** A membership by positions of the log. */
export interface MembershipSpan {
  readonly room: number;
  /** Position of the event that started it. */
  readonly from: bigint;
  /** Position of the event that ended it or deleted its room; null while it lasts. */
  readonly to: bigint | null;
}

/**
 * An account's memberships, all that last and all that ended after a position, by their beginnings; and the position that this
 * is true for. What happened beyond it is left out, also where the rows are further.
 */
export async function membershipSpans(
  db: Queryable,
  { workspace, account }: AccountRef,
  since: bigint,
): Promise<{ spans: MembershipSpan[]; upTo: bigint }> {
  const { rows } = await db.query<{ up_to: string; room: number | null; started: string; ended: string | null }>({
    name: 'membership-spans',
    text: `SELECT reached.position AS up_to, s.room, s.started, CASE WHEN s.ended <= reached.position THEN s.ended END AS ended
      FROM (SELECT ${reachedPosition} AS position) reached
      LEFT JOIN (
        SELECT o.room, o.started_position AS started, coalesce(o.ended_position, r.deleted_position) AS ended
          FROM memberships o JOIN rooms r USING (workspace, room)
          WHERE o.workspace = $1 AND o.account = $2 AND NOT r.erased AND ${living('$1')}
      ) s ON s.started <= reached.position AND (s.ended IS NULL OR s.ended > $3)
      ORDER BY s.started`,
    values: [workspace, account, since],
  });
  const spans = rows
    .filter((row) => row.room !== null)
    .map(({ room, started, ended }) => ({
      room: room as number,
      from: BigInt(started),
      to: ended === null ? null : BigInt(ended),
    }));
  return { spans, upTo: BigInt(rows[0]?.up_to ?? 0) };
}
