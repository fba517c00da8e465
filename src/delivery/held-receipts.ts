import type pg from 'pg';
import { type HeldReceipt, hashesWithReceipts, heldReceiptsFor } from '../../projections/receipts/queries.ts';
import type { RecordedEvent } from '../../schemas/index.ts';
import type { ConnectorType, DispatchRecord } from '../commands/index.ts';
import { readCheckpoint, withCheckpoint } from '../feed/checkpoint.ts';
import type { Feed, FeedBatch } from '../feed/feed.ts';
import { type Clock, sleep } from '../platform/clock.ts';
import { type Projected, Reached } from './reached.ts';
import { type MatcherOptions, type OnReceipt, ReceiptMatcher, receiptRecord } from './receipts.ts';

/** What applying held receipts needs. */
export interface HeldReceiptsOptions extends MatcherOptions {
  readonly feed: Feed;
  /** Consumers' connections: under a transaction time-out. */
  readonly pool: pg.Pool;
  readonly projected: Projected;
  readonly clock: Clock;
  readonly onReceipt?: OnReceipt;
}

/** The connector types whose providers send receipts. */
const receiptTypes: readonly ConnectorType[] = ['whatsapp', 'twilio'];

/** Wait of a batch that is not full: nobody waits for it, and a larger one costs less. */
const gatherMs = 200;

type SentEvent = RecordedEvent & { readonly type: 'DispatchSent' };

function isSent(event: RecordedEvent): event is SentEvent {
  return event.type === 'DispatchSent';
}

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
      handle: async (batch) => {
        await worker.rowsReach(batch);
        return withCheckpoint(pool, group, batch, (_, events) => worker.handle(events), { durable: false });
      },
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

  /**
   * Whatever was held before one of a batch's events, in whatever partition, is in the rows then; what is held later looks
   * for itself. Waited for before the batch's transaction, which has no time for that.
   */
  async rowsReach({ events, to }: FeedBatch): Promise<void> {
    if (events.some(isSent)) await this.#reached.until(to);
  }

  async handle(events: readonly RecordedEvent[]): Promise<void> {
    const sent = events.filter(isSent);
    if (sent.length === 0) return;
    const { read, commands, onReceipt } = this.#options;
    const byHash = new Map<string, { connectorType: ConnectorType; externalId: string }>();
    const hashes = await hashesWithReceipts(read, () => {
      for (const { externalId } of sent.map(({ data }) => data)) {
        for (const connectorType of receiptTypes)
          byHash.set(commands.externalHash(connectorType, externalId), { connectorType, externalId });
      }
      return [...byHash.keys()];
    });
    for (const externalHash of hashes) {
      const known = byHash.get(externalHash);
      if (!known) continue;
      const records = await this.#records(known.connectorType, known.externalId, externalHash);
      if (records.length === 0) continue;
      await commands.record(records);
      onReceipt?.(known.connectorType, 'applied', records.length);
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
