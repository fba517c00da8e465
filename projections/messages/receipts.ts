/** Who got and who read what: receipts of single messages, and watermarks. */
import type { Queryable } from '../projection.ts';
import { living, ms, senderLives } from '../sql.ts';
import { seenRooms, shown } from './view.ts';

/** One account's receipts of one message. Times are milliseconds since the epoch, null for what did not happen yet. */
export interface ReceiptView {
  readonly message: number;
  readonly account: number;
  readonly deliveredAt: number | null;
  readonly readAt: number | null;
}

/** The receipts of these messages, in the order in which they were recorded. */
export async function receiptsOf(
  db: Queryable,
  workspace: number,
  messages: readonly number[],
): Promise<ReceiptView[]> {
  const { rows } = await db.query<ReceiptView>({
    text: `SELECT message, account, ${ms('delivered_at')} AS "deliveredAt", ${ms('read_at')} AS "readAt"
      FROM message_receipts WHERE workspace = $1 AND message = ANY ($2::int[]) AND ${living('$1')}
      ORDER BY message, least(delivered_position, read_position), account`,
    values: [workspace, messages],
  });
  return rows;
}

/** How many got and read each of these messages; those that nobody got are left out. */
export async function receiptCounts(
  db: Queryable,
  workspace: number,
  messages: readonly number[],
): Promise<{ readonly message: number; readonly delivered: number; readonly read: number }[]> {
  const { rows } = await db.query<{ message: number; delivered: number; read: number }>({
    text: `SELECT message, count(delivered_at)::int AS delivered, count(read_at)::int AS read
      FROM message_receipts WHERE workspace = $1 AND message = ANY ($2::int[]) AND ${living('$1')}
      GROUP BY message ORDER BY message`,
    values: [workspace, messages],
  });
  return rows;
}

/** Up to which message an account has read a room. */
export interface WatermarkView {
  readonly room: number;
  readonly account: number;
  readonly message: number;
  /** Milliseconds since the epoch. */
  readonly movedAt: number;
}

/** The watermarks of rooms, of one account or of all, by room and account. */
export async function watermarksOf(
  db: Queryable,
  workspace: number,
  rooms: readonly number[],
  account?: number,
): Promise<WatermarkView[]> {
  const { rows } = await db.query<WatermarkView>({
    text: `SELECT room, account, message, ${ms('moved_at')} AS "movedAt" FROM watermarks
      WHERE workspace = $1 AND room = ANY ($2::int[]) AND ($3::int IS NULL OR account = $3) AND ${living('$1')}
      ORDER BY room, account`,
    values: [workspace, rooms, account ?? null],
  });
  return rows;
}

/**
 * How many messages of others each room has beyond the account's watermark, as far as the account is shown them; rooms that it
 * is not a member of are left out. Counts what is unread, about 0.5 us each.
 */
export async function unreadCounts(
  db: Queryable,
  workspace: number,
  account: number,
  rooms: readonly number[],
): Promise<{ readonly room: number; readonly unread: number }[]> {
  const { rows } = await db.query<{ room: number; unread: number }>({
    text: `SELECT s.room, (SELECT count(*)::int FROM messages m WHERE m.workspace = $1 AND m.room = s.room
          AND m.message > coalesce(w.message, 0) AND NOT m.deleted AND m.sender <> $2 AND ${senderLives('$1')} AND ${shown}) AS unread
      FROM (${seenRooms(account, '$3::int[]')}) s
        LEFT JOIN watermarks w ON w.workspace = $1 AND w.room = s.room AND w.account = $2
      WHERE s.member OR $2 = 0 ORDER BY s.room`,
    values: [workspace, account, rooms],
  });
  return rows;
}
