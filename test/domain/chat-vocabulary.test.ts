/**
 * The vocabulary of the chat core fits the dialects that come next: each row tells what Omni Chat and Spika ask for, by their
 * sheets, in the events that there are. They add events of their own; none of these has to change for them.
 */
import t from 'tap';
import { type EventData, event } from '../../schemas/index.ts';
import { account } from '../../src/domain/account.ts';
import { device } from '../../src/domain/device.ts';
import { memberOf } from '../../src/domain/membership.ts';
import { answering, canSee, judgePost, message } from '../../src/domain/message.ts';
import { presence } from '../../src/domain/presence.ts';
import { receipt, watermark } from '../../src/domain/receipt.ts';
import { room } from '../../src/domain/room.ts';
import {
  aMessage,
  bare,
  created,
  ended,
  inRoom,
  omniGroup,
  omniPrivate,
  posted,
  posting,
  spikaGroup,
  started,
  tell,
  workspace,
} from './chat-story.ts';
import { stateAfter } from './given.ts';

t.test('an account needs nothing; identifiers, credentials, verification, profile, devices and bots', async (t) => {
  const ref = { workspace, account: 7 };
  const opened = event('AccountOpened', { ...ref, kind: 'person' });
  const attached = (kind: 'email' | 'username' | 'phone', value: string, claim: string) =>
    event('IdentifierAttached', { ...ref, kind, value, claim });

  await t.test('Omni Chat', async (t) => {
    const username = attached('username', 'ada', 'username-exact');
    const email = attached('email', 'A@b.c', 'email-exact');
    const past = [opened, email, username, event('PasswordSet', { ...ref, hash: 'h' })];
    const signUp = {
      command: 'OpenAccount',
      ...ref,
      kind: 'person',
      identifiers: [
        { kind: 'email', value: 'A@b.c', claim: 'email-exact' },
        { kind: 'username', value: 'ada', claim: 'username-exact' },
      ],
      passwordHash: 'h',
      profile: { givenName: 'Ada', familyName: '', bio: '*hi*' },
    } as const;
    const profile = event('ProfileChanged', { ...ref, givenName: 'Ada', familyName: '', bio: '*hi*' });
    tell(t, account, [], signUp, [...past, profile], 'createAccount');
    const mailed = event('VerificationStarted', { ...ref, kind: 'email', codeHash: 'c1' });
    const verified = event('IdentifierVerified', { ...ref, kind: 'email' });
    const start = { command: 'StartVerification', ...ref, kind: 'email', codeHash: 'c1' } as const;
    tell(t, account, past, start, [mailed], 'a code is mailed');
    const verify = { command: 'Verify', ...ref, kind: 'email', codeHash: 'c1' } as const;
    tell(t, account, [...past, mailed], verify, [verified], 'verifyEmailAddress');
    tell(t, account, [...past, mailed], { ...verify, codeHash: 'c2' }, 'code-wrong', 'false, and no error');
    tell(t, account, [...past, mailed, verified], verify, [], 'the right code again: true');
    const moved = attached('email', 'a@b.c', 'email-other');
    const change = {
      command: 'ChangeAccount',
      ...ref,
      identifiers: [{ kind: 'email', value: 'a@b.c', claim: 'email-other' }],
      profile: {},
    } as const;
    const touched = event('ProfileChanged', ref);
    tell(t, account, [...past, mailed, verified], change, [moved, touched], 'a new address, by exact comparison');
    const state = stateAfter(account, [...past, mailed, verified, moved]);
    t.same([state.verified, state.codes], [[], {}], 'is unverified, and makes tokens useless');
    t.same(state.claims, { email: 'email-other', username: 'username-exact' });
    const gone = event('AccountDeleted', { ...ref, messages: 'erase' });
    tell(t, account, past, { command: 'DeleteAccount', ...ref, messages: 'erase' }, [gone], 'messages and all');
    const online = event('PresenceDeclared', { ...ref, online: true });
    tell(t, presence, [], { command: 'DeclarePresence', ...ref, online: true }, [online], 'setOnline');
    tell(t, presence, [online], { command: 'DeclarePresence', ...ref, online: true }, [], 'unchanged: nothing');
    t.equal(stateAfter(presence, [online]).changedAt, 1, 'lastOnline');
  });

  await t.test('Spika', async (t) => {
    const phone = attached('phone', '+385123', 'phone');
    const sms = event('VerificationStarted', { ...ref, kind: 'phone', codeHash: 'c1' });
    const signIn = {
      command: 'OpenAccount',
      ...ref,
      kind: 'person',
      identifiers: [{ kind: 'phone', value: '+385123', claim: 'phone' }],
    } as const;
    tell(t, account, [], signIn, [opened, phone], 'a number is all there is');
    const verified = event('IdentifierVerified', { ...ref, kind: 'phone' });
    const start = { command: 'StartVerification', ...ref, kind: 'phone', codeHash: 'c2' } as const;
    const past = [opened, phone, sms, verified];
    const again = event('VerificationStarted', { ...ref, kind: 'phone', codeHash: 'c2' });
    tell(t, account, past, start, [again], 'signing in again');
    t.same(stateAfter(account, [...past, again]).verified, [], 'sets verified to false');
    const me = { command: 'ChangeAccount', ...ref, profile: { displayName: 'Ana', avatar: 0 } } as const;
    tell(t, account, past, me, [event('ProfileChanged', { ...ref, displayName: 'Ana', avatar: 0 })], 'PUT /me');

    const browser = { workspace, device: 3 };
    const registered = event('DeviceRegistered', { ...browser, account: 7, identifier: 'x14', claim: 'device' });
    const token = event('DeviceTokenIssued', { ...browser, secretHash: 's', sealed: 'z', expiresAt: 30 });
    tell(
      t,
      device,
      [registered],
      { command: 'IssueDeviceToken', ...token.data },
      [token],
      'the code came back: a token for this device',
    );
    const rebound = event('DeviceChanged', { ...browser, account: 8, pushToken: null });
    tell(
      t,
      device,
      [registered, token],
      { command: 'ChangeDevice', ...rebound.data },
      [event('DeviceTokenEnded', browser), rebound],
      'another number on this device ends its session at once',
    );

    const bot = { workspace, account: 12 };
    const key = { secretHash: 'k', sealed: 'z', permissions: null, expiresAt: null };
    const apiKey = {
      command: 'OpenAccount',
      ...bot,
      kind: 'bot',
      profile: { displayName: 'Robot' },
      scopedKey: key,
    } as const;
    const made = [
      event('AccountOpened', { ...bot, kind: 'bot' }),
      event('ProfileChanged', { ...bot, displayName: 'Robot' }),
      event('ScopedKeyIssued', { ...bot, ...key }),
    ];
    tell(t, account, [], apiKey, made, 'an API key is a bot that needs no identifier');
    const dead = [event('ScopedKeyRevoked', bot)];
    tell(t, account, made, { command: 'RevokeScopedKey', ...bot }, dead, 'it dies, the bot stays');
  });
});

t.test('content: a tagged body, open meta, reply, forwarded-from, frozen audience', async (t) => {
  await t.test('Omni Chat', async (t) => {
    const past = [created(omniGroup), started(7, 1, ['admin']), started(8, 2)];
    const bodies: EventData<'MessagePosted'>['body'][] = [
      { kind: 'text', text: 'hi' },
      { kind: 'action', text: 'well?', actions: ['yes', 'no'] },
      { kind: 'poll', text: 'when?', options: ['today', 'tomorrow'] },
      { kind: 'invite', text: '', invited: 6 },
      { kind: 'file', media: 'image', text: 'caption', attachment: { file: 1, thumb: 2 } },
      { kind: 'file', media: 'audio', text: '', attachment: { file: 3 } },
      { kind: 'file', media: 'video', text: '', attachment: { file: 4 } },
      { kind: 'file', media: 'document', text: '', attachment: { file: 5 } },
    ];
    for (const body of bodies) tell(t, message, [], posting(past, { body }), [posted({ body })], body.kind);
    const replyTo = answering(stateAfter(room, past), stateAfter(message, [posted({ message: 30 })]), 7);
    const copy = { replyTo, forwardedFrom: 12 };
    tell(t, message, [], posting(past, copy), [posted(copy)], 'forwardMessage, with a context');
  });

  await t.test('Spika', async (t) => {
    const past = [created(spikaGroup), started(7, 1, ['admin']), started(8, 2), started(9, 3)];
    const body = {
      kind: 'file',
      media: 'image',
      text: '',
      attachment: { file: 9, thumb: 10, name: 'a.png', sizeBytes: 1200, mimeType: 'image/png' },
    } as const;
    const more = {
      body,
      device: 3,
      meta: { localId: '123', uploadingFileName: 'a.png' },
      audience: { receivers: [7, 8], total: 3 },
    };
    tell(t, message, [], posting(past, more), [posted(more)], '9 blocked the sender: no copy, and counted');
    const frozen = stateAfter(message, [posted(more)]);
    const later = stateAfter(room, [...past, started(10, 4)]);
    t.same(
      [7, 8, 9, 10].map((who) => canSee(later, frozen, who)),
      [true, true, false, false],
    );
    const edited = [posted({ message: 30 }), event('MessageEdited', { ...inRoom, message: 30, text: 'ho' })];
    const replyTo = answering(stateAfter(room, past), stateAfter(message, edited), 7);
    const reply = { replyTo, body: { kind: 'custom', label: 'sticker', text: 'so' } as const };
    tell(t, message, [], posting(past, reply), [posted(reply)], 'a reply of any type, to the text of that edit');
    t.same(replyTo, { message: 30, edit: 1 });
  });
});

t.test('receipts per message and account; a watermark is its own event', async (t) => {
  const receipts = { command: 'RecordReceipt', ...aMessage, account: 8 } as const;
  const delivered = event('ReceiptRecorded', { ...aMessage, account: 8, status: 'delivered' });
  const read = event('ReceiptRecorded', { ...aMessage, account: 8, status: 'read' });

  await t.test('Omni Chat', async (t) => {
    tell(t, receipt, [], { ...receipts, status: 'read' }, [delivered, read], 'READ implies DELIVERED: two updates');
    tell(t, receipt, [delivered, read], { ...receipts, status: 'delivered' }, [], 'recorded already');
  });

  await t.test('Spika', async (t) => {
    tell(t, receipt, [], { ...receipts, status: 'delivered' }, [delivered], 'POST /delivered');
    tell(t, receipt, [delivered], { ...receipts, status: 'read' }, [read], 'POST /:roomId/seen, one message of it');
    tell(t, receipt, [delivered, read], { ...receipts, status: 'read' }, [], 'a duplicate answers what is there');
    const moved = event('WatermarkMoved', { ...inRoom, account: 8, message: 31 });
    const mark = { command: 'MoveWatermark', ...inRoom, account: 8, message: 31 } as const;
    tell(t, watermark, [], mark, [moved], 'the unread count goes to nought in one event');
  });
});

t.test('memberships with a rising id and a beginning of history', async (t) => {
  await t.test('Omni Chat', async (t) => {
    const past = [created(omniGroup), started(7, 1, ['admin']), started(8, 2), ended(8, 2)];
    const add = {
      command: 'ChangeMembers',
      ...inRoom,
      by: 7,
      add: [8, 9, 7, 9].map((who) => ({ account: who, roles: [] })),
      historyFrom: 0,
    } as const;
    tell(t, room, past, add, [started(8, 3), started(9, 4)], 're-added: a new, higher id; members are skipped');
    const old = stateAfter(message, [{ ...posted(), at: 1 }]);
    t.ok(canSee(stateAfter(room, [...past, started(8, 3)]), old, 8), 'and sees the whole history');
  });

  await t.test('Spika', async (t) => {
    const past = [created(spikaGroup), started(7, 1, ['admin'])];
    const add = {
      command: 'ChangeMembers',
      ...inRoom,
      by: 7,
      add: [{ account: 8, roles: [] }],
      historyFrom: 500,
    } as const;
    tell(t, room, past, add, [started(8, 2, [], 500)], 'PUT /:id with one more');
    const state = stateAfter(room, [...past, started(8, 2, [], 500)]);
    const seen = [499, 501].map((at) => canSee(state, stateAfter(message, [{ ...posted(), at }]), 8));
    t.same(seen, [false, true], 'the join time limits the history');
  });
});

t.test('a claim name that the command chooses', async (t) => {
  const members = [7, 8].map((who) => ({ account: who, roles: [] }));

  await t.test('Omni Chat', async (t) => {
    const create = { command: 'CreateRoom', ...inRoom, ...omniPrivate, members, historyFrom: 0 } as const;
    const past = [created(omniPrivate), started(7, 1), started(8, 2)];
    tell(t, room, [], create, past, 'one chat per unordered pair');
    const purged = event('RoomDeleted', { ...inRoom, erase: true });
    const purge = { command: 'DeleteRoom', ...inRoom, by: 0, erase: true } as const;
    t.equal(stateAfter(room, past).claim, 'pair-of-7-and-8', 'what the deletion releases');
    tell(t, room, past, purge, [purged], 'both deleted it: purged, a later one has a new id');
    t.equal(stateAfter(room, [...past, purged]).claim, null);
  });

  await t.test('Spika', async (t) => {
    const pair = { ...bare, name: '', claim: 'pair-of-7-and-8' };
    const past = [created(pair), started(7, 1), started(8, 2)];
    tell(t, room, [], { command: 'CreateRoom', ...inRoom, ...pair, members, historyFrom: 0 }, past, 'the only one');
    const deleted = event('RoomDeleted', { ...inRoom, erase: false });
    tell(t, room, past, { command: 'DeleteRoom', ...inRoom, by: 0, erase: false }, [deleted], 'while not deleted');
    t.match(stateAfter(room, [...past, deleted]), { exists: true, deleted: true, claim: null }, 'it is still returned');
    const odd = { ...spikaGroup, meta: { type: 'assistant' } };
    const create = { command: 'CreateRoom', ...inRoom, ...odd, members, historyFrom: 0 } as const;
    tell(t, room, [], create, [created(odd), started(7, 1), started(8, 2)], 'another type never conflicts: no claim');
  });
});

t.test('roles as sets; kind and policies of a room', async (t) => {
  await t.test('Omni Chat', async (t) => {
    const past = [created(omniGroup), started(7, 1, ['admin']), started(8, 2)];
    const join = { command: 'JoinRoom', ...inRoom, by: 9, account: 9, through: 'invite', historyFrom: 0 } as const;
    tell(t, room, past, join, [started(9, 3)], 'joinGroupChat');
    const off = event('RoomChanged', { ...inRoom, joinPolicy: 'closed' });
    tell(
      t,
      room,
      past,
      { command: 'ChangeRoom', ...inRoom, by: 7, joinPolicy: 'closed' },
      [off],
      'setInvitability, unusable from here on',
    );
    tell(t, room, [...past, off], join, 'join-closed', 'the code of a NOT_INVITABLE chat');
    const broadcast = event('RoomChanged', { ...inRoom, postPolicy: 'admins' });
    tell(
      t,
      message,
      [],
      posting([...past, broadcast], { sender: 8 }),
      'role-required',
      'only admins may, in a broadcast',
    );
    const appointed = event('MemberRolesChanged', { ...inRoom, account: 8, membership: 2, roles: ['admin'] });
    const appoint = {
      command: 'ChangeMembers',
      ...inRoom,
      by: 7,
      roles: [{ account: 8, roles: ['admin'] }],
      historyFrom: 0,
    } as const;
    tell(t, room, past, appoint, [appointed], 'makeGroupChatAdmins');
    t.doesNotThrow(() => judgePost(stateAfter(room, [...past, broadcast, appointed]), 8));
    const remove = {
      command: 'ChangeMembers',
      ...inRoom,
      by: 7,
      remove: [7],
      historyFrom: 0,
      requireAdmin: true,
      deleteWhenEmpty: true,
    } as const;
    tell(t, room, past, remove, 'last-admin', 'members would remain, but no admin');
    tell(
      t,
      room,
      past,
      { ...remove, remove: [7, 8] },
      [ended(7, 1), ended(8, 2), event('RoomDeleted', { ...inRoom, erase: true })],
      'everybody removed: the chat is deleted',
    );
    const open = stateAfter(room, [created({ ...omniGroup, visibility: 'public' }), started(7, 1, ['admin'])]);
    t.ok(canSee(open, stateAfter(message, [posted()]), null), 'PUBLIC: anyone, without an account');
  });

  await t.test('Spika', async (t) => {
    const past = [created(spikaGroup), started(7, 1, ['admin']), started(8, 2), started(9, 3)];
    const replace = {
      command: 'ChangeMembers',
      ...inRoom,
      by: 7,
      remove: [8],
      add: [{ account: 10, roles: [] }],
      roles: [
        { account: 7, roles: ['admin'] },
        { account: 9, roles: ['admin'] },
      ],
      historyFrom: 500,
    } as const;
    tell(
      t,
      room,
      past,
      replace,
      [
        ended(8, 2),
        started(10, 4, [], 500),
        event('MemberRolesChanged', { ...inRoom, account: 9, membership: 3, roles: ['admin'] }),
      ],
      'PUT /:id with userIds and adminUserIds, whole lists',
    );
    const leave = {
      command: 'LeaveRoom',
      ...inRoom,
      by: 7,
      account: 7,
      historyFrom: 500,
      requireAdmin: true,
    } as const;
    tell(t, room, past, leave, 'last-admin', 'New admin(s) must be defined');
    tell(
      t,
      room,
      past,
      { ...leave, successors: [11] },
      [ended(7, 1), started(11, 4, ['admin'], 500)],
      'a new admin need not have been a member',
    );
    const group = event('RoomChanged', { ...inRoom, kind: 'group' });
    const pair = [created(bare), started(7, 1, ['admin']), started(8, 2)];
    tell(t, room, pair, { command: 'ChangeRoom', ...inRoom, by: 7, kind: 'group' }, [group], 'more than 2 members');
  });
});

t.test('deletion for everyone or for an account, and hiding until a time', async (t) => {
  await t.test('Omni Chat', async (t) => {
    const past = [created(omniPrivate), started(7, 1), started(8, 2)];
    const hidden = event('HistoryHidden', { ...inRoom, account: 8, membership: 2, until: 500 });
    tell(t, room, past, { command: 'HideHistory', ...inRoom, account: 8, until: 500 }, [hidden], 'deletePrivateChat');
    const state = stateAfter(room, [...past, hidden]);
    const [before, after] = [499, 501].map((at) => stateAfter(message, [{ ...posted(), at }]));
    t.same(
      [before, after].map((each) => each && [canSee(state, each, 7), canSee(state, each, 8)]),
      [
        [true, false],
        [true, true],
      ],
      'for the deleter alone, and what follows is shown',
    );
    t.ok(memberOf(state.members, 8), 'who stays a participant');
    const own = { command: 'DeleteMessage', ...aMessage, by: 7, scope: 'everyone', standing: state } as const;
    const deleted = event('MessageDeleted', { ...aMessage, account: 7, scope: 'everyone' });
    tell(t, message, [posted()], own, [deleted], 'deleteMessage removes it for everyone');
    tell(t, message, [posted()], { ...own, by: 8 }, 'not-the-sender', 'INVALID_MESSAGE_ID');
    const left = stateAfter(room, [created(omniGroup), started(8, 2, ['admin'])]);
    tell(t, message, [posted()], { ...own, standing: left }, 'not-a-member', 'who left cannot');
  });

  await t.test('Spika', async (t) => {
    const past = [created(spikaGroup), started(7, 1, ['admin']), started(8, 2)];
    const standing = stateAfter(room, past);
    const forMe = event('MessageDeleted', { ...aMessage, account: 8, scope: 'account' });
    const mine = { command: 'DeleteMessage', ...aMessage, by: 8, scope: 'account', standing } as const;
    tell(t, message, [posted()], mine, [forMe], 'target=user, of a message of another');
    const state = stateAfter(message, [posted(), forMe]);
    t.same([canSee(standing, state, 7), canSee(standing, state, 8)], [true, false]);
    const forAll = event('MessageDeleted', { ...aMessage, account: 7, scope: 'everyone' });
    const all = { ...mine, by: 7, scope: 'everyone' } as const;
    tell(t, message, [posted(), forMe], all, [forAll], 'target=all, by the author');
    tell(t, message, [posted()], { ...all, by: 8 }, 'not-the-sender', "User can't delete another users message");
    t.equal(stateAfter(message, [posted(), forAll]).body, null, 'nothing of it is left');
    const edit = { command: 'EditMessage', ...aMessage, by: 7, text: 'x', standing } as const;
    tell(t, message, [posted(), forAll], edit, 'not-found', 'editing it is refused like an unknown one');
    const closed = event('RoomDeleted', { ...inRoom, erase: false });
    tell(t, room, past, { command: 'DeleteRoom', ...inRoom, by: 7, erase: false }, [closed], 'a room, softly');
    tell(t, message, [], posting([...past, closed]), 'room-deleted', 'Room is deleted');
  });
});
