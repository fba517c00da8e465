import { foldInto, foldTable } from '../fold-table.ts';
import { type Projection, type RecordedEvent, tablesOf } from '../projection.ts';

type WorkspaceRow = {
  readonly workspace: number;
  readonly kind: string;
  readonly owner_workspace: number | null;
  readonly owner_account: number | null;
  readonly name: string | null;
  readonly description: string | null;
  readonly is_active: boolean;
  readonly created_at: number;
  readonly updated_at: number | null;
  readonly deleted: boolean;
  readonly erased: boolean;
};

const table = foldTable<WorkspaceRow>(
  'workspaces',
  1,
  {
    workspace: 'int',
    kind: 'text',
    owner_workspace: 'int',
    owner_account: 'int',
    name: 'text',
    description: 'text',
    is_active: 'bool',
    created_at: 'time',
    updated_at: 'time',
    deleted: 'bool',
    erased: 'bool',
  },
  { erasable: true },
);

type WorkspaceEvent = RecordedEvent & {
  readonly type: 'WorkspaceOpened' | 'WorkspaceChanged' | 'WorkspaceDeleted' | 'WorkspaceErased';
};

/** What is left of a deleted workspace: nothing that a person wrote. */
const blank = { name: null, description: null, is_active: true, updated_at: null, deleted: true };

function evolve(row: WorkspaceRow | null, event: WorkspaceEvent): WorkspaceRow | null {
  if (row?.erased) return null;
  switch (event.type) {
    case 'WorkspaceOpened':
    case 'WorkspaceErased': {
      const { workspace, kind, owner } = event.data;
      const fixed = {
        workspace,
        kind,
        owner_workspace: owner?.workspace ?? null,
        owner_account: owner?.account ?? null,
      };
      if (event.type === 'WorkspaceErased') {
        return { ...fixed, ...blank, created_at: event.data.createdAt, erased: true };
      }
      const { name, description } = event.data;
      const times = { created_at: event.at, updated_at: event.at };
      return { ...fixed, name, description, is_active: true, ...times, deleted: false, erased: false };
    }
    case 'WorkspaceChanged': {
      if (!row || row.deleted) return null;
      const { name = row.name, description = row.description, isActive = row.is_active } = event.data;
      return { ...row, name, description, is_active: isActive, updated_at: event.at };
    }
    case 'WorkspaceDeleted':
      return row && { ...row, ...blank };
  }
}

/** Workspaces: projects and clients with their owners. */
export const workspaces: Projection = {
  name: 'workspaces',
  version: 2,
  readableFrom: 2,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const changes: WorkspaceEvent[] = [];
    for (const event of events) {
      switch (event.type) {
        case 'WorkspaceOpened':
        case 'WorkspaceChanged':
        case 'WorkspaceDeleted':
        case 'WorkspaceErased':
          changes.push(event);
      }
    }
    await foldInto(client, table, changes, ({ data }) => [data.workspace], evolve);
  },
};
