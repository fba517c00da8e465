import type { EventData } from '../../schemas/index.ts';
import { bigintArray, doubleArray, intArray, textArray } from '../../src/platform/pg-arrays.ts';
import type { Queryable } from '../projection.ts';
import { cleanText } from '../sql.ts';

type Recorded = EventData<'WebhookAttemptsRecorded'>;
type Failed = Recorded['failed'][number] & { readonly workspace: number; readonly webhook: number };

/** What a batch does to deliveries that failed, in its order; adjacent changes that touch different rows go together. */
export class DeliveryChanges {
  readonly #client: Queryable;
  readonly #failed = new Map<string, Failed>();
  readonly #ended = new Set<string>();

  constructor(client: Queryable) {
    this.#client = client;
  }

  /** Takes what came of attempts at a webhook that lives. */
  record({ workspace, webhook, failed, ended }: Recorded): void {
    for (const attempt of failed) {
      this.#ended.delete(attempt.delivery);
      this.#failed.set(attempt.delivery, { ...attempt, workspace, webhook });
    }
    for (const { delivery } of ended) {
      this.#failed.delete(delivery);
      this.#ended.add(delivery);
    }
  }

  /** Gives every delivery of a webhook that waits all its attempts again. */
  async activate(workspace: number, webhook: number, at: number): Promise<void> {
    await this.flush();
    await this.#client.query({
      text: `UPDATE webhook_deliveries SET used = 0, due = to_timestamp($3::float8 / 1000)
        WHERE workspace = $1 AND webhook = $2 AND due IS NOT NULL`,
      values: [workspace, webhook, at],
    });
  }

  /** Makes a dead letter one that waits. */
  async redrive(workspace: number, webhook: number, delivery: string, at: number): Promise<void> {
    await this.flush();
    await this.#client.query({
      text: `UPDATE webhook_deliveries SET used = 0, due = to_timestamp($4::float8 / 1000), dead_at = NULL
        WHERE delivery = $3 AND workspace = $1 AND webhook = $2 AND dead_at IS NOT NULL`,
      values: [workspace, webhook, delivery, at],
    });
  }

  /** Ends all deliveries and tracks of a webhook. */
  async drop(workspace: number, webhook: number): Promise<void> {
    await this.flush();
    for (const table of ['webhook_deliveries', 'webhook_tracks'])
      await this.#client.query({
        text: `DELETE FROM ${table} WHERE workspace = $1 AND webhook = $2`,
        values: [workspace, webhook],
      });
  }

  /** Writes what was taken so far. */
  async flush(): Promise<void> {
    if (this.#ended.size > 0) {
      await this.#client.query({
        text: 'DELETE FROM webhook_deliveries WHERE delivery = ANY ($1::text[])',
        values: [textArray([...this.#ended])],
      });
      this.#ended.clear();
    }
    if (this.#failed.size > 0) await this.#upsert([...this.#failed.values()].sort(byDelivery));
    this.#failed.clear();
  }

  async #upsert(rows: readonly Failed[]): Promise<void> {
    await this.#client.query({
      text: `INSERT INTO webhook_deliveries AS d (delivery, workspace, webhook, replay, position, stream, revision, event,
          attempts, used, last_attempt_at, status, error, due, dead_at)
        SELECT delivery, workspace, webhook, replay, position, stream, revision, event, attempts, used,
            to_timestamp(at / 1000), status, error, to_timestamp(due / 1000),
            CASE WHEN due IS NULL THEN to_timestamp(at / 1000) END
          FROM unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::int8[], $6::text[], $7::int[], $8::text[], $9::int[],
            $10::int[], $11::float8[], $12::int[], $13::text[], $14::float8[])
          AS u(delivery, workspace, webhook, replay, position, stream, revision, event, attempts, used, at, status, error, due)
        ON CONFLICT (delivery) DO UPDATE SET attempts = excluded.attempts, used = excluded.used,
          last_attempt_at = excluded.last_attempt_at, status = excluded.status, error = excluded.error,
          due = excluded.due, dead_at = excluded.dead_at`,
      values: [
        textArray(rows.map(({ delivery }) => delivery)),
        intArray(rows.map(({ workspace }) => workspace)),
        intArray(rows.map(({ webhook }) => webhook)),
        intArray(rows.map(({ replay }) => replay)),
        bigintArray(rows.map(({ position }) => BigInt(position))),
        textArray(rows.map(({ stream }) => cleanText(stream))),
        intArray(rows.map(({ revision }) => revision)),
        textArray(rows.map(({ event }) => cleanText(event))),
        intArray(rows.map(({ attempt }) => attempt)),
        intArray(rows.map(({ used }) => used)),
        doubleArray(rows.map(({ at }) => at)),
        intArray(rows.map(({ status }) => status)),
        textArray(rows.map(({ error }) => cleanText(error))),
        doubleArray(rows.map(({ retryAt }) => retryAt)),
      ],
    });
  }
}

function byDelivery(a: Failed, b: Failed): number {
  return a.delivery < b.delivery ? -1 : 1;
}
