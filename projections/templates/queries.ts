import type { ConnectorType } from '../connectors/queries.ts';
import type { Listed, Page, Queryable } from '../projection.ts';
import { living, ms } from '../sql.ts';

/** A template as it can be read. Times are milliseconds since the epoch. */
export interface TemplateView {
  readonly workspace: number;
  readonly template: number;
  readonly connectorType: ConnectorType;
  readonly name: string;
  readonly content: string;
  readonly variables: readonly string[];
  readonly isActive: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

const columns = `t.workspace, t.template, t.connector_type AS "connectorType", t.name, t.content, t.variables,
  t.is_active AS "isActive", ${ms('t.created_at')} AS "createdAt", ${ms('t.updated_at')} AS "updatedAt"`;

/** One template that was not deleted, or null. */
export async function findTemplate(db: Queryable, workspace: number, template: number): Promise<TemplateView | null> {
  const { rows } = await db.query<TemplateView>({
    text: `SELECT ${columns} FROM templates t
      WHERE t.workspace = $1 AND t.template = $2 AND NOT t.deleted AND ${living('$1')}`,
    values: [workspace, template],
  });
  return rows[0] ?? null;
}

/** A workspace's templates, newest first; all of them without a page. */
export async function listTemplates(db: Queryable, workspace: number, page?: Page): Promise<Listed<TemplateView>> {
  const [{ rows }, total] = await Promise.all([
    db.query<TemplateView>({
      text: `SELECT ${columns} FROM templates t WHERE t.workspace = $1 AND NOT t.deleted AND ${living('$1')}
        ORDER BY t.created_at DESC, t.template DESC LIMIT $2 OFFSET $3`,
      values: [workspace, page?.limit ?? null, page?.offset ?? 0],
    }),
    db.query<{ count: number }>({
      text: `SELECT count(*)::int AS count FROM templates t
        WHERE t.workspace = $1 AND NOT t.deleted AND ${living('$1')}`,
      values: [workspace],
    }),
  ]);
  return { items: rows, total: total.rows[0]?.count ?? 0 };
}
