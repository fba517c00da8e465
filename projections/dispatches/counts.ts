import type { ConnectorType } from '../connectors/queries.ts';
import type { AccountRef, Queryable } from '../projection.ts';
import { living } from '../sql.ts';
import { monthOf } from './rollups.ts';

const dayMs = 86_400_000;

/** A range of `createdAt`, milliseconds since the epoch, both ends included. */
export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Dispatches by current status. */
export interface Counts {
  readonly pending: number;
  readonly sent: number;
  readonly delivered: number;
  readonly failed: number;
}

/** Counts of one UTC day (`YYYY-MM-DD`) and connector type. */
export interface DayCounts extends Counts {
  readonly day: string;
  readonly connectorType: ConnectorType;
}

const noCounts: Counts = { pending: 0, sent: 0, delivered: 0, failed: 0 };

function plus(a: Counts, b: Counts): Counts {
  return {
    pending: a.pending + b.pending,
    sent: a.sent + b.sent,
    delivered: a.delivered + b.delivered,
    failed: a.failed + b.failed,
  };
}

/** The whole days of a range, as days since the epoch, and what is left of it at its ends. */
export function daysOf({ fromMs, toMs }: Range): { first: number; last: number; edges: Range[] } {
  const first = Math.ceil(fromMs / dayMs);
  const last = Math.floor((toMs + 1) / dayMs) - 1;
  if (fromMs > toMs) return { first: 1, last: 0, edges: [] };
  if (first > last) return { first: 1, last: 0, edges: [{ fromMs, toMs }] };
  const edges: Range[] = [];
  if (fromMs < first * dayMs) edges.push({ fromMs, toMs: first * dayMs - 1 });
  if (toMs >= (last + 1) * dayMs) edges.push({ fromMs: (last + 1) * dayMs, toMs });
  return { first, last, edges };
}

/** The range made longer to whole days where nothing lies in what that adds, as when it ends now. */
async function widened(db: Queryable, workspace: number, range: Range): Promise<Range> {
  const { fromMs, toMs } = range;
  const begin = Math.floor(fromMs / dayMs) * dayMs;
  const end = Math.ceil((toMs + 1) / dayMs) * dayMs;
  if (fromMs > toMs || (begin === fromMs && end === toMs + 1)) return range;
  const { rows } = await db.query<{ before: boolean; after: boolean }>({
    text: `SELECT
        EXISTS (SELECT FROM dispatches WHERE workspace = $1 AND created_at >= to_timestamp($2::float8 / 1000)
          AND created_at < to_timestamp($3::float8 / 1000)) AS before,
        EXISTS (SELECT FROM dispatches WHERE workspace = $1 AND created_at > to_timestamp($4::float8 / 1000)
          AND created_at < to_timestamp($5::float8 / 1000)) AS after`,
    values: [workspace, begin, fromMs, toMs, end],
  });
  return { fromMs: rows[0]?.before ? fromMs : begin, toMs: rows[0]?.after ? toMs : end - 1 };
}

/** Days that `date` holds and that every log lies in. */
const firstDay = -700_000;
const lastDay = 2_900_000;

function clampDay(day: number): number {
  return Math.min(Math.max(day, firstDay), lastDay);
}

/**
 * A workspace's counts per day and connector type, by day: from the roll-ups for whole days, counted for what is left of
 * the range at its ends. Exact. `erasedToo` counts erased dispatches as well. Nothing of a deleted workspace.
 */
export async function countStatuses(
  db: Queryable,
  wanted: { readonly workspace: number; readonly erasedToo: boolean } & Partial<Range>,
): Promise<DayCounts[]> {
  const { workspace, erasedToo, fromMs = firstDay * dayMs, toMs = (lastDay + 1) * dayMs - 1 } = wanted;
  const { first, last, edges } = daysOf(await widened(db, workspace, { fromMs, toMs }));
  const minus = (status: string) => (erasedToo ? status : `${status} - erased_${status} AS ${status}`);
  const status = (name: string) => `count(*) FILTER (WHERE d.status = '${name}')::int`;
  const edge = (
    from: number,
  ) => `SELECT (d.created_at AT TIME ZONE 'UTC')::date, d.connector_type, ${status('pending')},
        ${status('sent')}, ${status('delivered')}, ${status('failed')}
      FROM dispatches d WHERE d.workspace = $1 ${erasedToo ? '' : 'AND NOT d.erased'}
        AND d.created_at BETWEEN to_timestamp($${from}::float8 / 1000) AND to_timestamp($${from + 1}::float8 / 1000)
      GROUP BY 1, 2`;
  const { rows } = await db.query<DayCounts>({
    text: `SELECT to_char(c.day, 'YYYY-MM-DD') AS day, c.connector_type AS "connectorType", c.pending, c.sent, c.delivered,
        c.failed
      FROM (
        SELECT day, connector_type, ${['pending', 'sent', 'delivered', 'failed'].map(minus).join(', ')} FROM dispatch_days
          WHERE workspace = $1 AND day BETWEEN date '1970-01-01' + $2::int AND date '1970-01-01' + $3::int
        ${edges.map((_, i) => `UNION ALL (${edge(4 + 2 * i)})`).join(' ')}
      ) c
      WHERE c.pending + c.sent + c.delivered + c.failed > 0
        AND ${living('$1')}
      ORDER BY c.day, c.connector_type`,
    values: [workspace, clampDay(first), clampDay(last), ...edges.flatMap((range) => [range.fromMs, range.toMs])],
  });
  return rows;
}

function byKey<K extends string>(rows: readonly DayCounts[], keyOf: (row: DayCounts) => K): Partial<Record<K, Counts>> {
  const sums: Partial<Record<K, Counts>> = {};
  for (const row of rows) sums[keyOf(row)] = plus(sums[keyOf(row)] ?? noCounts, row);
  return sums;
}

/** A workspace's counts by current status in a range, in total, per connector type, and per UTC day with traffic, ascending. */
export async function analytics(
  db: Queryable,
  wanted: { readonly workspace: number } & Range,
): Promise<{
  totals: Counts;
  byConnector: Partial<Record<ConnectorType, Counts>>;
  byDay: (Counts & { readonly day: string })[];
}> {
  const rows = await countStatuses(db, { ...wanted, erasedToo: true });
  const days = byKey(rows, (row) => row.day);
  return {
    totals: rows.reduce<Counts>(plus, noCounts),
    byConnector: byKey(rows, (row) => row.connectorType),
    byDay: Object.keys(days)
      .sort()
      .map((day) => ({ day, ...(days[day] ?? noCounts) })),
  };
}

/** A workspace's counts by current status since it was opened. */
export async function workspaceTotals(db: Queryable, workspace: number): Promise<Counts> {
  const rows = await countStatuses(db, { workspace, erasedToo: true });
  return rows.reduce<Counts>(plus, noCounts);
}

/** Counts by current status since the beginning, in total and per connector type. */
export interface UsageCounts {
  readonly totals: Counts;
  readonly byConnector: Partial<Record<ConnectorType, Counts>>;
}

/** The counts of one project, or of all projects of an owner that were not deleted. */
export async function usage(
  db: Queryable,
  of: { readonly workspace: number } | { readonly owner: AccountRef },
): Promise<UsageCounts> {
  const sums = `d.connector_type AS "connectorType", sum(d.pending)::int AS pending, sum(d.sent)::int AS sent,
    sum(d.delivered)::int AS delivered, sum(d.failed)::int AS failed`;
  const { rows } = await db.query<Counts & { connectorType: ConnectorType }>(
    'workspace' in of
      ? {
          text: `SELECT ${sums} FROM dispatch_days d WHERE d.workspace = $1 AND ${living('$1')} GROUP BY 1`,
          values: [of.workspace],
        }
      : {
          text: `SELECT ${sums} FROM workspaces w JOIN dispatch_days d USING (workspace)
            WHERE w.owner_workspace = $1 AND w.owner_account = $2 AND w.kind = 'project' AND NOT w.deleted GROUP BY 1`,
          values: [of.owner.workspace, of.owner.account],
        },
  );
  const byConnector: Partial<Record<ConnectorType, Counts>> = {};
  for (const { connectorType, ...counts } of rows) byConnector[connectorType] = counts;
  return { totals: rows.reduce<Counts>(plus, noCounts), byConnector };
}

/** Dispatches accepted on an account's quota in the calendar month (UTC) that `atMs` lies in. */
export async function monthAccepted(db: Queryable, owner: AccountRef, atMs: number): Promise<number> {
  const { rows } = await db.query<{ accepted: number }>({
    text: `SELECT accepted FROM dispatch_months
      WHERE owner_workspace = $1 AND owner_account = $2 AND month = (to_timestamp($3::float8 / 1000) AT TIME ZONE 'UTC')::date`,
    values: [owner.workspace, owner.account, monthOf(atMs)],
  });
  return rows[0]?.accepted ?? 0;
}
