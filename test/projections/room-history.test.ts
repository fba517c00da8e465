import t from 'tap';
import { type HappenedKind, latestHistory, roomHistory } from '../../projections/history.ts';
import { membershipSpans } from '../../projections/rooms/queries.ts';
import { Model, played } from './chat-model.ts';

/** What the account could see when it happened, as the history knows it. */
function happenings(model: Model, workspace: number, account: number, upTo: bigint) {
  const items: { kind: HappenedKind; position: bigint; room: number; message: number | null; account: number }[] = [];
  for (const room of model.chat.rooms) {
    if (room.workspace !== workspace || room.erasing) continue;
    const ends = room.deletedPosition ?? upTo;
    const spans = room.memberships.filter((each) => each.account === account);
    const within = (position: bigint | null) =>
      spans.find((s) => position !== null && s.from <= position && position <= (s.to ?? ends) && position <= ends);
    const add = (kind: HappenedKind, position: bigint | null, message: number | null, by: number) => {
      if (within(position)) items.push({ kind, position: position as bigint, room: room.room, message, account: by });
    };
    for (const { from, to, account: member } of room.memberships) {
      add('joined', from, null, member);
      add('left', to, null, member);
    }
    for (const [reader, { message, position }] of room.watermarks) add('read', position, message, reader);
    for (const known of model.chat.messages.filter((each) => each.room === room)) {
      const { message, data } = known;
      const shownIn = (position: bigint | null) => {
        const span = within(position);
        if (!span || known.postedAt < span.historyFrom || known.postedAt <= span.hiddenUntil) return false;
        return !data.audience || data.audience.receivers.includes(account);
      };
      if (known.deleted) {
        if (shownIn(known.deleted.position)) add('deleted', known.deleted.position, message, known.deleted.by);
        continue;
      }
      const hidden = known.hidings.get(account);
      if (hidden !== undefined) add('deleted', hidden, message, account);
      if (hidden !== undefined || !model.exists(known)) continue;
      if (shownIn(known.position)) add('posted', known.position, message, data.sender);
      if (shownIn(known.editedPosition)) add('edited', known.editedPosition, message, data.sender);
    }
  }
  return items.filter(({ position }) => position <= upTo).sort((a, b) => Number(a.position - b.position));
}

t.test('what an account missed, page by page, from any position', async (t) => {
  for (const behind of [0n, 60n]) {
    const { db, chat, head, random } = await played(t, 500);
    const reached = head - behind;
    await db.query('UPDATE work.checkpoints SET position = $1 WHERE partition = 1', [reached]);
    const model = new Model(chat);
    let found = 0;
    for (const { workspace, account } of chat.accounts) {
      const all = happenings(model, workspace, account, reached);
      const after = BigInt(Math.floor(random() * Number(head) * 0.8));
      const expected = all.filter(({ position }) => position > after);
      const items = [];
      const maxItems = 1 + Math.floor(random() * 9);
      for (let at = after; ; ) {
        const page = await roomHistory(db, { workspace, account, after: at, maxItems });
        const places = new Set(page.items.map(({ position }) => position));
        t.ok(page.items.length <= maxItems || places.size === 1, 'no more than asked for, but for those of one event');
        items.push(...page.items);
        at = page.upTo;
        if (page.items.length === 0 || at >= reached) break;
      }
      const shape = items.map(({ kind, position, room, message, account: by }) => ({
        kind,
        position,
        room,
        message,
        account: by,
      }));
      t.same(shape, expected);
      for (const { kind, view, message } of items) {
        t.equal(view?.message ?? null, kind === 'posted' || kind === 'edited' ? message : null);
      }
      const rest = await roomHistory(db, { workspace, account, after: items.at(-1)?.position ?? after, maxItems: 5 });
      t.match(rest, { items: [], upTo: reached > after ? reached : after });
      const latest = await latestHistory(db, { workspace, account, after, maxItems });
      t.equal(latest, expected.length > maxItems ? expected.at(-maxItems - 1)?.position : after);
      const kinds = ['posted', 'left'] as const;
      const some = await roomHistory(db, { workspace, account, after, maxItems: 1_000, kinds });
      t.same(
        some.items.map(({ position }) => position),
        expected.filter(({ kind }) => kind === 'posted' || kind === 'left').map(({ position }) => position),
      );
      found += expected.length;
    }
    t.ok(found > 100, `${found} items`);
    const room = chat.rooms.find((each) => !each.deleted && chat.messages.some((m) => m.room === each && !m.deleted));
    if (!room) continue;
    const seen = { workspace: room.workspace, account: 0, after: 0n, maxItems: 10_000, rightToSee: [room.room] };
    const { items } = await roomHistory(db, { ...seen, kinds: ['posted'] });
    const posted = chat.messages.filter(
      (m) => m.room === room && !m.deleted && model.exists(m) && m.position <= reached,
    );
    t.same(
      items.map(({ message }) => message),
      posted.filter((m) => !m.hidings.has(0)).map(({ message }) => message),
    );
    t.same((await roomHistory(db, { ...seen, rightToSee: [] })).items, [], 'no right, nothing seen');
  }
});

t.test('memberships by positions', async (t) => {
  const { db, chat, head, random } = await played(t, 400);
  for (const { workspace, account } of chat.accounts) {
    const since = BigInt(Math.floor(random() * Number(head)));
    const expected = chat.rooms
      .filter((room) => room.workspace === workspace && !room.erased)
      .flatMap((room) =>
        room.memberships
          .filter((each) => each.account === account)
          .map(({ from, to }) => ({ room: room.room, from, to: to ?? room.deletedPosition })),
      )
      .filter(({ to }) => to === null || to > since)
      .sort((a, b) => Number(a.from - b.from));
    t.same(await membershipSpans(db, { workspace, account }, since), { spans: expected, upTo: head });
  }
  await db.query('UPDATE work.checkpoints SET position = 30 WHERE partition = 1');
  const { spans, upTo } = await membershipSpans(db, { workspace: 2, account: 1 }, 0n);
  t.equal(upTo, 30n);
  t.ok(spans.every(({ from, to }) => from <= 30n && (to === null || to <= 30n)));
});
