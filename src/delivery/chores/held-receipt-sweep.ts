import type pg from 'pg';
import { receiptHeldForMs, timeTold } from '../../../projections/receipts/queries.ts';
import type { RecordedEvent } from '../../../schemas/index.ts';
import { bigintArray, textArray } from '../../platform/pg-arrays.ts';
import type { Reached } from '../reached.ts';

/** Streams of one round. */
const maxStreams = 500;

/**
 * Erases the streams of held receipts that are over. By the log's own time, as the rows do: so the rows are the same after a
 * rebuild, which finds those streams erased.
 */
export class HeldReceiptSweep {
  readonly #pool: pg.Pool;
  readonly #reached: Reached;
  readonly #erase: (streams: readonly string[]) => Promise<void>;
  /** The log's time, as this process saw it last, and the position at which it was told. */
  #logTime = 0;
  #toldAt = 0n;

  constructor(pool: pg.Pool, reached: Reached, erase: (streams: readonly string[]) => Promise<void>) {
    this.#pool = pool;
    this.#reached = reached;
    this.#erase = erase;
  }

  /** Remembers the streams of receipts that were held, in the group's transaction. */
  async note(client: pg.PoolClient, events: readonly RecordedEvent[]): Promise<void> {
    const held: { stream: string; receivedAt: number }[] = [];
    for (const event of events) {
      const { type, data, stream, position } = event;
      const told = timeTold(event);
      if (told > this.#logTime) {
        this.#logTime = told;
        this.#toldAt = position;
      }
      if (type === 'ReceiptHeld') held.push({ stream, receivedAt: data.receivedAt });
    }
    if (held.length === 0) return;
    await client.query(
      `INSERT INTO work.held_receipt_streams (stream, received_at) SELECT * FROM unnest($1::text[], $2::bigint[])
        ON CONFLICT DO NOTHING`,
      [textArray(held.map(({ stream }) => stream)), bigintArray(held.map(({ receivedAt }) => Math.ceil(receivedAt)))],
    );
  }

  /** Erases some of those that are over. Their rows are gone, or will not be made, once the rows know the time. */
  async round(): Promise<void> {
    if (this.#logTime === 0) return;
    const toldAt = this.#toldAt;
    const { rows } = await this.#pool.query<{ stream: string }>(
      'SELECT stream FROM work.held_receipt_streams WHERE received_at <= $1 ORDER BY received_at LIMIT $2',
      [Math.floor(this.#logTime - receiptHeldForMs), maxStreams],
    );
    if (rows.length === 0) return;
    await this.#reached.until(toldAt);
    const streams = rows.map(({ stream }) => stream);
    await this.#erase(streams);
    await this.#pool.query('DELETE FROM work.held_receipt_streams WHERE stream = ANY ($1::text[])', [
      textArray(streams),
    ]);
  }
}
