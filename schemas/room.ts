import { z } from 'zod';
import { fileId, id, millis, openMeta } from './common.ts';
import { defineEvent } from './event.ts';

/** Kinds of conversation. A private one is between its members (ChatAPI's `direct`, a conversation of Company). */
export const roomKinds = ['private', 'group', 'channel', 'support'] as const;
/** Who may start a membership of their own: whoever knows the id, whoever has the invite code, nobody. */
export const joinPolicies = ['open', 'invite', 'closed'] as const;
/** Who may post: every member, or those with a role (Omni Chat's broadcast). */
export const postPolicies = ['members', 'admins'] as const;
/** Who may read: members, or anybody, without an account too. */
export const visibilities = ['members', 'public'] as const;
/** What a member can be beyond a member. Either manages the room. */
export const roomRoles = ['owner', 'admin'] as const;

/** A set of roles: sorted, none twice; empty for a plain member. */
export const roleSet = z.array(z.enum(roomRoles));

/** Why the sweep deactivates a room; a message revives one that is inactive for this reason, and no other. */
export const AUTO_INACTIVE = 'auto_inactive';

/** Days without a message after which a room counts as inactive (ChatAPI sheet, section 8), the configuration's defaults. */
export const inactiveAfterDays = { private: 90, group: 30, channel: 180, support: 7 } as const;

const roomRef = z.object({ workspace: id, room: id });
const membershipRef = roomRef.extend({ account: id, membership: id });

const settings = z.object({
  kind: z.enum(roomKinds),
  name: z.string().nullable(),
  description: z.string().nullable(),
  avatar: fileId.nullable(),
  joinPolicy: z.enum(joinPolicies),
  postPolicy: z.enum(postPolicies),
  visibility: z.enum(visibilities),
  /** Null: no limit. */
  maxMembers: z.int().min(1).nullable(),
  meta: openMeta.nullable(),
});

/** Streams: one per room, for its membership and settings; one per watermark, which nobody loads. */
export const roomEvents = {
  /**
   * `creator` is who started it, a member or not. `claim` is the name that the room holds while it is not deleted, as its
   * command chose it: an ordered pair, an unordered one, none.
   */
  RoomCreated: defineEvent(roomRef.extend({ ...settings.shape, creator: id, claim: z.string().nullable() })),
  /** Only the fields given change. */
  RoomChanged: defineEvent(
    roomRef.extend({
      kind: settings.shape.kind.optional(),
      name: settings.shape.name.optional(),
      description: settings.shape.description.optional(),
      avatar: settings.shape.avatar.optional(),
      joinPolicy: settings.shape.joinPolicy.optional(),
      postPolicy: settings.shape.postPolicy.optional(),
      visibility: settings.shape.visibility.optional(),
      maxMembers: settings.shape.maxMembers.optional(),
      meta: settings.shape.meta.optional(),
    }),
  ),
  /**
   * `membership` counts the memberships of the room from 1: who comes back has a new, higher one. Messages from `historyFrom`
   * on are shown, all of them for 0.
   */
  MembershipStarted: defineEvent(
    membershipRef.extend({ roles: roleSet, historyFrom: millis, meta: openMeta.optional() }),
  ),
  /** Left or removed: the actor of the event tells. */
  MembershipEnded: defineEvent(membershipRef),
  /** The whole set that the member has now. */
  MemberRolesChanged: defineEvent(membershipRef.extend({ roles: roleSet })),
  /** The member is shown nothing that was posted up to this time, and the room itself only once something follows. */
  HistoryHidden: defineEvent(membershipRef.extend({ until: millis })),
  /** It takes no messages. With AUTO_INACTIVE as its reason the rule at query time had said so already. */
  RoomDeactivated: defineEvent(roomRef.extend({ reason: z.string() })),
  RoomActivated: defineEvent(roomRef),
  /** Its claim ends. With `erase` it does not exist from here on and erasing its content follows; else it stays, closed. */
  RoomDeleted: defineEvent(roomRef.extend({ erase: z.boolean() })),
  /** The account has read everything up to and including `message`. The highest counts, whatever the order. */
  WatermarkMoved: defineEvent(roomRef.extend({ account: id, message: id })),
};

/** Whoever acts: an account of the room's workspace, or the service account. */
const by = z.object({ by: id });
const wantedRoles = roleSet.readonly();
const newMember = z.object({ account: id, roles: wantedRoles, meta: openMeta.exactOptional() });
/** What must hold of who is left, where the dialect of the command says so. */
const afterwards = {
  /** Refused when members would remain but no one of them with a role. */
  requireAdmin: z.boolean().exactOptional(),
  /** A room that nobody is left in is deleted, its content erased. */
  deleteWhenEmpty: z.boolean().exactOptional(),
};

/** Commands of a room. Times are milliseconds since the epoch; `now` is the node's. */
export const roomCommand = z.discriminatedUnion('command', [
  roomRef.extend({
    command: z.literal('CreateRoom'),
    ...settings.shape,
    creator: id,
    claim: z.string().nullable(),
    members: z.array(newMember).readonly(),
    historyFrom: millis,
  }),
  roomRef.extend({
    command: z.literal('ChangeRoom'),
    ...by.shape,
    kind: settings.shape.kind.exactOptional(),
    name: settings.shape.name.exactOptional(),
    description: settings.shape.description.exactOptional(),
    avatar: settings.shape.avatar.exactOptional(),
    joinPolicy: settings.shape.joinPolicy.exactOptional(),
    postPolicy: settings.shape.postPolicy.exactOptional(),
    visibility: settings.shape.visibility.exactOptional(),
    maxMembers: settings.shape.maxMembers.exactOptional(),
    meta: settings.shape.meta.exactOptional(),
  }),
  /** An account joins by itself, or the service account joins it. */
  roomRef.extend({
    command: z.literal('JoinRoom'),
    ...by.shape,
    account: id,
    through: z.enum(['id', 'invite']),
    historyFrom: millis,
    meta: openMeta.exactOptional(),
  }),
  /** `successors` get a role, and a membership where they have none, when nobody with one would remain. */
  roomRef.extend({
    command: z.literal('LeaveRoom'),
    ...by.shape,
    account: id,
    historyFrom: millis,
    successors: z.array(id).readonly().exactOptional(),
    ...afterwards,
  }),
  /** Removes, then adds, then sets roles. Accounts for whom that is so already are passed over. */
  roomRef.extend({
    command: z.literal('ChangeMembers'),
    ...by.shape,
    remove: z.array(id).readonly().exactOptional(),
    add: z.array(newMember).readonly().exactOptional(),
    roles: z
      .array(z.object({ account: id, roles: wantedRoles }))
      .readonly()
      .exactOptional(),
    historyFrom: millis,
    ...afterwards,
  }),
  roomRef.extend({ command: z.literal('HideHistory'), account: id, until: millis }),
  roomRef.extend({ command: z.literal('DeactivateRoom'), ...by.shape, reason: z.string() }),
  roomRef.extend({ command: z.literal('ActivateRoom'), ...by.shape }),
  /** A message is about to come: activates a room that is inactive for AUTO_INACTIVE. */
  roomRef.extend({ command: z.literal('ReviveRoom') }),
  roomRef.extend({ command: z.literal('DeleteRoom'), ...by.shape, erase: z.boolean() }),
]);

/** A command of a room. */
export type RoomCommand = z.infer<typeof roomCommand>;
