/** Rows of notifications: as the rules say, however the history is cut, and with, after and without what was erased. */
import t from 'tap';
import {
  countNotifications,
  findNotification,
  listNotifications,
  notificationsDue,
  notificationsToErase,
} from '../../../projections/notifications/queries.ts';
import { checkEvent } from '../../../schemas/index.ts';
import { dueAt } from '../../../src/domain/notification.ts';
import { testErasing } from '../erasing.ts';
import { randomOf } from '../history.ts';
import { applyAll, cut, scratchDatabase, seedOf, useSchema } from '../scratch.ts';
import { makeNotifications } from './history.ts';

const length = 200;

t.test('rows and counts say what the rules say', async (t) => {
  const db = await scratchDatabase(t);
  const seed = seedOf(t);
  const history = makeNotifications(seed, length);
  const events = history.recorded();
  for (const event of events) checkEvent(event);
  await useSchema(db, 'rows');
  await applyAll(db, cut(randomOf(seed), events, 20));
  const gone = new Set(events.flatMap(({ type, data }) => (type === 'WorkspaceDeleted' ? [data.workspace] : [])));
  const living = history.notifications.filter(({ state, erased }) => !erased && !gone.has(state.workspace));

  for (const { id, state } of history.notifications) {
    const row = await findNotification(db, state.workspace, id);
    t.equal(await findNotification(db, state.workspace + 1, id), null, 'of no other workspace');
    if (!living.some((known) => known.id === id)) {
      t.equal(row, null);
      continue;
    }
    t.match(row, {
      status: state.status,
      room: state.room,
      subject: state.subject?.replace('\0', '\uFFFD'),
      priority: state.priority,
      leavesBy: state.leavesBy,
      used: state.used,
      error: state.error?.replace('\0', '\uFFFD') ?? null,
      scheduledFor: state.scheduledFor,
      sentAt: state.sentAt,
      providerType: state.provider?.type ?? null,
    });
    t.equal(row?.attempts.length, state.attempts);
    t.equal(row?.updatedAt, state.changedAt);
  }

  const now = history.at + 3_600_000;
  const order = ['low', 'normal', 'high', 'urgent'];
  const expected = living.filter(({ state }) => (dueAt(state) ?? Number.POSITIVE_INFINITY) <= now).map(({ id }) => id);
  const { due, nextDue } = await notificationsDue(db, { nowMs: now, perWorkspace: 1_000, except: [] });
  t.strictSame(due.map(({ notification }) => notification).sort(), expected.sort(), 'what is due');
  const urgencies = due.map(({ urgency }) => urgency);
  t.strictSame(
    urgencies,
    urgencies.toSorted((a, b) => b - a),
    'those that press more first',
  );
  for (const { notification, urgency } of due)
    t.equal(urgency, order.indexOf(living.find(({ id }) => id === notification)?.state.priority ?? ''));
  const waiting = living.flatMap(({ state }) => ((dueAt(state) ?? 0) > now ? [dueAt(state) as number] : []));
  t.equal(nextDue, waiting.length > 0 ? Math.min(...waiting) : null);
  const [first] = due;
  if (first) {
    const rest = await notificationsDue(db, { nowMs: now, perWorkspace: 1_000, except: [first.notification] });
    t.strictSame(rest.due, due.slice(1), 'but those that are held');
    const few = await notificationsDue(db, { nowMs: now, perWorkspace: 1, except: [] });
    t.ok(few.due.length <= 4 * 2, 'of each workspace and priority as many as asked for');
  }

  for (const workspace of [11, 12]) {
    const own = history.notifications.filter(({ state }) => state.workspace === workspace);
    const total = (await countNotifications(db, { workspace })).reduce((sum, each) => sum + each.notifications, 0);
    t.equal(total, gone.has(workspace) ? 0 : own.length, 'erased ones are counted');
    const listed = await listNotifications(db, { workspace }, { limit: 1_000, offset: 0 });
    t.equal(listed.total, living.filter(({ state }) => state.workspace === workspace).length);
    const middle = own[Math.floor(own.length / 2)]?.state.acceptedAt ?? 0;
    const [before, after] = await Promise.all([
      countNotifications(db, { workspace, toMs: middle }),
      countNotifications(db, { workspace, fromMs: middle + 1, type: 'websocket' }),
    ]);
    const sum = (counts: typeof before) => counts.reduce((all, each) => all + each.notifications, 0);
    if (gone.has(workspace)) continue;
    t.equal(sum(before), own.filter(({ state }) => state.acceptedAt <= middle).length, 'days and what is left of them');
    const rest = own.filter(({ state }) => state.acceptedAt > middle && state.type === 'websocket');
    t.equal(sum(after), rest.length);
  }
  const erasable = history.notifications.filter(({ state, erased }) => !erased && gone.has(state.workspace));
  t.strictSame(
    (await notificationsToErase(db, 1_000)).map(({ notification }) => notification).sort(),
    erasable.map(({ id }) => id).sort(),
  );
});

testErasing({
  make: makeNotifications,
  histories: 2,
  length,
  isRich: (t, { notifications, notification_days }) =>
    t.ok(notifications?.length && notification_days?.length, 'there are notifications'),
  hasErased: (t, { notifications }) =>
    t.ok(
      notifications?.some((row) => row.includes('"erased": true')),
      'something was erased',
    ),
  isBare(t, { notifications }) {
    t.notOk(
      notifications?.some((row) => row.includes('"erased": false')),
      'every notification is a tombstone',
    );
    t.notMatch(JSON.stringify(notifications), /subject of|content of|changed n|example|sealed/, 'no content is left');
  },
  alone: /^(erased|workspace)-/,
});
