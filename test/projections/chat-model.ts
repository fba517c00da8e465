/** A random history played into tables, and the rules of who is shown what, said once more. */
import type { Test } from 'tap';
import type { MessageFilter } from '../../projections/messages/queries.ts';
import { type ChatHistory, type KnownMessage, type KnownRoom, makeChat } from './chat-history.ts';
import { type Random, randomOf } from './history.ts';
import { applyAll, cut, scratchDatabase, seedOf, useSchema } from './scratch.ts';

/** A history and its rows, with the projector's checkpoint at its end. */
export async function played(t: Test, length: number, reached?: bigint) {
  const db = await scratchDatabase(t);
  await useSchema(db, 'read');
  const seed = seedOf(t);
  const chat = makeChat(seed, length);
  const events = chat.recorded();
  await applyAll(db, cut(randomOf(seed), events, 100));
  await db.query(
    'CREATE SCHEMA work; CREATE TABLE work.checkpoints ("group" text, partition integer, position bigint)',
  );
  const head = BigInt(events.length);
  await db.query('INSERT INTO work.checkpoints VALUES ($1, 0, $2), ($1, 1, $3), ($4, 0, 1)', [
    'projector',
    head,
    reached ?? head,
    'another',
  ]);
  return { db, chat, events, head, random: randomOf(seed + 1) };
}

/** One of several. */
export function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T;
}

/** The rules of who is shown what. */
export class Model {
  readonly chat: ChatHistory;
  constructor(chat: ChatHistory) {
    this.chat = chat;
  }

  exists(message: KnownMessage): boolean {
    const sender = this.chat.accounts.find(
      (each) => each.workspace === message.workspace && each.account === message.data.sender,
    );
    return !message.room.erasing && !(sender?.deleted === 'erase' && !sender.erased);
  }

  membership(room: KnownRoom, account: number | null) {
    return room.memberships.find((each) => each.account === account && each.to === null);
  }

  isShown(message: KnownMessage, viewer: number | null): boolean {
    if (!this.exists(message)) return false;
    if (viewer === 0) return true;
    const member = this.membership(message.room, viewer);
    if (!member && !message.room.isPublic) return false;
    if (message.deleted === null && viewer !== null && message.hidings.has(viewer)) return false;
    if (member && (message.postedAt < member.historyFrom || message.postedAt <= member.hiddenUntil)) return false;
    const { audience } = message.data;
    return !audience || (member !== undefined && audience.receivers.includes(viewer as number));
  }

  typeOf({ data: { body } }: KnownMessage): string {
    if (body.kind === 'file') return body.label ?? body.media;
    return body.kind === 'custom' ? body.label : body.kind;
  }

  matches(message: KnownMessage, filter: MessageFilter): boolean {
    const { viewer, rooms, types, sender, notSender, search, fromMs, toMs, deletedToo, before, after } = filter;
    return (
      message.workspace === filter.workspace &&
      this.isShown(message, viewer) &&
      (rooms ? rooms.includes(message.room.room) : viewer === 0 || !!this.membership(message.room, viewer)) &&
      (!types || types.includes(this.typeOf(message))) &&
      (sender === undefined || message.data.sender === sender) &&
      (notSender === undefined || message.data.sender !== notSender) &&
      (search === undefined ||
        (!message.deleted && message.text.replace('\0', '\uFFFD').toLowerCase().includes(search.toLowerCase()))) &&
      (fromMs === undefined || message.postedAt >= fromMs) &&
      (toMs === undefined || message.postedAt <= toMs) &&
      (deletedToo || !message.deleted) &&
      (before === undefined || message.message < before) &&
      (after === undefined || message.message > after)
    );
  }
}
