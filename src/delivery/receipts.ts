import { dispatchesByExternalId } from '../../projections/dispatches/queries.ts';
import type { Queryable } from '../../projections/projection.ts';
import {
  type ConnectorState,
  type ConnectorType,
  type DispatchRecord,
  type DispatchRecords,
  DomainError,
  type Receipt,
  type ReceiptDoor,
  type WorkspaceCommands,
} from '../commands/index.ts';
import { type Clock, sleep } from '../platform/clock.ts';
import { isBase36Id } from '../platform/ids.ts';
import { type Projected, Reached } from './reached.ts';

/** What became of one receipt, for metrics. */
export type ReceiptOutcome = 'applied' | 'held' | 'ambiguous';

/** Told how many receipts of a connector type ended in a way, when that is stored. */
export type OnReceipt = (connectorType: ConnectorType, outcome: ReceiptOutcome, count: number) => void;

/** A connector, by workspace and number. */
export interface ConnectorRef {
  readonly workspace: number;
  readonly connector: number;
}

/** What matching receipts needs. */
export interface MatcherOptions {
  readonly read: Queryable;
  readonly commands: Pick<DispatchRecords, 'dispatch' | 'record' | 'holdReceipt' | 'externalHash'>;
  readonly workspaces: Pick<WorkspaceCommands, 'connector' | 'senderHash'>;
}

/** What taking receipts needs. */
export interface ReceiptsOptions extends MatcherOptions {
  readonly commands: MatcherOptions['commands'] & Pick<DispatchRecords, 'expectReceipts'>;
  readonly projected: Projected;
  /** The last position of the log. */
  readonly head: () => Promise<bigint>;
  readonly clock: Clock;
  /** How long a callback may wait for the rows before the provider is asked to send again; 5,000 ms unless told. */
  readonly maxWaitMs?: number;
  readonly onReceipt?: OnReceipt;
}

/** A receipt with the sender it names, hashed as connectors have it. */
interface Named {
  readonly receipt: Receipt;
  readonly senderHash: string | null;
}

/** The dispatch that a receipt belongs to; `ambiguous` when it may be several; null for none that is known. */
export type Match = { readonly dispatch: string } | 'ambiguous' | null;

/** Finds the dispatches that receipts belong to. */
export class ReceiptMatcher {
  readonly #options: MatcherOptions;

  constructor(options: MatcherOptions) {
    this.#options = options;
  }

  /** By our own id where it came back, else by the provider's. */
  async match(connectorType: ConnectorType, { receipt, senderHash }: Named, connector?: ConnectorRef): Promise<Match> {
    const { dispatchId } = receipt;
    if (dispatchId !== undefined && isBase36Id(dispatchId)) {
      if (await this.#isOf(connectorType, dispatchId, receipt.externalId, senderHash, connector))
        return { dispatch: dispatchId };
    }
    return this.byExternalId(connectorType, receipt.externalId, senderHash, connector);
  }

  /**
   * External ids are unique within one connector at most. So several matches are narrowed by the sender or the connector that
   * the receipt names; what is ambiguous even then is applied to none, and is not held either: nothing will decide it.
   */
  async byExternalId(
    connectorType: ConnectorType,
    externalId: string,
    senderHash: string | null,
    connector?: ConnectorRef,
  ): Promise<Match> {
    // No row holds a NUL, and asking for one is an error.
    if (externalId.includes('\0')) return null;
    const found = await this.#found({ connectorType, externalId, senderHash });
    const matches = connector
      ? found.filter((row) => row.workspace === connector.workspace && row.connector === connector.connector)
      : found;
    if (matches.length > 1) return 'ambiguous';
    return matches[0] ? { dispatch: matches[0].dispatch } : null;
  }

  async #found(wanted: { connectorType: ConnectorType; externalId: string; senderHash: string | null }) {
    try {
      return await dispatchesByExternalId(this.#options.read, wanted);
    } catch (error) {
      throw new DomainError('unavailable', `rows cannot be read: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Whether the dispatch went out through what the receipt names: nobody speaks for another's sender. */
  async #isOf(
    connectorType: ConnectorType,
    dispatchId: string,
    externalId: string,
    senderHash: string | null,
    named: ConnectorRef | undefined,
  ): Promise<boolean> {
    const state = await orNull('not-found', async () => (await this.#options.commands.dispatch(dispatchId)).state);
    if (!state) return false;
    if (named && (state.workspace !== named.workspace || state.connector !== named.connector)) return false;
    const connector: ConnectorState | null = await orNull('connector-not-found', () =>
      this.#options.workspaces.connector(state.workspace, state.connector),
    );
    // Of a deleted connector no sender is known any more: then the provider's own id has to agree.
    if (!connector) return state.externalId === externalId;
    if (connector.connectorType !== connectorType) return false;
    return senderHash === null || connector.senderHash === senderHash;
  }
}

/** Statuses of one callback that are looked at: Meta sends up to 1,000 at once, and more would be nobody's. */
const maxReceipts = 1_000;

/**
 * Takes providers' receipts (MessageJS sheet, sections 12 and 14): each is applied to the dispatch it belongs to, or held
 * until that is known, and durable on return. Statuses never go backwards: that is the domain's rule, so receipts may come
 * in any order and any number of times.
 */
export class Receipts implements ReceiptDoor {
  readonly #options: ReceiptsOptions;
  readonly #matcher: ReceiptMatcher;
  readonly #reached: Reached;

  constructor(options: ReceiptsOptions) {
    this.#options = options;
    this.#matcher = new ReceiptMatcher(options);
    this.#reached = new Reached(options.projected);
    options.commands.expectReceipts();
  }

  async receive(connectorType: ConnectorType, receipts: readonly Receipt[], connector?: ConnectorRef): Promise<void> {
    const named = receipts
      .slice(0, maxReceipts)
      .map((receipt): Named => ({ receipt, senderHash: this.#senderHash(connectorType, receipt) }));
    const unmatched = await this.#apply(connectorType, named, connector);
    if (unmatched.length === 0) return;
    // Together: the log writes them in a few flushes.
    await Promise.all(
      unmatched.map(({ receipt: { externalId, status, error = null }, senderHash }) =>
        this.#options.commands.holdReceipt({ connectorType, externalId, senderHash, status, error }),
      ),
    );
    // A dispatch whose external id became known before the receipt was held is found now that the rows have got so far;
    // one whose id becomes known later finds the receipt (`held-receipts.ts`). Between them none is lost.
    await this.#rowsCatchUp();
    const left = await this.#apply(connectorType, unmatched, connector);
    this.#tell(connectorType, 'held', left.length);
  }

  /** Ends what waits; for a stop. */
  stop(): void {
    this.#reached.stop();
  }

  /** Applies what matches, in order; answers what does not. */
  async #apply(connectorType: ConnectorType, receipts: readonly Named[], connector?: ConnectorRef): Promise<Named[]> {
    const { clock, commands } = this.#options;
    const records: DispatchRecord[] = [];
    const unmatched: Named[] = [];
    let ambiguous = 0;
    for (const named of receipts) {
      const match = await this.#matcher.match(connectorType, named, connector);
      if (match === null) unmatched.push(named);
      else if (match === 'ambiguous') ambiguous++;
      else records.push(receiptRecord(match.dispatch, named.receipt, clock.now()));
    }
    if (records.length > 0) await commands.record(records);
    this.#tell(connectorType, 'applied', records.length);
    this.#tell(connectorType, 'ambiguous', ambiguous);
    return unmatched;
  }

  #tell(connectorType: ConnectorType, outcome: ReceiptOutcome, count: number): void {
    if (count > 0) this.#options.onReceipt?.(connectorType, outcome, count);
  }

  #senderHash(connectorType: ConnectorType, { senderId }: Receipt): string | null {
    return senderId === undefined ? null : this.#options.workspaces.senderHash(connectorType, senderId);
  }

  async #rowsCatchUp(): Promise<void> {
    const over = new AbortController();
    const tooLong = sleep(this.#options.maxWaitMs ?? 5_000, over.signal).then(() => {
      throw new DomainError('unavailable', 'the rows are behind');
    });
    try {
      await Promise.race([this.#options.head().then((head) => this.#reached.until(head)), tooLong]);
    } catch (error) {
      throw error instanceof DomainError ? error : new DomainError('unavailable');
    } finally {
      over.abort();
      tooLong.catch(() => {});
    }
  }
}

/** The record of a receipt; `now` is when it came in, milliseconds since the epoch. */
export function receiptRecord(
  dispatch: string,
  { status, externalId, error }: Pick<Receipt, 'status' | 'externalId'> & { readonly error?: string | null },
  now: number,
): DispatchRecord {
  return { dispatch, command: { command: 'RecordReceipt', status, externalId, error: error ?? null, now } };
}

/** What `read` answers, null when it throws this code. */
async function orNull<T>(code: DomainError['code'], read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DomainError && error.code === code) return null;
    throw error;
  }
}
