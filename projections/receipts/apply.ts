import { doubleArray, textArray } from '../../src/platform/pg-arrays.ts';
import { type Projection, type Queryable, type RecordedEvent, tablesOf } from '../projection.ts';
import { cleanOptional, cleanText } from '../sql.ts';

/** A receipt that matches nothing is kept for this long. */
export const receiptHeldForMs = 24 * 3_600_000;

const oldest = `told - interval '${receiptHeldForMs} milliseconds'`;

type HeldEvent = RecordedEvent & { readonly type: 'ReceiptHeld' };

async function insert(client: Queryable, held: readonly HeldEvent[]): Promise<void> {
  await client.query({
    text: `INSERT INTO held_receipts (stream, connector_type, external_hash, sender_hash, status, error, received_at)
      SELECT u.stream, u.connector_type, u.external_hash, u.sender_hash, u.status, u.error, to_timestamp(u.received / 1000)
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[])
          AS u(stream, connector_type, external_hash, sender_hash, status, error, received)
        WHERE to_timestamp(u.received / 1000) > (SELECT ${oldest} FROM receipts_time WHERE one)
      ON CONFLICT (stream) DO NOTHING`,
    values: [
      textArray(held.map(({ stream }) => stream)),
      textArray(held.map(({ data }) => data.connectorType)),
      textArray(held.map(({ data }) => cleanText(data.externalHash))),
      textArray(held.map(({ data }) => cleanOptional(data.senderHash))),
      textArray(held.map(({ data }) => data.status)),
      textArray(held.map(({ data }) => cleanOptional(data.error))),
      doubleArray(held.map(({ data }) => data.receivedAt)),
    ],
  });
}

/** Of the log's time only this much is told apart: the one row that keeps it is written once in so long. */
const tickMs = 60_000;

/** Beginnings, and ends that are followed by the event "erased" if by anything. */
const tellTime: ReadonlySet<RecordedEvent['type']> = new Set([
  'AccountOpened',
  'DispatchAccepted',
  'MessagePosted',
  'ReceiptHeld',
  'SessionEnded',
  'SessionStarted',
  'WorkspaceDeleted',
  'WorkspaceOpened',
]);

/**
 * The time that an event tells, by which held receipts are too old: milliseconds since the epoch, 0 for none. Only events
 * after which another one tells as much, or which are never erased: what was blanked takes no time back.
 */
export function timeTold({ type, at }: RecordedEvent): number {
  return tellTime.has(type) || type.endsWith('Erased') ? Math.floor(at / tickMs) * tickMs : 0;
}

/**
 * Held receipts. What is too old goes by the log's own time, so that a rebuild keeps the same ones: the latest time of all
 * partitions, in a row of its own, so that it does not matter which of them are ahead.
 */
export const receipts: Projection = {
  name: 'receipts',
  version: 2,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const held: HeldEvent[] = [];
    let now = 0;
    for (const event of events) {
      now = Math.max(now, timeTold(event));
      if (event.type === 'ReceiptHeld') held.push(event);
    }
    const { rowCount } = await client.query({
      name: 'receipts-time',
      text: 'UPDATE receipts_time SET told = to_timestamp($1::float8 / 1000) WHERE one AND told < to_timestamp($1::float8 / 1000)',
      values: [now],
    });
    if (held.length > 0) {
      // Nobody moves the time while we insert by it; who moves it afterwards sees what we inserted.
      await client.query({ text: 'SELECT FROM receipts_time WHERE one FOR SHARE', values: [] });
      await insert(client, held);
    }
    if (rowCount === 0) return;
    await client.query({
      name: 'receipts-expire',
      text: `DELETE FROM held_receipts WHERE received_at <= (SELECT ${oldest} FROM receipts_time WHERE one)`,
      values: [],
    });
  },
};
