/**
 * What can be read of notifications: single ones and lists, what is due, what is to be erased, and counts. Erased ones and
 * those of deleted workspaces are in no answer but roll-ups.
 */
import type { EventData } from '../../schemas/index.ts';
import { daysOf } from '../dispatches/counts.ts';
import { listed } from '../listed.ts';
import type { Listed, Page, Queryable } from '../projection.ts';
import { living, ms } from '../sql.ts';
import type { NotificationAttempt, NotificationRow, NotificationStatus } from './evolve.ts';

export type { NotificationAttempt, NotificationStatus } from './evolve.ts';

/** A notification as it can be read. Times are milliseconds since the epoch. */
export interface NotificationView
  extends Pick<
    NotificationRow,
    | 'notification'
    | 'workspace'
    | 'room'
    | 'type'
    | 'status'
    | 'priority'
    | 'email'
    | 'fallback'
    | 'subject'
    | 'meta'
    | 'error'
  > {
  readonly content: string;
  readonly recipients: readonly string[];
  readonly leavesBy: NotificationRow['leaves_by'];
  readonly providerType: string | null;
  readonly maxRetries: number;
  readonly used: number;
  readonly attempts: readonly NotificationAttempt[];
  readonly scheduledFor: number | null;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly sentAt: number | null;
}

/** The columns of a NotificationView, of `notifications n`. */
const columns = `n.notification, n.workspace, n.room, n.type, n.status, n.priority, n.email, n.fallback, n.subject, n.meta,
  n.error, n.content, n.recipients, n.leaves_by AS "leavesBy", n.provider_type AS "providerType",
  n.max_retries AS "maxRetries", n.used, n.attempts, ${ms('n.scheduled_for')} AS "scheduledFor",
  ${ms('n.created_at')} AS "createdAt", ${ms('n.updated_at')} AS "updatedAt", ${ms('n.sent_at')} AS "sentAt"`;

/** One notification of a workspace, or null. */
export async function findNotification(
  db: Queryable,
  workspace: number,
  notification: string,
): Promise<NotificationView | null> {
  const { rows } = await db.query<NotificationView>({
    text: `SELECT ${columns} FROM notifications n
      WHERE n.notification = $1 AND n.workspace = $2 AND NOT n.erased AND ${living('$2')}`,
    values: [notification, workspace],
  });
  return rows[0] ?? null;
}

/** Which notifications to list. The range is of `createdAt`, both ends included. */
export interface NotificationFilter {
  readonly workspace: number;
  readonly status?: NotificationStatus;
  readonly type?: NotificationRow['type'];
  readonly priority?: NotificationRow['priority'];
  readonly room?: number;
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly sort?: keyof typeof sorts;
  readonly order?: 'asc' | 'desc';
}

const sorts = {
  created: 'n.created_at',
  updated: 'n.updated_at',
  scheduled: 'n.scheduled_for',
  sent: 'n.sent_at',
  priority: 'n.urgency',
  status: 'n.status',
} as const;

/** Notifications of a workspace, and how many there are in all. */
export function listNotifications(
  db: Queryable,
  filter: NotificationFilter,
  page: Page,
): Promise<Listed<NotificationView>> {
  const { workspace, status, type, priority, room, fromMs, toMs, sort = 'created', order = 'desc' } = filter;
  const those = `FROM notifications n WHERE n.workspace = $1 AND NOT n.erased AND ${living('$1')}
    AND ($2::text IS NULL OR n.status = $2) AND ($3::text IS NULL OR n.type = $3)
    AND ($4::text IS NULL OR n.priority = $4) AND ($5::int IS NULL OR n.room = $5)
    AND ($6::float8 IS NULL OR n.created_at >= to_timestamp($6 / 1000))
    AND ($7::float8 IS NULL OR n.created_at <= to_timestamp($7 / 1000))`;
  const values = [
    workspace,
    status ?? null,
    type ?? null,
    priority ?? null,
    room ?? null,
    fromMs ?? null,
    toMs ?? null,
  ];
  const direction = order === 'asc' ? 'ASC' : 'DESC NULLS LAST';
  const by = `${sorts[sort]} ${direction}, n.created_at ${direction}, n.notification ${direction}`;
  return listed(db, { columns, those, order: by, values }, page);
}

/** A notification that may be taken up. Times are milliseconds since the epoch. */
export interface DueNotification {
  readonly notification: string;
  readonly workspace: number;
  readonly urgency: number;
  readonly due: number;
}

/**
 * The notifications due by `nowMs`, those first that press most, among equals those due first, of each workspace `perWorkspace`
 * at most; and when the earliest of the others comes due (null when none waits). A few index probes a workspace, however
 * many wait.
 */
export async function notificationsDue(
  db: Queryable,
  wanted: { readonly nowMs: number; readonly perWorkspace: number; readonly except: readonly string[] },
): Promise<{ due: DueNotification[]; nextDue: number | null }> {
  const waiting = `WITH RECURSIVE waiting AS (
      (SELECT n.workspace FROM notifications n WHERE n.due IS NOT NULL ORDER BY n.workspace LIMIT 1)
      UNION ALL
      SELECT (SELECT n.workspace FROM notifications n WHERE n.due IS NOT NULL AND n.workspace > w.workspace
        ORDER BY n.workspace LIMIT 1) FROM waiting w WHERE w.workspace IS NOT NULL
    ), classes AS (
      SELECT w.workspace, u.urgency FROM waiting w CROSS JOIN generate_series(0, 3) AS u(urgency)
        WHERE w.workspace IS NOT NULL AND ${living('w.workspace')}
    )`;
  const [{ rows }, next] = await Promise.all([
    db.query<DueNotification>({
      text: `${waiting}
        SELECT found.notification, found.workspace, found.urgency, ${ms('found.due')} AS due
          FROM classes c CROSS JOIN LATERAL (
            SELECT n.notification, n.workspace, n.urgency, n.due FROM notifications n
              WHERE n.workspace = c.workspace AND n.urgency = c.urgency AND n.due <= to_timestamp($1::float8 / 1000)
                AND n.notification <> ALL ($2::text[])
              ORDER BY n.due LIMIT $3) found
          ORDER BY found.urgency DESC, found.due, found.notification`,
      values: [wanted.nowMs, wanted.except, wanted.perWorkspace],
    }),
    db.query<{ due: number | null }>({
      text: `${waiting}
        SELECT ${ms('min(found.due)')} AS due FROM classes c CROSS JOIN LATERAL (
          SELECT n.due FROM notifications n
            WHERE n.workspace = c.workspace AND n.urgency = c.urgency AND n.due > to_timestamp($1::float8 / 1000)
            ORDER BY n.due LIMIT 1) found`,
      values: [wanted.nowMs],
    }),
  ]);
  return { due: rows, nextDue: next.rows[0]?.due ?? null };
}

/** Notifications of deleted workspaces that are not erased, of one or of any: as their event "erased" says them. */
export async function notificationsToErase(
  db: Queryable,
  limit: number,
  workspace: number | null = null,
): Promise<EventData<'NotificationErased'>[]> {
  const { rows } = await db.query<EventData<'NotificationErased'>>({
    text: `SELECT n.notification, n.workspace, n.room, n.type, n.status, n.priority, n.leaves_by AS fallback,
        ${ms('n.created_at')} AS "createdAt"
      FROM workspaces w JOIN notifications n USING (workspace)
      WHERE w.deleted AND NOT n.erased AND ($2::int IS NULL OR w.workspace = $2)
      ORDER BY n.workspace, n.notification LIMIT $1`,
    values: [limit, workspace],
  });
  return rows;
}

/** How many notifications of one type stand at one status. */
export interface NotificationCount {
  readonly type: NotificationRow['type'];
  readonly status: NotificationStatus;
  /** They left by their e-mail fallback, or have nothing else. */
  readonly fallback: boolean;
  readonly notifications: number;
}

const beginning = Date.UTC(1, 0, 1);
const end = Date.UTC(9_999, 11, 31);

/**
 * A workspace's notifications by type and current status, erased ones included: from roll-ups for whole days, counted for what
 * is left of the range (of `createdAt`, both ends included) at its ends.
 */
export async function countNotifications(
  db: Queryable,
  wanted: Pick<NotificationFilter, 'workspace' | 'type' | 'room' | 'fromMs' | 'toMs'>,
): Promise<NotificationCount[]> {
  const { workspace, type, room, fromMs = beginning, toMs = end } = wanted;
  const { first, last, edges } = daysOf({ fromMs: Math.max(fromMs, beginning), toMs: Math.min(toMs, end) });
  const at = (parameter: number) => `to_timestamp($${parameter}::float8 / 1000)`;
  const counted = edges.map(
    (
      _,
      i,
    ) => `UNION ALL SELECT n.type, n.status, n.leaves_by IS NOT NULL OR (n.type = 'websocket' AND n.room IS NULL), 1 FROM notifications n
      WHERE n.workspace = $1 AND ($2::text IS NULL OR n.type = $2) AND ($3::int IS NULL OR n.room = $3)
        AND n.created_at BETWEEN ${at(6 + 2 * i)} AND ${at(7 + 2 * i)}`,
  );
  const { rows } = await db.query<NotificationCount>({
    text: `SELECT c.type, c.status, c.fallback, sum(c.notifications)::int AS notifications FROM (
        SELECT type, status, fell_back OR (type = 'websocket' AND room = -1) AS fallback, notifications
          FROM notification_days
          WHERE workspace = $1 AND ($2::text IS NULL OR type = $2) AND ($3::int IS NULL OR room = $3)
            AND day BETWEEN $4::int AND $5::int
        ${counted.join(' ')}
      ) c WHERE ${living('$1')} GROUP BY 1, 2, 3 HAVING sum(c.notifications) > 0 ORDER BY 1, 2, 3`,
    values: [workspace, type ?? null, room ?? null, first, last, ...edges.flatMap((edge) => [edge.fromMs, edge.toMs])],
  });
  return rows;
}
