import type { EventData } from '../../schemas/index.ts';
import { DomainError } from '../domain/errors.ts';
import {
  type NotificationCommand,
  type NotificationContent,
  type NotificationSchedule,
  type NotificationState,
  type NotificationType,
  notification,
  type Round,
} from '../domain/notification.ts';
import { checkUrl } from '../domain/webhook.ts';
import { workspace as workspaceRules } from '../domain/workspace.ts';
import { NO_STREAM } from '../log/log.ts';
import { hmac, type Sealer } from '../platform/crypto.ts';
import { base36Of, randomId } from '../platform/ids.ts';
import type { OutboundGuard } from '../platform/outbound-guard.ts';
import type { Actor, CommandDoor, Written } from './door.ts';
import { checkTarget } from './email-provider-commands.ts';
import type { EmailProviderConfig } from './email-providers.ts';
import type { Keyed } from './idempotency.ts';
import type { RoomCommands } from './rooms.ts';
import { SERVICE_ACCOUNT, streams } from './streams.ts';
import type { Changed } from './workspaces.ts';

/** What the commands on notifications need. */
export interface NotificationCommandsOptions {
  readonly door: CommandDoor;
  readonly rooms: Pick<RoomCommands, 'readable'>;
  readonly sealer: Sealer;
  readonly guard: Pick<OutboundGuard, 'forbids'>;
  /** Key of the ids of keyed creates. */
  readonly idKey: Buffer;
}

/** An e-mail provider for one notification, in clear, and the address that its mails come from. */
export interface OneOffProvider {
  readonly config: EmailProviderConfig;
  readonly from: string | null;
}

/** What may be given of a notification, when it is made and until it is begun. */
export type NotificationChanges = {
  readonly [K in keyof Omit<NotificationContent, 'provider'>]?: NotificationContent[K] | undefined;
} & {
  /** Null: the stored ones. */
  readonly provider?: OneOffProvider | null | undefined;
};

/** What a notification is made of. */
export interface NotificationInput extends Omit<NotificationContent, 'provider'> {
  readonly type: NotificationType;
  readonly room: number | null;
  readonly provider: OneOffProvider | null;
}

/** An accepted notification; `position` is null for a replay, which wrote nothing. */
export interface AcceptedNotification {
  readonly notification: string;
  readonly state: NotificationState;
  /** When it was accepted, milliseconds since the epoch. */
  readonly at: number;
  readonly position: bigint | null;
}

/** Commands on notifications: accepting them, and recording what became of them. */
export class NotificationCommands {
  readonly #options: NotificationCommandsOptions;

  constructor(options: NotificationCommandsOptions) {
    this.#options = options;
  }

  /**
   * Accepts a notification. The same key again answers the first one, as it is now. Throws DomainError `value-invalid`,
   * `not-found` for a room that is none of the workspace's, `too-large`.
   */
  async accept(actor: Actor, input: NotificationInput, keyed?: Keyed): Promise<AcceptedNotification> {
    const { door } = this.#options;
    const id = this.#idOf(actor, keyed);
    try {
      const { room, type } = input;
      if (room !== null) await this.#options.rooms.readable(actor, room);
      this.#checkUrls(input.recipients);
      const content = { ...input, ...this.#sealed(input.provider) } satisfies NotificationContent;
      const command = {
        command: 'AcceptNotification',
        workspace: actor.workspace,
        notification: id,
        room,
        type,
        ...contentOf(content),
        now: door.clock.now(),
      } satisfies NotificationCommand;
      const { state, position, at } = await door.execute(notification, streams.notification(id), command, actor, {
        isNew: true,
      });
      return { notification: id, state, at, position };
    } catch (error) {
      // A refusal too: what was accepted once may be refused by now.
      if (!keyed || !(error instanceof DomainError) || error.retryable) throw error;
      const { state, revision } = await door.states.load(notification, streams.notification(id));
      if (revision === NO_STREAM || state.status === 'none') throw error;
      return { notification: id, state, at: state.acceptedAt, position: null };
    }
  }

  /** One of the actor's workspace, as it is now. Throws `not-found`. */
  async state(actor: Actor, id: string): Promise<NotificationState> {
    const state = await this.#options.door.load(notification, streams.notification(id));
    if (state.status === 'none' || state.workspace !== actor.workspace) throw new DomainError('not-found');
    return state;
  }

  /** Changes one that is pending. Throws `not-found`, `wrong-state`, `value-invalid`. */
  change(actor: Actor, id: string, changes: NotificationChanges): Promise<Changed<NotificationState>> {
    const { provider, ...rest } = changes;
    if (rest.recipients !== undefined) this.#checkUrls(rest.recipients);
    const sealed = provider === undefined ? {} : this.#sealed(provider);
    const now = this.#options.door.clock.now();
    return this.#execute(actor, id, { command: 'ChangeNotification', ...rest, ...sealed, now });
  }

  /** Cancels one that is pending. Throws `not-found`, `wrong-state`. */
  cancel(actor: Actor, id: string): Promise<Changed<NotificationState>> {
    return this.#execute(actor, id, { command: 'CancelNotification' });
  }

  /** Has one that failed tried again. Throws `not-found`, `wrong-state`. */
  retry(actor: Actor, id: string): Promise<Changed<NotificationState>> {
    return this.#execute(actor, id, { command: 'RetryNotification' });
  }

  /**
   * Takes up one that is due: it cannot be cancelled from here on. Of a client that is switched off nothing leaves: it is over
   * instead. Throws `not-found`, `wrong-state`.
   */
  async start(workspace: number, id: string): Promise<NotificationState> {
    const home = await this.#options.door.load(workspaceRules, streams.workspace(workspace));
    if (home.exists && !home.isActive) {
      const command = { command: 'StopNotification', error: 'The client is not active' } as const;
      return (await this.#execute(ours(workspace), id, command)).state;
    }
    const now = this.#options.door.clock.now();
    return (await this.#execute(ours(workspace), id, { command: 'StartNotification', now })).state;
  }

  /**
   * The state of one as the log has it: what is in memory may lack what another process recorded a moment ago. Throws
   * `not-found`.
   */
  async stored(workspace: number, id: string): Promise<NotificationState> {
    const { door } = this.#options;
    const stream = streams.notification(id);
    door.states.forget(stream);
    const state = await door.load(notification, stream);
    if (state.status === 'none' || state.workspace !== workspace) throw new DomainError('not-found');
    return state;
  }

  /** Records how a round ended; recorded again it changes nothing. Throws `not-found`, and `unavailable`: record it again. */
  async recordRound(
    workspace: number,
    id: string,
    record: { readonly before: number; readonly round: Round; readonly schedule: NotificationSchedule },
  ): Promise<Written<NotificationState>> {
    const now = this.#options.door.clock.now();
    return this.#execute(ours(workspace), id, { command: 'RecordRound', ...record, now });
  }

  /** The notification's own e-mail provider, in clear; null where the stored ones are asked. Not to be shown, logged or kept. */
  openProvider({ provider }: Pick<NotificationState, 'provider'>): OneOffProvider | null {
    return provider === null ? null : (JSON.parse(this.#options.sealer.open(provider.sealed)) as OneOffProvider);
  }

  async #execute(actor: Actor, id: string, command: NotificationCommand): Promise<Written<NotificationState>> {
    const { door } = this.#options;
    const stream = streams.notification(id);
    // The workspace of a notification never changes.
    const { workspace } = await door.load(notification, stream);
    if (workspace !== actor.workspace) throw new DomainError('not-found');
    return door.execute(notification, stream, command, actor);
  }

  #idOf(actor: Actor, keyed: Keyed | undefined): string {
    if (keyed === undefined) return randomId();
    const scope = [String(actor.workspace), String(actor.account), keyed.route, keyed.key];
    return base36Of(hmac(this.#options.idKey, 'notification', ...scope));
  }

  #sealed(provider: OneOffProvider | null): Pick<NotificationContent, 'provider'> {
    if (provider === null) return { provider: null };
    checkTarget(provider.config, this.#options.guard, 'provider_config');
    const sealed = this.#options.sealer.seal(JSON.stringify(provider));
    return { provider: { type: provider.config.provider_type, sealed } };
  }

  #checkUrls(urls: readonly string[]): void {
    const { guard } = this.#options;
    for (const url of urls) checkUrl(url, (host) => guard.forbids(host), 'recipients');
  }
}

/** What the delivery of notifications does, it does as the workspace's service account. */
function ours(workspace: number): Actor {
  return { workspace, account: SERVICE_ACCOUNT };
}

/** The content alone, named one by one: an event holds nothing else. */
function contentOf(
  content: NotificationContent,
): Omit<EventData<'NotificationAccepted'>, 'workspace' | 'notification' | 'room' | 'type'> {
  const { subject, content: text, email, fallback, recipients, priority, scheduledFor, provider } = content;
  const { maxRetries, meta } = content;
  return { subject, content: text, email, fallback, recipients, priority, scheduledFor, provider, maxRetries, meta };
}
