import { findThing, listThings, type ThingTable } from '../in-workspace.ts';
import type { AccountRef, Listed, Page, Queryable } from '../projection.ts';
import { living, ms } from '../sql.ts';

/** The third-party channel of a connector. */
export type ConnectorType = 'whatsapp' | 'telegram' | 'twilio';

/** A connector as it can be read. Times are milliseconds since the epoch. */
export interface ConnectorView {
  readonly workspace: number;
  readonly connector: number;
  readonly connectorType: ConnectorType;
  readonly name: string;
  readonly isActive: boolean;
  readonly senderHash: string | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

const columns = `c.workspace, c.connector, c.connector_type AS "connectorType", c.name, c.is_active AS "isActive",
  c.sender_hash AS "senderHash", ${ms('c.created_at')} AS "createdAt", ${ms('c.updated_at')} AS "updatedAt"`;

const things: ThingTable = { table: 'connectors', as: 'c', id: 'connector', columns };

/** One connector that was not deleted, or null. */
export function findConnector(db: Queryable, workspace: number, connector: number): Promise<ConnectorView | null> {
  return findThing<ConnectorView>(db, things, workspace, connector);
}

/** A workspace's connectors, newest first; all of them without a page. */
export function listConnectors(db: Queryable, workspace: number, page?: Page): Promise<Listed<ConnectorView>> {
  return listThings<ConnectorView>(db, things, workspace, page);
}

/** The connectors, of any workspace, that a provider's receipt can mean when it names this sender. */
export async function connectorsBySender(db: Queryable, senderHash: string): Promise<ConnectorView[]> {
  const { rows } = await db.query<ConnectorView>({
    text: `SELECT ${columns} FROM connectors c WHERE c.sender_hash = $1 AND NOT c.deleted AND ${living('c.workspace')}
      ORDER BY c.workspace, c.connector`,
    values: [senderHash],
  });
  return rows;
}

/** How many connectors there are in all projects of an owner. */
export async function countConnectors(db: Queryable, owner: AccountRef): Promise<number> {
  const { rows } = await db.query<{ count: number }>({
    text: `SELECT count(*)::int AS count FROM workspaces w JOIN connectors c USING (workspace)
      WHERE w.owner_workspace = $1 AND w.owner_account = $2 AND w.kind = 'project' AND NOT w.deleted AND NOT c.deleted`,
    values: [owner.workspace, owner.account],
  });
  return rows[0]?.count ?? 0;
}
