import type { AccountRef, Queryable } from '../projection.ts';
import { living, ms } from '../sql.ts';

/** A device as it can be read. Times are milliseconds since the epoch. */
export interface DeviceView {
  readonly workspace: number;
  readonly device: number;
  readonly account: number;
  readonly identifier: string;
  readonly deviceType: string | null;
  readonly name: string | null;
  readonly osName: string | null;
  readonly osVersion: string | null;
  readonly appVersion: string | null;
  readonly pushToken: string | null;
  /** Null while it has no token. */
  readonly tokenIssuedAt: number | null;
  /** Null: never, or no token. */
  readonly tokenExpiresAt: number | null;
  readonly registeredAt: number;
  readonly updatedAt: number;
}

const columns = `d.workspace, d.device, d.account, d.identifier, d.device_type AS "deviceType", d.name, d.os_name AS "osName",
  d.os_version AS "osVersion", d.app_version AS "appVersion", d.push_token AS "pushToken",
  ${ms('d.token_issued_at')} AS "tokenIssuedAt", ${ms('d.token_expires_at')} AS "tokenExpiresAt",
  ${ms('d.registered_at')} AS "registeredAt", ${ms('d.updated_at')} AS "updatedAt"`;

/** One device, or null. */
export async function findDevice(db: Queryable, workspace: number, device: number): Promise<DeviceView | null> {
  const { rows } = await db.query<DeviceView>({
    text: `SELECT ${columns} FROM devices d WHERE d.workspace = $1 AND d.device = $2 AND NOT d.deleted AND ${living('$1')}`,
    values: [workspace, device],
  });
  return rows[0] ?? null;
}

/** The device that a client calls by this name, the latest registered, or null. */
export async function findDeviceByIdentifier(
  db: Queryable,
  workspace: number,
  identifier: string,
): Promise<DeviceView | null> {
  const { rows } = await db.query<DeviceView>({
    text: `SELECT ${columns} FROM devices d
      WHERE d.identifier = $2 AND d.workspace = $1 AND NOT d.deleted AND ${living('$1')} ORDER BY d.device DESC LIMIT 1`,
    values: [workspace, identifier],
  });
  return rows[0] ?? null;
}

/** The devices bound to these accounts, by account and device. */
export async function devicesOf(
  db: Queryable,
  workspace: number,
  accounts: readonly AccountRef['account'][],
): Promise<DeviceView[]> {
  const { rows } = await db.query<DeviceView>({
    text: `SELECT ${columns} FROM devices d
      WHERE d.workspace = $1 AND d.account = ANY ($2::int[]) AND NOT d.erased AND NOT d.deleted AND ${living('$1')}
      ORDER BY d.account, d.device`,
    values: [workspace, accounts],
  });
  return rows;
}
