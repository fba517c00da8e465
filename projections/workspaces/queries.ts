import { listed } from '../listed.ts';
import type { AccountRef, Listed, Page, Queryable } from '../projection.ts';
import { ms } from '../sql.ts';

/** A project (a workspace of kind `project`) as it can be read. Times are milliseconds since the epoch. */
export interface ProjectView {
  readonly workspace: number;
  /** Null for one that nobody owns. */
  readonly owner: AccountRef | null;
  readonly name: string;
  readonly description: string | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

const columns = `workspace, owner_workspace AS "ownerWorkspace", owner_account AS "ownerAccount", name, description,
  ${ms('created_at')} AS "createdAt", ${ms('updated_at')} AS "updatedAt"`;

type Row = Omit<ProjectView, 'owner'> & { ownerWorkspace: number | null; ownerAccount: number | null };

function view({ ownerWorkspace, ownerAccount, ...rest }: Row): ProjectView {
  const owner =
    ownerWorkspace === null || ownerAccount === null ? null : { workspace: ownerWorkspace, account: ownerAccount };
  return { ...rest, owner };
}

/** One project that was not deleted, whoever owns it, or null. */
export async function findProject(db: Queryable, workspace: number): Promise<ProjectView | null> {
  const { rows } = await db.query<Row>({
    text: `SELECT ${columns} FROM workspaces WHERE workspace = $1 AND kind = 'project' AND NOT deleted`,
    values: [workspace],
  });
  return rows[0] ? view(rows[0]) : null;
}

const ownProjects = `FROM workspaces WHERE owner_workspace = $1 AND owner_account = $2 AND kind = 'project' AND NOT deleted`;

/** An owner's projects, newest first; all of them without a page. */
export async function listProjects(db: Queryable, owner: AccountRef, page?: Page): Promise<Listed<ProjectView>> {
  const values = [owner.workspace, owner.account];
  const order = 'created_at DESC, workspace DESC';
  const { items, total } = await listed<Row>(db, { columns, those: ownProjects, order, values }, page);
  return { items: items.map(view), total };
}

/** How many projects an account owns. */
export async function countProjects(db: Queryable, owner: AccountRef): Promise<number> {
  const { rows } = await db.query<{ count: number }>({
    text: `SELECT count(*)::int AS count ${ownProjects}`,
    values: [owner.workspace, owner.account],
  });
  return rows[0]?.count ?? 0;
}

/** A workspace, whatever its kind, as it can be read. Times are milliseconds since the epoch. */
export interface WorkspaceView {
  readonly workspace: number;
  readonly kind: 'system' | 'project' | 'client';
  readonly name: string;
  readonly description: string | null;
  /** While false its keys fail, and so do those of its accounts. */
  readonly isActive: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** One workspace that was not deleted (a ChatAPI client, among others), or null. */
export async function findWorkspace(db: Queryable, workspace: number): Promise<WorkspaceView | null> {
  const { rows } = await db.query<WorkspaceView>({
    text: `SELECT workspace, kind, name, description, is_active AS "isActive", ${ms('created_at')} AS "createdAt",
        ${ms('updated_at')} AS "updatedAt"
      FROM workspaces WHERE workspace = $1 AND NOT deleted`,
    values: [workspace],
  });
  return rows[0] ?? null;
}
