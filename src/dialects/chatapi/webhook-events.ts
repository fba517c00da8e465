/**
 * What webhooks tell of (sheet, section 13): events of the log in the dialect's words. Rows name what an event does not say
 * itself: senders, members, rooms. What is gone by the time that it is told is not told; that a message or a room was deleted
 * is told once its content is erased, by the event that stays for ever, so that nobody who was away misses it.
 */
import { accountsByNumber } from '../../../projections/accounts/queries.ts';
import { type MessageView, messagesByNumber, type Poster, postersOf } from '../../../projections/messages/queries.ts';
import {
  type MemberView,
  membershipsByNumber,
  type RoomView,
  roomsByNumber,
} from '../../../projections/rooms/queries.ts';
import { findWorkspace, type WorkspaceView } from '../../../projections/workspaces/queries.ts';
import type { EventData, EventType, RecordedEvent } from '../../../schemas/index.ts';
import { SERVICE_ACCOUNT } from '../../commands/index.ts';
import type { ChatApiConfig, ChatApiOptions } from './options.ts';
import { deletedUser, nameOf, Renderer } from './rendering.ts';
import { iso } from './routes.ts';
import { Spelling } from './spelling.ts';

/** Names of events that a webhook may ask for. The last three are taken and never fired. */
export const webhookEventNames = [
  'message.created',
  'message.updated',
  'message.deleted',
  'room.created',
  'room.updated',
  'room.deleted',
  'room.joined',
  'room.left',
  'client.updated',
  'notification.sent',
  'notification.failed',
  'message.restored',
  'notification.delivered',
  'notification.read',
] as const;

type Name = (typeof webhookEventNames)[number];

/** What is told of one event: `room` is a number, null for what is of none. */
interface Told {
  readonly event: Name;
  readonly room: number | null;
  readonly data: unknown;
}

/** Types of events that are told of. */
const eventTypes = [
  'MessagePosted',
  'MessageEdited',
  'MessagesErased',
  'RoomCreated',
  'RoomChanged',
  'RoomDeactivated',
  'RoomActivated',
  'RoomDeleted',
  'RoomErased',
  'MembershipStarted',
  'MembershipEnded',
  'WorkspaceChanged',
  'NotificationSent',
  'NotificationFailed',
] as const satisfies readonly EventType[];

/** What rows say of a workspace's events. */
interface Rows {
  /** Of messages that were posted. */
  readonly posters: ReadonlyMap<number, Poster>;
  readonly messages: ReadonlyMap<number, MessageView>;
  readonly members: ReadonlyMap<string, MemberView>;
  readonly rooms: ReadonlyMap<number, RoomView>;
  /** What accounts are called. */
  readonly names: ReadonlyMap<number, string>;
  readonly home: WorkspaceView | null;
}

type Of<T extends EventType> = RecordedEvent & { readonly type: T; readonly data: EventData<T> };

/** What telling needs. */
export interface WebhookEventsOptions extends Pick<ChatApiOptions, 'db' | 'speller' | 'clock'> {
  readonly config: Pick<ChatApiConfig, 'inactiveAfterMs'>;
}

/** Spells what leaves by webhook: delivery's `WebhookDialect`. */
export function webhookEvents(options: WebhookEventsOptions) {
  const spelling = new Spelling(options.speller);
  const events = new WebhookEvents(options, spelling);
  return {
    eventTypes: new Set<EventType>(eventTypes),
    render: (recorded: readonly RecordedEvent[]) => events.render(recorded),
    spellWorkspace: (workspace: number) => spelling.client(workspace),
    spellWebhook: (workspace: number, webhook: number) => spelling.webhook(workspace, webhook),
  };
}

class WebhookEvents {
  readonly #options: WebhookEventsOptions;
  readonly #spelling: Spelling;
  readonly #show: Renderer;

  constructor(options: WebhookEventsOptions, spelling: Spelling) {
    this.#options = options;
    this.#spelling = spelling;
    this.#show = new Renderer({ options, spelling });
  }

  async render(events: readonly RecordedEvent[]): Promise<(Told | null)[]> {
    const homes = Map.groupBy(events, workspaceOf);
    const rows = new Map(
      await Promise.all(
        [...homes].map(async ([workspace, own]) => [workspace, await this.#rowsOf(workspace, own)] as const),
      ),
    );
    return events.map((event) => {
      const known = rows.get(workspaceOf(event));
      return known ? this.#told(event, known) : null;
    });
  }

  async #rowsOf(workspace: number, events: readonly RecordedEvent[]): Promise<Rows> {
    const { db, clock, config } = this.#options;
    const inactivity = { nowMs: clock.now(), inactiveAfterMs: config.inactiveAfterMs };
    const posted = events.flatMap((event) => (isPosted(event) ? [event.data.message] : []));
    const messages = events.flatMap((event) => (isPosted(event) ? [] : messagesIn(event)));
    const members = events.flatMap((event) => (isMembership(event) ? [event.data] : []));
    const shown = events.filter(showsRoom);
    const actors = new Set(shown.flatMap(({ meta }) => (meta.actor ? [meta.actor[1]] : [])));
    const home = events.some(({ type }) => type === 'WorkspaceChanged');
    const [posters, messageRows, memberRows, roomRows, accounts, homeRow] = await Promise.all([
      posted.length === 0 ? new Map() : postersOf(db, workspace, posted),
      messages.length === 0 ? [] : messagesByNumber(db, workspace, messages),
      members.length === 0 ? [] : membershipsByNumber(db, workspace, members),
      shown.length === 0 ? [] : roomsByNumber(db, workspace, [...new Set(shown.map(roomOf))], inactivity),
      actors.size === 0 ? [] : accountsByNumber(db, workspace, [...actors]),
      home ? findWorkspace(db, workspace) : null,
    ]);
    return {
      posters,
      messages: new Map(messageRows.map((row) => [row.message, row])),
      members: new Map(memberRows.map((row) => [`${row.room}/${row.membership}`, row])),
      rooms: new Map(roomRows.map((row) => [row.room, row])),
      names: new Map(
        accounts.map((row) => [row.account, row.deleted ? deletedUser : (nameOf(row) ?? `user${row.account}`)]),
      ),
      home: homeRow,
    };
  }

  #told(event: RecordedEvent, rows: Rows): Told | null {
    switch (event.type) {
      case 'MessagePosted':
        return this.#posted(event as Of<'MessagePosted'>, rows);
      case 'MessageEdited':
        return this.#edited(event as Of<'MessageEdited'>, rows);
      case 'MessagesErased':
        return this.#deleted(event as Of<'MessagesErased'>, rows);
      case 'RoomCreated':
        return this.#room('room.created', event, rows);
      case 'RoomChanged':
      case 'RoomDeactivated':
      case 'RoomActivated':
        return this.#room('room.updated', event, rows);
      case 'RoomDeleted':
        return (event as Of<'RoomDeleted'>).data.erase ? null : this.#room('room.deleted', event, rows);
      case 'RoomErased':
        return this.#erasedRoom(event as Of<'RoomErased'>);
      case 'MembershipStarted':
        return this.#member('room.joined', event as Of<'MembershipStarted'>, rows);
      case 'MembershipEnded':
        return this.#member('room.left', event as Of<'MembershipEnded'>, rows);
      case 'WorkspaceChanged': {
        const { home } = rows;
        return home && { event: 'client.updated', room: null, data: this.#show.client(home.workspace, home) };
      }
      case 'NotificationSent':
      case 'NotificationFailed':
        return this.#notification(event as Of<'NotificationSent' | 'NotificationFailed'>);
      default:
        return null;
    }
  }

  /** As it was posted, whatever became of its text since. */
  #posted({ data, at }: Of<'MessagePosted'>, { posters }: Rows): Told | null {
    const poster = posters.get(data.message);
    if (!poster || poster.deleted) return null;
    const state = { ...data, edits: 0, postedAt: at, editedAt: null, deleted: false };
    return {
      event: 'message.created',
      room: data.room,
      data: this.#show.writtenMessage(state, poster.senderName, poster.senderDeleted),
    };
  }

  #edited({ data, at }: Of<'MessageEdited'>, { messages }: Rows): Told | null {
    const row = messages.get(data.message);
    if (!row || row.deleted || row.body === null) return null;
    const { text, meta = row.meta } = data;
    const body = { ...row.body, text } as MessageView['body'];
    const view = { ...row, body, meta, edits: Math.max(1, row.edits), editedAt: at };
    return { event: 'message.updated', room: data.room, data: this.#show.message(view) };
  }

  /** One that was deleted by itself stands in an event of its own; what went with its room or sender is not told. */
  #deleted({ data }: Of<'MessagesErased'>, { messages }: Rows): Told | null {
    const [item] = data.items;
    if (!item || data.items.length > 1 || item.deletedPosition == null) return null;
    const row = messages.get(item.message);
    const { deletedPosition: _, ...known } = item;
    const view: MessageView = {
      ...known,
      workspace: data.workspace,
      room: data.room,
      senderName: row?.senderName ?? null,
      senderDeleted: row?.senderDeleted ?? false,
      body: null,
      meta: null,
      deleted: true,
    };
    return { event: 'message.deleted', room: data.room, data: this.#show.message(view) };
  }

  /** The room as it is when it is told, and who did it. */
  #room(name: Name, event: RecordedEvent, { rooms, names }: Rows): Told | null {
    const number = roomOf(event);
    const room = rooms.get(number);
    if (!room) return null;
    const actor = event.meta.actor?.[1] ?? SERVICE_ACCOUNT;
    const spelling = this.#spelling;
    const data = {
      room_id: spelling.room(room.workspace, number),
      user_id: spelling.user(room.workspace, actor),
      user_name: names.get(actor) ?? null,
      joined_at: null,
      meta: room.meta,
      room: this.#show.room(room),
    };
    return { event: name, room: number, data };
  }

  #erasedRoom({ data: { workspace, room } }: Of<'RoomErased'>): Told {
    const nobody = { user_id: null, user_name: null, joined_at: null, meta: null };
    return { event: 'room.deleted', room, data: { room_id: this.#spelling.room(workspace, room), ...nobody } };
  }

  #notification({ type, data }: Of<'NotificationSent' | 'NotificationFailed'>): Told {
    const about = {
      notification_id: this.#spelling.notification(data.notification),
      type: data.type,
      recipients: data.recipients,
    };
    const { attemptCount: attempt_count, room } = data;
    if (type === 'NotificationSent') {
      const { sentAt } = data as EventData<'NotificationSent'>;
      return { event: 'notification.sent', room, data: { ...about, sent_at: iso(sentAt), attempt_count } };
    }
    const { error: failure_reason } = data as EventData<'NotificationFailed'>;
    return { event: 'notification.failed', room, data: { ...about, failure_reason, attempt_count, will_retry: false } };
  }

  #member(name: Name, { data, at }: Of<'MembershipStarted' | 'MembershipEnded'>, { members }: Rows): Told | null {
    const { workspace, room, membership } = data;
    const row = members.get(`${room}/${membership}`);
    if (!row) return null;
    const told = {
      room_id: this.#spelling.room(workspace, room),
      ...this.#show.participant(workspace, row),
      ...(name === 'room.left' && { left_at: iso(at) }),
    };
    return { event: name, room, data: told };
  }
}

function workspaceOf({ data }: RecordedEvent): number {
  return 'workspace' in data ? data.workspace : SERVICE_ACCOUNT;
}

function roomOf({ data }: RecordedEvent): number {
  return 'room' in data && typeof data.room === 'number' ? data.room : 0;
}

function messagesIn({ data }: RecordedEvent): number[] {
  if ('message' in data && typeof data.message === 'number') return [data.message];
  return 'items' in data && 'room' in data ? data.items.map(({ message }) => message) : [];
}

function isPosted(event: RecordedEvent): event is Of<'MessagePosted'> {
  return event.type === 'MessagePosted';
}

function isMembership(event: RecordedEvent): event is Of<'MembershipStarted' | 'MembershipEnded'> {
  return event.type === 'MembershipStarted' || event.type === 'MembershipEnded';
}

const roomTypes = new Set<EventType>(['RoomCreated', 'RoomChanged', 'RoomDeactivated', 'RoomActivated', 'RoomDeleted']);

function showsRoom({ type }: RecordedEvent): boolean {
  return roomTypes.has(type);
}
