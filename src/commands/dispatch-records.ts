import { randomUUID } from 'node:crypto';
import { event } from '../../schemas/index.ts';
import { type DispatchCommand, type DispatchState, dispatch, stateOnceSent } from '../domain/dispatch.ts';
import { DomainError } from '../domain/errors.ts';
import { type Commit, NO_STREAM, type Outcome } from '../log/log.ts';
import { hmac } from '../platform/crypto.ts';
import { base36Of } from '../platform/ids.ts';
import { type CommandDoor, metaOf } from './door.ts';
import type { ConnectorType } from './providers.ts';
import { SERVICE_ACCOUNT, streams } from './streams.ts';

/** What the records of dispatches need. */
export interface DispatchRecordsOptions {
  readonly door: CommandDoor;
  /** Key of the names of held receipts. */
  readonly idKey: Buffer;
}

/** What of a dispatch is known without reading its stream. */
export interface KnownDispatch {
  readonly state: DispatchState;
  readonly revision: number;
}

/** A command on one dispatch, with what is known of it; `known` spares the read, a conflict tells when it was wrong. */
export interface DispatchRecord {
  readonly dispatch: string;
  readonly command: Exclude<DispatchCommand, { command: 'AcceptDispatch' }>;
  readonly known?: KnownDispatch;
}

/** Executions of one record at most when receipts and results race for one dispatch. */
const maxConflicts = 10;

/** Revision of the first event after the acceptance of a dispatch. */
const afterAcceptance = 1;

/** What became of dispatches: commands of those who deliver, and of providers' receipts. */
export class DispatchRecords {
  readonly #options: DispatchRecordsOptions;
  #receiptsFollow = false;

  constructor(options: DispatchRecordsOptions) {
    this.#options = options;
  }

  /**
   * Receipts are taken here: dispatches are kept in memory from the moment that the log tells that they were sent, as their
   * providers tell of them soon after.
   */
  expectReceipts(): void {
    this.#receiptsFollow = true;
    this.#options.door.states.openAt(dispatch, 'DispatchSent', afterAcceptance, stateOnceSent);
  }

  /** State of a dispatch; throws `not-found`. */
  async dispatch(id: string): Promise<KnownDispatch> {
    const loaded = await this.#options.door.states.load(dispatch, streams.dispatch(id));
    if (loaded.state.status === 'none') throw new DomainError('not-found');
    return loaded;
  }

  /** The same from the log itself: what is in memory may lack what another process recorded a moment ago. */
  async storedDispatch(id: string): Promise<KnownDispatch> {
    this.#options.door.states.forget(streams.dispatch(id));
    return this.dispatch(id);
  }

  /**
   * Records what became of dispatches, many in one append; answers the position of each, null where there was nothing to
   * record any more. Those that are unknown, or erased, are passed over. Throws `unavailable` when not all of it is known to
   * be stored: record again, nothing is recorded twice.
   */
  async record(records: readonly DispatchRecord[]): Promise<(bigint | null)[]> {
    const positions = new Array<bigint | null>(records.length).fill(null);
    let open = records.map((record, at): OpenRecord => ({ ...record, at }));
    let conflicts = 0;
    while (open.length > 0) {
      if (conflicts >= maxConflicts) throw new DomainError('unavailable');
      const { door } = this.#options;
      const now = door.clock.now();
      const attempts: { entry: OpenRecord; commit: Commit; next: DispatchState }[] = [];
      const later: OpenRecord[] = [];
      const inRound = new Set<string>();
      const loaded = await Promise.all(
        open.map(({ dispatch: id, known }) => known ?? door.states.load(dispatch, streams.dispatch(id))),
      );
      for (const [i, entry] of open.entries()) {
        if (inRound.has(entry.dispatch)) {
          later.push(withoutKnown(entry));
          continue;
        }
        inRound.add(entry.dispatch);
        const { state, revision } = loaded[i] as KnownDispatch;
        if (state.status === 'none') continue;
        const events = dispatch.decide(state, entry.command);
        if (events.length === 0) continue;
        const next = events.reduce((current, e) => dispatch.evolve(current, { ...e, at: now }), state);
        const commit = {
          commitId: randomUUID(),
          stream: streams.dispatch(entry.dispatch),
          expected: revision,
          events,
          at: now,
          meta: metaOf({ workspace: state.workspace, account: SERVICE_ACCOUNT }),
        };
        attempts.push({ entry, commit, next });
      }
      const outcomes = attempts.length > 0 ? await door.appendAll(attempts.map(({ commit }) => commit)) : [];
      if (outcomes.some(({ outcome }) => outcome === 'conflict')) conflicts++;
      attempts.forEach(({ entry, next }, i) => {
        const outcome = outcomes[i] as Outcome;
        if (outcome.outcome === 'unknown') throw new DomainError('unavailable');
        const stream = streams.dispatch(entry.dispatch);
        if (outcome.outcome === 'conflict') {
          door.states.forget(stream);
          later.push(withoutKnown(entry));
        } else if ('position' in outcome) {
          positions[entry.at] = outcome.position;
          // Where no receipts are taken nobody asks for it again.
          if (this.#receiptsFollow) door.states.put(dispatch, stream, next, outcome.revision);
          else door.states.forget(stream);
          // A provider is answered for its receipt: reads from here on show it. What delivery found out itself nobody was told.
          if (entry.command.command === 'RecordReceipt')
            door.acknowledged({ workspace: next.workspace, account: SERVICE_ACCOUNT }, outcome.position);
        }
      });
      open = later;
    }
    return positions;
  }

  /** Keeps a receipt that matches no dispatch yet; the same one again changes nothing. */
  async holdReceipt(receipt: {
    connectorType: ConnectorType;
    externalId: string;
    senderHash: string | null;
    status: 'sent' | 'delivered' | 'failed';
    error: string | null;
  }): Promise<void> {
    const { door } = this.#options;
    const { externalId, ...rest } = receipt;
    const externalHash = this.externalHash(receipt.connectorType, externalId);
    const name = base36Of(hmac(this.#options.idKey, 'receipt', externalHash, receipt.status, receipt.senderHash ?? ''));
    const at = door.clock.now();
    const outcome = await door.append({
      commitId: randomUUID(),
      stream: streams.heldReceipt(name),
      expected: NO_STREAM,
      events: [event('ReceiptHeld', { ...rest, externalHash, receivedAt: at })],
      at,
    });
    if (outcome.outcome === 'unknown') throw new DomainError('unavailable');
  }

  /** A provider's id as it stands in held receipts. */
  externalHash(connectorType: ConnectorType, externalId: string): string {
    return hmac(this.#options.idKey, 'external', connectorType, externalId).toString('base64url');
  }
}

/** A record, and which of those that were asked for together it is. */
interface OpenRecord extends DispatchRecord {
  readonly at: number;
}

function withoutKnown({ dispatch, command, at }: OpenRecord): OpenRecord {
  return { dispatch, command, at };
}
