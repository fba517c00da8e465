import type { RoomCommand } from '../../schemas/index.ts';
import { account } from '../domain/account.ts';
import { DomainError } from '../domain/errors.ts';
import { memberOf, type RoomRole } from '../domain/membership.ts';
import { type RoomState, room } from '../domain/room.ts';
import type { Claim } from '../log/log.ts';
import { hmac } from '../platform/crypto.ts';
import type { IdAllocator } from './allocator.ts';
import { type Actor, ClaimTakenError, type CommandDoor, type Written } from './door.ts';
import type { Idempotency, Keyed } from './idempotency.ts';
import { SERVICE_ACCOUNT, streams } from './streams.ts';
import type { Changed } from './workspaces.ts';

/** What the commands on rooms need. */
export interface RoomCommandsOptions {
  readonly door: CommandDoor;
  readonly ids: IdAllocator;
  readonly idempotency: Idempotency;
  /** Key of the names of claims. */
  readonly nameKey: Buffer;
}

type Create = Extract<RoomCommand, { command: 'CreateRoom' }>;
type Settings = Omit<Create, 'command' | 'workspace' | 'room' | 'creator' | 'claim' | 'members' | 'historyFrom'>;

/** A member to be. */
export interface NewMember {
  readonly account: number;
  /** None unless told. */
  readonly roles?: readonly RoomRole[];
  readonly meta?: Record<string, unknown>;
}

/**
 * What a room is made of. Unless told, texts, avatar and meta are null, whoever is a member posts and reads, there is no limit
 * of members, and the creator is who acts. Only the service account creates in another's name.
 */
export interface RoomInput extends Partial<Omit<Settings, 'kind' | 'joinPolicy'>> {
  readonly kind: Settings['kind'];
  readonly joinPolicy: Settings['joinPolicy'];
  readonly creator?: number;
  readonly members: readonly NewMember[];
  /** Messages from here on are shown to the members; all unless told. Milliseconds since the epoch. */
  readonly historyFrom?: number;
  /** There is one such room at a time for this pair: with the order of the two, or without. Who of them left is in again. */
  readonly pair?: { readonly rule: 'ordered' | 'unordered'; readonly accounts: readonly [number, number] };
}

/** A room that was made; or, `existing`, the one that the pair had, or that the idempotency key made. */
export interface CreatedRoom extends Changed<RoomState> {
  readonly room: number;
  readonly existing: boolean;
}

/** Changes of a room's settings; what is not given stays. */
export type RoomChanges = { readonly [K in keyof Settings]?: Settings[K] | undefined };

/** Changes of who is in and with which roles; see the command in schemas/room.ts. */
export type MemberChanges = Omit<
  Extract<RoomCommand, { command: 'ChangeMembers' }>,
  'command' | 'workspace' | 'room' | 'by' | 'add' | 'historyFrom'
> & { readonly add?: readonly NewMember[]; readonly historyFrom?: number };

/** How somebody leaves; see the command in schemas/room.ts. */
export type LeaveOptions = Omit<
  Extract<RoomCommand, { command: 'LeaveRoom' }>,
  'command' | 'workspace' | 'room' | 'by' | 'account' | 'historyFrom'
> & { readonly account?: number };

/** What a change of a room left behind; `written` tells what really happened. */
export type ChangedRoom = Written<RoomState>;

/** Attempts at one command when other processes write to the same room: one that keeps losing to a busy one is patient. */
const maxConflicts = 200;
/** Attempts at a pair whose room is being deleted. */
const maxPairTries = 3;

/**
 * Commands on rooms: settings and membership. Every one is judged by the rules with its actor's account, 0 standing for the
 * master key.
 */
export class RoomCommands {
  readonly #options: RoomCommandsOptions;

  constructor(options: RoomCommandsOptions) {
    this.#options = options;
  }

  /**
   * Creates a room. Throws `not-found` for an account that does not exist (`details.account`), `access-denied` for another's
   * name, `room-full`, also where somebody else took the place of one of a pair.
   */
  async create(actor: Actor, input: RoomInput, keyed?: Keyed): Promise<CreatedRoom> {
    const { workspace } = actor;
    const creator = input.creator ?? actor.account;
    if (creator !== actor.account && actor.account !== SERVICE_ACCOUNT) throw new DomainError('access-denied');
    return this.#options.idempotency.once<{ room: number }, CreatedRoom>(actor, keyed, {
      make: async (claims) => {
        await this.checkAccounts(workspace, [creator, ...input.members.map((member) => member.account)]);
        return this.#create(actor, { ...input, creator }, claims);
      },
      replay: async ({ room: id }) => ({
        room: id,
        state: await this.stateOf(workspace, id),
        position: null,
        existing: true,
      }),
    });
  }

  async #create(
    actor: Actor,
    input: RoomInput & { creator: number },
    claims: (made: { room: number }) => Claim[],
  ): Promise<CreatedRoom> {
    const { door, ids } = this.#options;
    const { workspace } = actor;
    const pair = input.pair ? this.#pairClaim(workspace, input.pair) : null;
    for (let tries = 1; ; tries++) {
      try {
        return await ids.next(workspace, 'room', async (id) => {
          const made = { room: id };
          const own = pair === null ? [] : [{ name: pair, made: JSON.stringify(made) }];
          const command = createCommand(workspace, id, input, pair);
          const written = await door.execute(room, streams.room(workspace, id), command, actor, {
            isNew: true,
            claims: [...claims(made), ...own],
          });
          return { ...made, state: written.state, position: written.position, existing: false };
        });
      } catch (error) {
        if (!(error instanceof ClaimTakenError) || error.claim !== pair || error.by.made === null) throw error;
        const { room: id } = JSON.parse(error.by.made) as { room: number };
        const state = await this.stateOf(workspace, id);
        if (state.exists && !state.deleted) return { room: id, ...(await this.#wholePair(actor, id, state, input)) };
        if (tries === maxPairTries) throw new DomainError('unavailable');
        door.states.forget(streams.room(workspace, id));
      }
    }
  }

  /** Who of a pair has left its room is in again: what is sent there would reach nobody. */
  async #wholePair(
    actor: Actor,
    id: number,
    state: RoomState,
    { pair }: RoomInput,
  ): Promise<Omit<CreatedRoom, 'room'>> {
    const gone = (pair?.accounts ?? []).filter((each) => !memberOf(state.members, each));
    if (gone.length === 0) return { state, position: null, existing: true };
    const changed = await this.changeMembers({ ...actor, account: SERVICE_ACCOUNT }, id, {
      add: gone.map((each) => ({ account: each })),
    });
    return { state: changed.state, position: changed.position, existing: true };
  }

  /** The state of a room, as it is; at once when it is in memory. One that never was does not exist. */
  stateOf(workspace: number, id: number): RoomState | Promise<RoomState> {
    const { door } = this.#options;
    const stream = streams.room(workspace, id);
    return door.states.peek<RoomState>(stream)?.state ?? door.load(room, stream);
  }

  /** The room, when the actor may read it: as a member, where it is public, or by the master key. Throws `not-found`, `not-a-member`. */
  async readable(actor: Actor, id: number): Promise<RoomState> {
    const state = await this.stateOf(actor.workspace, id);
    if (!state.exists) throw new DomainError('not-found');
    const { account: by } = actor;
    if (by === SERVICE_ACCOUNT || state.visibility === 'public' || memberOf(state.members, by)) return state;
    throw new DomainError('not-a-member');
  }

  /** Changes settings. Throws `not-found`, `not-a-member`, `role-required`, `room-deleted`. */
  change(actor: Actor, id: number, changes: RoomChanges): Promise<ChangedRoom> {
    return this.#execute(actor, id, { command: 'ChangeRoom', ...this.#by(actor, id), ...given(changes) });
  }

  /**
   * Lets an account in: the actor itself unless told. `name` is what the account is called from here on, in every room, if
   * its profile has no name; the service account gives one. Throws `not-found` (room, or account in `details`), `join-closed`,
   * `already-member`, `room-full`, `access-denied`, `room-deleted`.
   */
  async join(
    actor: Actor,
    id: number,
    options: {
      readonly account?: number;
      readonly through?: 'id' | 'invite';
      readonly historyFrom?: number;
      readonly meta?: Record<string, unknown>;
      readonly name?: string;
    } = {},
  ): Promise<ChangedRoom> {
    const { account: who = actor.account, through = 'id', historyFrom = 0, meta, name } = options;
    if (name !== undefined && actor.account !== SERVICE_ACCOUNT) throw new DomainError('access-denied');
    if (who === SERVICE_ACCOUNT) throw new DomainError('value-invalid', undefined, { details: { field: 'account' } });
    await this.checkAccounts(actor.workspace, [who]);
    const joining = { account: who, through, historyFrom, ...(meta !== undefined && { meta }) };
    const command = { command: 'JoinRoom', ...this.#by(actor, id), ...joining } as const;
    if (name !== undefined) {
      // Who is told of the joining is told the name: it comes first, unless the joining is refused.
      room.decide(await this.stateOf(actor.workspace, id), command);
      await this.#name(actor, who, name);
    }
    return this.#execute(actor, id, command);
  }

  async #name(actor: Actor, id: number, displayName: string): Promise<void> {
    const { workspace } = actor;
    const command = { command: 'NameAccount', workspace, account: id, displayName } as const;
    await this.#options.door.execute(account, streams.account(workspace, id), command, actor);
  }

  /** Ends a membership: the actor's own unless told. Throws `not-found`, `not-a-member`, `access-denied`, `last-admin`. */
  leave(actor: Actor, id: number, { account: who = actor.account, ...rest }: LeaveOptions = {}): Promise<ChangedRoom> {
    const historyFrom = this.#options.door.clock.now();
    return this.#execute(actor, id, {
      command: 'LeaveRoom',
      ...this.#by(actor, id),
      account: who,
      historyFrom,
      ...rest,
    });
  }

  /**
   * Removes, adds, sets roles; accounts for whom that is so already are passed over. Throws `not-found` (room, or an account
   * to add, in `details`), `not-a-member`, `role-required`, `room-full`, `last-admin`, `room-deleted`.
   */
  async changeMembers(actor: Actor, id: number, changes: MemberChanges): Promise<ChangedRoom> {
    const { add, historyFrom = 0, ...rest } = changes;
    // Who may not change them is not told which accounts there are.
    if (add) {
      await this.readable(actor, id);
      await this.checkAccounts(
        actor.workspace,
        add.map((member) => member.account),
      );
    }
    return this.#execute(actor, id, {
      command: 'ChangeMembers',
      ...this.#by(actor, id),
      ...rest,
      ...(add && { add: add.map(asMember) }),
      historyFrom,
    });
  }

  /** Hides what was posted up to a time from the actor. Throws `not-found`, `not-a-member`. */
  hideHistory(actor: Actor, id: number, until: number): Promise<ChangedRoom> {
    const { workspace, account: who } = actor;
    return this.#execute(actor, id, { command: 'HideHistory', workspace, room: id, account: who, until });
  }

  /** Switches a room off, for a reason other than the sweep's. Throws `not-found`, `not-a-member`, `role-required`. */
  deactivate(actor: Actor, id: number, reason: string): Promise<ChangedRoom> {
    return this.#execute(actor, id, { command: 'DeactivateRoom', ...this.#by(actor, id), reason });
  }

  /** Switches a room on again. Throws `not-found`, `not-a-member`, `role-required`. */
  activate(actor: Actor, id: number): Promise<ChangedRoom> {
    return this.#execute(actor, id, { command: 'ActivateRoom', ...this.#by(actor, id) });
  }

  /** A message is about to come: a room that only the sweep switched off is on again. */
  revive(actor: Actor, id: number): Promise<ChangedRoom> {
    return this.#execute(actor, id, { command: 'ReviveRoom', workspace: actor.workspace, room: id });
  }

  /** Deletes a room, with all its content or keeping it closed. Throws `not-found`, `not-a-member`, `role-required`. */
  delete(actor: Actor, id: number, { erase }: { readonly erase: boolean }): Promise<ChangedRoom> {
    return this.#execute(actor, id, { command: 'DeleteRoom', ...this.#by(actor, id), erase });
  }

  /** Throws `not-found`, with `details.account`, unless all these accounts exist. The service account always does. */
  async checkAccounts(workspace: number, accounts: readonly number[]): Promise<void> {
    const { door } = this.#options;
    await Promise.all(
      [...new Set(accounts)].map(async (id) => {
        if (id === SERVICE_ACCOUNT) return;
        const { exists } = await door.load(account, streams.account(workspace, id));
        if (!exists) throw new DomainError('not-found', undefined, { details: { account: id } });
      }),
    );
  }

  #by(actor: Actor, id: number): { workspace: number; room: number; by: number } {
    return { workspace: actor.workspace, room: id, by: actor.account };
  }

  #execute(actor: Actor, id: number, command: RoomCommand): Promise<ChangedRoom> {
    return this.#options.door.execute(room, streams.room(actor.workspace, id), command, actor, {
      maxConflicts,
      releasesOf: ({ claim }, events) =>
        claim !== null && events.some(({ type }) => type === 'RoomDeleted') ? [claim] : [],
    });
  }

  #pairClaim(workspace: number, { rule, accounts: [a, b] }: NonNullable<RoomInput['pair']>): string {
    const pair = rule === 'unordered' && a > b ? [b, a] : [a, b];
    const digest = hmac(this.#options.nameKey, 'room pair', rule, String(workspace), ...pair.map(String));
    return `pair-${digest.toString('base64url')}`;
  }
}

function createCommand(
  workspace: number,
  id: number,
  input: RoomInput & { readonly creator: number },
  claim: string | null,
): Create {
  return {
    command: 'CreateRoom',
    workspace,
    room: id,
    kind: input.kind,
    name: input.name ?? null,
    description: input.description ?? null,
    avatar: input.avatar ?? null,
    joinPolicy: input.joinPolicy,
    postPolicy: input.postPolicy ?? 'members',
    visibility: input.visibility ?? 'members',
    maxMembers: input.maxMembers ?? null,
    meta: input.meta ?? null,
    creator: input.creator,
    claim,
    members: input.members.map(asMember),
    historyFrom: input.historyFrom ?? 0,
  };
}

function asMember({ account: id, roles = [], meta }: NewMember): Create['members'][number] {
  return { account: id, roles: [...roles], ...(meta !== undefined && { meta }) };
}

/** The fields that were given: an event holds no `undefined`. */
function given<T extends object>(changes: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
