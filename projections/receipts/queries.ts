import { textArray } from '../../src/platform/pg-arrays.ts';
import type { ConnectorType } from '../connectors/queries.ts';
import type { Queryable } from '../projection.ts';
import { ms } from '../sql.ts';
import { receiptHeldForMs } from './apply.ts';

export { receiptHeldForMs, timeTold } from './apply.ts';

/** A receipt that waits for its dispatch. */
export interface HeldReceipt {
  readonly stream: string;
  readonly senderHash: string | null;
  readonly status: 'sent' | 'delivered' | 'failed';
  readonly error: string | null;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
}

/**
 * The receipts held for an external id that became known, oldest first. With `senderHash` (that of the connector which
 * sent), those that name another sender are left out.
 */
export async function heldReceiptsFor(
  db: Queryable,
  wanted: {
    readonly connectorType: ConnectorType;
    readonly externalHash: string;
    readonly senderHash?: string | null;
    readonly nowMs: number;
  },
): Promise<HeldReceipt[]> {
  const { rows } = await db.query<HeldReceipt>({
    text: `SELECT stream, sender_hash AS "senderHash", status, error, ${ms('received_at')} AS "receivedAt"
      FROM held_receipts
      WHERE external_hash = $1 AND connector_type = $2 AND ($3::text IS NULL OR sender_hash IS NULL OR sender_hash = $3)
        AND received_at > to_timestamp($4::float8 / 1000)
      ORDER BY received_at, stream`,
    values: [wanted.externalHash, wanted.connectorType, wanted.senderHash ?? null, wanted.nowMs - receiptHeldForMs],
  });
  return rows;
}

/** Those of some hashes that a receipt is held for; they are asked for only when any receipt is held at all. */
export async function hashesWithReceipts(db: Queryable, externalHashes: () => readonly string[]): Promise<string[]> {
  const { rows: any } = await db.query({
    name: 'receipts-any',
    text: 'SELECT FROM held_receipts LIMIT 1',
    values: [],
  });
  if (any.length === 0) return [];
  const { rows } = await db.query<{ hash: string }>({
    text: 'SELECT DISTINCT external_hash AS hash FROM held_receipts WHERE external_hash = ANY ($1::text[])',
    values: [textArray(externalHashes())],
  });
  return rows.map(({ hash }) => hash);
}
