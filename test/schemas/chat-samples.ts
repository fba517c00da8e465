/** Data of every event type of the chat core. */
import fc from 'fast-check';
import { type EventData, type EventType, identifierKinds, roomKinds, roomRoles } from '../../schemas/index.ts';
import { accountRef, id, millis, text } from '../domain/arbitraries.ts';
import { body, deviceDetails, meta, posted, settings } from '../domain/chat-arbitraries.ts';

type ChatEventType = Extract<
  EventType,
  | `Account${'Deactivated' | 'Activated' | 'Deleted' | 'Erased'}`
  | 'PresenceDeclared'
  | 'VerificationStarted'
  | 'IdentifierVerified'
  | `ScopedKey${string}`
  | `Device${string}`
  | `Room${string}`
  | `Member${string}`
  | `Message${string}`
  | 'HistoryHidden'
  | 'WatermarkMoved'
  | 'ReceiptRecorded'
>;

const account = { workspace: id, account: id };
const device = { workspace: id, device: id };
const room = { workspace: id, room: id };
const membership = { ...room, account: id, membership: id };
const message = { ...room, message: id };
const kind = fc.constantFrom(...identifierKinds);
const roles = fc.array(fc.constantFrom(...roomRoles));

/** Data of every event type of the chat core; the compiler sees to it that none is missing. */
export const chatSamples: { readonly [T in ChatEventType]: fc.Arbitrary<EventData<T>> } = {
  VerificationStarted: fc.record({ ...account, kind, codeHash: text }),
  IdentifierVerified: fc.record({ ...account, kind }),
  AccountDeactivated: accountRef,
  AccountActivated: accountRef,
  AccountDeleted: fc.record({ ...account, messages: fc.constantFrom('keep', 'erase') }),
  PresenceDeclared: fc.record({ ...account, online: fc.boolean() }),
  ScopedKeyIssued: fc.record({
    ...account,
    secretHash: text,
    sealed: fc.option(text),
    permissions: fc.option(fc.array(text)),
    expiresAt: fc.option(millis),
  }),
  ScopedKeyRevoked: accountRef,
  DeviceRegistered: fc.record({ ...device, account: id, identifier: text, claim: text }),
  DeviceChanged: fc.record({ ...device, account: id, ...deviceDetails }, { requiredKeys: ['workspace', 'device'] }),
  DeviceTokenIssued: fc.record({ ...device, secretHash: text, sealed: text, expiresAt: fc.option(millis) }),
  DeviceTokenEnded: fc.record(device),
  DeviceDeleted: fc.record(device),
  RoomCreated: fc.record({ ...room, ...settings, creator: id, claim: fc.option(text) }),
  RoomChanged: fc.record({ ...room, ...settings }, { requiredKeys: ['workspace', 'room'] }),
  MembershipStarted: fc.record(
    { ...membership, roles, historyFrom: millis, meta },
    { requiredKeys: ['workspace', 'room', 'account', 'membership', 'roles', 'historyFrom'] },
  ),
  MembershipEnded: fc.record(membership),
  MemberRolesChanged: fc.record({ ...membership, roles }),
  HistoryHidden: fc.record({ ...membership, until: millis }),
  RoomDeactivated: fc.record({ ...room, reason: text }),
  RoomActivated: fc.record(room),
  RoomDeleted: fc.record({ ...room, erase: fc.boolean() }),
  WatermarkMoved: fc.record({ ...room, account: id, message: id }),
  MessagePosted: fc.record({ ...message, ...posted, body }),
  MessageEdited: fc.record(
    { ...message, text, meta: fc.option(meta) },
    { requiredKeys: ['workspace', 'room', 'message', 'text'] },
  ),
  MessageDeleted: fc.record({ ...message, account: id, scope: fc.constantFrom('everyone', 'account') }),
  ReceiptRecorded: fc.record({ ...message, account: id, status: fc.constantFrom('delivered', 'read') }),
  AccountErased: fc.record({
    ...account,
    kind: fc.constantFrom('person', 'bot', 'service'),
    openedAt: millis,
    messages: fc.constantFrom('keep', 'erase'),
    devices: fc.array(id),
  }),
  DeviceErased: fc.record({ ...device, account: id }),
  RoomErased: fc.record({ ...room, kind: fc.constantFrom(...roomKinds), createdAt: millis }),
  MessagesErased: fc.record({
    ...room,
    items: fc.array(
      fc.record({
        message: id,
        sender: id,
        profileRevision: fc.nat(),
        device: fc.option(id),
        kind: fc.constantFrom('text', 'file', 'poll', 'action', 'invite', 'custom'),
        label: fc.option(text),
        replyTo: posted.replyTo,
        forwardedFrom: fc.option(id),
        audience: posted.audience,
        edits: fc.nat(),
        editedAt: fc.option(millis),
        postedAt: millis,
        deletedBy: id,
        deletedAt: millis,
      }),
    ),
  }),
};
