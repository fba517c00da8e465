/** Rooms: who may what, pairs that are unique, many who join at once. */
import t from 'tap';
import type { RoomInput } from '../../src/commands/index.ts';
import { makeClient } from './chat.ts';
import { refusal, times, world } from './world.ts';

t.test('a room, its members and who manages it', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const { rooms } = node;
  const client = await makeClient(node);
  const [ada, bob, eve] = [await client.user('ada'), await client.user('bob'), await client.user('eve')] as const;
  const created = await rooms.create(ada, {
    kind: 'group',
    joinPolicy: 'open',
    name: 'Lounge',
    maxMembers: 2,
    members: [{ account: ada.account, roles: ['owner'] }],
  });
  t.match(created, {
    room: 1,
    existing: false,
    state: { name: 'Lounge', creator: ada.account, members: [{ roles: ['owner'] }] },
  });
  t.type(created.position, 'bigint');
  t.equal(node.acknowledged.at(-1)?.position, created.position, 'freshness is told');

  await rooms.join(bob, 1);
  t.equal(await refusal(() => rooms.join(bob, 1)), 'already-member');
  t.equal(await refusal(() => rooms.join(eve, 1)), 'room-full');
  t.equal(await refusal(() => rooms.join(ada, 1, { account: eve.account })), 'access-denied', 'nobody joins another');
  t.equal(await refusal(() => rooms.join(client.master, 1)), 'value-invalid', 'nor does the service account itself');
  t.equal(await refusal(() => rooms.change(bob, 1, { name: 'x' })), 'role-required');
  t.equal(await refusal(() => rooms.change(eve, 1, { name: 'x' })), 'not-a-member');
  t.equal(await refusal(() => rooms.readable(eve, 1)), 'not-a-member');
  t.equal(await refusal(() => rooms.readable(eve, 2)), 'not-found');
  t.equal((await rooms.change(ada, 1, { name: 'Hall', description: undefined })).state.name, 'Hall');
  t.equal((await rooms.readable(client.master, 1)).name, 'Hall', 'the master key sees every room');

  const left = await rooms.leave(bob, 1);
  t.match(left.events, [{ type: 'MembershipEnded', data: { account: bob.account, membership: 2 } }]);
  t.equal(await refusal(() => rooms.leave(bob, 1)), 'not-a-member');
  const again = await rooms.join(client.master, 1, { account: bob.account, meta: { via: 'desk' } });
  t.match(again.events, [{ type: 'MembershipStarted', data: { membership: 3, meta: { via: 'desk' } } }]);
  t.equal(await refusal(() => rooms.join(client.master, 1, { account: 99 })), 'not-found');
  await t.rejects(rooms.changeMembers(ada, 1, { add: [{ account: 99 }] }), {
    code: 'not-found',
    details: { account: 99 },
  });
  t.equal(
    await refusal(() => rooms.changeMembers(eve, 1, { add: [{ account: 99 }] })),
    'not-a-member',
    'who may not is told no more',
  );
  const changed = await rooms.changeMembers(ada, 1, {
    remove: [bob.account],
    add: [{ account: eve.account, roles: ['admin'] }],
  });
  t.same(
    changed.events.map(({ type }) => type),
    ['MembershipEnded', 'MembershipStarted'],
  );

  await rooms.deactivate(eve, 1, 'spam');
  t.match((await rooms.readable(ada, 1)).inactive, { reason: 'spam' });
  t.equal(
    (await rooms.revive(ada, 1)).state.inactive?.reason,
    'spam',
    'a message brings back what the sweep switched off alone',
  );
  t.equal((await rooms.activate(ada, 1)).state.inactive, null);
  t.equal(await refusal(() => rooms.delete(bob, 1, { erase: true })), 'not-a-member');
  await rooms.delete(ada, 1, { erase: true });
  t.equal(await refusal(() => rooms.readable(ada, 1)), 'not-found');
  t.equal(await refusal(() => rooms.join(bob, 1)), 'not-found');

  const foreign = await makeClient(node);
  const stranger = await foreign.user('ada');
  const other = await client.group(ada);
  t.equal(await refusal(() => rooms.join(stranger, other)), 'not-found', 'another client');
  t.equal(await foreign.group(stranger), 1, 'each client counts for itself');
});

t.test('creating in the name of another', async (t) => {
  const w = await world(t);
  const node = await w.node();
  const client = await makeClient(node);
  const [ada, bob] = [await client.user('ada'), await client.user('bob')] as const;
  const input: RoomInput = { kind: 'group', joinPolicy: 'open', creator: bob.account, members: [] };
  t.equal(await refusal(() => node.rooms.create(ada, input)), 'access-denied');
  t.equal((await node.rooms.create(client.master, input)).state.creator, bob.account);
  t.equal((await node.rooms.create(client.master, { ...input, creator: 0 })).state.creator, 0);
  t.equal(await refusal(() => node.rooms.create(client.master, { ...input, creator: 77 })), 'not-found');
});

t.test('a pair has one room at a time', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const client = await makeClient(nodes[0]);
  const [ada, bob] = [await client.user('ada'), await client.user('bob')] as const;
  const pairOf = (rule: 'ordered' | 'unordered', a: number, b: number): RoomInput => ({
    kind: 'private',
    joinPolicy: 'closed',
    members: [{ account: a }, { account: b }],
    pair: { rule, accounts: [a, b] },
  });
  const made = await times(12, (i) =>
    (nodes[i % 2] as (typeof nodes)[0]).rooms.create(ada, pairOf('ordered', ada.account, bob.account)),
  );
  t.equal(new Set(made.map(({ room }) => room)).size, 1);
  t.equal(made.filter(({ existing }) => !existing).length, 1, 'made once');
  t.equal(made.filter(({ position }) => position !== null).length, 1);
  t.ok(made.every(({ state }) => state.exists && state.creator === ada.account));
  const [first] = made as [(typeof made)[0]];

  const [{ rooms }] = nodes;
  const back = await rooms.create(bob, pairOf('ordered', bob.account, ada.account));
  t.not(back.room, first.room, 'the other way round is another');
  const unordered = await rooms.create(ada, pairOf('unordered', ada.account, bob.account));
  t.equal((await rooms.create(bob, pairOf('unordered', bob.account, ada.account))).room, unordered.room);
  const self = await rooms.create(ada, pairOf('ordered', ada.account, ada.account));
  t.equal(self.state.members.length, 1, 'with oneself');

  for (const erase of [false, true]) {
    const old = await rooms.create(ada, pairOf('ordered', ada.account, bob.account));
    await rooms.delete(client.master, old.room, { erase });
    const next = await nodes[1].rooms.create(ada, pairOf('ordered', ada.account, bob.account));
    t.match(next, { existing: false }, 'once it is deleted the pair may have another');
    t.not(next.room, old.room);
  }
});

t.test('a hundred join at once, on two nodes', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const client = await makeClient(nodes[0]);
  const ada = await client.user('ada');
  const room = await client.group(ada);
  const users = await times(100, (i) => client.user(`user${i}`));
  const joined = await times(100, (i) =>
    (nodes[i < 90 ? 0 : 1] as (typeof nodes)[0]).rooms.join(users[i] as typeof ada, room),
  );
  const last = joined.reduce((most, { position }) => (position !== null && position > most ? position : most), 0n);
  await nodes[0].log.taken(last);
  const { members, lastMembership } = await nodes[0].rooms.readable(ada, room);
  t.equal(members.length, 101);
  t.equal(lastMembership, 101);
});

t.test('a keyed create makes one room', async (t) => {
  const w = await world(t);
  const nodes = [await w.node(), await w.node()] as const;
  const client = await makeClient(nodes[0]);
  const ada = await client.user('ada');
  const input: RoomInput = { kind: 'group', joinPolicy: 'open', members: [{ account: ada.account, roles: ['owner'] }] };
  const keyed = { key: 'once', route: 'POST /rooms' };
  const made = await times(10, (i) => (nodes[i % 2] as (typeof nodes)[0]).rooms.create(ada, input, keyed));
  t.same(new Set(made.map(({ room }) => room)), new Set([1]));
  t.equal((await nodes[0].rooms.create(ada, input, { ...keyed, route: 'elsewhere' })).room, 2, 'by route');
  t.equal((await nodes[0].rooms.create(client.master, input, keyed)).room, 3, 'by account');
  const { position } = await nodes[0].rooms.delete(ada, 1, { erase: true });
  await nodes[1].log.taken(position as bigint);
  t.match(
    await nodes[1].rooms.create(ada, input, keyed),
    { room: 1, existing: true, position: null, state: { exists: false, deleted: true } },
    'after its deletion too, with the tombstone',
  );
  const bad = { ...input, creator: ada.account, members: [{ account: 99 }] };
  const used = await nodes[0].rooms.create(ada, input, { ...keyed, key: 'later' });
  t.equal(
    (await nodes[1].rooms.create(ada, bad, { ...keyed, key: 'later' })).room,
    used.room,
    'what was accepted is not refused later',
  );
  t.equal(await refusal(() => nodes[1].rooms.create(ada, bad, { ...keyed, key: 'never' })), 'not-found');
  t.ok(
    (await nodes[1].rooms.create(ada, input, { ...keyed, key: 'never' })).position,
    'and what was refused uses no key',
  );
});
