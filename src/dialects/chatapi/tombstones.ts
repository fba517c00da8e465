/**
 * What the repetition of a keyed create is answered when what its key made is gone (design, section 4 and promise 12): the ids
 * and the shape of the first answer, marked as deleted, and nothing that anybody wrote.
 */
import type { FastifyReply } from 'fastify';
import { accountsByNumber } from '../../../projections/accounts/queries.ts';
import { findMessage, findMessageTombstone } from '../../../projections/messages/queries.ts';
import { findRoomTombstone } from '../../../projections/rooms/queries.ts';
import type { PostedMessage } from '../../commands/index.ts';
import type { Context } from './context.ts';
import type { Caller } from './credentials.ts';
import { unavailable } from './errors.ts';
import { waitForRows } from './reading.ts';
import { deletedUser, nameOf, type Renderer } from './rendering.ts';
import { iso } from './routes.ts';

const nobody = { displayName: deletedUser, givenName: null, familyName: null, username: null, email: null };

/** Shows what is gone, by what the rows still have of it: 503 while they do not know that it ever was. */
export class Tombstones {
  readonly #context: Context;
  readonly #render: Renderer;

  constructor(context: Context, render: Renderer) {
    this.#context = context;
    this.#render = render;
  }

  /** A user: as an account that lacks what the shape requires (design section 8). */
  async user(caller: Caller, account: number, reply: FastifyReply) {
    const { workspace } = caller;
    const db = await this.#rows(caller, reply);
    const [row] = await accountsByNumber(db, workspace, [account]);
    return {
      ...this.#render.person(workspace, account, { ...nobody, active: false }),
      created_at: iso(known(row ?? null).openedAt),
      is_deleted: true,
    };
  }

  /** A room that its caller created. */
  async room(caller: Caller, room: number, reply: FastifyReply) {
    const { workspace, account: creator } = caller;
    const db = await this.#rows(caller, reply);
    const { kind, createdAt, deletedAt } = known(await findRoomTombstone(db, workspace, room));
    const shown = this.#render.room({
      workspace,
      room,
      kind,
      name: null,
      description: null,
      avatar: null,
      joinPolicy: 'closed',
      postPolicy: 'members',
      visibility: 'members',
      maxMembers: null,
      meta: null,
      creator,
      participantCount: 0,
      messageCount: 0,
      lastMessage: null,
      lastMessageAt: null,
      isActive: false,
      inactiveReason: null,
      inactiveAt: null,
      deleted: true,
      createdAt,
      updatedAt: deletedAt ?? createdAt,
    });
    return { ...shown, deactivated_at: deletedAt === null ? null : iso(deletedAt), is_deleted: true };
  }

  /** A message as it is now: it may be gone alone, with its room, or with its sender. */
  async message(caller: Caller, { state, room, sender, message }: PostedMessage, reply: FastifyReply) {
    const isSenderGone = state.sender !== 0 && sender === null;
    const stands = state.exists && room.exists;
    if (stands && !isSenderGone) return this.#render.writtenMessage(state, sender === null ? null : nameOf(sender));
    const { workspace } = caller;
    const db = await this.#rows(caller, reply);
    // Whether what it said went with its sender the rows alone tell.
    const row = stands ? await findMessage(db, workspace, message) : null;
    return this.#render.message(row ?? known(await findMessageTombstone(db, workspace, message)));
  }

  async #rows(caller: Caller, reply: FastifyReply) {
    const { db, freshness } = this.#context.options;
    await waitForRows(freshness, caller, reply);
    return db;
  }
}

/** Whoever asks knows that it was made: rows that do not are behind. */
function known<T>(row: T | null): T {
  if (row === null) throw unavailable();
  return row;
}
