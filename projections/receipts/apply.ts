import { doubleArray, textArray } from '../../src/platform/pg-arrays.ts';
import { type Projection, type Queryable, type RecordedEvent, tablesOf } from '../projection.ts';
import { cleanOptional, cleanText } from '../sql.ts';

/** A receipt that matches nothing is kept for this long. */
export const receiptHeldForMs = 24 * 3_600_000;

type HeldEvent = RecordedEvent & { readonly type: 'ReceiptHeld' };

async function insert(client: Queryable, held: readonly HeldEvent[]): Promise<void> {
  await client.query({
    text: `INSERT INTO held_receipts (stream, connector_type, external_hash, sender_hash, status, error, received_at)
      SELECT u.stream, u.connector_type, u.external_hash, u.sender_hash, u.status, u.error, to_timestamp(u.received / 1000)
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[])
          AS u(stream, connector_type, external_hash, sender_hash, status, error, received)
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

/** Held receipts. What is too old goes by the log's own time, so that a rebuild keeps the same ones. */
export const receipts: Projection = {
  name: 'receipts',
  version: 1,
  readableFrom: 1,
  tables: tablesOf(import.meta.url),
  async apply(client, events) {
    const held: HeldEvent[] = [];
    let now = 0;
    for (const event of events) {
      if (event.at > now) now = event.at;
      if (event.type === 'ReceiptHeld') held.push(event);
    }
    if (held.length > 0) await insert(client, held);
    await client.query({
      name: 'receipts-expire',
      text: 'DELETE FROM held_receipts WHERE received_at <= to_timestamp($1::float8 / 1000)',
      values: [now - receiptHeldForMs],
    });
  },
};
