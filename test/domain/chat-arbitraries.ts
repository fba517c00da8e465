/** Random commands of the chat core, and random data of its events. Few accounts, so that they meet. */
import fc from 'fast-check';
import type { ReceiptCommand } from '../../schemas/index.ts';
import {
  AUTO_INACTIVE,
  joinPolicies,
  type MessageBody,
  mediaKinds,
  postPolicies,
  type RoomCommand,
  roomKinds,
  roomRoles,
  visibilities,
} from '../../schemas/index.ts';
import type { DeviceCommand } from '../../src/domain/device.ts';
import type { MessageCommand } from '../../src/domain/message.ts';
import type { PresenceCommand } from '../../src/domain/presence.ts';
import type { WatermarkCommand } from '../../src/domain/receipt.ts';
import { room } from '../../src/domain/room.ts';
import { id, millis, text } from './arbitraries.ts';
import { decided, stateAfter } from './given.ts';

const few = fc.integer({ min: 0, max: 3 });
const fewAccounts = fc.array(few, { maxLength: 4 });
const roles = fc.array(fc.constantFrom(...roomRoles), { maxLength: 3 });

/** What clients attach. (`__proto__`, which `text` may be, is no key of theirs that is kept.) */
export const meta = fc.dictionary(
  fc.constantFrom('a', 'b'),
  fc.oneof(text, fc.boolean(), fc.constant(null), fewAccounts),
);

/** The settings of a room, each a field. */
export const settings = {
  kind: fc.constantFrom(...roomKinds),
  name: fc.option(text),
  description: fc.option(text),
  avatar: fc.option(id),
  joinPolicy: fc.constantFrom(...joinPolicies),
  postPolicy: fc.constantFrom(...postPolicies),
  visibility: fc.constantFrom(...visibilities),
  maxMembers: fc.option(fc.integer({ min: 1, max: 4 })),
  meta: fc.option(meta),
};

const roomRef = { workspace: fc.constant(2), room: fc.constant(5) };
const newMember = fc.record({ account: few, roles, meta }, { requiredKeys: ['account', 'roles'] });
const afterwards = { requireAdmin: fc.boolean(), deleteWhenEmpty: fc.boolean() };

const createRoom = fc.record({
  command: fc.constant('CreateRoom' as const),
  ...roomRef,
  ...settings,
  creator: few,
  claim: fc.option(text),
  members: fc.array(newMember, { maxLength: 4 }),
  historyFrom: millis,
});

const roomCommand: fc.Arbitrary<RoomCommand> = fc.oneof(
  createRoom,
  fc.record(
    { command: fc.constant('ChangeRoom' as const), ...roomRef, by: few, ...settings },
    { requiredKeys: ['command', 'workspace', 'room', 'by'] },
  ),
  fc.record(
    {
      command: fc.constant('JoinRoom' as const),
      ...roomRef,
      by: few,
      account: few,
      through: fc.constantFrom('id', 'invite'),
      historyFrom: millis,
      meta,
    },
    { requiredKeys: ['command', 'workspace', 'room', 'by', 'account', 'through', 'historyFrom'] },
  ),
  fc.record(
    {
      command: fc.constant('LeaveRoom' as const),
      ...roomRef,
      by: few,
      account: few,
      historyFrom: millis,
      successors: fewAccounts,
      ...afterwards,
    },
    { requiredKeys: ['command', 'workspace', 'room', 'by', 'account', 'historyFrom'] },
  ),
  {
    weight: 3,
    arbitrary: fc.record(
      {
        command: fc.constant('ChangeMembers' as const),
        ...roomRef,
        by: few,
        remove: fewAccounts,
        add: fc.array(newMember, { maxLength: 3 }),
        roles: fc.array(fc.record({ account: few, roles }), { maxLength: 3 }),
        historyFrom: millis,
        ...afterwards,
      },
      { requiredKeys: ['command', 'workspace', 'room', 'by', 'historyFrom'] },
    ),
  },
  fc.record({ command: fc.constant('HideHistory' as const), ...roomRef, account: few, until: millis }),
  {
    weight: 3,
    arbitrary: fc.record({
      command: fc.constant('DeactivateRoom' as const),
      ...roomRef,
      by: few,
      reason: fc.constantFrom('manual', AUTO_INACTIVE),
    }),
  },
  { weight: 3, arbitrary: fc.record({ command: fc.constant('ActivateRoom' as const), ...roomRef, by: few }) },
  fc.record({ command: fc.constant('ReviveRoom' as const), ...roomRef }),
  fc.record({ command: fc.constant('DeleteRoom' as const), ...roomRef, by: few, erase: fc.boolean() }),
);

/** Commands of one room, created first. */
export const roomCommands: fc.Arbitrary<RoomCommand[]> = fc
  .tuple(createRoom, fc.array(roomCommand, { maxLength: 12 }))
  .map(([first, rest]) => [first, ...rest]);

/** A room as some commands left it. */
const standing = roomCommands.map((commands) =>
  commands.reduce((state, command) => {
    const events = decided(room, state, command);
    if (typeof events === 'string') return state;
    return events.reduce((current, happened) => room.evolve(current, { ...happened, at: 7 }), state);
  }, room.initial),
);

const attachment = fc.record(
  { file: id, thumb: id, url: text, name: text, sizeBytes: fc.nat(), mimeType: text },
  { requiredKeys: [] },
);

/** What a message says. */
export const body: fc.Arbitrary<MessageBody> = fc.oneof(
  fc.record({ kind: fc.constant('text' as const), text }),
  fc.record(
    { kind: fc.constant('file' as const), media: fc.constantFrom(...mediaKinds), text, attachment, label: text },
    { requiredKeys: ['kind', 'media', 'text', 'attachment'] },
  ),
  fc.record({ kind: fc.constant('poll' as const), text, options: fc.array(text) }),
  fc.record({ kind: fc.constant('action' as const), text, actions: fc.array(text) }),
  fc.record({ kind: fc.constant('invite' as const), text: fc.constant('' as const), invited: id }),
  fc.record(
    { kind: fc.constant('custom' as const), label: text, text, attachment },
    { requiredKeys: ['kind', 'label', 'text'] },
  ),
);

/** What an event of a posted message says beyond which message it is. */
export const posted = {
  sender: few,
  profileRevision: fc.nat(),
  senderName: fc.option(text),
  device: fc.option(id),
  body,
  meta: fc.option(meta),
  replyTo: fc.option(fc.record({ message: id, edit: fc.nat() })),
  forwardedFrom: fc.option(id),
  audience: fc.option(fc.record({ receivers: fewAccounts, total: fc.nat() })),
};

const messageRef = { ...roomRef, message: fc.constant(9) };
const maxTextCharacters = fc.constantFrom(0, 5, 10_000);

const messageCommand: fc.Arbitrary<MessageCommand> = fc.oneof(
  fc.record(
    { command: fc.constant('PostMessage' as const), ...messageRef, standing, by: few, ...posted, maxTextCharacters },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      command: fc.constant('EditMessage' as const),
      ...messageRef,
      standing,
      by: few,
      text,
      meta: fc.option(meta),
      maxTextCharacters,
    },
    { requiredKeys: ['command', 'workspace', 'room', 'message', 'standing', 'by', 'text'] },
  ),
  fc.record({
    command: fc.constant('DeleteMessage' as const),
    ...messageRef,
    standing,
    by: few,
    scope: fc.constantFrom('everyone', 'account'),
  }),
);

/** Commands of one message, posted first by the service account into a room that takes it. */
export const messageCommands: fc.Arbitrary<MessageCommand[]> = fc
  .tuple(
    createRoom,
    fc.record({ command: fc.constant('PostMessage' as const), ...messageRef, by: fc.constant(0), ...posted }),
    fc.array(messageCommand, { maxLength: 8 }),
  )
  .map(([create, post, rest]) => {
    const events = decided(room, room.initial, { ...create, maxMembers: null });
    const open = stateAfter(room, typeof events === 'string' ? [] : events);
    return [{ ...post, standing: open }, ...rest];
  });

/** Commands of one account's receipts of one message. */
export const receiptCommands: fc.Arbitrary<ReceiptCommand[]> = fc.array(
  fc.record({
    command: fc.constant('RecordReceipt' as const),
    ...messageRef,
    account: fc.constant(3),
    status: fc.constantFrom('delivered', 'read'),
  }),
  { maxLength: 4 },
);

/** Commands of one watermark. */
export const watermarkCommands: fc.Arbitrary<WatermarkCommand[]> = fc.array(
  fc.record({ command: fc.constant('MoveWatermark' as const), ...roomRef, account: id, message: id }),
  { maxLength: 3 },
);

/** Commands of one declared presence. */
export const presenceCommands: fc.Arbitrary<PresenceCommand[]> = fc.array(
  fc.record({
    command: fc.constant('DeclarePresence' as const),
    workspace: id,
    account: id,
    online: fc.boolean(),
  }),
  { maxLength: 5 },
);

const deviceRef = { workspace: fc.constant(2), device: fc.constant(4) };

/** What is known of a device beyond whose it is. */
export const deviceDetails = {
  deviceType: fc.option(text),
  name: fc.option(text),
  osName: fc.option(text),
  osVersion: fc.option(text),
  appVersion: fc.option(text),
  pushToken: fc.option(text),
};

/** Commands of one device, nearly always registered first. */
export const deviceCommands: fc.Arbitrary<DeviceCommand[]> = fc.array(
  fc.oneof(
    fc.record({
      command: fc.constant('RegisterDevice' as const),
      ...deviceRef,
      account: few,
      identifier: text,
      claim: text,
      details: fc.record(deviceDetails, { requiredKeys: [] }),
    }),
    fc.record(
      { command: fc.constant('ChangeDevice' as const), ...deviceRef, account: few, ...deviceDetails },
      { requiredKeys: ['command', 'workspace', 'device'] },
    ),
    fc.record({
      command: fc.constant('IssueDeviceToken' as const),
      ...deviceRef,
      secretHash: text,
      sealed: text,
      expiresAt: fc.option(millis),
    }),
    fc.record({ command: fc.constant('EndDeviceToken' as const), ...deviceRef }),
    fc.record({ command: fc.constant('DeleteDevice' as const), ...deviceRef }),
  ),
  { maxLength: 8 },
);
