import t from 'tap';
import { deletedPeople, messagesToErase } from '../../projections/erasure.ts';
import {
  findMessage,
  listMessages,
  type MessageFilter,
  messagesByNumber,
  messagesOf,
  postersOf,
  receiptCounts,
  receiptsOf,
  unreadCounts,
  watermarksOf,
} from '../../projections/messages/queries.ts';
import type { KnownMessage } from './chat-history.ts';
import { Model, pick, played } from './chat-model.ts';

t.test('lists of messages and their totals agree with the history, whoever looks, whatever the filter', async (t) => {
  const { db, chat, random } = await played(t, 500);
  const model = new Model(chat);
  let found = 0;
  for (let i = 0; i < 250; i++) {
    const workspace = pick(random, [2, 7]);
    const rooms = chat.rooms.filter((room) => room.workspace === workspace).map(({ room }) => room);
    const account = () =>
      pick(
        random,
        chat.accounts.filter((each) => each.workspace === workspace),
      ).account;
    const time = () => pick(random, chat.messages).postedAt + Math.floor(random() * 3) - 1;
    const viewer = random() < 0.2 ? 0 : random() < 0.1 ? null : account();
    const asked = viewer === null || random() < 0.6;
    const filter: MessageFilter = {
      workspace,
      viewer,
      ...(asked ? { rooms: [pick(random, rooms), pick(random, rooms)].slice(0, random() < 0.7 ? 1 : 2) } : {}),
      ...(random() < 0.2 ? { types: pick(random, [['text'], ['file', 'image'], ['system']]) } : {}),
      ...(random() < 0.2 ? { sender: account() } : {}),
      ...(random() < 0.1 ? { notSender: account() } : {}),
      ...(random() < 0.2 ? { search: pick(random, ['TEXT OF 1', 'edited', '50%_', '_', 'f 2\uFFFD']) } : {}),
      ...(random() < 0.2 ? { fromMs: time() } : {}),
      ...(random() < 0.2 ? { toMs: time() } : {}),
      ...(random() < 0.2 ? { deletedToo: true } : {}),
      ...(random() < 0.1 ? { before: Math.floor(random() * 100) } : {}),
      ...(random() < 0.1 ? { after: Math.floor(random() * 50) } : {}),
      ...(random() < 0.5 ? { order: 'asc' as const } : {}),
    };
    const expected = chat.messages.filter((message) => model.matches(message, filter)).map(({ message }) => message);
    if (filter.order !== 'asc') expected.reverse();
    const { items, total } = await listMessages(db, filter, { limit: 4, offset: 1 });
    t.equal(total, expected.length, `total of ${JSON.stringify(filter)}`);
    t.same(
      items.map(({ message }) => message),
      expected.slice(1, 5),
    );
    t.same(
      (await messagesOf(db, filter)).map(({ message }) => message),
      expected,
    );
    found += expected.length;
  }
  t.ok(found > 200, `${found} messages were found`);
});

t.test('single messages: what they say, who said it and under what name', async (t) => {
  const { db, chat } = await played(t, 500);
  const model = new Model(chat);
  for (const known of chat.messages) {
    const { workspace, message, data } = known;
    const view = await findMessage(db, workspace, message);
    const poster = (await postersOf(db, workspace, [message, 9_999])).get(message);
    t.same((await messagesByNumber(db, workspace, [message, 9_999]))[0] ?? null, view);
    t.equal(await findMessage(db, workspace === 2 ? 7 : 2, 1_000 + message), null);
    if (!model.exists(known)) {
      t.equal(view, null);
      t.equal(poster, undefined);
      continue;
    }
    const account = chat.accounts.find((each) => each.workspace === workspace && each.account === data.sender);
    const called = account?.names.findLast(({ revision }) => revision <= data.profileRevision)?.name ?? null;
    t.equal(view?.senderDeleted, (account?.deleted ?? null) !== null);
    const { room, sender, replyTo, audience, forwardedFrom } = data;
    const { edits, editedAt, postedAt } = known;
    t.match(view, {
      room: room,
      sender,
      replyTo,
      forwardedFrom,
      edits,
      editedAt,
      postedAt,
      audience,
      kind: data.body.kind,
    });
    if (known.deleted) {
      const { by, at } = known.deleted;
      t.match(view, { deleted: true, body: null, meta: null, deletedBy: by, deletedAt: at });
      t.equal(view?.senderName, account?.deleted ? null : called);
      t.match(poster, { sender, senderName: view?.senderName, senderDeleted: view?.senderDeleted, deleted: true });
      continue;
    }
    t.match(poster, {
      sender,
      senderName: account?.deleted ? null : called,
      senderDeleted: view?.senderDeleted,
      deleted: false,
    });
    t.equal(view?.senderName, data.senderName ?? (account?.deleted ? null : called));
    t.same(
      JSON.stringify(view?.body).length,
      JSON.stringify({ ...data.body, text: known.text }).replaceAll('\\u0000', '\uFFFD').length,
    );
    t.equal(view?.body?.text, known.text.replace('\0', '\uFFFD'));
    for (const viewer of [null, 1, 2, 3]) {
      const shown = await findMessage(db, workspace, message, viewer);
      t.equal(shown !== null, model.isShown(known, viewer));
    }
  }
});

t.test('receipts, watermarks and what is unread', async (t) => {
  const { db, chat } = await played(t, 500);
  const model = new Model(chat);
  for (const { workspace, message, deleted, receipts } of chat.messages) {
    const expected = deleted ? [] : [...receipts].map(([account, { read }]) => ({ account, read }));
    const found = await receiptsOf(db, workspace, [message]);
    t.same(
      found.map(({ account, readAt }) => ({ account, read: readAt !== null })),
      expected,
    );
    const [counts] = await receiptCounts(db, workspace, [message]);
    t.equal(counts?.delivered ?? 0, expected.length);
    t.equal(counts?.read ?? 0, expected.filter(({ read }) => read).length);
  }
  for (const { workspace, account } of chat.accounts) {
    const rooms = chat.rooms.filter((room) => room.workspace === workspace);
    const expected = rooms
      .filter((room) => !room.erasing && model.membership(room, account))
      .map((room) => {
        const mark = room.watermarks.get(account)?.message ?? 0;
        const unread = chat.messages.filter(
          (each) =>
            each.room === room &&
            each.message > mark &&
            !each.deleted &&
            each.data.sender !== account &&
            model.isShown(each, account),
        );
        return { room: room.room, unread: unread.length };
      });
    t.same(
      await unreadCounts(
        db,
        workspace,
        account,
        rooms.map(({ room }) => room),
      ),
      expected,
    );
    const marks = rooms
      .filter((room) => !room.erased && room.watermarks.has(account))
      .map((room) => ({ room: room.room, account, message: room.watermarks.get(account)?.message }));
    t.match(
      await watermarksOf(
        db,
        workspace,
        rooms.map(({ room }) => room),
        account,
      ),
      marks,
    );
  }
});

t.test('what is to be erased', async (t) => {
  const { db, chat } = await played(t, 500);
  const expected = chat.messages
    .filter((each) => chat.isErasable(each))
    .sort((a, b) => a.workspace - b.workspace || a.room.room - b.room.room || a.message - b.message);
  const found = await messagesToErase(db, 10_000);
  t.same(
    found.map(({ workspace, room, item }) => [workspace, room, item.message]),
    expected.map((each) => [each.workspace, each.room.room, each.message]),
  );
  const page = await messagesToErase(db, 2);
  t.equal(page.length, Math.min(2, found.length));
  const numbers = found.map(({ workspace, item }) => `${workspace}/${item.message}`);
  const places = page.map(({ workspace, item }) => numbers.indexOf(`${workspace}/${item.message}`));
  t.same(
    places,
    places.filter((place) => place >= 0).toSorted((a, b) => a - b),
    'a page is a part of it, in order',
  );
  t.equal(new Set(places).size, places.length);
  for (const { workspace, room } of chat.rooms) {
    t.same(
      await messagesToErase(db, 10_000, { workspace, room }),
      found.filter((each) => each.workspace === workspace && each.room === room),
    );
  }
  for (const { workspace, account } of chat.accounts) {
    const own = found.filter((each) => each.workspace === workspace && each.item.sender === account);
    t.same(await messagesToErase(db, 10_000, { workspace, sender: account }), own);
  }
  for (const [i, { item }] of found.entries()) {
    const { data, edits, editedAt, postedAt, deleted } = expected[i] as KnownMessage;
    const { sender, profileRevision, device, replyTo, forwardedFrom, audience } = data;
    t.match(item, {
      sender,
      profileRevision,
      device,
      replyTo,
      forwardedFrom,
      audience,
      edits,
      editedAt,
      postedAt,
      kind: data.body.kind,
    });
    if (deleted)
      t.match(item, { deletedBy: deleted.by, deletedAt: deleted.at, deletedPosition: String(deleted.position) });
  }
  const gone = await deletedPeople(db, 1_000);
  const rooms = chat.rooms.filter((room) => room.erasing && !room.erased);
  t.same(
    gone
      .filter(({ kind }) => kind === 'room')
      .map(({ id }) => id)
      .sort(),
    rooms.map(({ room }) => room).sort(),
  );
  for (const thing of gone) {
    if (thing.kind !== 'account') continue;
    const known = chat.accounts.find((each) => each.workspace === thing.workspace && each.account === thing.id);
    t.match(thing, { openedAt: known?.openedAt, messages: known?.deleted });
    t.same(
      thing.devices,
      known?.devices.filter(({ erased }) => !erased).map(({ device }) => device),
    );
  }
  t.equal(
    gone.filter(({ kind }) => kind === 'account').length,
    chat.accounts.filter((a) => a.deleted && !a.erased).length,
  );
});
