import { foldInto, foldTable } from '../fold-table.ts';
import { type Projection, type RecordedEvent, tablesOf } from '../projection.ts';

type TemplateRow = {
  readonly workspace: number;
  readonly template: number;
  readonly connector_type: string;
  readonly name: string | null;
  readonly content: string | null;
  readonly variables: readonly string[] | null;
  readonly is_active: boolean | null;
  readonly created_at: number | null;
  readonly updated_at: number | null;
  readonly deleted: boolean;
  readonly erased: boolean;
};

const table = foldTable<TemplateRow>(
  'templates',
  2,
  {
    workspace: 'int',
    template: 'int',
    connector_type: 'text',
    name: 'text',
    content: 'text',
    variables: 'json',
    is_active: 'bool',
    created_at: 'time',
    updated_at: 'time',
    deleted: 'bool',
    erased: 'bool',
  },
  { erasable: true },
);

type TemplateEvent = RecordedEvent & {
  readonly type: 'TemplateCreated' | 'TemplateChanged' | 'TemplateDeleted' | 'TemplateErased';
};

const blank = {
  name: null,
  content: null,
  variables: null,
  is_active: null,
  created_at: null,
  updated_at: null,
  deleted: true,
};

function evolve(row: TemplateRow | null, event: TemplateEvent): TemplateRow | null {
  if (row?.erased) return null;
  const { workspace, template } = event.data;
  switch (event.type) {
    case 'TemplateCreated': {
      const { connectorType, name, content, variables } = event.data;
      return {
        workspace,
        template,
        connector_type: connectorType,
        name,
        content,
        variables,
        is_active: true,
        created_at: event.at,
        updated_at: event.at,
        deleted: false,
        erased: false,
      };
    }
    case 'TemplateChanged': {
      if (!row || row.deleted) return null;
      const {
        name = row.name,
        content = row.content,
        variables = row.variables,
        isActive = row.is_active,
      } = event.data;
      return { ...row, name, content, variables, is_active: isActive, updated_at: event.at };
    }
    case 'TemplateDeleted':
      return row && { ...row, ...blank };
    case 'TemplateErased':
      return { workspace, template, connector_type: event.data.connectorType, ...blank, erased: true };
  }
}

/** Templates with their content. */
export const templates: Projection = {
  name: 'templates',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const changes: TemplateEvent[] = [];
    for (const event of events) {
      switch (event.type) {
        case 'TemplateCreated':
        case 'TemplateChanged':
        case 'TemplateDeleted':
        case 'TemplateErased':
          changes.push(event);
      }
    }
    await foldInto(client, table, changes, ({ data }) => [data.workspace, data.template], evolve);
  },
};
