/**
 * What can be read of messages: single ones and lists here, who got and read them in `receipts.ts`. Messages of rooms and senders
 * that are being erased are in no answer. What happened in rooms, for sockets that come back: `../history.ts`.
 *
 * Messages are listed in the order of their numbers, which is that of the log.
 */
import { totalOf } from '../listed.ts';
import type { Listed, Page, Queryable } from '../projection.ts';
import { calledNow } from '../rooms/members.ts';
import { containing, living, senderLives } from '../sql.ts';
import { columns, type MessageView, nameJoins, seenRooms, shown, type Viewer } from './view.ts';

export {
  type ReceiptView,
  receiptCounts,
  receiptsOf,
  unreadCounts,
  type WatermarkView,
  watermarksOf,
} from './receipts.ts';
export type { MessageView, Viewer } from './view.ts';

/** Which messages of a workspace ($1) are among some ($2); rooms are `r`. */
const among = `m.workspace = $1 AND m.message = ANY ($2::int[]) AND NOT r.erasing AND ${senderLives('$1')} AND ${living('$1')}`;

/** Messages by number, tombstones too, whoever may see them: in the order of their numbers, unknown ones left out. */
export async function messagesByNumber(
  db: Queryable,
  workspace: number,
  messages: readonly number[],
): Promise<MessageView[]> {
  const { rows } = await db.query<MessageView>({
    name: 'messages-by-number',
    text: `SELECT ${columns} FROM messages m JOIN rooms r USING (workspace, room) ${nameJoins}
      WHERE ${among} ORDER BY m.message`,
    values: [workspace, messages],
  });
  return rows;
}

/**
 * An account that posted messages, and what it was called then; the names that it gave with them stand in their events. `deleted`
 * says whether they are tombstones.
 */
export type Poster = Pick<MessageView, 'sender' | 'senderName' | 'senderDeleted' | 'deleted'>;

/**
 * Who posted messages, tombstones too, unknown ones left out: what their events do not say themselves. Rows of messages are not
 * read out, and a name is looked up once.
 */
export async function postersOf(
  db: Queryable,
  workspace: number,
  messages: readonly number[],
): Promise<Map<number, Poster>> {
  const { rows } = await db.query<Poster & { messages: number[] }>({
    name: 'messages-posters',
    text: `SELECT m.messages, m.sender, m.deleted, ${calledNow('n')} AS "senderName",
        coalesce(who.deleted, false) AS "senderDeleted"
      FROM (
        SELECT m.workspace, m.sender, m.profile_revision, m.deleted, array_agg(m.message) AS messages
          FROM messages m JOIN rooms r USING (workspace, room)
          WHERE ${among}
          GROUP BY m.workspace, m.sender, m.profile_revision, m.deleted
      ) m ${nameJoins}`,
    values: [workspace, messages],
  });
  const posters = new Map<number, Poster>();
  for (const { messages: own, ...poster } of rows) for (const message of own) posters.set(message, poster);
  return posters;
}

/** One message, a tombstone too, or null. With a viewer, null also when that one is not shown it. */
export async function findMessage(
  db: Queryable,
  workspace: number,
  message: number,
  viewer: Viewer = 0,
): Promise<MessageView | null> {
  const who = viewer === null ? 'anybody' : viewer === 0 ? 'service' : 'member';
  const room = 'ARRAY (SELECT x.room FROM messages x WHERE x.workspace = $1 AND x.message = $3)';
  const { rows } = await db.query<MessageView>({
    name: `message-find-${who}`,
    text: `SELECT ${columns} FROM messages m JOIN (${seenRooms(viewer, room)}) s USING (room) ${nameJoins}
      WHERE m.workspace = $1 AND m.message = $3 AND ${shown} AND ${senderLives('$1')}`,
    values: [workspace, viewer, message],
  });
  return rows[0] ?? null;
}

/**
 * What is left of a message that somebody knows to be gone, alone, with its room or with its sender: who posted it, where and
 * when, and nothing that it said. Null when the rows do not know it yet.
 */
export async function findMessageTombstone(
  db: Queryable,
  workspace: number,
  message: number,
): Promise<MessageView | null> {
  const { rows } = await db.query<MessageView>({
    text: `SELECT ${columns} FROM messages m ${nameJoins} WHERE m.workspace = $1 AND m.message = $2 AND ${living('$1')}`,
    values: [workspace, message],
  });
  const [row] = rows;
  if (!row) return null;
  // The rows may not have been blanked yet; a name that its poster gave is content, and not told from the sender's own here.
  const senderName = row.deleted ? row.senderName : null;
  return { ...row, senderName, body: null, meta: null, deleted: true };
}

/** Which messages to list, and how. Times are milliseconds since the epoch, both ends included. */
export interface MessageFilter {
  readonly workspace: number;
  /** Only what this one is shown. */
  readonly viewer: Viewer;
  /** Of these rooms, as far as the viewer sees them; without it, of all that the viewer is a member of (0: of all). */
  readonly rooms?: readonly number[];
  /** By `label`, or `kind` where there is none. */
  readonly types?: readonly string[];
  readonly sender?: number;
  readonly notSender?: number;
  /** A part of the text, whatever its case. */
  readonly search?: string;
  readonly fromMs?: number;
  readonly toMs?: number;
  /** Tombstones too. Default false. */
  readonly deletedToo?: boolean;
  /** Only messages of a lower number, of a higher one: numbers of erased messages and such that never were serve as well. */
  readonly before?: number;
  readonly after?: number;
  /** `updated`: by the time of the latest edit, or of posting; reads and sorts all that matches. Default `posted`. */
  readonly sort?: 'posted' | 'updated';
  /** Default `desc`: newest first. */
  readonly order?: 'asc' | 'desc';
}

const matching = `m.workspace = $1 AND ($3::text[] IS NULL OR coalesce(m.label, m.kind) = ANY ($3))
  AND ($4::int IS NULL OR m.sender = $4) AND ($5::text IS NULL OR m.content ILIKE $5)
  AND ($6::float8 IS NULL OR m.posted_at >= to_timestamp($6 / 1000))
  AND ($7::float8 IS NULL OR m.posted_at <= to_timestamp($7 / 1000))
  AND ($8::bool OR NOT m.deleted) AND ($9::int IS NULL OR m.message < $9) AND ($10::int IS NULL OR m.message > $10)
  AND ($11::int IS NULL OR m.sender <> $11) AND ${senderLives('$1')}`;

function valuesOf(filter: MessageFilter): unknown[] {
  const { workspace, viewer, types, sender, search, fromMs, toMs, deletedToo = false, before, after } = filter;
  const searched = search ? containing(search) : null;
  const times = [fromMs ?? null, toMs ?? null];
  const range = [before ?? null, after ?? null, filter.notSender ?? null];
  return [
    workspace,
    viewer,
    types ?? null,
    sender ?? null,
    searched,
    ...times,
    deletedToo,
    ...range,
    filter.rooms ?? null,
  ];
}

/** $12 are the rooms asked for; the type has to be told where nobody asks. */
function roomsSeen({ viewer, rooms }: MessageFilter): string {
  return `${seenRooms(viewer, rooms === undefined ? null : '$12::int[]')} AND ($12::int[] IS NULL OR true)`;
}

/**
 * The messages that match; all of them without a page. Costs a page's worth of rows from each room, so pages far behind in many
 * rooms are dear; what few messages match (a search, a time long ago) is looked for through all of them.
 */
export async function messagesOf(db: Queryable, filter: MessageFilter, page?: Page): Promise<MessageView[]> {
  const { viewer, rooms, sort = 'posted', order = 'desc' } = filter;
  const direction = order === 'asc' ? 'ASC' : 'DESC';
  const by =
    sort === 'posted'
      ? `m.message ${direction}`
      : `coalesce(m.edited_at, m.posted_at) ${direction}, m.message ${direction}`;
  // The service account reads a workspace along its numbers, a member room by room.
  const chosen =
    viewer === 0 && rooms === undefined
      ? `SELECT m.* FROM messages m JOIN (${roomsSeen(filter)}) s USING (room) WHERE ${matching} ORDER BY ${by} LIMIT $13 OFFSET $14`
      : `SELECT m.* FROM (${roomsSeen(filter)}) s CROSS JOIN LATERAL (
          SELECT * FROM messages m WHERE m.room = s.room AND ${matching} AND ${shown} ORDER BY ${by} LIMIT $13::bigint + $14::bigint
        ) m ORDER BY ${by} LIMIT $13 OFFSET $14`;
  const { rows } = await db.query<MessageView>({
    text: `SELECT ${columns} FROM (${chosen}) m ${nameJoins} ORDER BY ${by}`,
    values: [...valuesOf(filter), page?.limit ?? null, page?.offset ?? 0],
  });
  return rows;
}

/**
 * How many match. Without any filter but rooms: from the roll-up of each room, wherever the viewer sees all of it; else counted,
 * 0.3 us for each message of the rooms looked through, 2.5 us with a search (the text has to be read, in lower case).
 */
export async function countMessages(db: Queryable, filter: MessageFilter): Promise<number> {
  const { viewer, rooms, types, sender, notSender, search, fromMs, toMs, deletedToo, before, after } = filter;
  const narrowed = [types, sender, notSender, search || undefined, fromMs, toMs, before, after];
  const { rows } = await db.query<{ count: number }>({
    text:
      !deletedToo && narrowed.every((each) => each === undefined)
        ? countByRoom(filter)
        : viewer === 0 && rooms === undefined
          ? `SELECT count(*)::int AS count FROM messages m JOIN (${roomsSeen(filter)}) s USING (room) WHERE ${matching}`
          : `SELECT coalesce(sum(${countedIn}), 0)::int AS count FROM (${roomsSeen(filter)}) s`,
    values: valuesOf(filter),
  });
  return rows[0]?.count ?? 0;
}

const countedIn = `(SELECT count(*) FROM messages m WHERE m.room = s.room AND ${matching} AND ${shown})`;

/** The roll-up knows nothing of senders that are being erased, and of who is shown what. */
function countByRoom(filter: MessageFilter): string {
  return `SELECT coalesce(sum(CASE WHEN NOT dying.any AND ($2::int = 0 OR (s.history_from IS NULL AND s.hidden_until IS NULL
        AND coalesce(a.restricted_count, 0) = 0)) THEN coalesce(a.message_count, 0) ELSE ${countedIn} END), 0)::int AS count
    FROM (${roomsSeen(filter)}) s LEFT JOIN room_activity a ON a.workspace = $1 AND a.room = s.room
      CROSS JOIN (SELECT EXISTS (SELECT FROM accounts gone
        WHERE gone.workspace = $1 AND gone.deleted AND NOT gone.erased AND gone.messages = 'erase') AS any) dying`;
}

/** The messages that match and how many there are in all. */
export async function listMessages(db: Queryable, filter: MessageFilter, page?: Page): Promise<Listed<MessageView>> {
  const [items, total] = await Promise.all([messagesOf(db, filter, page), countMessages(db, filter)]);
  return { items, total: totalOf(items.length, total, page) };
}
