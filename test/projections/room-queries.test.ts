import t from 'tap';
import {
  findMember,
  findRoom,
  listMembers,
  listRooms,
  listRoomsOf,
  memberAccounts,
  membersOf,
  privateRoomOf,
  roomsToDeactivate,
} from '../../projections/rooms/queries.ts';
import { autoInactiveSince } from '../../src/domain/room.ts';
import { Model, pick, played } from './chat-model.ts';

const inactiveAfterMs = { private: 40 * 3_600_000, group: 20 * 3_600_000, channel: 0, support: 5 * 3_600_000 };

t.test('rooms: counts, the rule of inactivity, order, pages', async (t) => {
  const { db, chat, random } = await played(t, 500);
  const model = new Model(chat);
  for (let i = 0; i < 40; i++) {
    const workspace = pick(random, [2, 7]);
    const nowMs = chat.at + Math.floor(random() * 30) * 3_600_000;
    const rule = { nowMs, inactiveAfterMs };
    const account = pick(
      random,
      chat.accounts.filter((each) => each.workspace === workspace),
    ).account;
    const rows = chat.rooms
      .filter((room) => room.workspace === workspace && !room.erasing)
      .map((room) => {
        const said = chat.messages.filter((each) => each.room === room);
        const last = said.at(-1);
        const lastAt = last?.postedAt ?? null;
        const auto = autoInactiveSince(room.kind, lastAt ?? room.createdAt, nowMs, inactiveAfterMs);
        const members = room.memberships.filter(({ to }) => to === null);
        return {
          room: room.room,
          isActive: room.inactiveAt === null && auto === null,
          inactiveReason: room.inactiveAt !== null ? 'closed' : auto !== null ? 'auto_inactive' : null,
          inactiveAt: room.inactiveAt ?? auto,
          participantCount: members.length,
          messageCount: said.filter((each) => !each.deleted).length,
          lastMessage: last?.message ?? null,
          lastMessageAt: lastAt,
          deleted: room.deleted,
          known: room,
        };
      });
    const byActivity = rows.toSorted(
      (a, b) =>
        (b.lastMessageAt ?? -1) - (a.lastMessageAt ?? -1) || b.known.createdAt - a.known.createdAt || b.room - a.room,
    );
    const plain = byActivity.map(({ known: _, ...row }) => row);
    const { items, total } = await listRooms(db, { workspace, ...rule, deletedToo: true });
    t.match(items, plain);
    t.equal(total, plain.length);
    const active = plain.filter((row) => row.isActive && !row.deleted);
    const page = await listRooms(db, { workspace, ...rule, isActive: true }, { limit: 2, offset: 1 });
    t.match(page, { items: active.slice(1, 3), total: active.length });
    const mine = byActivity.filter(({ known, deleted }) => !deleted && model.membership(known, account));
    const own = await listRoomsOf(db, account, { workspace, ...rule, sort: 'room', order: 'asc' });
    t.same(
      own.items.map(({ room, own: { membership } }) => [room, membership]),
      mine
        .map(({ room, known }) => [room, model.membership(known, account)?.membership])
        .sort((a, b) => Number(a[0]) - Number(b[0])),
    );
    const due = await roomsToDeactivate(db, rule, { limit: 100 });
    const expected = rows
      .filter((row) => row.inactiveReason === 'auto_inactive' && !row.deleted)
      .map(({ room }) => room);
    t.same(
      due.filter((each) => each.workspace === workspace).map(({ room }) => room),
      expected,
    );
    const paged = [];
    for (let after: (typeof due)[number] | undefined; ; ) {
      const [next] = await roomsToDeactivate(db, rule, { limit: 1, ...(after ? { after } : {}) });
      if (!next) break;
      paged.push(next);
      after = next;
    }
    t.same(paged, due);
  }
  const rule = { nowMs: chat.at, inactiveAfterMs };
  const { items } = await listRooms(db, { workspace: 2, ...rule, search: 'ROOM 1' });
  t.ok(items.every(({ name }) => name?.startsWith('Room 1')));
  const erasing = chat.rooms.find((room) => room.erasing);
  if (erasing) t.equal(await findRoom(db, erasing.workspace, erasing.room, rule), null);
});

t.test('members', async (t) => {
  const { db, chat } = await played(t, 400);
  const model = new Model(chat);
  for (const known of chat.rooms) {
    const { workspace, room, erasing } = known;
    const current = erasing ? [] : known.memberships.filter(({ to }) => to === null);
    const { items, total } = await listMembers(db, workspace, room);
    t.equal(total, current.length);
    t.match(
      items,
      current.map(({ account, membership, historyFrom, hiddenUntil }) => ({
        account,
        membership,
        historyFrom,
        hiddenUntil,
        endedAt: null,
      })),
    );
    for (const { account, name, deletedAccount } of items) {
      const who = chat.accounts.find((each) => each.workspace === workspace && each.account === account);
      t.equal(deletedAccount, who?.deleted !== null);
      t.equal(name, who?.deleted ? null : who?.names.at(-1)?.name);
    }
    const after = current[1]?.membership ?? 0;
    const page = await listMembers(db, workspace, room, { limit: 2, offset: 0, after });
    t.same(
      page.items.map(({ membership }) => membership),
      current
        .filter((m) => m.membership > after)
        .slice(0, 2)
        .map((m) => m.membership),
    );
    t.same(
      await memberAccounts(db, workspace, room),
      current.map(({ account }) => account).sort((a, b) => a - b),
    );
    const all = await membersOf(db, workspace, [room], { endedToo: true });
    t.equal(all.length, erasing ? 0 : known.memberships.length);
    for (const account of [1, 2, 3]) {
      const found = await findMember(db, workspace, room, account);
      t.equal(found?.membership, erasing ? undefined : model.membership(known, account)?.membership);
    }
    if (known.kind === 'private' && !known.deleted && current.length === 2) {
      const [one, other] = current.map(({ account }) => account) as [number, number];
      const first = await privateRoomOf(db, workspace, other, one);
      t.ok(first !== null && first <= room);
      t.equal(await privateRoomOf(db, workspace, one, other, { creator: 999_999 }), null);
    }
  }
});
