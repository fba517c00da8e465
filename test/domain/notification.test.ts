/** The life of a notification (ChatAPI sheet, section 10). */
import fc from 'fast-check';
import t from 'tap';
import { type EventData, event } from '../../schemas/index.ts';
import {
  dueAt,
  type NotificationCommand,
  type NotificationState,
  notification,
  notificationLimits,
  type Round,
  defaultNotificationSchedule as schedule,
} from '../../src/domain/notification.ts';
import { decided, given, type Past, stateAfter } from './given.ts';
import { notificationCommands } from './notification-arbitraries.ts';

const ref = { workspace: 7, notification: 'n', room: null };
const mail = { to: ['a@example.com', 'b@example.com'], cc: [], bcc: ['c@example.com'], from: null, replyTo: null };
const content = {
  subject: 'Hi',
  content: 'there',
  email: mail,
  fallback: null,
  recipients: [],
  priority: 'normal' as const,
  scheduledFor: null,
  provider: null,
  maxRetries: 3,
  meta: null,
};
const byMail: EventData<'NotificationAccepted'> = { ...ref, type: 'email', ...content };
const toRoom = { ...byMail, type: 'websocket' as const, room: 5, email: null };
const urls = ['https://a.example/', 'https://b.example/'];
const toUrls = { ...byMail, type: 'webhook' as const, email: null, recipients: urls };
const fallback = { ...mail, to: ['f@example.com'], bcc: [], enabled: true, subject: null, content: null };

const accepted = (data = byMail): Past => ({ ...event('NotificationAccepted', data), at: 1_000 });
const started: Past = { ...event('NotificationStarted', ref), at: 1_000 };
const underWay = [accepted(), started];
const attempt = {
  channel: 'email' as const,
  provider: 'mailgun',
  externalId: null,
  target: null,
  at: 1_000,
  tookMs: 5,
  error: 'no',
};
const all = ['a@example.com', 'b@example.com', 'c@example.com'];
const failing: Round = {
  attempts: [attempt],
  fallback: null,
  shown: false,
  open: all,
  error: 'no',
  next: 'again',
  retryAfterMs: null,
};
const record = (round: Round, before = 0, now = 2_000): NotificationCommand => ({
  command: 'RecordRound',
  before,
  round,
  now,
  schedule,
});
const deferred = (used: number, retryAt: number): Past => {
  const attempts = [{ number: used, ...attempt }];
  return event('NotificationDeferred', { ...ref, attempts, fallback: null, open: all, used, retryAt, error: 'no' });
};
const failed = event('NotificationFailed', {
  ...ref,
  attempts: [{ number: 1, ...attempt }],
  fallback: null,
  type: 'email',
  recipients: all,
  attemptCount: 1,
  open: all,
  used: 1,
  error: 'no',
});

t.test('accepted once, and pending from then on', async (t) => {
  given(t, notification)
    .when({ command: 'AcceptNotification', ...byMail, now: 0 })
    .yields([event('NotificationAccepted', byMail)]);
  given(t, notification, [accepted()])
    .when({ command: 'AcceptNotification', ...byMail, now: 0 })
    .yields('already-exists');
  const state = stateAfter(notification, [accepted()]);
  t.match(state, { status: 'pending', attempts: 0, used: 0, open: null, acceptedAt: 1_000 });
  t.equal(dueAt(state), 1_000, 'due at once');
  t.equal(dueAt(stateAfter(notification, [accepted({ ...byMail, scheduledFor: 9_000 })])), 9_000, 'or at its time');
});

t.test('what each type needs', async (t) => {
  const many = Array.from({ length: notificationLimits.recipients + 1 }, (_, i) => `https://${i}.example/`);
  const long = Array.from({ length: 200 }, (_, i) => `${'x'.repeat(200)}${i}@example.com`);
  for (const [data, field] of [
    [{ ...byMail, content: ' ' }, 'content'],
    [{ ...byMail, subject: null }, 'subject'],
    [{ ...byMail, subject: 'x'.repeat(256) }, 'subject'],
    [{ ...byMail, email: null }, 'to_email'],
    [{ ...byMail, email: { ...mail, to: [] } }, 'to_email'],
    [{ ...byMail, email: { ...mail, to: long } }, 'to_email'],
    [{ ...byMail, scheduledFor: 1 }, 'scheduled_for'],
    [{ ...toRoom, room: null }, 'room_id'],
    [{ ...toRoom, room: null, fallback: { ...fallback, enabled: false } }, 'room_id'],
    [{ ...toRoom, subject: null, fallback }, 'email_fallback.subject'],
    [{ ...toRoom, fallback: { ...fallback, to: [] } }, 'email_fallback.to_email'],
    [{ ...toUrls, recipients: [] }, 'recipients'],
    [{ ...toUrls, recipients: many }, 'recipients'],
    [{ ...toUrls, recipients: [urls[0], urls[0]] as string[] }, 'recipients'],
  ] as const) {
    const command = { command: 'AcceptNotification', ...data, now: 1 } as NotificationCommand;
    t.throws(() => notification.decide(notification.initial, command), { code: 'value-invalid', details: { field } });
  }
  for (const data of [toRoom, { ...toRoom, subject: null }, { ...toRoom, room: null, fallback }, toUrls])
    given(t, notification)
      .when({ command: 'AcceptNotification', ...data, now: 1 })
      .yields([event('NotificationAccepted', data)]);
});

t.test('what may be done, by where it stands', async (t) => {
  const pasts: Readonly<Record<string, readonly Past[]>> = {
    nothing: [],
    pending: [accepted()],
    processing: underWay,
    retrying: [...underWay, deferred(1, 32_000)],
    failed: [...underWay, failed],
    cancelled: [accepted(), event('NotificationCancelled', ref)],
  };
  const commands = {
    change: { command: 'ChangeNotification', subject: 'Ho', now: 0 },
    cancel: { command: 'CancelNotification' },
    retry: { command: 'RetryNotification' },
    start: { command: 'StartNotification', now: 50_000 },
    stop: { command: 'StopNotification', error: 'enough' },
  } as const;
  const allowed: Readonly<Record<string, string>> = {
    'pending change': 'NotificationChanged',
    'pending cancel': 'NotificationCancelled',
    'pending start': 'NotificationStarted',
    'processing start': '',
    'retrying start': '',
    'failed retry': 'NotificationRetried',
    'pending stop': 'NotificationCancelled',
    'processing stop': 'NotificationFailed',
    'retrying stop': 'NotificationFailed',
    'failed stop': '',
    'cancelled stop': '',
  };
  for (const [status, past] of Object.entries(pasts))
    for (const [name, command] of Object.entries(commands)) {
      const outcome = decided(notification, stateAfter(notification, past), command);
      const expected = allowed[`${status} ${name}`] ?? (status === 'nothing' ? 'not-found' : 'wrong-state');
      t.equal(Array.isArray(outcome) ? outcome.map(({ type }) => type).join() : outcome, expected, `${status} ${name}`);
    }
  given(t, notification, [accepted({ ...byMail, scheduledFor: 9_000 })])
    .when({ command: 'StartNotification', now: 8_999 })
    .yields('wrong-state', 'not before its time');
});

t.test('stopped, it tells why, and whom it did not reach', async (t) => {
  const stop: NotificationCommand = { command: 'StopNotification', error: 'enough' };
  given(t, notification, [accepted()])
    .when(stop)
    .yields([event('NotificationCancelled', { ...ref, error: 'enough' })]);
  const cancelled = stateAfter(notification, [accepted(), event('NotificationCancelled', { ...ref, error: 'enough' })]);
  t.match(cancelled, { status: 'cancelled', error: 'enough' });
  const [only] = notification.decide(stateAfter(notification, [...underWay, deferred(1, 32_000)]), stop);
  t.match(only, { data: { attempts: [], attemptCount: 1, used: 1, error: 'enough', open: all, recipients: all } });
});

t.test('changes are judged with what stays', async (t) => {
  const change = (changes: object): NotificationCommand => ({ command: 'ChangeNotification', now: 5_000, ...changes });
  given(t, notification, [accepted()])
    .when(change({ subject: 'Ho', priority: 'urgent', meta: undefined }))
    .yields([event('NotificationChanged', { ...ref, subject: 'Ho', priority: 'urgent' })]);
  given(t, notification, [accepted()]).when(change({})).yields([]);
  for (const changes of [{ subject: null }, { email: null }, { scheduledFor: 5_000 }, { content: '' }])
    given(t, notification, [accepted()]).when(change(changes)).yields('value-invalid');
  const changed = stateAfter(notification, [accepted(), event('NotificationChanged', { ...ref, subject: 'Ho' })]);
  t.match(changed, { subject: 'Ho', content: 'there', status: 'pending' });
});

t.test('tried again after 30 s, 2 min and 5 min, and then no more', async (t) => {
  const past: Past[] = [...underWay];
  let now = 2_000;
  for (const [used, waitMs] of [30_000, 120_000, 300_000].entries()) {
    const expected = deferred(used + 1, now + waitMs);
    given(t, notification, past)
      .when(record(failing, used, now))
      .yields([expected]);
    past.push(expected);
    now += waitMs;
    t.equal(dueAt(stateAfter(notification, past)), now);
  }
  const last = decided(notification, stateAfter(notification, past), record(failing, 3, now));
  t.match(last, [{ type: 'NotificationFailed', data: { attemptCount: 4, used: 4, error: 'no', recipients: all } }]);
});

t.test('as often as it says: beyond the schedule its last wait repeats', async (t) => {
  for (const [maxRetries, rounds] of [
    [0, 1],
    [1, 2],
    [10, 11],
  ] as const) {
    let state = stateAfter(notification, [accepted({ ...byMail, maxRetries }), started]);
    let now = 2_000;
    let made = 0;
    const waits: number[] = [];
    while (state.status !== 'failed') {
      const [happened] = notification.decide(state, record(failing, state.attempts, now));
      if (!happened) throw new Error('nothing happened');
      state = notification.evolve(state, { ...happened, at: now });
      made++;
      if (state.retryAt !== null) waits.push(state.retryAt - now);
      now = state.retryAt ?? now;
    }
    t.equal(made, rounds);
    if (maxRetries === 10) t.strictSame(waits.slice(3), new Array(7).fill(300_000));
  }
});

t.test('a refusal is for good; being asked to slow down uses nothing up, for a day', async (t) => {
  const refusal = decided(notification, stateAfter(notification, underWay), record({ ...failing, next: 'never' }));
  t.match(refusal, [{ type: 'NotificationFailed', data: { used: 1 } }]);
  const slow: Round = { ...failing, attempts: [], next: 'later', retryAfterMs: 60_000 };
  given(t, notification, underWay)
    .when(record(slow))
    .yields([
      event('NotificationDeferred', {
        ...ref,
        attempts: [],
        fallback: null,
        open: all,
        used: 0,
        retryAt: 62_000,
        error: 'no',
      }),
    ]);
  const late = record({ ...slow, retryAfterMs: 10 ** 9 }, 0, 86_400_000);
  t.match(decided(notification, stateAfter(notification, underWay), late), [{ type: 'NotificationFailed' }]);
});

t.test('an outcome is recorded once', async (t) => {
  const done: Round = { ...failing, attempts: [{ ...attempt, error: null }], open: [], error: null };
  const sent = event('NotificationSent', {
    ...ref,
    attempts: [{ number: 1, ...attempt, error: null }],
    fallback: null,
    type: 'email',
    recipients: all,
    attemptCount: 1,
    sentAt: 2_000,
  });
  given(t, notification, underWay).when(record(done)).yields([sent]);
  for (const past of [[...underWay, sent], [...underWay, deferred(1, 32_000)], [accepted()]])
    given(t, notification, past).when(record(done)).yields([], 'by who was not told, or too late');
  given(t, notification, [...underWay, failed, event('NotificationRetried', ref)])
    .when(record(done, 1))
    .yields([], 'a retry was asked for since');
  t.match(stateAfter(notification, [...underWay, sent]), { status: 'sent', open: [], sentAt: 2_000, error: null });
});

t.test('to a room: shown by the same commit; by its fallback, to its addresses', async (t) => {
  const past = [accepted(toRoom), { ...started, data: { ...ref, room: 5 } } as Past];
  const shown: Round = { ...failing, attempts: [], shown: true, open: [], error: null };
  const [first, second] = notification.decide(stateAfter(notification, past), record(shown));
  t.match(first, { type: 'NotificationShown', data: { room: 5, subject: 'Hi', content: 'there', priority: 'normal' } });
  t.match(second, { type: 'NotificationSent', data: { room: 5, recipients: [] } });
  const away = [accepted({ ...toRoom, fallback }), past[1] as Past];
  const mailed: Round = { ...failing, fallback: 'no_online_users', open: [], error: null };
  const [only] = notification.decide(stateAfter(notification, away), record(mailed));
  t.match(only, { type: 'NotificationSent', data: { fallback: 'no_online_users', recipients: ['f@example.com'] } });
});

t.test('asked for again: all attempts anew, to those that are still open', async (t) => {
  const state = stateAfter(notification, [...underWay, failed, { ...event('NotificationRetried', ref), at: 9_000 }]);
  t.match(state, { status: 'pending', used: 0, attempts: 1, open: all, error: null });
  t.equal(dueAt(state), 9_000);
});

t.test('whatever happens, a status never leaves its machine', async (t) => {
  const next: Readonly<Record<NotificationState['status'], readonly NotificationState['status'][]>> = {
    none: ['pending'],
    pending: ['pending', 'processing', 'cancelled'],
    processing: ['retrying', 'sent', 'failed'],
    retrying: ['retrying', 'sent', 'failed'],
    failed: ['pending'],
    sent: [],
    cancelled: [],
  };
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(notificationCommands, (commands) => {
        let state = notification.initial;
        let at = 0;
        for (const command of commands) {
          const events = decided(notification, state, command);
          if (typeof events === 'string' || events.length === 0) continue;
          const before = state.status;
          for (const happened of events) state = notification.evolve(state, { ...happened, at: ++at });
          if (!next[before].includes(state.status)) throw new Error(`${before} became ${state.status}`);
        }
      }),
    ),
  );
});
