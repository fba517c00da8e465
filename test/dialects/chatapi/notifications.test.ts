import { setTimeout as pause } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import t from 'tap';
import { receiver } from '../../delivery/webhooks/receiver.ts';
import { until } from '../../support/until.ts';
import { type Answer, type Harness, startHarness, wrongFields } from './harness.ts';
import { open } from './sockets.ts';

const env = {
  OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
  NOTIFICATION_RETRY_SCHEDULE: '50ms,50ms,50ms',
  WEBHOOK_RETRY_SCHEDULE: '300ms',
  CHATAPI_NOTIFICATION_RATE_LIMIT: '0',
  CHATAPI_MESSAGE_RATE_LIMIT: '0',
};
const later = '2150-01-01T12:00:00Z';
const welcome = { type: 'email', to_email: 'user@example.com', subject: 'Welcome!', content: '<h1>Welcome!</h1>' };
const mailgun = { provider_type: 'mailgun', api_key: 'key-of-mailgun', domain: 'mg.example.com' };
const sendgrid = { provider_type: 'sendgrid', api_key: 'SG.key-of-sendgrid' };

type Body = Readonly<Record<string, unknown>>;
interface Mail {
  readonly provider: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly html: string;
}

/** A client, and short ways to its notifications. */
async function ground(chat: Harness, ...providers: readonly object[]) {
  const client = await chat.client();
  const { key } = client;
  const full = providers.map((provider_config) => ({
    provider_config,
    default_from_email: 'hello@acme.example',
    default_from_name: 'Acme',
    rate_limit_per_second: 1_000,
  }));
  if (full.length > 0) await chat.put('/clients/email-providers', full, key);
  const send = (body: Body) => chat.created('/notifications', body, key);
  /** It, once it is over. */
  const ended = async (made: Answer): Promise<Answer> => {
    for (;;) {
      const found = await chat.get(`/notifications/${made.str('data.id')}`, key);
      if (/^(?:sent|failed|cancelled)$/.test(found.str('data.status'))) return found;
    }
  };
  return { client, key, send, ended };
}

async function mailsTo(chat: Harness, address: string): Promise<readonly Mail[]> {
  const answer = await fetch(`${chat.sandboxUrl}/sandbox/mails?to=${address}`);
  return ((await answer.json()) as { mails: Mail[] }).mails;
}

/** ChatAPI sheet, section 10. */
t.test('notifications', async (t) => {
  const chat = await startHarness(t, env);

  t.test('an e-mail: accepted, sent, told with its attempts', async (t) => {
    const { client, key, send, ended } = await ground(chat, mailgun);
    const made = await send({ ...welcome, meta: { a: [1] } });
    t.match(made.headers.get('x-parley-position'), /^\d+$/);
    const shown = {
      id: /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      client_id: client.id,
      ...welcome,
      from_email: null,
      reply_to: null,
      cc: [],
      bcc: [],
      room_id: null,
      email_fallback: null,
      recipients: null,
      priority: 'normal',
      scheduled_for: null,
      provider_config: null,
      max_retry_attempts: 3,
      retry_count: 0,
      meta: { a: [1] },
      error_message: null,
    };
    t.match(made.body, { data: { ...shown, status: 'pending', sent_at: null }, status: 'success' });
    const sent = await ended(made);
    t.match(sent.body, {
      data: {
        ...shown,
        status: 'sent',
        sent_at: /Z$/,
        delivery_attempts: [
          {
            attempt_number: 1,
            status: 'success',
            provider_name: 'mailgun',
            provider_message_id: /./,
            attempted_at: /Z$/,
            response_time_ms: Number,
            error_message: null,
          },
        ],
      },
    });
    const [mail] = await mailsTo(chat, welcome.to_email);
    t.match(mail, { from: '"Acme" <hello@acme.example>', subject: welcome.subject, html: welcome.content });
    const listed = await chat.get('/notifications?status=sent&type=email', key);
    const { delivery_attempts: _, ...row } = sent.at('data') as Record<string, unknown>;
    t.strictSame(listed.at('data'), [row]);
    t.match(listed.at('pagination'), { total: 1, pages: 1 });
  });

  t.test('bodies that are none', async (t) => {
    const { key, client } = await ground(chat);
    const room = await chat.room(key);
    for (const [body, field] of [
      [{ content: 'x' }, 'type'],
      [{ ...welcome, type: 'sms' }, 'type'],
      [{ ...welcome, content: undefined }, 'content'],
      [{ ...welcome, content: ' ' }, 'content'],
      [{ ...welcome, subject: undefined }, 'subject'],
      [{ ...welcome, subject: 'x'.repeat(256) }, 'subject'],
      [{ ...welcome, to_email: undefined }, 'to_email'],
      [{ ...welcome, to_email: 'nobody' }, 'to_email'],
      [{ ...welcome, to_email: [] }, 'to_email'],
      [{ ...welcome, to_email: ['a@example.com', 'nobody'] }, 'to_email.1'],
      [{ ...welcome, cc: ['nobody'] }, 'cc.0'],
      [{ ...welcome, to_email: 'a@example.com\r\nBcc: b@example.com' }, 'to_email'],
      [{ ...welcome, priority: 'soon' }, 'priority'],
      [{ ...welcome, scheduled_for: 'tomorrow' }, 'scheduled_for'],
      [{ ...welcome, scheduled_for: '2020-01-01T00:00:00Z' }, 'scheduled_for'],
      [{ ...welcome, max_retry_attempts: 11 }, 'max_retry_attempts'],
      [{ ...welcome, meta: 'x' }, 'meta'],
      [{ ...welcome, provider_config: { provider_type: 'pigeon' } }, 'provider_config.provider_type'],
      [{ ...welcome, provider_config: sendgrid }, 'from_email'],
      [
        {
          ...welcome,
          provider_config: { ...mailgun, base_url: 'http://10.0.0.1/v3', default_from_email: 'a@b.example' },
        },
        'provider_config.base_url',
      ],
      [{ type: 'websocket', content: 'x' }, 'room_id'],
      [{ type: 'websocket', content: 'x', email_fallback: { enabled: false, to_email: 'a@example.com' } }, 'room_id'],
      [{ type: 'websocket', content: 'x', email_fallback: { to_email: 'a@example.com' } }, 'email_fallback.subject'],
      [{ type: 'websocket', content: 'x', room_id: room, email_fallback: {} }, 'email_fallback.to_email'],
      [{ type: 'webhook', content: 'x' }, 'recipients'],
      [{ type: 'webhook', content: 'x', recipients: ['ftp://example.com'] }, 'recipients'],
      [{ type: 'webhook', content: 'x', recipients: ['http://169.254.169.254/'] }, 'recipients'],
      [{ type: 'webhook', content: 'x', recipients: ['http://me:you@example.com/'] }, 'recipients'],
    ] as const) {
      const answer = await chat.post('/notifications', body, key);
      t.equal(answer.status, 422, answer.text);
      t.equal(answer.at('errors.0.field'), field, answer.text);
    }
    const subject = '\u{1F600}'.repeat(255);
    const long = { ...welcome, to_email: 'long@example.com', subject, scheduled_for: later };
    const titled = { type: 'websocket', content: 'x', room_id: room, subject: `${subject}!` };
    t.match((await chat.post('/notifications', long, (await ground(chat)).key)).body, { data: { subject } });
    t.strictSame(wrongFields(await chat.post('/notifications', titled, key)), ['subject']);
    const byUrl = { type: 'webhook', content: 'x', recipients: ['https://example.com/a'] };
    for (const [body, fields] of [
      [{ type: 'email', content: 'x' }, ['subject', 'to_email']],
      [{ type: 'email' }, ['content', 'subject', 'to_email']],
      [{}, ['type', 'content']],
      [{ ...welcome, subject: 5, cc: 'x' }, ['subject', 'cc']],
      [
        { type: 'email', content: ' ', scheduled_for: '2020-01-01T00:00:00Z' },
        ['content', 'subject', 'to_email', 'scheduled_for'],
      ],
      [{ type: 'email', content: 'x', provider_config: sendgrid }, ['subject', 'to_email', 'from_email']],
      [{ type: 'email', content: 'x', from_email: 'a@b.example', provider_config: sendgrid }, ['subject', 'to_email']],
      [{ type: 'websocket', content: 5 }, ['content', 'room_id']],
      [{ type: 'websocket', content: 5, email_fallback: 5 }, ['content', 'email_fallback']],
      [{ type: 'webhook' }, ['content', 'recipients']],
      [{ ...byUrl, content: '', recipients: [...byUrl.recipients, ...byUrl.recipients] }, ['content', 'recipients']],
    ] as const)
      t.strictSame(wrongFields(await chat.post('/notifications', body, key)), fields, JSON.stringify(body));
    t.equal((await chat.post('/notifications', '{', key)).status, 400);
    const other = await ground(chat);
    for (const room_id of [await chat.room(other.key), 'x', client.id])
      t.equal((await chat.post('/notifications', { type: 'websocket', content: 'x', room_id }, key)).status, 404);
    t.equal((await chat.get('/notifications', key)).at('pagination.total'), 0, 'nothing was stored');
  });

  t.test('for the master key of the client alone', async (t) => {
    const { client, key, send } = await ground(chat);
    const { key: scoped } = await chat.user(client);
    const { key: stranger } = await ground(chat);
    const id = (await send({ ...welcome, scheduled_for: later })).str('data.id');
    for (const [method, path, body] of [
      ['POST', '', welcome],
      ['GET', '', undefined],
      ['GET', '/analytics', undefined],
      ['GET', `/${id}`, undefined],
      ['PUT', `/${id}`, {}],
      ['DELETE', `/${id}`, undefined],
      ['POST', `/${id}/cancel`, undefined],
      ['POST', `/${id}/retry`, undefined],
    ] as const) {
      const status = async (as?: string) => (await chat.call(method, `/notifications${path}`, { as, body })).status;
      t.equal(await status(scoped), 403);
      t.equal(await status(), 401);
      if (path.startsWith(`/${id}`)) t.equal(await status(stranger), 404, `${method} ${path}`);
    }
    for (const none of ['x', 'analytic', client.id])
      t.equal((await chat.get(`/notifications/${none}`, key)).status, 404);
    t.equal((await chat.get('/notifications', stranger)).at('pagination.total'), 0);
    t.equal((await chat.get(`/notifications/${id}`, key)).at('data.status'), 'pending');
  });

  t.test('pending until its time: changed, cancelled, and never sent', async (t) => {
    const { key, send, ended } = await ground(chat, mailgun);
    const to_email = 'cancelled@example.com';
    const made = await send({ ...welcome, to_email, scheduled_for: later, priority: 'high', cc: ['c@example.com'] });
    const path = `/notifications/${made.str('data.id')}`;
    t.match(made.body, { data: { status: 'pending', scheduled_for: '2150-01-01T12:00:00.000Z', priority: 'high' } });
    const changed = await chat.put(path, { subject: 'Hi', meta: { b: 1 }, to_email: ['x@example.com', to_email] }, key);
    t.match(changed.body, {
      data: {
        subject: 'Hi',
        content: welcome.content,
        meta: { b: 1 },
        to_email: ['x@example.com', to_email],
        cc: ['c@example.com'],
        priority: 'high',
      },
    });
    const { delivery_attempts: _, ...row } = (await chat.get(path, key)).at('data') as Record<string, unknown>;
    t.strictSame(row, changed.at('data'), 'rows say the same');
    t.equal((await chat.put(path, { type: 'webhook' }, key)).at('errors.0.field'), 'type');
    t.equal((await chat.put(path, { room_id: await chat.room(key) }, key)).at('errors.0.field'), 'room_id');
    t.equal((await chat.put(path, { scheduled_for: '2020-01-01T00:00:00Z' }, key)).status, 422);
    t.equal((await chat.post(`${path}/retry`, undefined, key)).status, 400);
    t.strictSame(wrongFields(await chat.put(path, { type: 'webhook', room_id: 'x' }, key)), ['type', 'room_id']);
    const bad = { type: 'webhook', priority: 'most', max_retry_attempts: -1 };
    t.strictSame(wrongFields(await chat.put(path, bad, key)), ['priority', 'max_retry_attempts', 'type']);
    const emptied = await chat.put(path, { content: ' ', subject: ' ' }, key);
    t.strictSame(wrongFields(emptied), ['content', 'subject']);
    const gone = await chat.del(path, key);
    t.equal(gone.status, 204);
    t.equal(gone.text, '');
    t.match((await chat.get(path, key)).body, { data: { status: 'cancelled' } });
    t.equal((await chat.del(path, key)).status, 400);
    t.equal((await chat.post(`${path}/cancel`, undefined, key)).status, 400);
    t.equal((await chat.put(path, { subject: 'x' }, key)).status, 400);

    const soon = new Date(Date.now() + 300).toISOString();
    const sent = await ended(await send({ ...welcome, to_email: 'soon@example.com', scheduled_for: soon }));
    t.ok(sent.str('data.sent_at') >= soon, 'not before its time');
    t.equal((await chat.post(`/notifications/${sent.str('data.id')}/cancel`, undefined, key)).status, 400);
    const moved = await send({ ...welcome, to_email: 'moved@example.com', scheduled_for: later });
    await chat.put(`/notifications/${moved.str('data.id')}`, { scheduled_for: null }, key);
    t.equal((await ended(moved)).at('data.status'), 'sent', 'at once after all');
    t.equal((await mailsTo(chat, to_email)).length, 0);
  });

  t.test('a client that is switched off sends nothing more', async (t) => {
    const { key, send } = await ground(chat, mailgun);
    const to = 'nobody@switched.example';
    await send({ ...welcome, to_email: to, scheduled_for: new Date(Date.now() + 1_500) });
    const before = await chat.events('NotificationCancelled');
    t.equal((await chat.put('/clients/me', { is_active: false }, key)).status, 200);
    await until(async () => (await chat.events('NotificationCancelled')) > before);
    t.strictSame(await mailsTo(chat, to), []);
    // Its keys read it no more: the tables tell why.
    const select = `SELECT status, error FROM read.notifications WHERE email->'to'->>0 = '${to}' AND due IS NULL`;
    await until(async () => (await chat.sql(select)).length > 0);
    t.strictSame(await chat.sql(select), [{ status: 'cancelled', error: 'The client is not active' }]);
  });

  t.test('tried again on trouble, as often as it may; refused at once; retried by hand', async (t) => {
    const { key, send, ended } = await ground(chat, mailgun);
    const once = await ended(await send({ ...welcome, to_email: 'me0004@example.com' }));
    t.match(once.body, { data: { status: 'sent', retry_count: 1, error_message: null } });
    t.match(once.at('data.delivery_attempts'), [
      { attempt_number: 1, status: 'failed', error_message: /\w/, provider_message_id: null },
      { attempt_number: 2, status: 'success' },
    ]);
    const never = await send({ ...welcome, to_email: 'me0006@example.com', max_retry_attempts: 1 });
    const failed = await ended(never);
    t.match(failed.body, { data: { status: 'failed', retry_count: 1, error_message: /\w/, sent_at: null } });
    t.equal((failed.at('data.delivery_attempts') as unknown[]).length, 2);
    const again = await chat.post(`/notifications/${never.str('data.id')}/retry`, undefined, key);
    t.match(again.body, { data: { status: 'pending', retry_count: 0, error_message: null } });
    const more = await ended(never);
    t.match(more.at('data.delivery_attempts.3'), { attempt_number: 4, status: 'failed' });
    t.equal(more.at('data.status'), 'failed');
    const refused = await ended(await send({ ...welcome, to_email: 'me0001@example.com' }));
    t.match(refused.body, { data: { status: 'failed', retry_count: 0 } }, 'a refusal is for good');
    t.equal((refused.at('data.delivery_attempts') as unknown[]).length, 1);
  });

  t.test('another provider once, one of its own, and none at all', async (t) => {
    const bad = { ...mailgun, api_key: 'bad-key' };
    const { send, ended } = await ground(chat, bad, sendgrid);
    const sent = await ended(await send({ ...welcome, to_email: 'other@example.com' }));
    t.match(sent.at('data.delivery_attempts'), [
      { attempt_number: 1, status: 'failed', provider_name: 'mailgun' },
      { attempt_number: 2, status: 'success', provider_name: 'sendgrid' },
    ]);
    t.equal(sent.at('data.retry_count'), 0);
    const own = {
      provider_type: 'postmark',
      server_token: 'token-of-postmark',
      default_from_email: 'own@acme.example',
    };
    const made = await send({ ...welcome, to_email: 'own@example.com', provider_config: own });
    t.strictSame(made.at('data.provider_config'), { provider_type: 'postmark' });
    t.match((await ended(made)).at('data.delivery_attempts'), [{ provider_name: 'postmark', status: 'success' }]);
    t.match(await mailsTo(chat, 'own@example.com'), [{ provider: 'postmark', from: 'own@acme.example' }]);
    const rows = JSON.stringify(await chat.sql('SELECT * FROM read.notifications'));
    t.notMatch(rows + made.text, /token-of-postmark/);
    t.notMatch(JSON.stringify((await chat.history()).map(({ data }) => data)), /token-of-postmark/);
    const nobody = await ground(chat);
    const failed = await nobody.ended(await nobody.send(welcome));
    t.match(failed.body, { data: { status: 'failed', error_message: /provider/, delivery_attempts: [] } });
  });

  t.test('to a room: shown to who is connected, and to who comes back', async (t) => {
    const { client, send, ended } = await ground(chat, mailgun);
    const ann = await chat.user(client);
    const room_id = await chat.room(ann.key);
    const body = { type: 'websocket', room_id, subject: 'Look', content: 'Now', priority: 'urgent' };
    const fallback = { email_fallback: { to_email: 'away@example.com' } };

    const alone = await ended(await send(body));
    t.match(alone.body, { data: { status: 'sent', meta: null, delivery_attempts: [{ provider_name: 'websocket' }] } });
    const away = await ended(await send({ ...body, ...fallback, meta: { a: 1 } }));
    t.match(away.body, { data: { status: 'sent', meta: { a: 1, fallback_reason: 'no_online_users' } } });
    t.match(away.at('data.delivery_attempts'), [{ provider_name: 'mailgun', status: 'success' }]);
    t.match(await mailsTo(chat, 'away@example.com'), [{ subject: 'Look', html: 'Now' }]);
    const off = { email_fallback: { enabled: false, to_email: 'away@example.com' } };
    t.match((await ended(await send({ ...body, ...off }))).body, { data: { status: 'sent', meta: null } });

    const socket = await open(t, chat, ann.key);
    const made = await send({ ...body, ...fallback });
    const [frame] = (await socket.upTo('notification')).slice(-1);
    const id = made.str('data.id');
    t.match(frame, { room_id, data: { id, title: 'Look', content: 'Now', priority: 'urgent' } });
    t.match((await ended(made)).body, { data: { status: 'sent', meta: null } });
    const after = String(frame?.position);
    socket.ws.terminate();
    const missed = await ended(await send({ ...body, content: 'Then', meta: { action_url: '/go', icon: 1 } }));
    const back = await open(t, chat, ann.key, { after });
    const [seen] = (await back.upTo('notification')).slice(-1);
    const mid = missed.str('data.id');
    t.strictSame(seen?.data, { id: mid, title: 'Look', content: 'Then', priority: 'urgent', action_url: '/go' });
    back.ws.terminate();

    const gone = await chat.room(ann.key);
    const soon = await send({
      ...body,
      ...fallback,
      room_id: gone,
      scheduled_for: new Date(Date.now() + 400).toISOString(),
    });
    await chat.del(`/rooms/${gone}`, ann.key);
    t.match((await ended(soon)).body, { data: { meta: { fallback_reason: 'websocket_delivery_failed' } } });
    const only = await ended(await send({ type: 'websocket', content: 'x', subject: 'y', ...fallback }));
    t.match(only.body, { data: { status: 'sent', room_id: null, meta: null } }, 'straight to e-mail');
  });

  t.test(
    'to URLs, signed where the receiver has a webhook of its own; only who did not take it is asked again',
    async (t) => {
      const { client, key, send, ended } = await ground(chat);
      const [good, flaky, refusing] = [await receiver(t), await receiver(t), await receiver(t, () => 410)];
      flaky.answer = () => (flaky.got.length < 2 ? 503 : 200);
      const made = await chat.created('/webhooks', { url: good.url, events: ['notification.sent'] }, key);
      const body = { type: 'webhook', subject: 'Hi', content: 'there', meta: { a: 1 } };
      const sent = await send({ ...body, recipients: [good.url, flaky.url] });
      t.match((await ended(sent)).body, {
        data: { status: 'sent', retry_count: 1, recipients: [good.url, flaky.url] },
      });
      const id = sent.str('data.id');
      const posts = good.got.filter(({ body: { event } }) => event === 'notification');
      t.equal(posts.length, 1, 'who took it is left alone');
      t.match(posts[0], {
        headers: { 'webhook-id': id, 'content-type': 'application/json' },
        body: {
          id,
          event: 'notification',
          data: { id, subject: 'Hi', content: 'there', priority: 'normal', meta: { a: 1 } },
          meta: { client_id: client.id, attempt: 1 },
        },
      });
      const [post] = posts;
      new Webhook(made.str('data.secret')).verify(post?.raw ?? '', post?.headers as Record<string, string>);
      t.equal(flaky.got[1]?.headers['webhook-id'], id);
      t.equal(flaky.got[1]?.headers['webhook-signature'], undefined, 'without a secret there is nothing to sign with');
      const told = () => good.got.find(({ body: { event } }) => event === 'notification.sent');
      while (!told()) await pause(5);
      t.match(told()?.body.data, {
        notification_id: id,
        type: 'webhook',
        recipients: [good.url, flaky.url],
        attempt_count: 3,
      });

      const refused = await ended(await send({ ...body, recipients: [refusing.url, good.url] }));
      t.match(refused.body, { data: { status: 'failed', retry_count: 0, error_message: /1 of 2.*HTTP_410/ } });
      t.equal(refusing.got.length, 1, 'a refusal is for good');
    },
  );

  t.test('once per key, and the same answer again', async (t) => {
    const { key, send } = await ground(chat, mailgun);
    const ask = (body: Body, as = key) =>
      chat.call('POST', '/notifications', { as, body, headers: { 'idempotency-key': 'k1' } });
    const scheduled = { ...welcome, scheduled_for: later };
    const [first, ...rest] = await Promise.all([1, 2, 3, 4].map(() => ask(scheduled)));
    t.equal(first?.status, 201);
    for (const answer of rest) t.strictSame(answer.at('data'), first?.at('data'));
    t.strictSame((await ask({ ...scheduled, scheduled_for: '2020-01-01T00:00:00Z' })).at('data'), first?.at('data'));
    t.equal((await chat.get('/notifications', key)).at('pagination.total'), 1);
    const other = await ground(chat);
    t.not((await ask(scheduled, other.key)).at('data.id'), first?.at('data.id'), 'keys are scoped');
    t.not((await send(scheduled)).at('data.id'), first?.at('data.id'));
  });

  t.test('counted', async (t) => {
    const { client, key, send, ended } = await ground(chat, mailgun);
    const empty = {
      total_notifications: 0,
      successful_deliveries: 0,
      failed_deliveries: 0,
      success_rate: 0,
      by_status: {},
      by_type: {},
      by_channel: {},
      delivery_rate: 0,
      fallback_usage: 0,
    };
    const counts = async (query = '') => (await chat.get(`/notifications/analytics${query}`, key)).at('data');
    t.strictSame(await counts(), empty);
    const room_id = await chat.room(key);
    for (const made of [
      await send({ ...welcome, to_email: 'a@example.com' }),
      await send({ ...welcome, to_email: 'b@example.com' }),
      await send({ ...welcome, to_email: 'me0001@example.com' }),
      await send({
        type: 'websocket',
        room_id,
        subject: 'x',
        content: 'y',
        email_fallback: { to_email: 'c@example.com' },
      }),
      await send({ type: 'websocket', room_id, content: 'y' }),
    ])
      await ended(made);
    await send({ ...welcome, scheduled_for: later });
    t.strictSame(await counts(), {
      total_notifications: 6,
      successful_deliveries: 4,
      failed_deliveries: 1,
      success_rate: 80,
      by_status: { failed: 1, pending: 1, sent: 4 },
      by_type: { email: 4, websocket: 2 },
      by_channel: {
        email: { total: 5, successful: 3, failed: 1, success_rate: 75 },
        websocket: { total: 1, successful: 1, failed: 0, success_rate: 100 },
      },
      delivery_rate: 66.67,
      fallback_usage: 16.67,
    });
    t.match(await counts('?type=websocket'), { total_notifications: 2, fallback_usage: 50 });
    t.match(await counts(`?room_id=${room_id}`), { total_notifications: 2 });
    t.strictSame(await counts('?date_to=2020-01-01'), empty);
    t.match(await counts('?start_date=2020-01-01'), { total_notifications: 6 });
    const today = new Date().toISOString().slice(0, 10);
    t.match(await counts(`?date_from=${today}&date_to=${today}`), { total_notifications: 6 });
    t.equal((await chat.get('/notifications/analytics?type=sms', key)).status, 422);
    t.equal((await chat.get(`/notifications/analytics?room_id=${client.id}`, key)).status, 404);
    t.equal((await chat.get(`/notifications?room_id=${room_id}`, key)).at('pagination.total'), 2);
    t.equal((await chat.get('/notifications?priority=high', key)).at('pagination.total'), 0);
    for (const query of ['status=done', 'type=sms', 'priority=x', 'sort=x', 'size=101', 'start_date=x'])
      t.equal((await chat.get(`/notifications?${query}`, key)).status, 422, query);
  });
});

t.test('limited, with headers', async (t) => {
  const chat = await startHarness(t, { ...env, CHATAPI_NOTIFICATION_RATE_LIMIT: '3' });
  const { client, key, send } = await ground(chat);
  const scoped = await chat.user(client);
  t.equal((await chat.post('/notifications', welcome, scoped.key)).status, 403);
  const first = await send({ ...welcome, scheduled_for: later });
  t.equal(first.headers.get('x-ratelimit-limit'), '3');
  t.equal(first.headers.get('x-ratelimit-remaining'), '2', 'one that may not use it uses up nothing');
  t.match(first.headers.get('x-ratelimit-reset'), /^\d{10}$/);
  await chat.get('/notifications', key);
  await chat.get('/notifications/analytics', key);
  const over = await chat.post('/notifications', welcome, key);
  t.equal(over.status, 429);
  t.equal(over.at('error_code'), 'RATE_LIMIT_EXCEEDED');
  t.match(over.headers.get('retry-after'), /^\d+$/);
  t.equal((await chat.get('/messages', key)).status, 200, 'a limit of its own');
});
