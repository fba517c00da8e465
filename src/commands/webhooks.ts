import { randomBytes, randomUUID } from 'node:crypto';
import { type EventData, event } from '../../schemas/index.ts';
import { checkAll, type Problem, problemsOf } from '../domain/checks.ts';
import { DomainError } from '../domain/errors.ts';
import {
  checkEvents,
  checkHeaders,
  checkSecret,
  checkUrl,
  type WebhookCommand,
  type WebhookState,
  webhook,
} from '../domain/webhook.ts';
import { type Claim, NO_STREAM } from '../log/log.ts';
import type { Sealer } from '../platform/crypto.ts';
import type { OutboundGuard } from '../platform/outbound-guard.ts';
import type { IdAllocator } from './allocator.ts';
import { type Actor, type CommandDoor, metaOf, type Written } from './door.ts';
import type { Idempotency, Keyed } from './idempotency.ts';
import { SERVICE_ACCOUNT, streams } from './streams.ts';
import type { Changed } from './workspaces.ts';

/** What the commands on webhooks need. */
export interface WebhookCommandsOptions {
  readonly door: CommandDoor;
  readonly ids: IdAllocator;
  readonly idempotency: Idempotency;
  readonly sealer: Sealer;
  readonly guard: Pick<OutboundGuard, 'forbids'>;
  /** Names of events that a webhook may ask for, in the words of the dialects that fire them. */
  readonly eventNames: ReadonlySet<string>;
}

/** What a webhook is made of. */
export interface WebhookInput {
  readonly url: string;
  readonly events: readonly string[];
  /** Null: one is generated. */
  readonly secret: string | null;
  readonly customHeaders: Readonly<Record<string, string>>;
  /** Rooms, by number. */
  readonly roomFilters: readonly number[];
  readonly meta: Readonly<Record<string, unknown>> | null;
}

/** How a webhook is made. */
export interface CreateWebhookOptions {
  /** 32 bytes of a generated secret: derived for a keyed create (design promise 4), random unless given. */
  readonly secretBytes?: Buffer;
  /** Claims of the commit, such as that of an idempotency key, once the number is known. */
  readonly claims?: (webhook: number) => readonly Claim[];
}

/** A webhook that was made, or that the idempotency key made; `secret` is told here alone. */
export interface CreatedWebhook extends Changed<WebhookState> {
  readonly webhook: number;
  readonly secret: string;
}

/** Changes of a webhook; what is not given stays. */
export type WebhookChanges = {
  readonly [K in keyof Omit<WebhookInput, 'secret' | 'customHeaders'>]?: WebhookInput[K] | undefined;
} & {
  readonly secret?: string | undefined;
  /** All of them; null for one whose value stays as it is. */
  readonly customHeaders?: Readonly<Record<string, string | null>> | undefined;
  readonly isActive?: boolean | undefined;
};

/** What is delivered once more: after a position, or since a time; both ends of the times count. */
export interface ReplayInput {
  readonly from: bigint | null;
  /** Milliseconds since the epoch. */
  readonly since: number | null;
  readonly until: number | null;
}

/** What came of attempts at one webhook. `commitId` is kept when it is recorded again. */
export interface AttemptsRecord {
  readonly commitId: string;
  readonly data: EventData<'WebhookAttemptsRecorded'>;
}

/** Commands on webhooks, and the recording of their deliveries. */
export class WebhookCommands {
  readonly #options: WebhookCommandsOptions;

  constructor(options: WebhookCommandsOptions) {
    this.#options = options;
  }

  /** Creates a webhook; `secret` is told here alone. Throws DomainError `value-invalid`. */
  async createWebhook(
    actor: Actor,
    workspace: number,
    input: WebhookInput,
    options: CreateWebhookOptions = {},
  ): Promise<CreatedWebhook> {
    const { door, ids, sealer, guard, eventNames } = this.#options;
    const { url, events, customHeaders, roomFilters, meta } = input;
    const given = { url, events, customHeaders, secret: input.secret };
    checkAll(...checksOf(given, eventNames, (host) => guard.forbids(host)));
    const secret = input.secret ?? spelledSecret(options.secretBytes ?? randomBytes(32));
    return ids.next(workspace, 'webhook', async (id) => {
      const command = {
        command: 'CreateWebhook',
        workspace,
        webhook: id,
        url,
        events: [...events] as string[],
        sealedSecret: sealer.seal(secret),
        ...this.#sealedHeaders(customHeaders),
        roomFilters: [...roomFilters],
        meta: meta as Record<string, unknown> | null,
      } satisfies WebhookCommand;
      const claims = options.claims?.(id);
      const written = await door.execute(webhook, streams.webhook(workspace, id), command, actor, {
        isNew: true,
        ...(claims && { claims }),
      });
      return { webhook: id, secret, state: written.state, position: written.position };
    });
  }

  /**
   * Creates a webhook of the actor's workspace, once per key: who repeats the request is told the same secret. The state is
   * that of one that does not exist when what the key made is gone. Throws `value-invalid`.
   */
  async createOnce(actor: Actor, input: WebhookInput, keyed: Keyed | undefined): Promise<CreatedWebhook> {
    const { door, idempotency } = this.#options;
    const { workspace } = actor;
    const secretBytes = idempotency.secretBytes(actor, keyed);
    return idempotency.once<{ webhook: number }, CreatedWebhook>(actor, keyed, {
      make: (claims) =>
        this.createWebhook(actor, workspace, input, { secretBytes, claims: (id) => claims({ webhook: id }) }),
      replay: async ({ webhook: id }) => {
        const state = await door.load(webhook, streams.webhook(workspace, id));
        return { webhook: id, state, secret: input.secret ?? spelledSecret(secretBytes), position: null };
      },
    });
  }

  /** State of a webhook. Throws `not-found`. */
  async webhook(workspace: number, id: number): Promise<WebhookState> {
    const state = await this.#options.door.load(webhook, streams.webhook(workspace, id));
    if (!state.exists) throw new DomainError('not-found');
    return state;
  }

  /** Changes settings, and switches on or off. Throws `not-found` and `value-invalid`. */
  async changeWebhook(
    actor: Actor,
    workspace: number,
    id: number,
    changes: WebhookChanges,
  ): Promise<Changed<WebhookState>> {
    const { sealer, guard, eventNames } = this.#options;
    const { url, events, secret, customHeaders, roomFilters, meta, isActive } = changes;
    const known = await this.webhook(workspace, id);
    const headers = customHeaders && merged(customHeaders, this.openHeaders(known));
    const given = { url, events, customHeaders: headers, secret };
    checkAll(...checksOf(given, eventNames, (host) => guard.forbids(host)));
    return this.#execute(actor, workspace, id, {
      command: 'ChangeWebhook',
      workspace,
      webhook: id,
      ...(url !== undefined && { url }),
      ...(events !== undefined && { events: [...events] }),
      ...(secret !== undefined && { sealedSecret: sealer.seal(secret) }),
      ...(headers && this.#sealedHeaders(headers)),
      ...(roomFilters !== undefined && { roomFilters: [...roomFilters] }),
      ...(meta !== undefined && { meta: meta as Record<string, unknown> | null }),
      ...(isActive !== undefined && { isActive }),
    });
  }

  /** Answers the position. Throws `not-found`. */
  async deleteWebhook(actor: Actor, workspace: number, id: number): Promise<bigint | null> {
    return (await this.#execute(actor, workspace, id, { command: 'DeleteWebhook', workspace, webhook: id })).position;
  }

  /** Has events delivered once more. Answers the replay's number. Throws `not-found`, `value-invalid`, `replays-under-way`. */
  async requestReplay(
    actor: Actor,
    workspace: number,
    id: number,
    { from, since, until }: ReplayInput,
  ): Promise<Changed<WebhookState> & { readonly replay: number }> {
    const spelled = { from: from === null ? null : String(from), since, until };
    const command = { command: 'RequestReplay', workspace, webhook: id, ...spelled } as const;
    const changed = await this.#execute(actor, workspace, id, command);
    return { ...changed, replay: changed.state.lastReplay };
  }

  /** Has a dead letter tried again; whoever asks has seen that it is one. Throws `not-found` for no such webhook. */
  async redriveDelivery(actor: Actor, workspace: number, id: number, delivery: string): Promise<Changed<WebhookState>> {
    return this.#execute(actor, workspace, id, { command: 'RedriveDelivery', workspace, webhook: id, delivery });
  }

  /** Switches off a webhook that failed too often in a row, unless it was made active again since. */
  async deactivateFailing(workspace: number, id: number, activation: number): Promise<void> {
    await this.#executeOurs({ command: 'DeactivateFailing', workspace, webhook: id, activation });
  }

  /** Marks a replay as through. */
  async finishReplay(workspace: number, id: number, replay: number): Promise<void> {
    await this.#executeOurs({ command: 'FinishReplay', workspace, webhook: id, replay });
  }

  /**
   * Records what came of attempts, all in one append, each in a stream of its own. Answers the highest position. Throws
   * `unavailable` when not all is known to be stored: the same records again find out.
   */
  async recordAttempts(records: readonly AttemptsRecord[]): Promise<bigint> {
    const { door } = this.#options;
    const at = door.clock.now();
    const outcomes = await door.appendAll(
      records.map(({ commitId, data }) => ({
        commitId,
        stream: streams.deliveries(commitId),
        expected: NO_STREAM,
        events: [event('WebhookAttemptsRecorded', data)],
        at,
        meta: metaOf({ workspace: data.workspace, account: SERVICE_ACCOUNT }),
      })),
    );
    let highest = 0n;
    for (const outcome of outcomes) {
      if (!('position' in outcome)) throw new DomainError('unavailable');
      if (outcome.position > highest) highest = outcome.position;
    }
    return highest;
  }

  /** A new record's id. */
  newCommitId(): string {
    return randomUUID();
  }

  /** Opens the seal of the secret. */
  openSecret(state: WebhookState): string {
    return this.#options.sealer.open(state.sealedSecret);
  }

  /** Opens the seal of the headers' values. */
  openHeaders(state: WebhookState): Record<string, string> {
    if (state.sealedHeaders === null) return {};
    return JSON.parse(this.#options.sealer.open(state.sealedHeaders)) as Record<string, string>;
  }

  #sealedHeaders(headers: Readonly<Record<string, string>>): { headerNames: string[]; sealedHeaders: string | null } {
    const headerNames = Object.keys(headers);
    const sealedHeaders = headerNames.length === 0 ? null : this.#options.sealer.seal(JSON.stringify(headers));
    return { headerNames, sealedHeaders };
  }

  #execute(actor: Actor, workspace: number, id: number, command: WebhookCommand): Promise<Written<WebhookState>> {
    return this.#options.door.execute(webhook, streams.webhook(workspace, id), command, actor);
  }

  /** A command of delivery's own; the webhook may be gone by now. */
  async #executeOurs(command: Extract<WebhookCommand, { command: 'DeactivateFailing' | 'FinishReplay' }>) {
    try {
      const { workspace, webhook: id } = command;
      await this.#execute({ workspace, account: SERVICE_ACCOUNT }, workspace, id, command);
    } catch (error) {
      if (!(error instanceof DomainError) || error.code !== 'not-found') throw error;
    }
  }
}

/** What may be judged of a webhook; what is not there is not. */
interface JudgedWebhook {
  readonly url?: string | undefined;
  readonly events?: readonly string[] | undefined;
  readonly customHeaders?: Readonly<Record<string, string>> | null | undefined;
  readonly secret?: string | null | undefined;
}

function* checksOf(
  { url, events, customHeaders, secret }: JudgedWebhook,
  eventNames: ReadonlySet<string>,
  forbids: (host: string) => boolean,
): Generator<() => void> {
  if (url !== undefined) yield () => checkUrl(url, forbids);
  if (events !== undefined) yield () => checkEvents(events, eventNames);
  if (customHeaders) yield () => checkHeaders(customHeaders);
  if (secret != null) yield () => checkSecret(secret);
}

/** What is wrong with the fields of a webhook that are there, but for targets that the process forbids. */
export function webhookProblems(given: JudgedWebhook, eventNames: ReadonlySet<string>): readonly Problem[] {
  return problemsOf(checksOf(given, eventNames, () => false));
}

function spelledSecret(bytes: Buffer): string {
  return `whsec_${bytes.toString('base64')}`;
}

/** Headers as they become: null stands for the value known. Names compare without case. */
function merged(
  wanted: Readonly<Record<string, string | null>>,
  known: Readonly<Record<string, string>>,
): Record<string, string> {
  const values = new Map(Object.entries(known).map(([name, value]) => [name.toLowerCase(), value]));
  return Object.fromEntries(
    Object.entries(wanted).map(([name, value]) => [name, value ?? values.get(name.toLowerCase()) ?? '']),
  );
}
