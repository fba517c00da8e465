/**
 * What happened in rooms since a position, for sockets that come back (design promise 7): derived from the rows of messages,
 * memberships, watermarks and notifications, each of which knows its position; never read from the log. What an account is shown: everything
 * that happened during a membership of its own, up to and including that membership's end, while the content still exists.
 * Of a message that was edited several times the latest edit is told, of an account's watermarks in a room the highest;
 * a deleted message only as its deletion.
 */
import type { EventData } from '../schemas/index.ts';
import { columns, type MessageView, nameJoins } from './messages/view.ts';
import type { Queryable } from './projection.ts';
import { calledNow } from './rooms/members.ts';
import { living, ms, reachedPosition, senderLives } from './sql.ts';

const kinds = ['posted', 'edited', 'deleted', 'joined', 'left', 'read', 'notified'] as const;

/** What can have happened. `read`: a watermark moved; `notified`: a notification was shown. */
export type HappenedKind = (typeof kinds)[number];

/** A notification as it was shown; what the client attached stands beside it. */
export type NotificationShown = Pick<
  EventData<'NotificationShown'>,
  'notification' | 'subject' | 'content' | 'priority'
>;

/** One thing that happened in a room. Times are milliseconds since the epoch. */
export interface HappenedItem {
  readonly kind: HappenedKind;
  readonly position: bigint;
  readonly room: number;
  readonly at: number;
  /** The sender, who deleted, the member, or whose watermark moved; 0 of `notified`. */
  readonly account: number;
  /** What `account` is called now; null where nothing was said. */
  readonly name: string | null;
  /** Of `posted`, `edited`, `deleted`, and of `read` the last one read; else null. */
  readonly message: number | null;
  /** The message as it reads now, of `posted` and `edited`; else null. */
  readonly view: MessageView | null;
  /** Of `joined` and `notified`: what the client attached. */
  readonly meta: Readonly<Record<string, unknown>> | null;
  /** Of `notified`. */
  readonly notification: NotificationShown | null;
}

/** Whose history, and which part of it. */
export interface HistoryOf {
  readonly workspace: number;
  readonly account: number;
  /** Position after which to begin. */
  readonly after: bigint;
  readonly maxItems: number;
  /** Only these rooms. Default: all that it is or was a member of. */
  readonly rooms?: readonly number[];
  /** Rooms that it may see without being a member (the service account; public ones): the caller has judged that. */
  readonly rightToSee?: readonly number[];
  /** Default: all. */
  readonly kinds?: readonly HappenedKind[];
}

/** Holds for messages `m` that a member of span `s` is shown. */
const shown = `(s.history_from IS NULL OR m.posted_at >= s.history_from) AND (s.hidden_until IS NULL OR m.posted_at > s.hidden_until)
  AND (m.audience IS NULL OR $2::int = 0 OR (s.member AND $2 = ANY (m.audience)))`;

const notHidden = `NOT (m.hidden AND EXISTS (SELECT FROM message_hidings h
  WHERE h.workspace = $1 AND h.message = m.message AND h.account = $2))`;

/** Of each kind: its columns, where they come from, and its position. Each is one probe of an index on (workspace, room, position). */
const sources: Record<HappenedKind, { readonly select: string; readonly from: string; readonly position: string }[]> = {
  posted: [
    {
      select: 'm.message, m.sender AS account, m.posted_at AS at, NULL::jsonb AS meta',
      from: `messages m WHERE m.workspace = $1 AND m.room = s.room AND NOT m.deleted AND ${shown} AND ${notHidden} AND ${senderLives('$1')}`,
      position: 'm.position',
    },
  ],
  edited: [
    {
      select: 'm.message, m.sender, m.edited_at, NULL::jsonb',
      from: `messages m WHERE m.workspace = $1 AND m.room = s.room AND NOT m.deleted AND ${shown} AND ${notHidden} AND ${senderLives('$1')}`,
      position: 'm.edited_position',
    },
  ],
  deleted: [
    {
      select: 'm.message, m.deleted_by, m.deleted_at, NULL::jsonb',
      from: `messages m WHERE m.workspace = $1 AND m.room = s.room AND ${shown}`,
      position: 'm.deleted_position',
    },
    // For the account alone: only it is told.
    {
      select: 'h.message, h.account, NULL::timestamptz, NULL::jsonb',
      from: 'message_hidings h WHERE h.workspace = $1 AND h.account = $2 AND h.room = s.room',
      position: 'h.position',
    },
  ],
  joined: [
    {
      select: 'NULL::int, o.account, o.started_at, o.meta',
      from: 'memberships o WHERE o.workspace = $1 AND o.room = s.room',
      position: 'o.started_position',
    },
  ],
  left: [
    {
      select: 'NULL::int, o.account, o.ended_at, NULL::jsonb',
      from: 'memberships o WHERE o.workspace = $1 AND o.room = s.room',
      position: 'o.ended_position',
    },
  ],
  read: [
    {
      select: 'w.message, w.account, w.moved_at, NULL::jsonb',
      from: 'watermarks w WHERE w.workspace = $1 AND w.room = s.room',
      position: 'w.position',
    },
  ],
  notified: [
    {
      select: 'NULL::int, 0, n.shown_at, n.meta',
      from: 'notifications n WHERE n.workspace = $1 AND n.room = s.room',
      position: 'n.shown_position',
    },
  ],
};

/** The items of a history in the order of the log (or against it), $4 of them at most, beside `reached` and `spans`. */
function itemsOf(wanted: readonly HappenedKind[], direction: 'ASC' | 'DESC'): string {
  const parts = kinds
    .filter((kind) => wanted.includes(kind))
    .flatMap((kind) =>
      sources[kind].map(
        ({ select, from, position }) => `(SELECT '${kind}' AS kind, ${position} AS position, ${select} FROM ${from}
          AND ${position} > $3::bigint AND ${position} >= s.from_position AND ${position} <= s.to_position
          ORDER BY ${position} ${direction} FETCH FIRST ($4::int) ROWS WITH TIES)`,
      ),
    );
  return `reached AS (SELECT ${reachedPosition} AS position),
    spans AS (
      SELECT o.room, o.history_from, o.hidden_until, true AS member, o.started_position AS from_position,
          least(o.ended_position, r.deleted_position, reached.position) AS to_position
        FROM reached, memberships o JOIN rooms r USING (workspace, room)
        WHERE o.workspace = $1 AND o.account = $2 AND NOT r.erasing AND ${living('$1')}
          AND ($5::int[] IS NULL OR o.room = ANY ($5)) AND o.room <> ALL ($6::int[])
      UNION ALL
      SELECT r.room, NULL, NULL, false, 0, least(r.deleted_position, reached.position) FROM reached, rooms r
        WHERE r.workspace = $1 AND r.room = ANY ($6) AND NOT r.erasing AND ${living('$1')}
    ),
    items AS (
      SELECT s.room, i.* FROM spans s CROSS JOIN LATERAL (${parts.join(' UNION ALL ')}) i
        WHERE s.to_position > $3 ORDER BY i.position ${direction} FETCH FIRST ($4) ROWS WITH TIES
    )`;
}

function valuesOf({ workspace, account, after, rooms, rightToSee }: HistoryOf, limit: number): unknown[] {
  return [workspace, account, after, limit, rooms ?? null, rightToSee ?? []];
}

function nameOf(statement: string, { kinds: wanted = kinds }: HistoryOf): string {
  return `${statement}-${kinds.filter((kind) => wanted.includes(kind)).join('-')}`;
}

type Row = Omit<HappenedItem, 'position' | 'view'> & { readonly position: string; readonly view_: MessageView | null };

/**
 * What happened after a position and the account could see when it happened, oldest first, at most `maxItems`; and the position
 * up to which that is all: the last item's when there is more, else the one that the rows have reached, never less than `after`.
 * Both of one snapshot. Things of one position stay together: where a single one has more than `maxItems`, all of them come.
 */
export async function roomHistory(db: Queryable, of: HistoryOf): Promise<{ items: HappenedItem[]; upTo: bigint }> {
  const { rows } = await db.query<Partial<Row> & { up_to: string }>({
    // Planned once a connection: planning it is most of what a short history costs.
    name: nameOf('history', of),
    text: `WITH ${itemsOf(of.kinds ?? kinds, 'ASC')}
      SELECT reached.position AS up_to, i.kind, i.position, i.room, i.account, i.message, ${ms('i.at')} AS at, i.meta,
        ${calledNow('called')} AS name, v.view_, n.notification
      FROM reached LEFT JOIN items i ON true
        LEFT JOIN accounts called ON called.workspace = $1 AND called.account = i.account
        LEFT JOIN LATERAL (SELECT to_jsonb(v) AS view_ FROM (
          SELECT ${columns} FROM messages m ${nameJoins} WHERE m.workspace = $1 AND m.message = i.message
        ) v WHERE i.kind IN ('posted', 'edited')) v ON true
        LEFT JOIN LATERAL (SELECT jsonb_build_object('notification', n.notification, 'subject', n.subject,
            'content', n.content, 'priority', n.priority) AS notification
          FROM notifications n
          WHERE n.workspace = $1 AND n.room = i.room AND n.shown_position = i.position AND i.kind = 'notified') n ON true
      ORDER BY i.position, i.message`,
    values: valuesOf(of, of.maxItems + 1),
  });
  const reached = BigInt(rows[0]?.up_to ?? 0);
  const items = rows.filter((row): row is Row & { up_to: string } => row.kind !== null).map(itemOf);
  const beyond = items[of.maxItems];
  if (beyond) {
    const before = items.filter(({ position }) => position < beyond.position);
    const page = before.length > 0 ? before : items.filter(({ position }) => position === beyond.position);
    return { items: page, upTo: page.at(-1)?.position ?? of.after };
  }
  return { items, upTo: reached > of.after ? reached : of.after };
}

function itemOf({
  position,
  view_: view,
  kind,
  room,
  at,
  account,
  name,
  message,
  meta,
  notification,
}: Row): HappenedItem {
  return { kind, position: BigInt(position), room, at, account, name, message, view, meta, notification };
}

/** A position, not before `after`, behind which the history has at most `maxItems`. */
export async function latestHistory(db: Queryable, of: HistoryOf): Promise<bigint> {
  const { rows } = await db.query<{ position: string }>({
    name: nameOf('history-latest', of),
    text: `WITH ${itemsOf(of.kinds ?? kinds, 'DESC')} SELECT position FROM items ORDER BY position DESC OFFSET $4 - 1 LIMIT 1`,
    values: valuesOf(of, of.maxItems + 1),
  });
  const position = BigInt(rows[0]?.position ?? 0);
  return position > of.after ? position : of.after;
}
