import type pg from 'pg';
import type { Queryable } from '../../projections/projection.ts';
import { type HeldReceipt, heldReceiptsFor } from '../../projections/receipts/queries.ts';
import type { RecordedEvent } from '../../schemas/index.ts';
import type { ConnectorType, DispatchRecord } from '../commands/index.ts';
import { readCheckpoint, withCheckpoint } from '../feed/checkpoint.ts';
import type { Feed } from '../feed/feed.ts';
import { type Clock, sleep } from '../platform/clock.ts';
import { textArray } from '../platform/pg-arrays.ts';
import { type Projected, Reached } from './reached.ts';
import { type MatcherOptions, ReceiptMatcher, receiptRecord } from './receipts.ts';

/** What applying held receipts needs. */
export interface HeldReceiptsOptions extends MatcherOptions {
  readonly feed: Feed;
  /** Consumers' connections: under a transaction time-out. */
  readonly pool: pg.Pool;
  readonly projected: Projected;
  readonly clock: Clock;
  readonly onApplied?: (connectorType: ConnectorType) => void;
}

/** The connector types whose providers send receipts. */
const receiptTypes: readonly ConnectorType[] = ['whatsapp', 'twilio'];

/** Wait of a batch that is not full: nobody waits for it, and a larger one costs less. */
const gatherMs = 200;

type SentEvent = RecordedEvent & { readonly type: 'DispatchSent' };

/**
 * Consumer group `receipts`: applies held receipts when a dispatch's external id becomes known. Acts through commands, so that
 * what is done again after a crash changes nothing. Costs one look at an empty table per batch while none is held.
 */
export function startHeldReceipts(options: HeldReceiptsOptions): {
  readonly done: Promise<void>;
  stop(): Promise<void>;
} {
  const group = 'receipts';
  const { feed, pool } = options;
  const abort = new AbortController();
  const worker = new HeldReceipts(options);
  const done = feed.consume(
    {
      group,
      maxBatchEvents: 2_000,
      start: (partition) => readCheckpoint(pool, group, partition),
      handle: (batch) =>
        withCheckpoint(pool, group, batch, (_, events) => worker.handle(events, batch.to), { durable: false }),
      gather: () => sleep(gatherMs, abort.signal).catch(() => {}),
    },
    abort.signal,
  );
  done.catch(() => {});
  return {
    done,
    async stop() {
      abort.abort(new Error('stopped'));
      worker.stop();
      await done.catch(() => {});
    },
  };
}

class HeldReceipts {
  readonly #options: HeldReceiptsOptions;
  readonly #matcher: ReceiptMatcher;
  readonly #reached: Reached;

  constructor(options: HeldReceiptsOptions) {
    this.#options = options;
    this.#matcher = new ReceiptMatcher(options);
    this.#reached = new Reached(options.projected);
  }

  stop(): void {
    this.#reached.stop();
  }

  async handle(events: readonly RecordedEvent[], to: bigint): Promise<void> {
    const sent = events.filter((event): event is SentEvent => event.type === 'DispatchSent');
    if (sent.length === 0) return;
    // Whatever was held before one of these events is in the rows then; what is held later looks for itself.
    await this.#reached.until(to);
    const { read, commands, onApplied } = this.#options;
    if (!(await anyHeld(read))) return;
    const byHash = new Map<string, { connectorType: ConnectorType; externalId: string }>();
    for (const { data } of sent) {
      for (const connectorType of receiptTypes) {
        byHash.set(commands.externalHash(connectorType, data.externalId), {
          connectorType,
          externalId: data.externalId,
        });
      }
    }
    for (const externalHash of await heldAmong(read, [...byHash.keys()])) {
      const known = byHash.get(externalHash);
      if (!known) continue;
      const records = await this.#records(known.connectorType, known.externalId, externalHash);
      if (records.length > 0) await commands.record(records);
      for (const _ of records) onApplied?.(known.connectorType);
    }
  }

  async #records(connectorType: ConnectorType, externalId: string, externalHash: string): Promise<DispatchRecord[]> {
    const { read, clock } = this.#options;
    const held: HeldReceipt[] = await heldReceiptsFor(read, { connectorType, externalHash, nowMs: clock.now() });
    const records: DispatchRecord[] = [];
    for (const { status, error, senderHash, receivedAt } of held) {
      const match = await this.#matcher.byExternalId(connectorType, externalId, senderHash);
      if (match === null || match === 'ambiguous') continue;
      records.push(receiptRecord(match.dispatch, { status, externalId, error }, receivedAt));
    }
    return records;
  }
}

async function anyHeld(read: Queryable): Promise<boolean> {
  const { rows } = await read.query<{ any: boolean }>({
    name: 'receipts-any',
    text: 'SELECT EXISTS (SELECT FROM held_receipts) AS any',
    values: [],
  });
  return rows[0]?.any ?? false;
}

/** Those of these hashes that a receipt is held for. */
async function heldAmong(read: Queryable, hashes: readonly string[]): Promise<string[]> {
  const { rows } = await read.query<{ hash: string }>({
    text: 'SELECT DISTINCT external_hash AS hash FROM held_receipts WHERE external_hash = ANY ($1::text[])',
    values: [textArray(hashes)],
  });
  return rows.map(({ hash }) => hash);
}
