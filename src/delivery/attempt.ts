import type { PendingDispatch } from '../../projections/dispatches/queries.ts';
import {
  type ConnectorState,
  type ConnectorType,
  type Credentials,
  type DispatchRecord,
  type DispatchRecords,
  DomainError,
  type KnownDispatch,
  type WorkspaceCommands,
} from '../commands/index.ts';
import { BoundedMap } from '../platform/bounded-map.ts';
import type { Clock } from '../platform/clock.ts';
import type { OutgoingDispatch, Provider, SendResult, Withdrawn } from './connectors/provider.ts';
import { afterAttempt, failureByAge, type RecordCommand, type Schedule } from './schedule.ts';

/** Puts a span around an attempt; the default runs it and no more. */
export type TraceAttempt = <T>(dispatch: PendingDispatch, attempt: () => Promise<T>) => Promise<T>;

/** What attempts need. */
export interface AttemptsOptions {
  readonly commands: Pick<DispatchRecords, 'storedDispatch'>;
  readonly workspaces: Pick<WorkspaceCommands, 'connector' | 'workspace' | 'openCredentials'>;
  readonly providers: Readonly<Record<ConnectorType, Pick<Provider, 'send'>>>;
  /** Address for the provider's status callbacks, where the provider takes one per message (Twilio). */
  readonly statusCallback?: ((dispatch: string, workspace: number, connector: number) => string) | undefined;
  readonly schedule: Schedule;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly trace?: TraceAttempt | undefined;
}

/** How one attempt ended. */
export type AttemptEnd =
  | {
      readonly end: 'record';
      readonly record: DispatchRecord & { readonly command: RecordCommand };
      /** What the provider said; null when it was not asked. */
      readonly result: SendResult | null;
    }
  /**
   * There is nothing to send: the log has it further than its row, its workspace was deleted, or it is not ours to send any
   * more.
   */
  | { readonly end: 'nothing' }
  /** It cannot be told now whether to send it. Nothing was sent. */
  | { readonly end: 'unavailable'; readonly error: unknown };

/** Connectors whose opened credentials are kept. */
const maxCredentials = 1_000;

/** One attempt at one dispatch: the checks right before it, the provider's call, and what follows. Never throws. */
export class Attempts {
  readonly #options: AttemptsOptions;
  /** Credentials by the text that sealed them, of the connectors used last. */
  readonly #credentials = new BoundedMap<string, Credentials>(maxCredentials);

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /**
   * `verify` reads the dispatch's stream first: for one that another attempt may have been made at. `isOurs` is asked after that,
   * and once more right before it leaves: a process that was frozen, or waited, on the way there may have lost it to another.
   */
  async run(row: PendingDispatch, verify: boolean, isOurs: () => boolean): Promise<AttemptEnd> {
    const { trace } = this.#options;
    const run = () => this.#run(row, verify, isOurs);
    try {
      return await (trace ? trace(row, run) : run());
    } catch (error) {
      return { end: 'unavailable', error };
    }
  }

  async #run(row: PendingDispatch, verify: boolean, isOurs: () => boolean): Promise<AttemptEnd> {
    const { clock, schedule, random } = this.#options;
    const connector = await this.#connector(row);
    if (connector === 'workspace-gone') return { end: 'nothing' };
    // Last, so that as little as can be happens between this and the send.
    const known = verify ? await this.#verified(row) : fromRow(row);
    if (!known || !isOurs()) return { end: 'nothing' };
    const record = (command: RecordCommand, result: SendResult | null): AttemptEnd => ({
      end: 'record',
      record: { dispatch: row.dispatch, command, known },
      result,
    });
    const tooOld = failureByAge(row, schedule, clock.now());
    if (tooOld) return record(tooOld, null);
    if (typeof connector === 'string') return record({ command: 'RecordFailed', error: connector }, null);
    const credentials = this.#open(connector);
    const result = await this.#send(row, connector, credentials, isOurs);
    if (result.outcome === 'withdrawn') return { end: 'nothing' };
    return record(afterAttempt(row, result, schedule, clock.now(), random), result);
  }

  /** What the log says of the dispatch, null when that is not what the row says: the rows are behind. */
  async #verified(row: PendingDispatch): Promise<KnownDispatch | null> {
    try {
      const known = await this.#options.commands.storedDispatch(row.dispatch);
      return known.revision === row.revision && known.state.status === 'pending' ? known : null;
    } catch (error) {
      if (error instanceof DomainError && error.code === 'not-found') return null;
      throw error;
    }
  }

  /** The connector, or why there is none to send through. */
  async #connector(row: PendingDispatch): Promise<ConnectorState | string> {
    const { workspaces } = this.#options;
    try {
      await workspaces.workspace(row.workspace);
    } catch (error) {
      if (error instanceof DomainError && error.code === 'not-found') return 'workspace-gone';
      throw error;
    }
    try {
      const connector = await workspaces.connector(row.workspace, row.connector);
      return connector.isActive ? connector : 'The connector was deactivated before the message could be sent';
    } catch (error) {
      if (error instanceof DomainError && error.code === 'connector-not-found')
        return 'The connector was deleted before the message could be sent';
      throw error;
    }
  }

  #open(connector: ConnectorState): Credentials {
    const known = this.#credentials.get(connector.sealed);
    if (known) return known;
    const credentials = this.#options.workspaces.openCredentials(connector);
    this.#credentials.set(connector.sealed, credentials);
    return credentials;
  }

  async #send(
    row: PendingDispatch,
    connector: ConnectorState,
    credentials: Credentials,
    mayLeave: () => boolean,
  ): Promise<SendResult | Withdrawn> {
    const { providers, schedule, statusCallback } = this.#options;
    const callback = statusCallback?.(row.dispatch, row.workspace, row.connector);
    const outgoing: OutgoingDispatch = {
      dispatchId: row.dispatch,
      to: row.to,
      text: row.text,
      mayLeave,
      ...(callback !== undefined && { statusCallback: callback }),
    };
    try {
      return await providers[connector.connectorType].send(credentials, outgoing, schedule.attemptTimeoutMs);
    } catch {
      // A provider promises not to throw. Whether it sent is not known, so that this is what an unreachable one is.
      return { outcome: 'unreachable', error: 'The provider could not be called' };
    }
  }
}

function fromRow(row: PendingDispatch): KnownDispatch {
  const { workspace, dispatch, connector, attempts, due, revision } = row;
  return {
    state: { status: 'pending', workspace, dispatch, connector, attempt: attempts, externalId: null, retryAt: due },
    revision,
  };
}
