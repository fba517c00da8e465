/** The rules of messages, their receipts, devices and declared presence. */
import t from 'tap';
import { AUTO_INACTIVE, type EventData, event, type MessageBody } from '../../schemas/index.ts';
import { device } from '../../src/domain/device.ts';
import { DomainError } from '../../src/domain/errors.ts';
import { answering, canSee, judgePost, message } from '../../src/domain/message.ts';
import { presence } from '../../src/domain/presence.ts';
import { receipt, watermark } from '../../src/domain/receipt.ts';
import { room } from '../../src/domain/room.ts';
import { given, stateAfter } from './given.ts';
import { groupCreated } from './rooms.ts';

const inRoom = { workspace: 2, room: 5 };
const ref = { ...inRoom, message: 9 };

const created = groupCreated(inRoom);
const admin = event('MembershipStarted', { ...inRoom, account: 1, membership: 1, roles: ['admin'], historyFrom: 0 });
const member = event('MembershipStarted', { ...inRoom, account: 2, membership: 2, roles: [], historyFrom: 0 });
const rooms = [created, admin, member];
const standing = stateAfter(room, rooms);

const text: MessageBody = { kind: 'text', text: 'hello' };
const data: EventData<'MessagePosted'> = {
  ...ref,
  sender: 2,
  profileRevision: 4,
  senderName: null,
  device: null,
  body: text,
  meta: { tags: ['a'] },
  replyTo: null,
  forwardedFrom: null,
  audience: null,
};
const posted = event('MessagePosted', data);
const post = { command: 'PostMessage', ...data, by: 2, standing } as const;
const deleted = event('MessageDeleted', { ...ref, account: 2, scope: 'everyone' });

t.test('posting, judged against the room as its node saw it', async (t) => {
  given(t, message).when(post).yields([posted]);
  given(t, message, [posted]).when(post).yields('already-exists');
  given(t, message)
    .when({ ...post, by: 3, sender: 3 })
    .yields('not-a-member');
  given(t, message)
    .when({ ...post, by: 1 })
    .yields('access-denied', 'in the name of another');
  given(t, message)
    .when({ ...post, by: 0, sender: 3, senderName: 'Robot' })
    .yields([event('MessagePosted', { ...data, sender: 3, senderName: 'Robot' })], 'a master key may');

  const states = {
    'not-found': stateAfter(room, []),
    'room-inactive': stateAfter(room, [...rooms, event('RoomDeactivated', { ...inRoom, reason: 'closed' })]),
    'room-deleted': stateAfter(room, [...rooms, event('RoomDeleted', { ...inRoom, erase: false })]),
    'role-required': stateAfter(room, [...rooms, event('RoomChanged', { ...inRoom, postPolicy: 'admins' })]),
  } as const;
  for (const [code, seen] of Object.entries(states) as [keyof typeof states, typeof standing][]) {
    given(t, message)
      .when({ ...post, standing: seen })
      .yields(code);
    t.throws(() => judgePost(seen, 2), new DomainError(code));
  }
  given(t, message)
    .when({ ...post, standing: states['room-inactive'], by: 0 })
    .yields('room-inactive', 'for a master key too');
  given(t, message)
    .when({ ...post, standing: states['role-required'], by: 1, sender: 1 })
    .yields([event('MessagePosted', { ...data, sender: 1 })]);
  const asleep = stateAfter(room, [...rooms, event('RoomDeactivated', { ...inRoom, reason: AUTO_INACTIVE })]);
  given(t, message)
    .when({ ...post, standing: asleep })
    .yields([posted], 'a message revives what fell asleep');
});

t.test('what a message says', async (t) => {
  const attachment = { url: 'https://files/1' };
  const refused: [MessageBody, 'content-empty' | 'content-too-long'][] = [
    [{ kind: 'text', text: ' \n' }, 'content-empty'],
    [{ kind: 'custom', label: 'x', text: '' }, 'content-empty'],
    [{ kind: 'text', text: 'too long' }, 'content-too-long'],
    [{ kind: 'file', media: 'image', text: 'too long', attachment }, 'content-too-long'],
    [{ kind: 'poll', text: 'lunch', options: ['soup', 'dumplings'] }, 'content-too-long'],
    [{ kind: 'action', text: 'pick', actions: ['accept'] }, 'content-too-long'],
  ];
  for (const [body, code] of refused) {
    given(t, message)
      .when({ ...post, body, maxTextCharacters: 5 })
      .yields(code);
  }
  const taken: MessageBody[] = [
    { kind: 'text', text: 'fives' },
    { kind: 'file', media: 'image', text: '', attachment },
    { kind: 'custom', label: 'x', text: '', attachment },
    { kind: 'invite', text: '', invited: 6 },
  ];
  for (const body of taken) {
    given(t, message)
      .when({ ...post, body, maxTextCharacters: 5 })
      .yields([event('MessagePosted', { ...data, body })]);
  }
});

t.test('editing', async (t) => {
  const command = { command: 'EditMessage', ...ref, by: 2, text: 'bye', standing } as const;
  const edited = event('MessageEdited', { ...ref, text: 'bye' });
  given(t, message).when(command).yields('not-found');
  given(t, message, [posted]).when(command).yields([edited]);
  given(t, message, [posted])
    .when({ ...command, meta: null })
    .yields([event('MessageEdited', { ...ref, text: 'bye', meta: null })]);
  given(t, message, [posted, deleted]).when(command).yields('not-found');
  given(t, message, [posted])
    .when({ ...command, room: 6 })
    .yields('not-found');
  given(t, message, [posted])
    .when({ ...command, by: 1 })
    .yields('not-the-sender', 'nor may an admin');
  given(t, message, [posted])
    .when({ ...command, by: 3 })
    .yields('not-a-member');
  given(t, message, [posted])
    .when({ ...command, by: 0 })
    .yields([edited]);
  given(t, message, [posted])
    .when({ ...command, text: ' ' })
    .yields('content-empty');
  given(t, message, [posted])
    .when({ ...command, maxTextCharacters: 2 })
    .yields('content-too-long');
  const poll = event('MessagePosted', { ...data, body: { kind: 'poll', text: 'x', options: [] } });
  given(t, message, [poll]).when(command).yields('not-editable');
  t.match(stateAfter(message, [posted, edited]), {
    body: { kind: 'text', text: 'bye' },
    meta: { tags: ['a'] },
    edits: 1,
    postedAt: 1,
    editedAt: 2,
  });
});

t.test('deleting, for everyone and for one', async (t) => {
  const command = { command: 'DeleteMessage', ...ref, by: 2, scope: 'everyone', standing } as const;
  given(t, message, [posted]).when(command).yields([deleted]);
  given(t, message, [posted])
    .when({ ...command, by: 0 })
    .yields([event('MessageDeleted', { ...ref, account: 0, scope: 'everyone' })]);
  given(t, message, [posted])
    .when({ ...command, by: 1 })
    .yields('not-the-sender');
  given(t, message, [posted, deleted]).when(command).yields('not-found');
  const forOne = event('MessageDeleted', { ...ref, account: 1, scope: 'account' });
  given(t, message, [posted])
    .when({ ...command, by: 1, scope: 'account' })
    .yields([forOne]);
  given(t, message, [posted, forOne])
    .when({ ...command, by: 1, scope: 'account' })
    .yields([]);
  t.match(stateAfter(message, [posted, deleted]), { exists: true, deleted: true, body: null, meta: null });

  const left = stateAfter(room, [...rooms, event('MembershipEnded', { ...inRoom, account: 2, membership: 2 })]);
  given(t, message, [posted])
    .when({ ...command, standing: left })
    .yields('not-a-member', 'who left deletes nothing');
});

t.test('who sees it', async (t) => {
  const at = 100;
  const seen = stateAfter(message, [{ ...posted, at }]);
  t.same(
    [0, 1, 2, 3, null].map((account) => canSee(standing, seen, account)),
    [true, true, true, false, false],
  );
  const open = stateAfter(room, [...rooms, event('RoomChanged', { ...inRoom, visibility: 'public' })]);
  t.same(
    [3, null].map((account) => canSee(open, seen, account)),
    [true, true],
  );
  const joins = [100, 101].map((historyFrom) =>
    stateAfter(room, [created, event('MembershipStarted', { ...member.data, historyFrom })]),
  );
  t.same(
    joins.map((state) => canSee(state, seen, 2)),
    [true, false],
  );
  const hides = [99, 100].map((until) =>
    stateAfter(room, [...rooms, event('HistoryHidden', { ...inRoom, account: 2, membership: 2, until })]),
  );
  t.same(
    hides.map((state) => canSee(state, seen, 2)),
    [true, false],
  );
  const forOne = event('MessageDeleted', { ...ref, account: 1, scope: 'account' });
  const hidden = stateAfter(message, [
    { ...posted, at },
    { ...forOne, at: 101 },
  ]);
  t.same(
    [1, 2].map((account) => canSee(standing, hidden, account)),
    [false, true],
  );
  const frozen = stateAfter(message, [event('MessagePosted', { ...data, audience: { receivers: [2], total: 2 } })]);
  t.same(
    [1, 2, null].map((account) => canSee(open, frozen, account)),
    [false, true, false],
  );
  t.notOk(canSee(standing, stateAfter(message, [posted, deleted]), 2));
  t.notOk(canSee(stateAfter(room, []), seen, 0), 'not in a room that is gone');

  const edited = stateAfter(message, [posted, event('MessageEdited', { ...ref, text: 'bye' })]);
  t.same(answering(standing, edited, 2), { message: 9, edit: 1 });
  const elsewhere = stateAfter(room, [event('RoomCreated', { ...created.data, room: 6 }), member]);
  const unseen = new DomainError('reply-not-found');
  t.throws(() => answering(elsewhere, edited, 2), unseen);
  t.throws(() => answering(standing, stateAfter(message, []), 2), unseen);
});

t.test('receipts and watermarks', async (t) => {
  const command = { command: 'RecordReceipt', ...ref, account: 1, status: 'read' } as const;
  const delivered = event('ReceiptRecorded', { ...ref, account: 1, status: 'delivered' });
  const read = event('ReceiptRecorded', { ...ref, account: 1, status: 'read' });
  given(t, receipt).when(command).yields([delivered, read], 'what was read was delivered first');
  given(t, receipt, [delivered]).when(command).yields([read]);
  given(t, receipt, [delivered, read]).when(command).yields([]);
  given(t, receipt)
    .when({ ...command, status: 'delivered' })
    .yields([delivered]);
  given(t, receipt, [delivered])
    .when({ ...command, status: 'delivered' })
    .yields([]);

  const moved = event('WatermarkMoved', { ...inRoom, account: 1, message: 9 });
  const move = { command: 'MoveWatermark', ...moved.data } as const;
  given(t, watermark).when(move).yields([moved]);
  given(t, watermark, [moved]).when(move).yields([]);
});

t.test('declared presence', async (t) => {
  const declared = event('PresenceDeclared', { workspace: 2, account: 1, online: true });
  const command = { command: 'DeclarePresence', workspace: 2, account: 1 } as const;
  given(t, presence)
    .when({ ...command, online: false })
    .yields([], 'nobody was online before');
  given(t, presence)
    .when({ ...command, online: true })
    .yields([declared]);
  given(t, presence, [declared])
    .when({ ...command, online: true })
    .yields([]);
  t.same(presence.initial.changedAt, null);
  t.same(stateAfter(presence, [declared]), { online: true, changedAt: 1 });
});

t.test('devices', async (t) => {
  const ref = { workspace: 2, device: 4 };
  const registered = event('DeviceRegistered', { ...ref, account: 1, identifier: 'abc', claim: 'd1' });
  const issued = event('DeviceTokenIssued', { ...ref, secretHash: 'h', sealed: 's', expiresAt: 9 });
  const ended = event('DeviceTokenEnded', ref);
  const removed = event('DeviceDeleted', ref);
  const register = { command: 'RegisterDevice', ...registered.data, details: {} } as const;
  given(t, device).when(register).yields([registered]);
  given(t, device)
    .when({ ...register, details: { osName: 'ios' } })
    .yields([registered, event('DeviceChanged', { ...ref, osName: 'ios' })]);
  given(t, device, [registered]).when(register).yields('already-exists');
  given(t, device, [registered])
    .when({ command: 'IssueDeviceToken', ...issued.data })
    .yields([issued]);
  given(t, device, [registered, issued])
    .when({ command: 'ChangeDevice', ...ref, account: 7 })
    .yields([ended, event('DeviceChanged', { ...ref, account: 7 })], 'bound to another, it signs nobody in');
  given(t, device, [registered, issued])
    .when({ command: 'ChangeDevice', ...ref, account: 1, pushToken: 'p' })
    .yields([event('DeviceChanged', { ...ref, account: 1, pushToken: 'p' })]);
  given(t, device, [registered, issued])
    .when({ command: 'EndDeviceToken', ...ref })
    .yields([ended]);
  given(t, device, [registered])
    .when({ command: 'EndDeviceToken', ...ref })
    .yields([]);
  given(t, device, [registered])
    .when({ command: 'DeleteDevice', ...ref })
    .yields([removed]);
  given(t, device, [registered, removed])
    .when({ command: 'DeleteDevice', ...ref })
    .yields('not-found');
  const known = { account: 1, claim: 'd1', token: { secretHash: 'h', sealed: 's', expiresAt: 9 }, registeredAt: 1 };
  t.match(stateAfter(device, [registered, issued]), known);
  t.equal(stateAfter(device, [registered, issued, ended]).token, null);
  t.strictSame(stateAfter(device, [registered, issued, removed]), device.initial);
});
