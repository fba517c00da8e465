import { foldInto, foldTable } from '../fold-table.ts';
import { type Projection, type RecordedEvent, tablesOf } from '../projection.ts';

type DeviceRow = {
  readonly workspace: number;
  readonly device: number;
  readonly account: number;
  readonly identifier: string | null;
  readonly device_type: string | null;
  readonly name: string | null;
  readonly os_name: string | null;
  readonly os_version: string | null;
  readonly app_version: string | null;
  readonly push_token: string | null;
  readonly token_issued_at: number | null;
  readonly token_expires_at: number | null;
  readonly registered_at: number | null;
  readonly updated_at: number | null;
  readonly deleted: boolean;
  readonly erased: boolean;
};

const table = foldTable<DeviceRow>(
  'devices',
  2,
  {
    workspace: 'int',
    device: 'int',
    account: 'int',
    identifier: 'text',
    device_type: 'text',
    name: 'text',
    os_name: 'text',
    os_version: 'text',
    app_version: 'text',
    push_token: 'text',
    token_issued_at: 'time',
    token_expires_at: 'time',
    registered_at: 'time',
    updated_at: 'time',
    deleted: 'bool',
    erased: 'bool',
  },
  { erasable: true },
);

type DeviceEvent = RecordedEvent & {
  readonly type: 'DeviceRegistered' | 'DeviceChanged' | 'DeviceTokenIssued' | 'DeviceTokenEnded' | 'DeviceDeleted';
};

/** What an event says of one device. */
type About =
  | { readonly workspace: number; readonly device: number; readonly event: DeviceEvent }
  | { readonly workspace: number; readonly device: number; readonly erasedOf: number };

const noToken = { token_issued_at: null, token_expires_at: null };

/** A device of which nothing was said, and what is left of a deleted one. */
const blank = {
  identifier: null,
  device_type: null,
  name: null,
  os_name: null,
  os_version: null,
  app_version: null,
  push_token: null,
  ...noToken,
  updated_at: null,
};

function evolve(row: DeviceRow | null, about: About): DeviceRow | null {
  if (row?.erased) return null;
  const { workspace, device } = about;
  if ('erasedOf' in about) {
    const gone = { registered_at: null, deleted: true, erased: true };
    return { workspace, device, account: about.erasedOf, ...blank, ...gone };
  }
  const { event } = about;
  if (event.type === 'DeviceRegistered') {
    const { account, identifier } = event.data;
    const times = { registered_at: event.at, updated_at: event.at };
    return { workspace, device, account, ...blank, identifier, ...times, deleted: false, erased: false };
  }
  if (!row || row.deleted) return null;
  switch (event.type) {
    case 'DeviceChanged': {
      const { account = row.account, deviceType = row.device_type, name = row.name, osName = row.os_name } = event.data;
      const { osVersion = row.os_version, appVersion = row.app_version, pushToken = row.push_token } = event.data;
      const os = { os_name: osName, os_version: osVersion, app_version: appVersion };
      const said = { account, device_type: deviceType, name, ...os, push_token: pushToken };
      return { ...row, ...said, updated_at: event.at };
    }
    case 'DeviceTokenIssued':
      return { ...row, token_issued_at: event.at, token_expires_at: event.data.expiresAt, updated_at: event.at };
    case 'DeviceTokenEnded':
      return { ...row, ...noToken, updated_at: event.at };
    case 'DeviceDeleted':
      return { ...row, ...blank, registered_at: null, deleted: true };
  }
}

/**
 * Devices. An erased account takes its own with it: that is an event of another ordering key, whose tombstones stand
 * against whatever is still to come of the device.
 */
export const devices: Projection = {
  name: 'devices',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const about: About[] = [];
    for (const event of events) {
      switch (event.type) {
        case 'DeviceRegistered':
        case 'DeviceChanged':
        case 'DeviceTokenIssued':
        case 'DeviceTokenEnded':
        case 'DeviceDeleted':
          about.push({ workspace: event.data.workspace, device: event.data.device, event });
          break;
        case 'DeviceErased':
          about.push({
            workspace: event.data.workspace,
            device: event.data.device,
            erasedOf: event.data.account,
          });
          break;
        case 'AccountErased':
          for (const device of event.data.devices) {
            about.push({ workspace: event.data.workspace, device, erasedOf: event.data.account });
          }
      }
    }
    await foldInto(client, table, about, ({ workspace, device }) => [workspace, device], evolve);
  },
};
