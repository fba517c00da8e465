/**
 * What can be read of dispatches: single ones, lists, receipts' matches and pages to erase here; counts in `counts.ts`,
 * what is due in `due.ts`. Erased dispatches and those of deleted workspaces are in no answer but roll-ups.
 */
import type { ConnectorType } from '../connectors/queries.ts';
import { totalOf } from '../listed.ts';
import type { AccountRef, Listed, Page, Queryable } from '../projection.ts';
import { living, ms } from '../sql.ts';
import { countStatuses, type Range } from './counts.ts';
import type { DispatchStatus } from './evolve.ts';

export { analytics, type Counts, monthAccepted, type UsageCounts, usage, workspaceTotals } from './counts.ts';
export { connectorsDue, type DueConnector, type PendingDispatch, pendingDispatches } from './due.ts';
export type { DispatchStatus } from './evolve.ts';

const dayMs = 86_400_000;

/** A dispatch as it can be read. Times are milliseconds since the epoch. */
export interface DispatchView {
  readonly dispatch: string;
  readonly workspace: number;
  readonly connector: number;
  readonly connectorType: ConnectorType;
  readonly template: number;
  readonly key: number;
  readonly to: string;
  readonly text: string;
  readonly status: DispatchStatus;
  /** Attempts used up. */
  readonly attempts: number;
  /** When the next attempt may begin; null when there is none to come. */
  readonly due: number | null;
  readonly externalId: string | null;
  /** Why it failed, or, while pending, why the latest attempt did. */
  readonly error: string | null;
  readonly createdAt: number;
  readonly sentAt: number | null;
  readonly deliveredAt: number | null;
  /** Revision of the dispatch's stream that this was read at. */
  readonly revision: number;
}

/** The columns of a DispatchView, of `dispatches d`. */
const columns = `d.dispatch, d.workspace, d.connector, d.connector_type AS "connectorType", d.template, d.key,
  d.recipient AS "to", d.text, d.status, d.attempts, ${ms('d.due')} AS due, d.external_id AS "externalId", d.error,
  ${ms('d.created_at')} AS "createdAt", ${ms('d.sent_at')} AS "sentAt", ${ms('d.delivered_at')} AS "deliveredAt", d.revision`;

/** One dispatch, of whatever workspace, or null. */
export async function findDispatch(db: Queryable, dispatch: string): Promise<DispatchView | null> {
  const { rows } = await db.query<DispatchView>({
    text: `SELECT ${columns} FROM dispatches d WHERE d.dispatch = $1 AND NOT d.erased AND ${living('d.workspace')}`,
    values: [dispatch],
  });
  return rows[0] ?? null;
}

/** Which dispatches to list. The range is of `createdAt`, milliseconds since the epoch, both ends included. */
export interface DispatchFilter extends Partial<Range> {
  readonly workspace: number;
  readonly status?: DispatchStatus;
  readonly connectorType?: ConnectorType;
}

/** How many dispatches a filter finds on each day (days since the epoch), newest first. */
async function matchesByDay(db: Queryable, filter: DispatchFilter): Promise<[day: number, matches: number][]> {
  const { workspace, status, connectorType, fromMs, toMs } = filter;
  const range = { ...(fromMs === undefined ? {} : { fromMs }), ...(toMs === undefined ? {} : { toMs }) };
  const days = new Map<number, number>();
  for (const row of await countStatuses(db, { workspace, ...range, erasedToo: false })) {
    if (connectorType !== undefined && row.connectorType !== connectorType) continue;
    const matches = status === undefined ? row.pending + row.sent + row.delivered + row.failed : row[status];
    const day = Date.parse(row.day) / dayMs;
    if (matches > 0) days.set(day, (days.get(day) ?? 0) + matches);
  }
  return [...days].sort(([a], [b]) => b - a);
}

/** The days that a page lies in, and its offset among their dispatches: the days before them need not be read. */
function daysOfPage(days: readonly [day: number, matches: number][], page: Page) {
  let { offset } = page;
  let first = 0;
  for (; first < days.length && offset >= (days[first]?.[1] ?? 0); first++) offset -= days[first]?.[1] ?? 0;
  let last = first;
  for (let wanted = offset + page.limit; last < days.length - 1; last++) {
    wanted -= days[last]?.[1] ?? 0;
    if (wanted <= 0) break;
  }
  return { newest: days[first]?.[0], oldest: days[last]?.[0], offset };
}

/** Dispatches of a workspace, newest first, and how many there are in all: exact, from roll-ups as far as they reach. */
export async function listDispatches(db: Queryable, filter: DispatchFilter & Page): Promise<Listed<DispatchView>> {
  const { workspace, status, connectorType, fromMs, toMs, limit } = filter;
  const days = await matchesByDay(db, filter);
  const total = days.reduce((sum, [, matches]) => sum + matches, 0);
  const { newest, oldest, offset } = daysOfPage(days, filter);
  if (newest === undefined || oldest === undefined || limit <= 0) return { items: [], total };
  const from = Math.max(oldest * dayMs, fromMs ?? Number.NEGATIVE_INFINITY);
  const to = Math.min((newest + 1) * dayMs - 1, toMs ?? Number.POSITIVE_INFINITY);
  const { rows } = await db.query<DispatchView>({
    text: `SELECT ${columns} FROM dispatches d
      WHERE d.workspace = $1 AND NOT d.erased AND ${living('$1')}
        AND d.created_at BETWEEN to_timestamp($2::float8 / 1000) AND to_timestamp($3::float8 / 1000)
        AND ${status === undefined ? '$4::text IS NULL' : 'd.status = $4::text'}
        AND ${connectorType === undefined ? '$5::text IS NULL' : 'd.connector_type = $5::text'}
      ORDER BY d.created_at DESC, d.dispatch DESC LIMIT $6 OFFSET $7`,
    values: [workspace, from, to, status ?? null, connectorType ?? null, limit, offset],
  });
  // Counted a moment ago: the last page is known by its day, and on another a page that is short says nothing of the days before.
  const isLast = oldest === days.at(-1)?.[0];
  return {
    items: rows,
    total: isLast ? totalOf(rows.length, total, filter) : Math.max(total, filter.offset + rows.length),
  };
}

/**
 * The dispatches that a provider's receipt can mean, newest first: its external ids are not unique. With `senderHash`,
 * those alone that went through a connector of this sender. At most 10.
 */
export async function dispatchesByExternalId(
  db: Queryable,
  wanted: { readonly connectorType: ConnectorType; readonly externalId: string; readonly senderHash?: string | null },
): Promise<DispatchView[]> {
  const { rows } = await db.query<DispatchView>({
    text: `SELECT ${columns} FROM dispatches d
      WHERE d.external_id = $1 AND d.connector_type = $2 AND ${living('d.workspace')}
        AND ($3::text IS NULL OR EXISTS (SELECT FROM connectors c
          WHERE c.workspace = d.workspace AND c.connector = d.connector AND c.sender_hash = $3))
      ORDER BY d.created_at DESC, d.dispatch DESC LIMIT 10`,
    values: [wanted.externalId, wanted.connectorType, wanted.senderHash ?? null],
  });
  return rows;
}

/** What an event "erased" says of one dispatch, as read from its row. Times are milliseconds since the epoch. */
export interface ErasableDispatch {
  readonly dispatch: string;
  readonly owner: AccountRef;
  readonly key: number;
  readonly connector: number;
  readonly connectorType: ConnectorType;
  readonly template: number;
  readonly status: DispatchStatus;
  readonly createdAt: number;
  readonly sentAt: number | null;
  readonly deliveredAt: number | null;
}

/**
 * A page of the dispatches of a workspace that were not erased, oldest first, whether or not the workspace was deleted.
 * `after` is the last one of the page before; null begins.
 */
export async function dispatchesToErase(
  db: Queryable,
  workspace: number,
  after: Pick<ErasableDispatch, 'dispatch' | 'createdAt'> | null,
  limit: number,
): Promise<ErasableDispatch[]> {
  const { rows } = await db.query<ErasableDispatch>({
    text: `SELECT d.dispatch, json_build_object('workspace', d.owner_workspace, 'account', d.owner_account) AS owner, d.key,
        d.connector, d.connector_type AS "connectorType", d.template, d.status, ${ms('d.created_at')} AS "createdAt",
        ${ms('d.sent_at')} AS "sentAt", ${ms('d.delivered_at')} AS "deliveredAt"
      FROM dispatches d
      WHERE d.workspace = $1 AND NOT d.erased
        ${after ? 'AND (d.created_at, d.dispatch) > (to_timestamp($2::float8 / 1000), $3)' : 'AND $2::float8 IS NULL AND $3::text IS NULL'}
      ORDER BY d.created_at, d.dispatch LIMIT $4`,
    values: [workspace, after?.createdAt ?? null, after?.dispatch ?? null, limit],
  });
  return rows;
}
