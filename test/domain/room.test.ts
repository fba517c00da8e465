/** The rules of rooms: who may join, leave and manage; numbering of memberships; inactivity and deletion. */
import t from 'tap';
import { AUTO_INACTIVE, type DomainEvent, type EventData, event } from '../../schemas/index.ts';
import { memberOf } from '../../src/domain/membership.ts';
import { autoInactiveSince, room } from '../../src/domain/room.ts';
import { given, stateAfter } from './given.ts';
import { groupCreated } from './rooms.ts';

const ref = { workspace: 2, room: 5 };
const dayMs = 24 * 3_600_000;

function created(settings: Partial<EventData<'RoomCreated'>> = {}): DomainEvent<'RoomCreated'> {
  return groupCreated(ref, settings);
}

function started(account: number, membership: number, roles: EventData<'MembershipStarted'>['roles'] = []) {
  return event('MembershipStarted', { ...ref, account, membership, roles, historyFrom: 0 });
}

function ended(account: number, membership: number) {
  return event('MembershipEnded', { ...ref, account, membership });
}

const owner = started(1, 1, ['owner']);

t.test('creating', async (t) => {
  const { data } = created({ maxMembers: 2, claim: 'pair' });
  const command = { command: 'CreateRoom', ...data, historyFrom: 0 } as const;
  const members = [
    { account: 7, roles: ['owner', 'admin', 'owner'] as ('owner' | 'admin')[] },
    { account: 3, roles: [], meta: { nick: 'c' } },
  ];
  given(t, room)
    .when({ ...command, members: [...members, { account: 7, roles: [] }] })
    .yields(
      [
        created({ maxMembers: 2, claim: 'pair' }),
        started(7, 1, ['admin', 'owner']),
        event('MembershipStarted', { ...started(3, 2).data, meta: { nick: 'c' } }),
      ],
      'roles are sets, an account is a member once',
    );
  given(t, room)
    .when({ ...command, members: [...members, { account: 4, roles: [] }] })
    .yields('room-full');
  given(t, room, [created()])
    .when({ ...command, members })
    .yields('already-exists');
  const state = stateAfter(room, [created({ claim: 'pair' }), started(7, 1), started(3, 2)]);
  t.match(state, { exists: true, claim: 'pair', lastMembership: 2, createdAt: 1 });
  t.same(
    state.members.map(({ account, membership }) => [account, membership]),
    [
      [3, 2],
      [7, 1],
    ],
  );
});

t.test('joining by the policy', async (t) => {
  const command = { command: 'JoinRoom', ...ref, by: 2, account: 2, through: 'id', historyFrom: 0 } as const;
  const invited = { ...command, through: 'invite' } as const;
  const byService = { ...command, by: 0 };
  const joined = [started(2, 2)];
  given(t, room).when(command).yields('not-found');
  const policies = [
    ['open', joined, joined],
    ['invite', 'join-closed', joined],
    ['closed', 'join-closed', 'join-closed'],
  ] as const;
  for (const [joinPolicy, byId, byInvite] of policies) {
    const past = [created({ joinPolicy }), owner];
    given(t, room, past).when(command).yields(byId, `${joinPolicy}, by id`);
    given(t, room, past).when(invited).yields(byInvite, `${joinPolicy}, by invite`);
    given(t, room, past).when(byService).yields(joined, `${joinPolicy}, by the service account`);
    given(t, room, [...past, started(2, 2)])
      .when(command)
      .yields('already-member');
  }
  given(t, room, [created(), owner])
    .when({ ...command, by: 3 })
    .yields('access-denied');
  for (const by of [0, 2]) {
    given(t, room, [created({ maxMembers: 1 }), owner])
      .when({ ...command, by })
      .yields('room-full');
  }
  given(t, room, [created(), owner, started(2, 2), ended(2, 2)])
    .when(command)
    .yields([started(2, 3)], 'who comes back has a new membership');
});

t.test('leaving', async (t) => {
  const command = { command: 'LeaveRoom', ...ref, by: 1, account: 1, historyFrom: 0 } as const;
  const past = [created(), owner, started(2, 2)];
  given(t, room, past)
    .when(command)
    .yields([ended(1, 1)]);
  given(t, room, past)
    .when({ ...command, by: 0 })
    .yields([ended(1, 1)]);
  given(t, room, past)
    .when({ ...command, by: 2 })
    .yields('access-denied');
  given(t, room, past)
    .when({ ...command, by: 3, account: 3 })
    .yields('not-a-member');
  given(t, room, past)
    .when({ ...command, requireAdmin: true })
    .yields('last-admin');
  const heir = event('MemberRolesChanged', { ...ref, account: 2, membership: 2, roles: ['admin'] });
  given(t, room, past)
    .when({ ...command, requireAdmin: true, successors: [2, 9] })
    .yields([ended(1, 1), started(9, 3, ['admin']), heir], 'those who follow manage it, members or not');
  given(t, room, [...past, heir])
    .when({ ...command, requireAdmin: true, successors: [9] })
    .yields([ended(1, 1)], 'nobody has to follow where somebody manages it');
  given(t, room, [created(), owner])
    .when({ ...command, requireAdmin: true, deleteWhenEmpty: true })
    .yields([ended(1, 1), event('RoomDeleted', { ...ref, erase: true })]);
  given(t, room, [created(), owner])
    .when(command)
    .yields([ended(1, 1)], 'an empty room stays unless told');
});

t.test('managing members', async (t) => {
  const command = { command: 'ChangeMembers', ...ref, by: 1, historyFrom: 0 } as const;
  const past = [created({ maxMembers: 3 }), owner, started(2, 2)];
  given(t, room, past)
    .when({
      ...command,
      remove: [2, 8],
      add: [
        { account: 4, roles: [] },
        { account: 1, roles: [] },
      ],
      roles: [
        { account: 4, roles: ['admin'] },
        { account: 1, roles: ['owner'] },
        { account: 9, roles: ['admin'] },
      ],
    })
    .yields(
      [
        ended(2, 2),
        started(4, 3),
        event('MemberRolesChanged', { ...ref, account: 4, membership: 3, roles: ['admin'] }),
      ],
      'what is so already is passed over',
    );
  given(t, room, past)
    .when({ ...command, by: 2, add: [] })
    .yields('role-required');
  given(t, room, past)
    .when({ ...command, by: 3, add: [] })
    .yields('not-a-member');
  const three = [4, 5].map((account) => ({ account, roles: [] }));
  given(t, room, past)
    .when({ ...command, add: three })
    .yields('room-full', 'then none is added');
  given(t, room, past)
    .when({ ...command, remove: [2], add: three })
    .yields([ended(2, 2), started(4, 3), started(5, 4)]);
  given(t, room, past)
    .when({ ...command, remove: [1], requireAdmin: true })
    .yields('last-admin', 'then none is removed');
  given(t, room, [...past, event('RoomChanged', { ...ref, maxMembers: 1 })])
    .when({ ...command, remove: [2] })
    .yields([ended(2, 2)], 'a lower limit throws nobody out and keeps nobody in');
});

t.test('settings', async (t) => {
  const past = [created(), owner, started(2, 2)];
  const changed = event('RoomChanged', { ...ref, name: 'New', avatar: null });
  given(t, room, past)
    .when({ command: 'ChangeRoom', ...ref, by: 1, name: 'New', avatar: null })
    .yields([changed]);
  given(t, room, past)
    .when({ command: 'ChangeRoom', ...ref, by: 0, name: 'New', avatar: null })
    .yields([changed]);
  given(t, room, past)
    .when({ command: 'ChangeRoom', ...ref, by: 2, name: 'x' })
    .yields('role-required');
  given(t, room, past)
    .when({ command: 'ChangeRoom', ...ref, by: 9, name: 'x' })
    .yields('not-a-member');
  t.match(stateAfter(room, [...past, changed]), { name: 'New', kind: 'group', updatedAt: 4, createdAt: 1 });
});

t.test('inactivity', async (t) => {
  const past = [created(), owner, started(2, 2)];
  const auto = event('RoomDeactivated', { ...ref, reason: AUTO_INACTIVE });
  const manual = event('RoomDeactivated', { ...ref, reason: 'closed for summer' });
  const activated = event('RoomActivated', ref);
  const deactivate = { command: 'DeactivateRoom', ...ref, by: 0, reason: AUTO_INACTIVE } as const;
  const close = { command: 'DeactivateRoom', ...ref, by: 1, reason: 'closed for summer' } as const;
  given(t, room, past).when(deactivate).yields([auto]);
  given(t, room, [...past, auto])
    .when(deactivate)
    .yields([]);
  given(t, room, [...past, manual])
    .when(deactivate)
    .yields([], "a person's decision stands");
  given(t, room, [...past, auto])
    .when(close)
    .yields([manual]);
  given(t, room, [...past, manual])
    .when(close)
    .yields([]);
  given(t, room, past)
    .when({ ...close, by: 2 })
    .yields('role-required');

  given(t, room, [...past, auto])
    .when({ command: 'ReviveRoom', ...ref })
    .yields([activated]);
  given(t, room, [...past, manual])
    .when({ command: 'ReviveRoom', ...ref })
    .yields([], 'no message revives it');
  given(t, room, past)
    .when({ command: 'ReviveRoom', ...ref })
    .yields([]);
  given(t, room, [...past, manual])
    .when({ command: 'ActivateRoom', ...ref, by: 1 })
    .yields([activated]);
  given(t, room, [...past, manual])
    .when({ command: 'ActivateRoom', ...ref, by: 2 })
    .yields('role-required');
  t.same(stateAfter(room, [...past, manual]).inactive, { reason: 'closed for summer', at: 4 });
  t.equal(stateAfter(room, [...past, manual, activated]).inactive, null);

  const days = { private: 90, group: 30, channel: 180, support: 7 } as const;
  for (const [kind, after] of Object.entries(days) as [keyof typeof days, number][]) {
    t.equal(autoInactiveSince(kind, 1_000, 1_000 + after * dayMs - 1), null, `${kind}, just before`);
    t.equal(autoInactiveSince(kind, 1_000, 1_000 + after * dayMs), 1_000 + after * dayMs, kind);
  }
  t.equal(autoInactiveSince('group', 0, 10 ** 13, { private: 0, group: 0, channel: 0, support: 0 }), null, '0: never');
});

t.test('deletion, for everyone and for one', async (t) => {
  const past = [created({ claim: 'pair' }), owner, started(2, 2)];
  const erased = event('RoomDeleted', { ...ref, erase: true });
  const closed = event('RoomDeleted', { ...ref, erase: false });
  given(t, room, past)
    .when({ command: 'DeleteRoom', ...ref, by: 1, erase: true })
    .yields([erased]);
  given(t, room, past)
    .when({ command: 'DeleteRoom', ...ref, by: 2, erase: true })
    .yields('role-required');
  given(t, room, [...past, erased])
    .when({ command: 'DeleteRoom', ...ref, by: 1, erase: true })
    .yields('not-found');
  given(t, room, [...past, closed])
    .when({ command: 'DeleteRoom', ...ref, by: 1, erase: false })
    .yields([]);
  given(t, room, [...past, closed])
    .when({ command: 'DeleteRoom', ...ref, by: 2, erase: false })
    .yields('role-required');
  given(t, room, [...past, closed])
    .when({ command: 'DeleteRoom', ...ref, by: 0, erase: true })
    .yields([erased]);
  given(t, room, [...past, closed])
    .when({ command: 'ChangeRoom', ...ref, by: 1, name: 'x' })
    .yields('room-deleted');
  given(t, room, [...past, closed])
    .when({ command: 'JoinRoom', ...ref, by: 3, account: 3, through: 'id', historyFrom: 0 })
    .yields('room-deleted');
  t.strictSame(stateAfter(room, [...past, erased]), { ...room.initial, deleted: true }, 'nothing of it is left');
  t.match(stateAfter(room, [...past, closed]), { exists: true, deleted: true, claim: null, name: 'Room' });

  const hidden = event('HistoryHidden', { ...ref, account: 2, membership: 2, until: 50 });
  given(t, room, past)
    .when({ command: 'HideHistory', ...ref, account: 2, until: 50 })
    .yields([hidden]);
  given(t, room, [...past, hidden])
    .when({ command: 'HideHistory', ...ref, account: 2, until: 40 })
    .yields([]);
  given(t, room, past)
    .when({ command: 'HideHistory', ...ref, account: 3, until: 50 })
    .yields('not-a-member');
  const { members } = stateAfter(room, [...past, hidden]);
  t.equal(memberOf(members, 2)?.hiddenUntil, 50);
  t.equal(memberOf(members, 1)?.hiddenUntil, 0, 'the other still sees it all');
});
