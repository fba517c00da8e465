import type { ConnectorType } from '../connectors/queries.ts';
import { findThing, listThings, type ThingTable } from '../in-workspace.ts';
import type { Listed, Page, Queryable } from '../projection.ts';
import { ms } from '../sql.ts';

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

const things: ThingTable = { table: 'templates', as: 't', id: 'template', columns };

/** One template that was not deleted, or null. */
export function findTemplate(db: Queryable, workspace: number, template: number): Promise<TemplateView | null> {
  return findThing<TemplateView>(db, things, workspace, template);
}

/** A workspace's templates, newest first; all of them without a page. */
export function listTemplates(db: Queryable, workspace: number, page?: Page): Promise<Listed<TemplateView>> {
  return listThings<TemplateView>(db, things, workspace, page);
}
