import { intArray, textArray } from '../../src/platform/pg-arrays.ts';
import { type Projection, type RecordedEvent, tablesOf } from '../projection.ts';

/** What is counted by integers. */
export type CountedKind =
  | 'workspace'
  | 'account'
  | 'key'
  | 'connector'
  | 'template'
  | 'device'
  | 'room'
  | 'message'
  | 'webhook';

type Entry = readonly [workspace: number, kind: CountedKind, id: number];

/** What an event says exists or existed. */
function entriesOf(event: RecordedEvent): Entry[] {
  const entry = counted(event);
  if (event.type !== 'AccountErased') return entry ? [entry] : [];
  // Its devices' own events are gone with it.
  const { workspace, account, devices } = event.data;
  return [[workspace, 'account', account], ...devices.map((device): Entry => [workspace, 'device', device])];
}

/** The one thing that an event is about, or null. */
function counted(event: RecordedEvent): Entry | null {
  switch (event.type) {
    case 'WorkspaceOpened':
    case 'WorkspaceErased':
      return [0, 'workspace', event.data.workspace];
    case 'AccountOpened':
      return [event.data.workspace, 'account', event.data.account];
    case 'KeyIssued':
    case 'KeyErased':
      return [event.data.workspace, 'key', event.data.key];
    case 'ConnectorCreated':
    case 'ConnectorErased':
      return [event.data.workspace, 'connector', event.data.connector];
    case 'TemplateCreated':
    case 'TemplateErased':
      return [event.data.workspace, 'template', event.data.template];
    case 'DeviceRegistered':
    case 'DeviceErased':
      return [event.data.workspace, 'device', event.data.device];
    case 'RoomCreated':
    case 'RoomErased':
      return [event.data.workspace, 'room', event.data.room];
    case 'MessagePosted':
      return [event.data.workspace, 'message', event.data.message];
    case 'MessagesErased': {
      const highest = event.data.items.reduce((most, { message }) => Math.max(most, message), 0);
      return highest === 0 ? null : [event.data.workspace, 'message', highest];
    }
    case 'WebhookCreated':
    case 'WebhookErased':
      return [event.data.workspace, 'webhook', event.data.webhook];
    default:
      return null;
  }
}

/** The highest ids per (workspace, kind): what the counters of ids must never go back below. */
export const ids: Projection = {
  name: 'ids',
  version: 2,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const highest = new Map<string, Entry>();
    for (const event of events) {
      for (const entry of entriesOf(event)) {
        const key = `${entry[0]}/${entry[1]}`;
        const known = highest.get(key);
        if (!known || known[2] < entry[2]) highest.set(key, entry);
      }
    }
    if (highest.size === 0) return;
    const rows = [...highest.values()].sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
    await client.query({
      text: `INSERT INTO highest_ids AS t (workspace, kind, id)
        SELECT * FROM unnest($1::int[], $2::text[], $3::int[])
        ON CONFLICT (workspace, kind) DO UPDATE SET id = excluded.id WHERE t.id < excluded.id`,
      values: [
        intArray(rows.map(([workspace]) => workspace)),
        textArray(rows.map(([, kind]) => kind)),
        intArray(rows.map(([, , id]) => id)),
      ],
    });
  },
};
