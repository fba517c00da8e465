import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import t, { type Test } from 'tap';
import { type Answer as Answers, type Got, type Receiver, receiver } from '../../delivery/webhooks/receiver.ts';
import { type Answer, type Client, type Harness, startHarness, wrongFields } from './harness.ts';

const env = {
  OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
  WEBHOOK_RETRY_SCHEDULE: '300ms,300ms,300ms,300ms',
  CHATAPI_MESSAGE_RATE_LIMIT: '0',
};
const all = ['message.created', 'message.updated', 'message.deleted'];

const ids = (answer: Answer) => (answer.at('data') as { id: string }[]).map(({ id }) => id);
const dataOf = ({ body }: Got) => body.data as unknown as Readonly<Record<string, unknown>>;
const contents = ({ got }: Receiver) => got.map((each) => dataOf(each).content);

/** Bodies as their events stand in the log: several are on their way at once. */
const inOrder = ({ got }: Receiver) =>
  got.map(({ body }) => body).sort((a, b) => Number(a.meta.position) - Number(b.meta.position));

/** A client with a user, a room of his, and a receiver with its webhook. */
async function ground(t: Test, chat: Harness, body: object = {}, answer?: Answers) {
  const client = await chat.client();
  const ann = await chat.user(client);
  const room = await chat.room(ann.key);
  const target = await receiver(t, answer);
  const made = await chat.created('/webhooks', { url: target.url, events: all, ...body }, client.key);
  const say = (content: string) => chat.message(ann.key, room, content);
  return { client, ann, room, target, made, id: made.str('data.id'), say };
}

/** The endpoint, once something holds of it. */
async function endpoint(chat: Harness, { key }: Client, id: string, wanted: (answer: Answer) => boolean) {
  for (;;) {
    const answer = await chat.get(`/webhooks/${id}`, key);
    if (wanted(answer)) return answer;
  }
}

/** ChatAPI sheet, section 13. */
t.test('webhooks', async (t) => {
  const chat = await startHarness(t, env);

  t.test('made, read, changed, deleted', async (t) => {
    const client = await chat.client();
    const { key } = client;
    const room = await chat.room(key);
    const body = {
      url: 'https://example.com/hook',
      events: ['message.created', 'notification.read'],
      custom_headers: { Authorization: 'Bearer abc', 'X-Mine': '1' },
      room_filters: [room],
      meta: { a: 1 },
    };
    const made = await chat.created('/webhooks', body, key);
    t.match(made.headers.get('x-parley-position'), /^\d+$/);
    const shown = {
      client_id: client.id,
      url: body.url,
      events: body.events,
      is_active: true,
      custom_headers: { Authorization: '********', 'X-Mine': '********' },
      room_filters: [room],
      meta: { a: 1 },
      last_delivery_at: null,
      failure_count: 0,
    };
    t.match(made.body, { data: { ...shown, secret: /^whsec_[A-Za-z0-9+/]{43}=$/ }, status: 'success' });
    const id = made.str('data.id');
    const { secret, ...rest } = made.at('data') as Record<string, unknown>;
    const read = await chat.get(`/webhooks/${id}`, key);
    t.strictSame(read.at('data'), rest, 'rows say the same, without the secret');
    t.notMatch(
      JSON.stringify(await chat.history(), (_, value) => (typeof value === 'bigint' ? '' : value)),
      'Bearer abc',
    );

    const changed = await chat.put(
      `/webhooks/${id}`,
      {
        url: 'https://example.com/other',
        custom_headers: { authorization: '********', 'x-new': '2' },
        room_filters: null,
      },
      key,
    );
    t.match(changed.body, {
      data: { url: 'https://example.com/other', room_filters: [], meta: { a: 1 }, is_active: true },
    });
    t.strictSame(changed.at('data.custom_headers'), { authorization: '********', 'x-new': '********' });
    t.equal((await chat.put(`/webhooks/${id}`, {}, key)).at('data.url'), 'https://example.com/other');
    t.equal((await chat.post(`/webhooks/${id}/deactivate`, undefined, key)).at('data.is_active'), false);
    const second = await chat.created('/webhooks', { url: 'http://example.com', events: ['room.joined'] }, key);
    const other = second.str('data.id');
    t.strictSame(ids(await chat.get('/webhooks', key)), [other, id]);
    t.strictSame(ids(await chat.get('/webhooks?order=asc&size=1', key)), [id]);
    t.strictSame(ids(await chat.get('/webhooks?is_active=false', key)), [id]);
    t.strictSame(ids(await chat.get('/webhooks?event=room.joined', key)), [other]);
    for (const query of ['event=nothing', 'sort=url', 'is_active=1'])
      t.equal((await chat.get(`/webhooks?${query}`, key)).status, 422, query);
    t.match((await chat.put(`/webhooks/${id}`, { is_active: true }, key)).body, { data: { is_active: true } });
    t.equal((await chat.del(`/webhooks/${id}`, key)).status, 204);
    for (const [method, path] of [
      ['GET', ''],
      ['PUT', ''],
      ['DELETE', ''],
      ['POST', '/activate'],
    ] as const)
      t.equal((await chat.call(method, `/webhooks/${id}${path}`, { as: key })).status, 404);
    t.strictSame(ids(await chat.get('/webhooks', key)), [other]);
  });

  t.test('bodies that are none, and targets and headers that are not allowed', async (t) => {
    const { key } = await chat.client();
    const good = { url: 'http://example.com', events: ['message.created'] };
    const header = (name: string, value = 'x') => ({ custom_headers: { [name]: value } });
    const foreign = await chat.room((await chat.client('Other')).key);
    const urls = [
      'nonsense',
      'ftp://example.com',
      'http://me:secret@example.com/',
      'http://10.0.0.1/',
      'http://169.254.169.254/latest/meta-data',
      'http://0x0a000001/',
      'http://[::1]/',
      'http://[::ffff:10.0.0.1]/',
      'http://0.0.0.0/',
      `http://example.com/${'x'.repeat(2_100)}`,
    ];
    const headers = [
      header('host'),
      header('Content-Length', '0'),
      header('transfer-encoding', 'chunked'),
      header('Connection', 'close'),
      header('webhook-id'),
      header('X-ChatAPI-Signature'),
      header('x-a', 'b\r\nx-injected: c'),
      header('x-a\r\nx-injected', 'c'),
      header('x-a', 'b\nc'),
      header('x a'),
      { custom_headers: { 'x-a': '1', 'X-A': '2' } },
    ];
    const cases: readonly (readonly [object, string])[] = [
      ...urls.map((url) => [{ url }, 'url'] as const),
      ...headers.map((each) => [each, 'custom_headers'] as const),
      [{ url: undefined }, 'url'],
      [{ events: undefined }, 'events'],
      [{ events: [] }, 'events'],
      [{ events: ['message.created', 'message.created'] }, 'events'],
      [{ events: ['message.eaten'] }, 'events'],
      [{ secret: '' }, 'secret'],
      [{ meta: [] }, 'meta'],
    ];
    const { str } = await chat.created('/webhooks', good, key);
    for (const [change, field] of cases) {
      const wanted = { status_code: 422, error_code: 'VALIDATION_ERROR', errors: [{ field }] };
      t.match(
        (await chat.post('/webhooks', { ...good, ...change }, key)).body,
        wanted,
        JSON.stringify(change).slice(0, 80),
      );
      if (Object.values(change).every((value) => value !== undefined))
        t.match((await chat.put(`/webhooks/${str('data.id')}`, change, key)).body, wanted);
    }
    const url = 'http://10.0.0.1/';
    for (const [body, fields] of [
      [{}, ['url', 'events']],
      [{ url, events: ['message.eaten'], custom_headers: { host: 'x' } }, ['url', 'events', 'custom_headers']],
      [{ events: ['message.eaten'], custom_headers: { host: 'x' } }, ['url', 'events', 'custom_headers']],
      [{ url: 'ftp://example.com', events: 'x' }, ['events', 'url']],
    ] as const)
      t.strictSame(wrongFields(await chat.post('/webhooks', body, key)), fields, JSON.stringify(body));
    const path = `/webhooks/${str('data.id')}`;
    t.strictSame(wrongFields(await chat.put(path, { url: 'x', events: [], meta: 1 }, key)), ['meta', 'url', 'events']);
    t.strictSame(wrongFields(await chat.put(path, { url, events: [] }, key)), ['url', 'events']);
    t.strictSame(wrongFields(await chat.get('/webhooks?page=0&event=x', key)), ['page', 'event']);
    t.equal((await chat.post('/webhooks', { ...good, room_filters: [foreign] }, key)).status, 404);
    t.equal((await chat.get('/webhooks', key)).at('pagination.total'), 1, 'nothing came of them');
  });

  t.test("another client's webhooks do not exist, and a scoped key administers none", async (t) => {
    const { client, ann, id } = await ground(t, chat);
    const other = await chat.client('Other');
    const replay = { from_position: '0' };
    const dead = '/dead-letters/del_00000000000000000000000000000000/redrive';
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['PUT', '', { is_active: false }],
      ['DELETE', '', undefined],
      ['POST', '/activate', undefined],
      ['POST', '/deactivate', undefined],
      ['POST', '/test', undefined],
      ['GET', '/analytics', undefined],
      ['GET', '/dead-letters', undefined],
      ['POST', dead, undefined],
      ['POST', '/replay', replay],
    ] as const) {
      t.equal((await chat.call(method, `/webhooks/${id}${path}`, { as: other.key, body })).status, 404, method + path);
      t.equal((await chat.call(method, `/webhooks/${ann.id}${path}`, { as: client.key, body })).status, 404);
      t.equal((await chat.call(method, `/webhooks/${id}${path}`, { as: ann.key, body })).status, 403);
      t.equal((await chat.call(method, `/webhooks/${id}${path}`, { body })).status, 401);
    }
    t.equal((await chat.get('/webhooks', ann.key)).status, 403);
    t.equal((await chat.get(`/webhooks/${id}`, client.key)).at('data.is_active'), true);
  });

  t.test('a create with a key takes effect once, and shows its secret again', async (t) => {
    const { key } = await chat.client();
    const body = { url: 'http://example.com', events: ['message.created'] };
    const send = () => chat.call('POST', '/webhooks', { as: key, body, headers: { 'idempotency-key': 'hook' } });
    const answers = await Promise.all([send(), send(), send()]);
    for (const { status } of answers) t.equal(status, 201);
    const [first, ...others] = answers.map((answer) => answer.at('data') as Record<string, unknown>);
    for (const other of others) t.strictSame(other, first);
    t.equal((await chat.get('/webhooks', key)).at('pagination.total'), 1);
    await chat.del(`/webhooks/${first?.id}`, key);
    const gone = await send();
    t.equal(gone.status, 201);
    t.match(gone.at('data'), { id: first?.id, is_deleted: true }, 'what it made is gone');
  });

  t.test('what is sent: shape, signatures, headers of the owner', async (t) => {
    const { client, ann, room, target, made, id, say } = await ground(t, chat, {
      custom_headers: { Authorization: 'Bearer abc', 'User-Agent': 'mine' },
    });
    const message = await say('Hello');
    await target.count(1);
    const [got] = target.got as [Got];
    const shown = await chat.get(`/messages/${message}`, ann.key);
    t.match(got.body, {
      id: /^evt_[0-9a-f]{32}$/,
      event: 'message.created',
      created_at: shown.at('data.created_at'),
      meta: { client_id: client.id, webhook_id: id, delivery_id: /^del_[0-9a-f]{32}$/, attempt: 1, position: /^\d+$/ },
    });
    t.strictSame(got.body.data, shown.at('data'), 'the message as the API shows it');
    t.match(got.headers, { 'content-type': 'application/json', authorization: 'Bearer abc', 'user-agent': 'mine' });
    const secret = made.str('data.secret');
    const signature = createHmac('sha256', secret).update(got.raw).digest('hex');
    t.equal(got.headers['x-chatapi-signature'], `sha256=${signature}`);
    t.equal(got.headers['webhook-id'], got.body.id);
    t.strictSame(new Webhook(secret).verify(got.raw, got.headers as Record<string, string>), got.body);

    await chat.put(`/messages/${message}`, { content: 'Hello again' }, ann.key);
    await target.count(2);
    t.match(target.got[1]?.body, {
      event: 'message.updated',
      data: { id: message, content: 'Hello again', is_edited: true },
    });
    await chat.del(`/messages/${message}`, ann.key);
    await target.count(3);
    const wanted = { id: message, room_id: room, sender_id: ann.id, content: null, is_deleted: true };
    t.match(target.got[2]?.body, { event: 'message.deleted', data: wanted });
    const analytics = async () => (await chat.get(`/webhooks/${id}/analytics`, client.key)).at('data');
    await endpoint(chat, client, id, (answer) => answer.at('data.last_delivery_at') !== null);
    while (((await analytics()) as { total_deliveries: number }).total_deliveries < 3);
    const figures = { total_deliveries: 3, successful_deliveries: 3, failed_deliveries: 0, success_rate: 100 };
    t.match(await analytics(), { webhook_id: id, ...figures, dead_letters: 0, failure_count: 0 });
  });

  t.test('events of rooms and of the client, and filters', async (t) => {
    const events = ['room.created', 'room.updated', 'room.deleted', 'room.joined', 'room.left', 'client.updated'];
    const { client, ann, room: before, target } = await ground(t, chat, { events });
    const narrow = await receiver(t);
    const filters = { room_filters: [before], events: [...events, 'message.created'] };
    await chat.created('/webhooks', { url: narrow.url, ...filters }, client.key);
    const ben = await chat.user(client, 'ben');
    const room = await chat.room(ann.key, { name: 'Team', meta: { a: 1 } });
    await chat.post(`/rooms/${room}/join`, { meta: { seat: 2 } }, ben.key);
    await chat.put(`/rooms/${room}`, { name: 'Crew' }, ann.key);
    await chat.post(`/rooms/${room}/leave`, {}, ben.key);
    await chat.put('/clients/me', { name: 'Acme 2' }, client.key);
    await target.count(6);
    await chat.del(`/rooms/${room}`, ann.key);
    await target.count(7);
    const by = { room_id: room, user_id: ann.id, user_name: `The ${ann.email.split('@')[0]}` };
    const told = inOrder(target).map(({ event, data }) => ({ event, data }));
    t.match(told, [
      { event: 'room.created', data: { ...by, joined_at: null, meta: { a: 1 }, room: { id: room } } },
      { event: 'room.joined', data: { ...by, joined_at: /Z$/ } },
      { event: 'room.joined', data: { room_id: room, user_id: ben.id, user_name: 'The ben', meta: { seat: 2 } } },
      { event: 'room.updated', data: { ...by, room: { name: 'Crew', participant_count: Number } } },
      { event: 'room.left', data: { user_id: ben.id, user_name: 'The ben', joined_at: /Z$/, left_at: /Z$/ } },
      { event: 'client.updated', data: { id: client.id, name: 'Acme 2', is_active: true } },
      { event: 'room.deleted', data: { room_id: room } },
    ]);
    await chat.message(ann.key, before, 'of the room');
    await narrow.count(2);
    t.strictSame(
      inOrder(narrow).map(({ event }) => event),
      ['client.updated', 'message.created'],
      'of one room, and of none',
    );
  });

  t.test('a failed attempt is made again, with the same ids', async (t) => {
    const { target, say } = await ground(t, chat, {}, ({ body }) => (body.meta.attempt < 3 ? 503 : 204));
    await say('Hello');
    await target.count(3);
    t.strictSame(
      target.got.map(({ body }) => body.meta.attempt),
      [1, 2, 3],
    );
    t.equal(new Set(target.got.map(({ body }) => body.id)).size, 1);
    t.equal(new Set(target.got.map(({ body }) => body.meta.delivery_id)).size, 1);
  });

  t.test('after five failures in a row it is off, and made active it gets everything', async (t) => {
    let status = 500;
    const { client, target, id, say } = await ground(t, chat, {}, () => status);
    await say('one');
    const off = await endpoint(chat, client, id, (answer) => answer.at('data.is_active') === false);
    t.equal(off.at('data.failure_count'), 5);
    const before = target.got.length;
    const meanwhile = await say('two');
    const deleted = await say('three');
    await chat.del(`/messages/${deleted}`, client.key);
    status = 200;
    const on = await chat.post(`/webhooks/${id}/activate`, undefined, client.key);
    t.match(on.body, { data: { is_active: true, failure_count: 0 } });
    await target.count(before + 3);
    const told = target.got.slice(before).map(({ body }) => [body.event, (body.data as { content?: unknown }).content]);
    t.strictSame(told.sort(), [
      ['message.created', 'one'],
      ['message.created', 'two'],
      ['message.deleted', null],
    ]);
    t.ok(target.got.some((each) => dataOf(each).id === meanwhile));
  });

  t.test('dead letters are kept, and tried again when asked', async (t) => {
    let bad = 500;
    const { client, target, id, say } = await ground(t, chat, {}, ({ body }) =>
      (body.data as { content?: unknown }).content === 'bad' ? bad : 200,
    );
    await say('bad');
    for (let attempt = 1; attempt <= 5; attempt++) {
      await target.until(() => contents(target).filter((content) => content === 'bad').length >= attempt);
      // Others are taken meanwhile: it stays active.
      await say(`good ${attempt}`);
      await target.until(() => contents(target).includes(`good ${attempt}`));
    }
    const list = `/webhooks/${id}/dead-letters`;
    let letters = await chat.get(list, client.key);
    // The page and the total are looked at one after the other: a row may come between.
    while (letters.at('data.0') === undefined) letters = await chat.get(list, client.key);
    const sent = target.got.find((each) => dataOf(each).content === 'bad');
    t.match(letters.body, {
      data: [{ delivery_id: sent?.body.meta.delivery_id, event: 'message.created', attempts: 5, status_code: 500 }],
      pagination: { total: 1 },
    });
    t.equal((await chat.get(`/webhooks/${id}`, client.key)).at('data.is_active'), true);
    t.equal((await chat.get(`/webhooks/${id}/analytics`, client.key)).at('data.dead_letters'), 1);
    t.equal((await chat.post(`${list}/del_${'0'.repeat(32)}/redrive`, undefined, client.key)).status, 404);
    t.equal((await chat.post(`${list}/nonsense/redrive`, undefined, client.key)).status, 404);
    bad = 200;
    const delivery = letters.str('data.0.delivery_id');
    const redriven = await chat.post(`${list}/${delivery}/redrive`, undefined, client.key);
    t.strictSame([redriven.status, redriven.at('data')], [202, { webhook_id: id, delivery_id: delivery }]);
    await target.until(() => target.got.some(({ body }) => body.meta.attempt === 6));
    while ((await chat.get(list, client.key)).at('pagination.total') !== 0);
  });

  t.test('what happened is posted once more when asked', async (t) => {
    const { client, target, id, say } = await ground(t, chat);
    const since = new Date(Date.now() - 60_000).toISOString();
    for (const content of ['one', 'two', 'three']) await say(content);
    await target.count(3);
    const replay = (body: object) => chat.post(`/webhooks/${id}/replay`, body, client.key);
    const from = target.got.find((each) => dataOf(each).content === 'one')?.body.meta.position;
    const asked = await replay({ from_position: from });
    t.strictSame([asked.status, asked.at('data.replay'), asked.at('data.from_position')], [202, 1, from]);
    await target.count(5);
    t.strictSame(contents(target).slice(3).sort(), ['three', 'two'], 'after the position');
    t.equal((await replay({ since })).at('data.since'), since);
    await target.count(8);
    const again = target.got.filter((each) => dataOf(each).content === 'two').map(({ body }) => body);
    t.equal(new Set(again.map((body) => body.id)).size, 1, 'one event');
    t.equal(new Set(again.map(({ meta }) => meta.delivery_id)).size, 3, 'three deliveries');
    for (const [body, field] of [
      [{}, 'from_position'],
      [{ from_position: '0', since }, 'from_position'],
      [{ from_position: 'x' }, 'from_position'],
      [{ from_position: '999999999999' }, 'from_position'],
      [{ since: 'yesterday' }, 'since'],
    ] as const)
      t.match((await replay(body)).body, { status_code: 422, errors: [{ field }] }, JSON.stringify(body));
  });

  t.test('a test is posted at once and counts for nothing', async (t) => {
    let status = 200;
    const { client, target, made, id } = await ground(t, chat, {}, () => status);
    const test = () => chat.post(`/webhooks/${id}/test`, undefined, client.key);
    t.match((await test()).body, { data: { success: true, status_code: 200, error: null } });
    const [got] = target.got as [Got];
    t.match(got.body, { event: 'webhook.test', meta: { webhook_id: id, attempt: 1 } });
    t.ok(new Webhook(made.str('data.secret')).verify(got.raw, got.headers as Record<string, string>));
    status = 302;
    t.match((await test()).body, { data: { success: false, status_code: 302, error: 'HTTP_302' } });
    target.close();
    t.match((await test()).body, { data: { success: false, status_code: null, error: /^[A-Z_]+$/ } });
    t.match((await chat.get(`/webhooks/${id}`, client.key)).body, {
      data: { failure_count: 0, last_delivery_at: null },
    });
  });
});
