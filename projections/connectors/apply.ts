import { foldInto, foldTable } from '../fold-table.ts';
import { type Projection, type RecordedEvent, tablesOf } from '../projection.ts';

type ConnectorRow = {
  readonly workspace: number;
  readonly connector: number;
  readonly connector_type: string;
  readonly name: string | null;
  readonly is_active: boolean | null;
  readonly sender_hash: string | null;
  readonly created_at: number | null;
  readonly updated_at: number | null;
  readonly deleted: boolean;
  readonly erased: boolean;
};

const table = foldTable<ConnectorRow>(
  'connectors',
  2,
  {
    workspace: 'int',
    connector: 'int',
    connector_type: 'text',
    name: 'text',
    is_active: 'bool',
    sender_hash: 'text',
    created_at: 'time',
    updated_at: 'time',
    deleted: 'bool',
    erased: 'bool',
  },
  { erasable: true },
);

type ConnectorEvent = RecordedEvent & {
  readonly type: 'ConnectorCreated' | 'ConnectorChanged' | 'ConnectorDeleted' | 'ConnectorErased';
};

const blank = { name: null, is_active: null, created_at: null, updated_at: null, deleted: true };

function evolve(row: ConnectorRow | null, event: ConnectorEvent): ConnectorRow | null {
  if (row?.erased) return null;
  const { workspace, connector } = event.data;
  switch (event.type) {
    case 'ConnectorCreated': {
      const { connectorType, name, senderHash } = event.data;
      return {
        workspace,
        connector,
        connector_type: connectorType,
        name,
        is_active: true,
        sender_hash: senderHash,
        created_at: event.at,
        updated_at: event.at,
        deleted: false,
        erased: false,
      };
    }
    case 'ConnectorChanged': {
      if (!row || row.deleted) return null;
      const { name = row.name, isActive = row.is_active, senderHash = row.sender_hash } = event.data;
      return { ...row, name, is_active: isActive, sender_hash: senderHash, updated_at: event.at };
    }
    case 'ConnectorDeleted':
      return row && { ...row, ...blank };
    case 'ConnectorErased': {
      const { connectorType } = event.data;
      return { workspace, connector, connector_type: connectorType, ...blank, sender_hash: null, erased: true };
    }
  }
}

/** Connectors, without their credentials. */
export const connectors: Projection = {
  name: 'connectors',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const changes: ConnectorEvent[] = [];
    for (const event of events) {
      switch (event.type) {
        case 'ConnectorCreated':
        case 'ConnectorChanged':
        case 'ConnectorDeleted':
        case 'ConnectorErased':
          changes.push(event);
      }
    }
    await foldInto(client, table, changes, ({ data }) => [data.workspace, data.connector], evolve);
  },
};
