/** What happens in rooms, as frames (sheet, section 12): from events of the log, and from what rows tell of the past. */
import type { HappenedItem, NotificationShown, roomHistory } from '../../../projections/history.ts';
import { postersOf } from '../../../projections/messages/queries.ts';
import { DomainError, type MessageBody, SERVICE_ACCOUNT } from '../../commands/index.ts';
import type { FramePositions, Session, SocketDialect, Variant } from '../../gateway/index.ts';
import { BoundedMap } from '../../platform/bounded-map.ts';
import type { Context } from './context.ts';
import { nameNow } from './names.ts';
import { attachmentOf, deletedUser, labelOf, senderNameOf, unnamed } from './rendering.ts';
import { iso, isoOrNull } from './routes.ts';
import type { SocketContext } from './socket-dialect.ts';
import { type Place, spellFrame } from './socket-frames.ts';

type Event = Parameters<SocketDialect<SocketContext>['route']>[0];
type Posted = Extract<Event, { type: 'MessagePosted' }>;

/** One thing of the past, with the name that is shown of whom it is about. */
export interface ShownItem extends HappenedItem {
  readonly shownName: string | null;
}

/** What is looked up of an event before it is spelled. */
interface Known {
  /** What the sender, or who came or went, is called; null where nobody gave a name. */
  readonly name: string | null;
  /** Of an edited message: who is shown it, null for every member. */
  readonly receivers: ReadonlySet<number> | null;
}

/** Spellings of an event: with its name, or without the name of somebody who was deleted since. */
const asItWas = 0;
const nameless = 1;
/** Events older than this are looked up in rows, which know what somebody was called then. Milliseconds. */
const recentMs = 1_000;
/** Deleted accounts remembered: as many as the gateway's ring may have events. */
const maxGone = 20_000;
const nobody: ReadonlySet<number> = new Set();

/** Spells events and items, and knows what is needed to. */
export class SocketEvents {
  readonly #context: Context;
  readonly #known = new WeakMap<Event, Known>();
  readonly #gone = new BoundedMap<string, true>(maxGone);

  constructor(context: Context) {
    this.#context = context;
  }

  /** An account was deleted: what the ring holds is spelled without its name from now on. */
  forget(workspace: number, account: number): void {
    this.#gone.set(`${workspace}/${account}`, true);
  }

  // Before events are spelled.

  /** Loads what `variant` and `frames` need; undefined when all was in memory. */
  prepare(events: readonly Event[]): Promise<void> | undefined {
    const loads: Promise<void>[] = [];
    const oldest = this.#context.options.clock.now() - recentMs;
    const past: Posted[] = [];
    for (const event of events) {
      if (this.#known.has(event)) continue;
      switch (event.type) {
        case 'MessagePosted':
          if (event.data.senderName !== null || event.data.sender === SERVICE_ACCOUNT) break;
          if (event.at < oldest) past.push(event);
          else this.#noteName(event, event.data.sender, loads);
          break;
        case 'MembershipStarted':
        case 'MembershipEnded':
          this.#noteName(event, event.data.account, loads);
          break;
        case 'MessageEdited':
          loads.push(this.#noteReceivers(event));
          break;
        default:
      }
    }
    if (past.length > 0) loads.push(this.#notePast(past));
    return loads.length === 0 ? undefined : Promise.all(loads).then(() => {});
  }

  #noteName(event: Event & { readonly data: { readonly workspace: number } }, account: number, loads: Promise<void>[]) {
    const name = nameNow(this.#context, event.data.workspace, account);
    if (name instanceof Promise) loads.push(name.then((found) => this.#note(event, found)));
    else this.#note(event, name);
  }

  #note(event: Event, name: string | null, receivers: ReadonlySet<number> | null = null): void {
    this.#known.set(event, { name, receivers });
  }

  /** Messages of a while ago: what their senders were called when they were sent. */
  async #notePast(events: readonly Posted[]): Promise<void> {
    const byWorkspace = Map.groupBy(events, ({ data }) => data.workspace);
    for (const [workspace, some] of byWorkspace) {
      const numbers = some.map(({ data }) => data.message);
      const posters = await postersOf(this.#context.options.db, workspace, numbers);
      for (const event of some) {
        const { message, sender } = event.data;
        const poster = posters.get(message);
        this.#note(event, poster ? senderNameOf(poster) : await nameNow(this.#context, workspace, sender));
      }
    }
  }

  /** Who is shown a message does not stand in the event of its edit. */
  async #noteReceivers(event: Extract<Event, { type: 'MessageEdited' }>): Promise<void> {
    const { workspace, message } = event.data;
    const service = { workspace, account: SERVICE_ACCOUNT };
    try {
      const { state } = await this.#context.options.messages.readable(service, message);
      this.#note(event, null, state.audience === null ? null : new Set(state.audience.receivers));
    } catch (error) {
      // It does not exist any more.
      if (!(error instanceof DomainError) || error.code !== 'not-found') throw error;
      this.#note(event, null, nobody);
    }
  }

  // Events.

  /** How an event is spelled for a socket; null when it is not shown to it. */
  variant(event: Event, session: Session<SocketContext>): Variant | null {
    switch (event.type) {
      case 'MessagePosted': {
        const { workspace, sender, room, audience } = event.data;
        if (audience !== null && !session.follows(room)) return null;
        return this.#spellingOf(workspace, sender);
      }
      case 'MembershipStarted':
      case 'MembershipEnded':
        return this.#spellingOf(event.data.workspace, event.data.account);
      case 'MessageEdited': {
        const known = this.#known.get(event);
        if (known === undefined) return null;
        const { receivers } = known;
        return receivers === null || isAmong(session.account, receivers) ? asItWas : null;
      }
      case 'WatermarkMoved':
        return event.data.account === session.account ? null : asItWas;
      case 'MessageDeleted':
      case 'NotificationShown':
        return asItWas;
      default:
        return null;
    }
  }

  #spellingOf(workspace: number, account: number): Variant {
    return this.#gone.size > 0 && this.#gone.has(`${workspace}/${account}`) ? nameless : asItWas;
  }

  /** The frames of an event. */
  frames(event: Event, variant: Variant, { at: position }: FramePositions): string[] {
    const { spelling } = this.#context;
    if (!('workspace' in event.data)) return [];
    const { workspace } = event.data;
    const user = (account: number) => spelling.user(workspace, account);
    const nameFor = (account: number) =>
      variant === nameless ? deletedUser : (this.#known.get(event)?.name ?? unnamed(account));
    const inRoom = (room: number): Place => ({ at: event.at, position, room: spelling.room(workspace, room) });
    switch (event.type) {
      case 'MessagePosted': {
        const { room, message, sender, senderName, body, meta, replyTo } = event.data;
        const data = this.#message(workspace, {
          message,
          sender,
          name: senderName ?? nameFor(sender),
          body,
          meta,
          replyTo,
          at: event.at,
        });
        return [spellFrame('message', data, inRoom(room))];
      }
      case 'MessageEdited': {
        const { room, message, text, meta } = event.data;
        const edited = { id: spelling.message(workspace, message), content: text, edited_at: iso(event.at) };
        return [spellFrame('message_updated', meta === undefined ? edited : { ...edited, meta }, inRoom(room))];
      }
      case 'MessageDeleted': {
        const { room, message, account } = event.data;
        const data = { id: spelling.message(workspace, message), deleted_by: user(account), deleted_at: iso(event.at) };
        return [spellFrame('message_deleted', data, inRoom(room))];
      }
      case 'MembershipStarted': {
        const { room, account, meta = null } = event.data;
        const who = { user_id: user(account), user_name: nameFor(account) };
        return [spellFrame('user_joined', { ...who, joined_at: iso(event.at), meta }, inRoom(room))];
      }
      case 'MembershipEnded': {
        const { room, account } = event.data;
        const who = { user_id: user(account), user_name: nameFor(account) };
        return [spellFrame('user_left', { ...who, left_at: iso(event.at) }, inRoom(room))];
      }
      case 'WatermarkMoved': {
        const { room, account, message } = event.data;
        const data = { user_id: user(account), message_id: spelling.message(workspace, message) };
        return [spellFrame('messages_read', data, inRoom(room))];
      }
      case 'NotificationShown':
        return [spellFrame('notification', this.#notification(event.data), inRoom(event.data.room))];
      default:
        return [];
    }
  }

  /** What `action_url` and `icon` of its meta say stands beside it (sheet, section 12). */
  #notification({
    notification,
    subject: title,
    content,
    priority,
    meta,
  }: NotificationShown & Pick<HappenedItem, 'meta'>): object {
    const id = this.#context.spelling.notification(notification);
    const { action_url, icon } = meta ?? {};
    return {
      id,
      title,
      content,
      priority,
      ...(typeof action_url === 'string' && { action_url }),
      ...(typeof icon === 'string' && { icon }),
    };
  }

  #message(
    workspace: number,
    of: {
      readonly message: number;
      readonly sender: number;
      readonly name: string | null;
      readonly body: MessageBody;
      readonly meta: Readonly<Record<string, unknown>> | null;
      readonly replyTo: { readonly message: number } | null;
      readonly at: number;
    },
  ): object {
    const { spelling } = this.#context;
    const { message, sender, name, body, meta, replyTo, at } = of;
    return {
      id: spelling.message(workspace, message),
      sender_id: spelling.user(workspace, sender),
      sender_name: name,
      content: body.text,
      message_type: labelOf(body) ?? body.kind,
      meta,
      created_at: iso(at),
      // What few messages have is not spelled for all.
      ...attachmentOf(body),
      ...(replyTo !== null && { reply_to_id: spelling.message(workspace, replyTo.message) }),
    };
  }

  // Items of the past.

  /** Items with the names that are shown. */
  async named(
    workspace: number,
    items: Awaited<ReturnType<typeof roomHistory>>['items'],
  ): Promise<readonly ShownItem[]> {
    const shown: ShownItem[] = [];
    for (const item of items) {
      const { view, name, account } = item;
      const shownName = view ? senderNameOf(view) : (name ?? (await nameNow(this.#context, workspace, account)));
      shown.push({ ...item, shownName });
    }
    return shown;
  }

  /** The frames of one item. */
  itemFrames(item: ShownItem, session: Session<SocketContext>, { at: position }: FramePositions): string[] {
    const { spelling } = this.#context;
    const { workspace } = session;
    const { kind, room, at, account, view, meta, shownName: name } = item;
    const where: Place = {
      at: at ?? this.#context.options.clock.now(),
      position,
      room: spelling.room(workspace, room),
    };
    const who = { user_id: spelling.user(workspace, account), user_name: name };
    const id = item.message === null ? '' : spelling.message(workspace, item.message);
    switch (kind) {
      case 'posted':
        if (!view?.body) return [];
        return [spellFrame('message', this.#message(workspace, { ...view, name, body: view.body, at }), where)];
      case 'edited':
        if (!view?.body) return [];
        return [
          spellFrame('message_updated', { id, content: view.body.text, edited_at: iso(at), meta: view.meta }, where),
        ];
      case 'deleted':
        return [spellFrame('message_deleted', { id, deleted_by: who.user_id, deleted_at: isoOrNull(at) }, where)];
      case 'joined':
        return [spellFrame('user_joined', { ...who, joined_at: iso(at), meta }, where)];
      case 'left':
        return [spellFrame('user_left', { ...who, left_at: iso(at) }, where)];
      case 'read':
        if (account === session.account) return [];
        return [spellFrame('messages_read', { user_id: who.user_id, message_id: id }, where)];
      case 'notified':
        if (!item.notification) return [];
        return [spellFrame('notification', this.#notification({ ...item.notification, meta }), where)];
    }
  }
}

function isAmong(account: number, receivers: ReadonlySet<number>): boolean {
  return account === SERVICE_ACCOUNT || receivers.has(account);
}
