import { randomUUID } from 'node:crypto';
import { type AccountState, account, type Tier } from '../domain/account.ts';
import { type ConnectorState, connector } from '../domain/connector.ts';
import { type DispatchCommand, dispatch } from '../domain/dispatch.ts';
import { DomainError } from '../domain/errors.ts';
import { renderTemplate, type TemplateState, template } from '../domain/template.ts';
import { type Commit, maxEventBytes, NO_STREAM, type Outcome } from '../log/log.ts';
import { hmac } from '../platform/crypto.ts';
import { base36Of, randomId } from '../platform/ids.ts';
import { type Actor, type CommandDoor, metaOf } from './door.ts';
import type { ConnectorType } from './providers.ts';
import type { Quota } from './quota.ts';
import { SERVICE_ACCOUNT, streams } from './streams.ts';
import type { AuthenticatedKey } from './workspaces.ts';

/** What the commands on dispatches need. */
export interface DispatchCommandsOptions {
  readonly door: CommandDoor;
  readonly quota: Quota;
  /** Key of the ids of keyed sends. */
  readonly idKey: Buffer;
  /** Messages a calendar month, per tier; 0 is no limit. */
  readonly monthlyQuota: Readonly<Record<Tier, number>>;
  readonly defaultTier: Tier;
}

/** One message to send. Ids of another workspace are simply not found. */
export interface SendRequest {
  readonly to: string;
  /** Null for an id that is none. */
  readonly connector: number | null;
  readonly template: number | null;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly idempotencyKey?: string;
}

/** An accepted message, and where it stands in the log: null for a replay, which wrote nothing. */
export interface AcceptedSend {
  readonly dispatch: string;
  readonly position: bigint | null;
}

/** How one message of a batch was answered. */
export type SendResult = AcceptedSend | { readonly refused: DomainError };

/** A rendered text leaves room for the rest of its event. */
const maxTextBytes = maxEventBytes - 4_096;
/** Below this no text can be too large: JSON spells a UTF-16 unit in six bytes at most. */
const maxTextUnits = Math.floor(maxTextBytes / 6);

/** Recipients by connector type (MessageJS sheet, section 9). */
const recipientForms: Readonly<Record<ConnectorType, RegExp>> = {
  whatsapp: /^\+?[1-9]\d{1,14}$/,
  twilio: /^\+?[1-9]\d{1,14}$/,
  telegram: /^(?:-?\d{1,32}|@[A-Za-z0-9_]{1,64})$/,
};

/** Commands that accept dispatches. */
export class DispatchCommands {
  readonly #options: DispatchCommandsOptions;

  constructor(options: DispatchCommandsOptions) {
    this.#options = options;
  }

  /** The tier of the account that owns a key's workspace; at once when it is in memory. */
  tierOf(owner: AuthenticatedKey['owner']): Tier | Promise<Tier> {
    const { door, defaultTier } = this.#options;
    const stream = streams.account(owner.workspace, owner.account);
    const known = door.states.peek<AccountState>(stream);
    if (known) return known.state.tier ?? defaultTier;
    return door.load(account, stream).then((state) => state.tier ?? defaultTier);
  }

  /**
   * Accepts one message: checks quota, connector, template and recipient in this order, renders, appends.
   * The same idempotency key again answers the first dispatch. Throws DomainError.
   */
  send(key: AuthenticatedKey, request: SendRequest, trace?: string): Promise<AcceptedSend> {
    return this.#sendAtOnce(key, request, trace) ?? this.#sendAlone(key, request, trace);
  }

  async #sendAlone(key: AuthenticatedKey, request: SendRequest, trace: string | undefined): Promise<AcceptedSend> {
    const [result] = await this.sendAll(key, [request], trace);
    if (result && 'dispatch' in result) return result;
    throw result?.refused ?? new Error('a send without a result');
  }

  /**
   * The usual case of `sendAll`: all that one accepted message needs is in memory, and the append is its only promise.
   * Null, and nothing taken, when it is not the usual case.
   */
  #sendAtOnce(key: AuthenticatedKey, request: SendRequest, trace: string | undefined): Promise<AcceptedSend> | null {
    const { quota, monthlyQuota, door } = this.#options;
    const { workspace, account } = key.owner;
    const tier = this.tierOf(key.owner);
    if (tier instanceof Promise) return null;
    const id = this.#dispatchId(key.workspace, request.idempotencyKey);
    const accept = this.#acceptFromMemory(id, key, request);
    const limit = monthlyQuota[tier];
    const month = quota.month();
    if (accept === null || !quota.takeOne(workspace, account, limit)) return null;
    const actor = actorOf(key, trace);
    const commit = this.#commitOf(accept, actor);
    const through = () => quota.through(workspace, account, limit, month);
    const sent = door.append(commit).then(
      (outcome) => {
        if (outcome.outcome === 'unknown') throw new DomainError('unavailable');
        if ('position' in outcome) {
          door.acknowledged(actor, outcome.position);
          door.accepted('AcceptDispatch', 1, actor.dialect);
          return { dispatch: id, position: outcome.position };
        }
        // A conflict is the replay: the stream stands already. It uses no quota.
        quota.giveBack(workspace, account, limit, 1, month);
        return { dispatch: id, position: null };
      },
      (error) => {
        if (error instanceof DomainError && error.code === 'too-large')
          quota.giveBack(workspace, account, limit, 1, month);
        throw error;
      },
    );
    sent.then(through, through);
    return sent;
  }

  /** The command of a send that nothing speaks against, when that can be told from memory; null otherwise. */
  #acceptFromMemory(id: string, key: AuthenticatedKey, request: SendRequest): AcceptDispatch | null {
    try {
      const accept = this.#accept(id, key, request);
      if (!(accept instanceof Promise)) return accept;
      accept.catch(() => {});
      return null;
    } catch (error) {
      if (error instanceof DomainError) return null;
      throw error;
    }
  }

  /** Accepts many messages, each for itself; answers when all accepted ones are durable, in the order of the requests. */
  async sendAll(key: AuthenticatedKey, requests: readonly SendRequest[], trace?: string): Promise<SendResult[]> {
    const { quota, monthlyQuota } = this.#options;
    const actor = actorOf(key, trace);
    const tier = this.tierOf(key.owner);
    const limit = monthlyQuota[typeof tier === 'string' ? tier : await tier];
    const month = quota.month();
    const { workspace, account } = key.owner;
    const taking = quota.take(workspace, account, limit, requests.length, { tentative: true });
    let left = typeof taking === 'number' ? taking : await taking;
    let unused = 0;

    const results: (SendResult | undefined)[] = new Array(requests.length);
    const pending = new Map<string, { commit: Commit; items: number[] }>();
    try {
      for (let at = 0; at < requests.length; at++) {
        const request = requests[at] as SendRequest;
        const id = this.#dispatchId(key.workspace, request.idempotencyKey);
        const twin = pending.get(id);
        if (twin) {
          twin.items.push(at);
          continue;
        }
        try {
          if (left <= 0)
            throw new DomainError('quota-exceeded', undefined, { retryAt: quota.monthEndsAt(), details: { limit } });
          const accept = this.#accept(id, key, request);
          const commit = this.#commitOf(accept instanceof Promise ? await accept : accept, actor);
          left--;
          pending.set(id, { commit, items: [at] });
        } catch (error) {
          if (!(error instanceof DomainError)) throw error;
          const replayed = request.idempotencyKey !== undefined && (await this.#exists(id));
          results[at] = replayed ? { dispatch: id, position: null } : { refused: error };
        }
      }
      if (pending.size > 0) unused = await this.#appendSends(pending, results, actor);
      left += unused;
    } finally {
      quota.giveBack(workspace, account, limit, left, month);
      quota.through(workspace, account, limit, month);
    }
    const sent = results as SendResult[];
    return unused > 0 ? this.#sendStarved(key, requests, sent, trace) : sent;
  }

  /** Sends what found no quota left beside replays, which turned out to use none. */
  async #sendStarved(
    key: AuthenticatedKey,
    requests: readonly SendRequest[],
    results: readonly SendResult[],
    trace?: string,
  ): Promise<SendResult[]> {
    const starved = results.flatMap((result, at) =>
      'refused' in result && result.refused.code === 'quota-exceeded' ? [at] : [],
    );
    if (starved.length === 0) return [...results];
    const again = starved.map((at) => requests[at] as SendRequest);
    const sent = await this.sendAll(key, again, trace);
    const all = [...results];
    for (const [i, at] of starved.entries()) all[at] = sent[i] as SendResult;
    return all;
  }

  /** Appends what was prepared; answers the points of quota that were not used. */
  async #appendSends(
    pending: ReadonlyMap<string, { commit: Commit; items: number[] }>,
    results: (SendResult | undefined)[],
    actor: Actor,
  ): Promise<number> {
    const { door } = this.#options;
    const entries = [...pending];
    let outcomes: Outcome[];
    try {
      outcomes = await door.appendAll(entries.map(([, { commit }]) => commit));
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      for (const [, { items }] of entries) for (const at of items) results[at] = { refused: error };
      return error.code === 'too-large' ? entries.length : 0;
    }
    let unused = 0;
    let accepted = 0;
    let position = 0n;
    for (let i = 0; i < entries.length; i++) {
      const [dispatch, { items }] = entries[i] as (typeof entries)[number];
      const outcome = outcomes[i] as Outcome;
      // A conflict is the replay: the stream stands already. It uses no quota.
      if (outcome.outcome === 'conflict') unused++;
      const at = 'position' in outcome ? outcome.position : null;
      if (at !== null) accepted++;
      if (at !== null && at > position) position = at;
      const result =
        outcome.outcome === 'unknown' ? { refused: new DomainError('unavailable') } : { dispatch, position: at };
      for (const item of items) results[item] = result;
    }
    if (position > 0n) door.acknowledged(actor, position);
    if (accepted > 0) door.accepted('AcceptDispatch', accepted, actor.dialect);
    return unused;
  }

  #commitOf(accept: AcceptDispatch, actor: Actor): Commit {
    const { door } = this.#options;
    return {
      commitId: randomUUID(),
      stream: streams.dispatch(accept.dispatch),
      expected: NO_STREAM,
      events: dispatch.decide(dispatch.initial, accept),
      at: door.clock.now(),
      meta: metaOf(actor),
    };
  }

  /** Everything after quota; at once when connector and template are in memory. */
  #accept(id: string, key: AuthenticatedKey, request: SendRequest): AcceptDispatch | Promise<AcceptDispatch> {
    const { states } = this.#options.door;
    if (request.connector === null) throw new DomainError('connector-not-found');
    const found = states.peek<ConnectorState>(streams.connector(key.workspace, request.connector));
    if (!found) return this.#acceptLoading(id, key, request, request.connector);
    checkConnector(found.state);
    if (request.template === null) throw new DomainError('template-not-found');
    const content = states.peek<TemplateState>(streams.template(key.workspace, request.template));
    if (!content) return this.#acceptLoading(id, key, request, request.connector);
    return acceptCommand(id, key, request, found.state, content.state);
  }

  async #acceptLoading(
    id: string,
    key: AuthenticatedKey,
    request: SendRequest,
    connectorId: number,
  ): Promise<AcceptDispatch> {
    const { door } = this.#options;
    const found = await door.load(connector, streams.connector(key.workspace, connectorId));
    checkConnector(found);
    if (request.template === null) throw new DomainError('template-not-found');
    const content = await door.load(template, streams.template(key.workspace, request.template));
    return acceptCommand(id, key, request, found, content);
  }

  /**
   * The id of a dispatch names its stream: of a keyed send it follows from the key and its scope (workspace, acting
   * account, the send routes), so that a keyed send is one append that must find no stream (design section 4).
   */
  #dispatchId(workspaceId: number, idempotencyKey: string | undefined): string {
    if (idempotencyKey === undefined) return randomId();
    return base36Of(
      hmac(this.#options.idKey, 'dispatch', String(workspaceId), String(SERVICE_ACCOUNT), 'send', idempotencyKey),
    );
  }

  async #exists(id: string): Promise<boolean> {
    const { revision } = await this.#options.door.states.load(dispatch, streams.dispatch(id));
    return revision !== NO_STREAM;
  }
}

type AcceptDispatch = Extract<DispatchCommand, { command: 'AcceptDispatch' }>;

/** A key acts as its workspace's service account. */
function actorOf(key: AuthenticatedKey, trace: string | undefined): Actor {
  const actor: Actor = { workspace: key.workspace, account: SERVICE_ACCOUNT, dialect: 'messagejs' };
  return trace === undefined ? actor : { ...actor, trace };
}

function checkConnector(state: ConnectorState): void {
  if (!state.exists) throw new DomainError('connector-not-found');
  if (!state.isActive) throw new DomainError('connector-inactive');
}

function acceptCommand(
  id: string,
  key: AuthenticatedKey,
  request: SendRequest,
  found: ConnectorState,
  content: TemplateState,
): AcceptDispatch {
  if (!content.exists || !content.isActive) throw new DomainError('template-not-found');
  const { connectorType } = found;
  if (!recipientForms[connectorType].test(request.to))
    throw new DomainError('recipient-malformed', recipientText[connectorType]);
  const text = renderTemplate(content.content, request.variables);
  // In a batch such a message is refused alone; the log would refuse all that are appended with it.
  if (text.length > maxTextUnits && Buffer.byteLength(JSON.stringify(text)) > maxTextBytes)
    throw new DomainError('too-large');
  return {
    command: 'AcceptDispatch',
    workspace: key.workspace,
    dispatch: id,
    owner: key.owner,
    key: key.key,
    connector: found.connector,
    connectorType,
    template: content.template,
    to: request.to,
    text,
  };
}

const recipientText: Readonly<Record<ConnectorType, string>> = {
  whatsapp: 'Invalid phone number',
  twilio: 'Invalid phone number',
  telegram: 'Invalid chat id',
};
