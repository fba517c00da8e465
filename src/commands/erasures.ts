import { randomUUID } from 'node:crypto';
import { type DomainEvent, type EventData, event } from '../../schemas/index.ts';
import { account } from '../domain/account.ts';
import type { Aggregate } from '../domain/aggregate.ts';
import { connector } from '../domain/connector.ts';
import { device } from '../domain/device.ts';
import { DomainError } from '../domain/errors.ts';
import { key } from '../domain/key.ts';
import { message } from '../domain/message.ts';
import { room } from '../domain/room.ts';
import { template } from '../domain/template.ts';
import { webhook } from '../domain/webhook.ts';
import { workspace } from '../domain/workspace.ts';
import { NO_STREAM } from '../log/log.ts';
import { type CommandDoor, metaOf } from './door.ts';
import { SERVICE_ACCOUNT, streams } from './streams.ts';

/** An event "erased": it is appended before what it names is erased, and stays. */
export type ErasedEvent = DomainEvent<
  | 'WorkspaceErased'
  | 'KeyErased'
  | 'ConnectorErased'
  | 'TemplateErased'
  | 'WebhookErased'
  | 'DispatchesErased'
  | 'NotificationErased'
  | 'AccountErased'
  | 'DeviceErased'
  | 'RoomErased'
  | 'MessagesErased'
>;

/** One dispatch to erase, as the event "erased" keeps it. */
export type ErasedDispatch = EventData<'DispatchesErased'>['items'][number];

/** One message to erase, as the event "erased" keeps it. */
export type ErasedMessage = EventData<'MessagesErased'>['items'][number];

/** Dispatches of one event "erased" at most: about half of what an event may hold. */
export const maxErasedDispatches = 500;

/** Messages of one event "erased" at most. */
export const maxErasedMessages = 500;
/** Bytes of its items at most: audiences can be long. One message alone may have more, as its own event had. */
const maxErasedMessagesBytes = 192 * 1024;

/**
 * The events "erased" of messages, each of one room and no larger than an event may be. One that was deleted by itself has an
 * event of its own: it is what webhooks are told of the deletion by, for as long as the log is kept.
 */
export function messagesErased(
  messages: readonly { readonly workspace: number; readonly room: number; readonly item: ErasedMessage }[],
): DomainEvent<'MessagesErased'>[] {
  const pages: DomainEvent<'MessagesErased'>[] = [];
  let bytes = 0;
  for (const { workspace, room, item } of messages) {
    const size = JSON.stringify(item).length;
    const page = pages.at(-1)?.data;
    bytes += size;
    if (
      item.deletedPosition == null &&
      page?.items[0]?.deletedPosition == null &&
      page?.workspace === workspace &&
      page.room === room &&
      page.items.length < maxErasedMessages &&
      bytes <= maxErasedMessagesBytes
    ) {
      page.items.push(item);
      continue;
    }
    bytes = size;
    pages.push(event('MessagesErased', { workspace, room, items: [item] }));
  }
  return pages;
}

/** A message of which only that it was posted is known, as the event "erased" keeps it. */
export function erasedMessageOf(posted: EventData<'MessagePosted'>, at: number): ErasedMessage {
  const { message: id, sender, profileRevision, device: from, body, replyTo, forwardedFrom, audience } = posted;
  const label = body.kind === 'file' ? (body.label ?? body.media) : body.kind === 'custom' ? body.label : null;
  return {
    message: id,
    sender,
    profileRevision,
    device: from,
    kind: body.kind,
    label,
    replyTo,
    forwardedFrom,
    audience,
    edits: 0,
    editedAt: null,
    postedAt: at,
    deletedBy: SERVICE_ACCOUNT,
    deletedAt: at,
  };
}

/** The streams whose content an event "erased" ends; none for any other event. */
export function erasedStreams(happened: DomainEvent): string[] {
  switch (happened.type) {
    case 'WorkspaceErased':
      return [streams.workspace(happened.data.workspace), streams.emailProviders(happened.data.workspace)];
    case 'KeyErased':
      return [streams.key(happened.data.workspace, happened.data.key)];
    case 'ConnectorErased':
      return [streams.connector(happened.data.workspace, happened.data.connector)];
    case 'TemplateErased':
      return [streams.template(happened.data.workspace, happened.data.template)];
    case 'WebhookErased':
      return [streams.webhook(happened.data.workspace, happened.data.webhook)];
    case 'DispatchesErased':
      return happened.data.items.map((item) => streams.dispatch(item.dispatch));
    case 'NotificationErased':
      return [streams.notification(happened.data.notification)];
    case 'AccountErased': {
      const { workspace, account, devices } = happened.data;
      const own = devices.map((id) => streams.device(workspace, id));
      return [streams.account(workspace, account), streams.presence(workspace, account), ...own];
    }
    case 'DeviceErased':
      return [streams.device(happened.data.workspace, happened.data.device)];
    case 'RoomErased':
      return [streams.room(happened.data.workspace, happened.data.room)];
    case 'MessagesErased':
      return happened.data.items.map((item) => streams.message(happened.data.workspace, item.message));
    default:
      return [];
  }
}

/** The stream that an event "erased" stands in. */
const erasure: Aggregate<{ readonly erased: boolean }, never> = {
  initial: { erased: false },
  decide: () => [],
  evolve: () => ({ erased: true }),
};

/** The first step of every erasure (design section 4). The second, erasing the streams, is the log's. */
export class ErasureCommands {
  readonly #door: CommandDoor;

  constructor({ door }: { readonly door: CommandDoor }) {
    this.#door = door;
  }

  /** Where a workspace stands; one that nobody knows counts as living, so that nothing in it is erased. Throws `unavailable`. */
  async standingOf(workspaceId: number): Promise<'lives' | 'deleted' | 'erased'> {
    const stream = streams.workspace(workspaceId);
    const { exists, deleted } = await this.#door.load(workspace, stream);
    if (exists) return 'lives';
    if (deleted) return 'deleted';
    return (await this.#door.load(erasure, streams.erasure(stream))).erased ? 'erased' : 'lives';
  }

  /**
   * Appends events "erased", each to a stream of its own that stays; one that stands there already, from before a crash, is
   * left as it is. Nothing that lives is erased: throws Error when what an event names was not deleted, alone or with its
   * workspace. Throws `unavailable` when not all are known to be stored: the same again finds out.
   */
  async append(erased: readonly ErasedEvent[]): Promise<void> {
    if (erased.length === 0) return;
    for (const happened of erased) {
      if (!(await this.#isDead(happened))) throw new Error(`${happened.type} of what was not deleted`);
    }
    const at = this.#door.clock.now();
    const outcomes = await this.#door.appendAll(
      erased.map((happened) => ({
        commitId: randomUUID(),
        stream: streams.erasure(erasedStreams(happened)[0] as string),
        expected: NO_STREAM,
        events: [happened],
        at,
        meta: metaOf({ workspace: happened.data.workspace, account: SERVICE_ACCOUNT }),
      })),
    );
    if (outcomes.some(({ outcome }) => outcome === 'unknown')) throw new DomainError('unavailable');
  }

  /**
   * The event "erased" of a deleted workspace, null when it was erased already: then nothing is known of it any more.
   * Throws `unavailable`.
   */
  async ofWorkspace(workspaceId: number): Promise<ErasedEvent | null> {
    const state = await this.#door.load(workspace, streams.workspace(workspaceId));
    if (!state.deleted) return null;
    const { kind, owner, createdAt } = state;
    return event('WorkspaceErased', { workspace: workspaceId, kind, owner, createdAt });
  }

  /** What a stream says is gone from memory too. */
  forget(stream: string): void {
    this.#door.states.forget(stream);
  }

  /** Whether an account shows a stored file. Throws `unavailable`. */
  async showsFile(workspaceId: number, id: number, file: number): Promise<boolean> {
    const { exists, avatar } = await this.#door.load(account, streams.account(workspaceId, id));
    return exists && avatar === file;
  }

  /** True of a room that was deleted with its content: a message that still came is erased too. */
  async roomIsGone(workspaceId: number, id: number): Promise<boolean> {
    const stream = streams.room(workspaceId, id);
    const { exists, deleted } = await this.#door.load(room, stream);
    // A deleted one may stay, closed; of an erased one only the event "erased" is left.
    if (exists || deleted) return !exists;
    return (await this.#door.load(erasure, streams.erasure(stream))).erased;
  }

  /** Of a room that is gone, of a sender who is, or deleted itself. */
  async #messagesAreDead({ workspace: home, room: id, items }: EventData<'MessagesErased'>): Promise<boolean> {
    if (await this.roomIsGone(home, id)) return true;
    for (const item of items) {
      const { exists, deleted } = await this.#door.load(message, streams.message(home, item.message));
      if (!exists || deleted) continue;
      const sender = item.sender === SERVICE_ACCOUNT ? null : streams.account(home, item.sender);
      if (sender === null || (await this.#door.load(account, sender)).exists) return false;
    }
    return true;
  }

  async #isDead(happened: ErasedEvent): Promise<boolean> {
    const door = this.#door;
    const { data } = happened;
    if ((await this.standingOf(data.workspace)) !== 'lives') return true;
    switch (happened.type) {
      case 'KeyErased':
        return !(await door.load(key, streams.key(data.workspace, happened.data.key))).exists;
      case 'ConnectorErased':
        return !(await door.load(connector, streams.connector(data.workspace, happened.data.connector))).exists;
      case 'TemplateErased':
        return !(await door.load(template, streams.template(data.workspace, happened.data.template))).exists;
      case 'WebhookErased':
        return !(await door.load(webhook, streams.webhook(data.workspace, happened.data.webhook))).exists;
      case 'AccountErased':
        return !(await door.load(account, streams.account(data.workspace, happened.data.account))).exists;
      case 'DeviceErased':
        return !(await door.load(device, streams.device(data.workspace, happened.data.device))).exists;
      case 'RoomErased':
        return this.roomIsGone(data.workspace, happened.data.room);
      case 'MessagesErased':
        return this.#messagesAreDead(happened.data);
      case 'WorkspaceErased':
      case 'DispatchesErased':
      case 'NotificationErased':
        return false;
    }
  }
}
