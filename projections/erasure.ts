/**
 * What was deleted and still has to be erased, as events "erased" need it: read by the chore that erases, step by step,
 * across crashes. The dispatches of a workspace come in pages from `dispatchesToErase`.
 */
import type { ConnectorType } from './connectors/queries.ts';
import type { AccountRef, Queryable } from './projection.ts';
import { ms } from './sql.ts';

/** One thing to erase. Times are milliseconds since the epoch. */
export type Erasable =
  | { readonly kind: 'key'; readonly workspace: number; readonly id: number }
  | {
      readonly kind: 'connector' | 'template';
      readonly workspace: number;
      readonly id: number;
      readonly connectorType: ConnectorType;
    };

/** Keys, connectors and templates that were deleted, alone or with their workspace, and not erased: at most `limit` of each. */
export async function deletedThings(db: Queryable, limit: number): Promise<Erasable[]> {
  const of = (
    table: string,
    kind: string,
    type: string,
  ) => `(SELECT '${kind}' AS kind, t.workspace, t.${kind} AS id, ${type} AS "connectorType"
      FROM ${table} t WHERE t.deleted AND NOT t.erased LIMIT $1)
    UNION ALL (SELECT '${kind}', t.workspace, t.${kind}, ${type} FROM workspaces w JOIN ${table} t USING (workspace)
      WHERE w.deleted AND NOT w.erased AND NOT t.deleted AND NOT t.erased LIMIT $1)`;
  const { rows } = await db.query<Erasable>({
    text: `${of('keys', 'key', 'NULL')} UNION ALL ${of('connectors', 'connector', 't.connector_type')}
      UNION ALL ${of('templates', 'template', 't.connector_type')}`,
    values: [limit],
  });
  return rows.map((row) => (row.kind === 'key' ? { kind: row.kind, workspace: row.workspace, id: row.id } : row));
}

/** A workspace that was deleted and not erased. `createdAt` is milliseconds since the epoch. */
export interface DeletedWorkspace {
  readonly workspace: number;
  readonly kind: 'system' | 'project' | 'client';
  readonly owner: AccountRef | null;
  readonly createdAt: number;
}

/** Workspaces that were deleted and not erased, oldest first. To be erased last, after what is in them. */
export async function deletedWorkspaces(db: Queryable, limit: number): Promise<DeletedWorkspace[]> {
  const { rows } = await db.query<DeletedWorkspace>({
    text: `SELECT workspace, kind, ${ms('created_at')} AS "createdAt", CASE WHEN owner_account IS NOT NULL
        THEN json_build_object('workspace', owner_workspace, 'account', owner_account) END AS owner
      FROM workspaces WHERE deleted AND NOT erased ORDER BY created_at, workspace LIMIT $1`,
    values: [limit],
  });
  return rows;
}
