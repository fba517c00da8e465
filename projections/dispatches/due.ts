import type { ConnectorType } from '../connectors/queries.ts';
import type { AccountRef, Queryable } from '../projection.ts';
import { living, ms } from '../sql.ts';

/** A connector with dispatches that wait. */
export interface DueConnector {
  readonly workspace: number;
  readonly connector: number;
  /** The earliest `due` of its dispatches, milliseconds since the epoch. */
  readonly earliestDue: number;
}

/**
 * The connectors that have a dispatch due by `nowMs`, at most `limit`, and when the earliest of the others comes due (null
 * when none waits). One index probe a connector with waiting dispatches, however many of these there are.
 */
export async function connectorsDue(
  db: Queryable,
  wanted: { readonly nowMs: number; readonly limit: number },
): Promise<{ due: DueConnector[]; nextDue: number | null }> {
  const { rows } = await db.query<DueConnector>({
    text: `WITH RECURSIVE waiting AS (
        (SELECT d.workspace, d.connector, d.due FROM dispatches d WHERE d.due IS NOT NULL
          ORDER BY d.workspace, d.connector, d.due LIMIT 1)
        UNION ALL
        SELECT n.* FROM waiting w CROSS JOIN LATERAL (
          SELECT d.workspace, d.connector, d.due FROM dispatches d
            WHERE d.due IS NOT NULL AND (d.workspace, d.connector) > (w.workspace, w.connector)
            ORDER BY d.workspace, d.connector, d.due LIMIT 1) n
      )
      SELECT w.workspace, w.connector, ${ms('w.due')} AS "earliestDue" FROM waiting w WHERE ${living('w.workspace')}
        ORDER BY w.due, w.workspace, w.connector`,
    values: [],
  });
  const due = rows.filter((row) => row.earliestDue <= wanted.nowMs);
  return { due: due.slice(0, wanted.limit), nextDue: rows[due.length]?.earliestDue ?? null };
}

/** A dispatch to send: everything but the connector's credentials. Times are milliseconds since the epoch. */
export interface PendingDispatch {
  readonly dispatch: string;
  readonly workspace: number;
  readonly connector: number;
  readonly connectorType: ConnectorType;
  readonly template: number;
  readonly key: number;
  readonly owner: AccountRef;
  readonly to: string;
  readonly text: string;
  /** Attempts used up. */
  readonly attempts: number;
  readonly due: number;
  readonly createdAt: number;
  /** Revision of the dispatch's stream that this was read at. */
  readonly revision: number;
}

/** The dispatches of one connector that are due by `nowMs`, by `due`. `after` is the last one that was taken before. */
export async function pendingDispatches(
  db: Queryable,
  wanted: {
    readonly workspace: number;
    readonly connector: number;
    readonly nowMs: number;
    readonly limit: number;
    readonly after?: Pick<PendingDispatch, 'due' | 'dispatch'>;
  },
): Promise<PendingDispatch[]> {
  const { workspace, connector, nowMs, limit, after } = wanted;
  const { rows } = await db.query<PendingDispatch>({
    text: `SELECT d.dispatch, d.workspace, d.connector, d.connector_type AS "connectorType", d.template, d.key,
        json_build_object('workspace', d.owner_workspace, 'account', d.owner_account) AS owner, d.recipient AS "to", d.text,
        d.attempts, ${ms('d.due')} AS due, ${ms('d.created_at')} AS "createdAt", d.revision
      FROM dispatches d
      WHERE d.workspace = $1 AND d.connector = $2 AND d.due <= to_timestamp($3::float8 / 1000) AND ${living('$1')}
        ${after ? 'AND (d.due, d.dispatch) > (to_timestamp($4::float8 / 1000), $5)' : 'AND $4::float8 IS NULL AND $5::text IS NULL'}
      ORDER BY d.due, d.dispatch LIMIT $6`,
    values: [workspace, connector, nowMs, after?.due ?? null, after?.dispatch ?? null, limit],
  });
  return rows;
}
