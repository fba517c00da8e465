import { randomUUID } from 'node:crypto';
import {
  AUTO_INACTIVE,
  checkEvent,
  type EventData,
  type MessageCommand as MessageWords,
  type ReceiptCommand,
} from '../../schemas/index.ts';
import { type AccountState, account } from '../domain/account.ts';
import { DomainError } from '../domain/errors.ts';
import { memberOf } from '../domain/membership.ts';
import { answering, canSee, type MessageCommand, type MessageState, message } from '../domain/message.ts';
import { receipt, watermark } from '../domain/receipt.ts';
import type { RoomState } from '../domain/room.ts';
import { type Claim, NO_STREAM } from '../log/log.ts';
import type { IdAllocator } from './allocator.ts';
import { type Actor, type CommandDoor, metaOf } from './door.ts';
import type { Idempotency, Keyed } from './idempotency.ts';
import type { RoomCommands } from './rooms.ts';
import type { Loaded } from './state-cache.ts';
import { SERVICE_ACCOUNT, streams } from './streams.ts';
import type { Changed } from './workspaces.ts';

/** What the commands on messages need. */
export interface MessageCommandsOptions {
  readonly door: CommandDoor;
  readonly ids: IdAllocator;
  readonly rooms: RoomCommands;
  readonly idempotency: Idempotency;
}

type Posted = EventData<'MessagePosted'>;

/** What is posted. */
export interface PostInput {
  readonly room: number;
  readonly body: Posted['body'];
  /** Another account in whose name the service account posts; who acts unless told. */
  readonly sender?: number;
  /** A name given in place of the account's own; the service account may. */
  readonly senderName?: string | null;
  readonly device?: number | null;
  readonly meta?: Record<string, unknown> | null;
  /** The message that is answered: in the same room, and shown to the sender. */
  readonly replyTo?: number | null;
  /** The answered message may be in another room. */
  readonly replyAcrossRooms?: boolean;
  /** The message that this one is a copy of: shown to who acts. */
  readonly forwardedFrom?: number | null;
  /** Who is shown the message, where that is frozen when it is posted. */
  readonly audience?: (room: RoomState) => Posted['audience'];
  /** Characters that a text may have; 0 or absent: no limit but the event's. */
  readonly maxTextCharacters?: number;
}

/** A message that was posted; `position` is null for a replay, whose state is that of now. */
export interface PostedMessage extends Changed<MessageState> {
  readonly message: number;
  /** The room that it was judged against. */
  readonly room: RoomState;
  /** The sender's account as it was then; null for the service account's, and for one that is gone at a replay. */
  readonly sender: AccountState | null;
}

/** A message, and the room it is in. */
export interface KnownMessage {
  readonly state: MessageState;
  readonly room: RoomState;
}

const serviceSender: Loaded<AccountState | null> = { state: null, revision: 0 };

/**
 * Commands on messages. Each is judged against its room as this node last saw it; a removal that races it is no error. Posting
 * is the hot path: with room and sender in memory its one promise is the append, which those who post at once share.
 */
export class MessageCommands {
  readonly #options: MessageCommandsOptions;
  readonly #append: CommandDoor['appendOnce'];

  constructor(options: MessageCommandsOptions) {
    this.#options = options;
    this.#append = (commits) => options.door.appendOnce(commits);
  }

  /**
   * Posts a message. Throws `not-found` (room, or sender with `details.field`), `not-a-member`, `role-required`,
   * `room-deleted`, `room-inactive`, `access-denied`, `content-empty`, `content-too-long`, `reply-not-found`, `too-large`.
   */
  post(actor: Actor, input: PostInput, keyed?: Keyed): Promise<PostedMessage> {
    if (!keyed) return this.#post(actor, input, () => []);
    return this.#options.idempotency.once<{ message: number }, PostedMessage>(actor, keyed, {
      make: (claims) => this.#post(actor, input, claims),
      replay: ({ message: id }) => this.#replay(actor.workspace, id),
    });
  }

  async #post(actor: Actor, input: PostInput, claims: (made: { message: number }) => Claim[]): Promise<PostedMessage> {
    const { door, ids, rooms } = this.#options;
    const { workspace, account: by } = actor;
    const standing = rooms.stateOf(workspace, input.room);
    const room = standing instanceof Promise ? await standing : standing;
    const from = this.#sender(workspace, input.sender ?? by);
    const sender = from instanceof Promise ? await from : from;
    const command: PostCommand = {
      ...this.#words(actor, input, sender),
      replyTo: input.replyTo == null ? null : await this.#answer(room, input, input.sender ?? by),
      audience: input.audience?.(room) ?? null,
      standing: room,
    };
    // Once, for the rules and the shape: the number changes nothing of either.
    const [first] = message.decide(message.initial, command);
    if (first?.type !== 'MessagePosted') throw new Error('posting makes one event');
    checkEvent(first);
    if (input.forwardedFrom != null) await this.readable(actor, input.forwardedFrom);
    if (room.inactive?.reason === AUTO_INACTIVE) await rooms.revive(actor, input.room);

    const probe = claims({ message: 0 });
    const meta = metaOf(actor);
    const commitId = randomUUID();
    const { id, commit, position } = await ids.append(workspace, 'message', this.#append, {
      claims: probe.length > 0,
      commit: (number) => ({
        commitId,
        stream: streams.message(workspace, number),
        expected: NO_STREAM,
        events: [{ type: 'MessagePosted', data: { ...first.data, message: number } }],
        at: door.clock.now(),
        meta,
        ...(probe.length > 0 && { claims: claims({ message: number }) }),
      }),
    });
    door.acknowledged(actor, position);
    door.accepted('PostMessage', 1, actor.dialect);
    const data = { ...first.data, message: id };
    const state = message.evolve(message.initial, { type: 'MessagePosted', data, at: commit.at });
    return { message: id, state, room, sender: sender.state, position };
  }

  #words(actor: Actor, input: PostInput, { revision }: Loaded<unknown>): Omit<PostCommand, 'standing'> {
    const { workspace, account: by } = actor;
    const { senderName = null } = input;
    if (senderName !== null && by !== SERVICE_ACCOUNT) throw new DomainError('access-denied');
    return {
      command: 'PostMessage',
      workspace,
      room: input.room,
      message: 0,
      by,
      sender: input.sender ?? by,
      profileRevision: revision,
      senderName,
      device: input.device ?? null,
      body: input.body,
      meta: input.meta ?? null,
      replyTo: null,
      forwardedFrom: input.forwardedFrom ?? null,
      audience: null,
      ...(input.maxTextCharacters !== undefined && { maxTextCharacters: input.maxTextCharacters }),
    };
  }

  /** The sender's account, and the revision at which its name is looked up. */
  #sender(workspace: number, id: number): Loaded<AccountState | null> | Promise<Loaded<AccountState | null>> {
    if (id === SERVICE_ACCOUNT) return serviceSender;
    const { states } = this.#options.door;
    const stream = streams.account(workspace, id);
    const known = states.peek<AccountState>(stream);
    return known ? existing(known) : states.load(account, stream).then(existing);
  }

  async #answer(room: RoomState, input: PostInput, sender: number): Promise<Posted['replyTo']> {
    const id = input.replyTo as number;
    const { door, rooms } = this.#options;
    const answered = await door.load(message, streams.message(room.workspace, id));
    const home = input.replyAcrossRooms ? await rooms.stateOf(room.workspace, answered.room) : room;
    return answering(home, answered, sender);
  }

  async #replay(workspace: number, id: number): Promise<PostedMessage> {
    const { door, rooms } = this.#options;
    const state = await door.load(message, streams.message(workspace, id));
    const room = await rooms.stateOf(workspace, state.room);
    const sender =
      state.sender === SERVICE_ACCOUNT ? null : await door.load(account, streams.account(workspace, state.sender));
    return { message: id, state, room, sender: sender?.exists ? sender : null, position: null };
  }

  /**
   * A message that the actor is shown. Throws `not-found`, `not-a-member` of a room that exists.
   */
  async readable(actor: Actor, id: number): Promise<KnownMessage> {
    const known = await this.#known(actor.workspace, id);
    const { state, room } = known;
    if (canSee(room, state, actor.account)) return known;
    const hidden = !state.exists || state.deleted || !room.exists || room.visibility === 'public';
    throw new DomainError(hidden || memberOf(room.members, actor.account) ? 'not-found' : 'not-a-member');
  }

  /** Changes a text. Throws `not-found`, `not-a-member`, `not-the-sender`, `not-editable`, `content-empty`, `content-too-long`. */
  async edit(
    actor: Actor,
    id: number,
    change: {
      readonly text: string;
      readonly meta?: Record<string, unknown> | null;
      readonly maxTextCharacters?: number;
    },
  ): Promise<Changed<MessageState> & KnownMessage> {
    const { text, meta, maxTextCharacters } = change;
    return this.#execute(actor, id, {
      command: 'EditMessage',
      text,
      ...(meta !== undefined && { meta }),
      ...(maxTextCharacters !== undefined && { maxTextCharacters }),
    });
  }

  /**
   * Deletes a message for everyone, which erases what it said, or for the actor alone. Throws `not-found` for one that is
   * deleted too, `not-a-member`, `not-the-sender`.
   */
  async delete(
    actor: Actor,
    id: number,
    scope: 'everyone' | 'account' = 'everyone',
  ): Promise<Changed<MessageState> & KnownMessage> {
    return this.#execute(actor, id, { command: 'DeleteMessage', scope });
  }

  async #execute(
    actor: Actor,
    id: number,
    words: DistributiveOmit<Exclude<MessageWords, { command: 'PostMessage' }>, 'workspace' | 'room' | 'message' | 'by'>,
  ): Promise<Changed<MessageState> & KnownMessage> {
    const { workspace, account: by } = actor;
    const { state: found, room: standing } = await this.#known(workspace, id);
    if (!found.exists) throw new DomainError('not-found');
    const command: MessageCommand = { ...words, workspace, room: found.room, message: id, by, standing };
    const { state, position } = await this.#options.door.execute(
      message,
      streams.message(workspace, id),
      command,
      actor,
    );
    return { state, position, room: standing };
  }

  /**
   * Notes that the actor has read a room up to a message. Answers the position, null when it had been said before.
   * Throws `not-found` for a message that is not in this room or not shown to the actor, `not-a-member`.
   */
  async markRead(actor: Actor, roomId: number, id: number): Promise<bigint | null> {
    const { door } = this.#options;
    const { workspace, account: who } = actor;
    const { room } = await this.#inRoom(actor, roomId, id);
    if (!memberOf(room.members, who)) throw new DomainError('not-a-member');
    const stream = streams.watermark(workspace, roomId, who, id);
    const data = { workspace, room: roomId, account: who, message: id };
    try {
      const { position } = await door.execute(watermark, stream, { command: 'MoveWatermark', ...data }, actor, {
        isNew: true,
      });
      return position;
    } catch (error) {
      if (error instanceof DomainError && error.code === 'already-exists') return null;
      throw error;
    } finally {
      // Nobody asks for it.
      door.states.forget(stream);
    }
  }

  /**
   * Records that the actor got, or read, a message; of one's own it is nothing to do. Answers the position, null when there
   * was nothing to do. Throws `not-found`, `not-a-member`.
   */
  async recordReceipt(actor: Actor, id: number, status: ReceiptCommand['status']): Promise<bigint | null> {
    const { workspace, account: who } = actor;
    const { state } = await this.readable(actor, id);
    if (who === SERVICE_ACCOUNT || state.sender === who) return null;
    const command = {
      command: 'RecordReceipt',
      workspace,
      room: state.room,
      message: id,
      account: who,
      status,
    } as const;
    return (await this.#options.door.execute(receipt, streams.receipts(workspace, id, who), command, actor)).position;
  }

  async #inRoom(actor: Actor, roomId: number, id: number): Promise<KnownMessage> {
    await this.#options.rooms.readable(actor, roomId);
    const known = await this.readable(actor, id);
    if (known.state.room !== roomId) throw new DomainError('not-found');
    return known;
  }

  async #known(workspace: number, id: number): Promise<KnownMessage> {
    const { door, rooms } = this.#options;
    const stream = streams.message(workspace, id);
    const state = door.states.peek<MessageState>(stream)?.state ?? (await door.load(message, stream));
    return { state, room: await rooms.stateOf(workspace, state.room) };
  }
}

type PostCommand = Extract<MessageCommand, { command: 'PostMessage' }>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function existing(loaded: Loaded<AccountState>): Loaded<AccountState> {
  if (!loaded.state.exists) throw new DomainError('not-found', undefined, { details: { field: 'sender' } });
  return loaded;
}
