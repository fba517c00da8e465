import type pg from 'pg';
import type { RecordedEvent } from '../../../schemas/index.ts';
import { bigintArray, textArray } from '../../platform/pg-arrays.ts';
import type { Reached } from '../reached.ts';

/** Held receipts are kept for a day (MessageJS sheet, section 14), and a minute in which their rows surely went. */
const keptForMs = 24 * 3_600_000 + 60_000;
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
  /** The log's time, as the group saw it last, and the position at which it was told. */
  #logTime = 0;
  #toldAt = 0n;

  constructor(pool: pg.Pool, reached: Reached, erase: (streams: readonly string[]) => Promise<void>) {
    this.#pool = pool;
    this.#reached = reached;
    this.#erase = erase;
  }

  /** Remembers the streams of receipts that were held, in the group's transaction. */
  async note(client: pg.PoolClient, events: readonly RecordedEvent[], to: bigint): Promise<void> {
    const held: { stream: string; receivedAt: number }[] = [];
    for (const { type, data, stream, at } of events) {
      if (at > this.#logTime) this.#logTime = at;
      if (type === 'ReceiptHeld') held.push({ stream, receivedAt: data.receivedAt });
    }
    this.#toldAt = to;
    if (held.length === 0) return;
    await client.query(
      `INSERT INTO work.held_receipt_streams (stream, received_at) SELECT * FROM unnest($1::text[], $2::bigint[])
        ON CONFLICT DO NOTHING`,
      [textArray(held.map(({ stream }) => stream)), bigintArray(held.map(({ receivedAt }) => Math.floor(receivedAt)))],
    );
  }

  /** Erases some of those that are over. */
  async round(): Promise<void> {
    if (this.#logTime === 0) return;
    const { rows } = await this.#pool.query<{ stream: string }>(
      'SELECT stream FROM work.held_receipt_streams WHERE received_at <= $1 ORDER BY received_at LIMIT $2',
      [Math.floor(this.#logTime - keptForMs), maxStreams],
    );
    if (rows.length === 0) return;
    await this.#reached.until(this.#toldAt);
    const streams = rows.map(({ stream }) => stream);
    await this.#erase(streams);
    await this.#pool.query('DELETE FROM work.held_receipt_streams WHERE stream = ANY ($1::text[])', [
      textArray(streams),
    ]);
  }
}
