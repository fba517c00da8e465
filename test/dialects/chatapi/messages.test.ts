import t from 'tap';
import { type Answer, startHarness, wrongFields } from './harness.ts';

const contents = (answer: Answer) => (answer.at('data') as { content: string | null }[]).map(({ content }) => content);

/** ChatAPI sheet, sections 4, 5 and 9, and design promise 8. */
t.test('messages', async (t) => {
  const chat = await startHarness(t, { CHATAPI_MAX_CONTENT: '100' });
  const client = await chat.client();
  const other = await chat.client('Other');
  const [ann, ben, cem] = [
    await chat.user(client, 'ann'),
    await chat.user(client, 'ben'),
    await chat.user(client, 'cem'),
  ];
  const room = await chat.room(ann.key);
  await chat.post(`/rooms/${room}/join`, {}, ben.key);
  const send = (body: object, as = ann.key) => chat.post('/messages', { room_id: room, ...body }, as);

  t.test('sent, read, edited, deleted', async (t) => {
    const made = await send({ content: 'Hello, everyone!', message_type: 'text', meta: { mood: 'good' } });
    t.equal(made.status, 201);
    t.match(made.headers.get('x-parley-position'), /^\d+$/);
    const id = made.str('data.id');
    t.match(made.body, {
      data: {
        room_id: room,
        client_id: client.id,
        sender_id: ann.id,
        sender_name: 'The ann',
        content: 'Hello, everyone!',
        message_type: 'text',
        meta: { mood: 'good' },
        file_url: null,
        reply_to_id: null,
        is_edited: false,
        is_deleted: false,
        edited_at: null,
      },
      status: 'success',
    });
    const read = await chat.get(`/messages/${id}`, ben.key);
    t.strictSame(read.at('data'), made.at('data'), 'rows say the same');
    t.equal((await chat.get(`/messages/${id}`, cem.key)).status, 403);
    await chat.put('/users/profile', { full_name: 'Ann the Second' }, ann.key);
    const edited = await chat.put(`/messages/${id}`, { content: 'Hello!' }, ann.key);
    t.match(edited.body, { data: { id, content: 'Hello!', is_edited: true, edited_at: /Z$/, sender_name: 'The ann' } });
    t.strictSame((await chat.get(`/messages/${id}`, client.key)).at('data'), edited.at('data'));
    t.equal((await chat.put(`/messages/${id}`, { content: 'Mine' }, ben.key)).status, 403);
    t.equal((await chat.del(`/messages/${id}`, ben.key)).status, 403);
    t.equal(
      (await chat.put(`/messages/${id}`, { content: 'By master', meta: null }, client.key)).at('data.meta'),
      null,
    );
    t.equal((await chat.del(`/messages/${id}`, ann.key)).status, 204);
    t.equal((await chat.del(`/messages/${id}`, ann.key)).status, 404);
    t.equal((await chat.put(`/messages/${id}`, { content: 'x' }, ann.key)).status, 404);
    t.equal((await chat.get(`/messages/${id}`, ann.key)).status, 404);
    const all = await chat.get(`/messages?room_id=${room}&include_deleted=true`, ben.key);
    t.match(all.body, { data: [{ id, content: null, is_deleted: true, meta: null }] });
    t.strictSame(contents(await chat.get(`/messages?room_id=${room}`, ben.key)), []);
  });

  t.test('what a message can be', async (t) => {
    const id = await chat.room(ann.key);
    const kinds = [
      { content: 'Look', message_type: 'image', file_url: 'https://x.example/a.png', file_name: 'a.png', file_size: 7 },
      { content: '', message_type: 'file', file_url: 'https://x.example/a.pdf', file_mime_type: 'application/pdf' },
      { content: 'Described', message_type: 'image', file_name: 'b.png' },
      { content: 'Joined', message_type: 'system' },
      { content: '{}', message_type: 'my-own-kind', meta: { deep: { er: [null] } } },
    ];
    for (const kind of kinds) {
      const made = await chat.post('/messages', { room_id: id, ...kind }, ann.key);
      t.equal(made.status, 201);
      t.match(made.body, { data: kind });
      t.strictSame((await chat.get(`/messages/${made.str('data.id')}`, ann.key)).at('data'), made.at('data'));
    }
    t.strictSame(contents(await chat.get(`/messages?room_id=${id}&message_type=image`, ann.key)), [
      'Described',
      'Look',
    ]);
    const first = await chat.message(ann.key, id, 'Question');
    const answer = await chat.post('/messages', { room_id: id, content: 'Answer', reply_to_id: first }, ann.key);
    t.equal(answer.at('data.reply_to_id'), first);
    const elsewhere = await chat.message(ann.key, room, 'Elsewhere');
    const astray = await chat.post('/messages', { room_id: id, content: 'Answer', reply_to_id: elsewhere }, ann.key);
    t.equal(astray.status, 404);
  });

  t.test('a master key speaks for itself or for a user', async (t) => {
    t.match((await send({ content: 'x' }, client.key)).body, { data: { sender_id: client.id, sender_name: null } });
    const named = await send({ content: 'x', sender_id: ben.id, sender_name: 'Bot' }, client.key);
    t.match(named.body, { data: { sender_id: ben.id, sender_name: 'Bot' } });
    t.match((await send({ content: 'x', sender_id: ben.id }, client.key)).body, { data: { sender_name: 'The ben' } });
    const pretended = await send({ content: 'x', sender_id: ben.id, sender_name: 'Ben' }, ann.key);
    t.match(pretended.body, { data: { sender_id: ann.id, sender_name: 'Ann the Second' } });
    t.equal((await send({ content: 'x', sender_id: (await chat.user(other)).id }, client.key)).status, 404);
  });

  t.test('bodies that are none', async (t) => {
    for (const [body, code, field] of [
      [{}, 'VALIDATION_ERROR', 'content'],
      [{ content: ' \n' }, 'VALIDATION_ERROR', 'content'],
      [{ content: 'x'.repeat(101) }, 'CONTENT_TOO_LONG', 'content'],
      [{ content: 5 }, 'VALIDATION_ERROR', 'content'],
      [{ content: 'a\0b' }, 'VALIDATION_ERROR', 'content'],
      [{ content: 'x', room_id: undefined }, 'VALIDATION_ERROR', 'room_id'],
      [{ content: 'x', message_type: '' }, 'VALIDATION_ERROR', 'message_type'],
      [{ content: 'x', meta: 'x' }, 'VALIDATION_ERROR', 'meta'],
      [{ content: 'x', file_size: -1 }, 'VALIDATION_ERROR', 'file_size'],
    ] as const) {
      const answer = await send(body);
      t.match(
        answer.body,
        { error_code: code, status_code: 422, errors: [{ field }] },
        JSON.stringify(body).slice(0, 40),
      );
    }
    t.match((await send({ content: '' })).body, { errors: [{ message: 'Content cannot be empty' }] });
    for (const [body, fields] of [
      [{}, ['room_id', 'content']],
      [{ content: ' ', meta: 1 }, ['room_id', 'meta', 'content']],
      [{ content: 5, file_url: 5 }, ['room_id', 'content', 'file_url']],
      [{ file_url: 5 }, ['room_id', 'file_url']],
      [{ content: 'x'.repeat(101), meta: 1 }, ['room_id', 'meta', 'content']],
      [{ content: null, file_url: 'https://example.com/a.pdf' }, ['room_id']],
    ] as const)
      t.strictSame(wrongFields(await chat.post('/messages', body, ann.key)), fields, JSON.stringify(body));
    const file = await send({ content: null, message_type: 'file', file_url: 'https://example.com/a.pdf' });
    t.match(
      file.body,
      { data: { content: '', file_url: 'https://example.com/a.pdf' } },
      'null is as if it were not there',
    );
    t.strictSame(wrongFields(await send({ content: null })), ['content']);
    const longest = '\u{1F600}'.repeat(100);
    t.match((await send({ content: longest })).body, { data: { content: longest } }, 'characters, not UTF-16 units');
    t.match((await send({ content: `${longest}!` })).body, { error_code: 'CONTENT_TOO_LONG' });
    const id = await chat.message(ann.key, room);
    t.match((await chat.put(`/messages/${id}`, { content: ' ' }, ann.key)).body, { errors: [{ field: 'content' }] });
    t.match((await chat.put(`/messages/${id}`, { content: 'x'.repeat(101) }, ann.key)).body, {
      error_code: 'CONTENT_TOO_LONG',
    });
    const both = await chat.put(`/messages/${id}`, { content: 'x'.repeat(101), meta: 1 }, ann.key);
    t.match(both.body, {
      error_code: 'VALIDATION_ERROR',
      errors: [{ field: 'meta' }, { field: 'content', message: 'Content is too long' }],
    });
  });

  t.test('who is no member, and rooms of others', async (t) => {
    const hers = await chat.room((await chat.user(other)).key);
    const theirs = await chat.message(other.key, hers);
    t.match((await send({ content: 'x' }, cem.key)).body, { error_code: 'INSUFFICIENT_PERMISSIONS' });
    t.equal((await chat.get(`/messages?room_id=${room}`, cem.key)).status, 403);
    for (const id of [hers, 'nonsense', '00000000-0000-4000-8000-000000000000', room.toUpperCase().slice(0, -1)]) {
      t.equal((await chat.post('/messages', { room_id: id, content: 'x' }, ann.key)).status, 404, id);
      t.equal((await chat.get(`/messages?room_id=${id}`, client.key)).status, 404, id);
      t.equal((await chat.get(`/messages/rooms/${id}`, client.key)).status, 404, id);
      t.equal((await chat.get(`/messages/rooms/${id}/unread`, ann.key)).status, 404, id);
      t.equal((await chat.post(`/messages/rooms/${id}/read`, { message_id: theirs }, ann.key)).status, 404, id);
    }
    for (const id of [theirs, 'nonsense']) {
      for (const as of [client.key, ann.key]) {
        t.equal((await chat.get(`/messages/${id}`, as)).status, 404);
        t.equal((await chat.put(`/messages/${id}`, { content: 'x' }, as)).status, 404);
        t.equal((await chat.del(`/messages/${id}`, as)).status, 404);
      }
    }
    t.equal((await chat.get(`/messages?sender_id=${theirs}`, client.key)).status, 404);
    t.notMatch((await chat.get('/messages', client.key)).text, theirs);
  });

  t.test('lists: rooms that one sees, filters, pages, search', async (t) => {
    const home = await chat.client('Lists');
    const [dan, eve] = [await chat.user(home, 'dan'), await chat.user(home, 'eve')];
    const [one, two] = [await chat.room(dan.key), await chat.room(eve.key)];
    await chat.post(`/rooms/${one}/join`, {}, eve.key);
    for (const content of ['Alpha', 'Beta', 'Gamma 100%']) await chat.message(dan.key, one, content);
    await chat.message(eve.key, one, 'Delta');
    await chat.message(eve.key, two, 'Hers');
    t.strictSame(contents(await chat.get('/messages', dan.key)), ['Delta', 'Gamma 100%', 'Beta', 'Alpha']);
    t.strictSame(contents(await chat.get('/messages?size=1', eve.key)), ['Hers']);
    t.equal((await chat.get('/messages', home.key)).at('pagination.total'), 5);
    const second = await chat.get(`/messages?room_id=${one}&page=2&size=3&sort=created_at&order=asc`, dan.key);
    t.strictSame(contents(second), ['Delta']);
    t.match(second.at('pagination'), { page: 2, size: 3, total: 4, pages: 2, has_next: false, has_prev: true });
    t.strictSame(contents(await chat.get(`/messages?sender_id=${eve.id}&room_id=${one}`, dan.key)), ['Delta']);
    t.strictSame(contents(await chat.get('/messages?search=00%25', dan.key)), ['Gamma 100%']);
    t.strictSame(contents(await chat.get('/messages/search?q=ALPHA', dan.key)), ['Alpha']);
    t.strictSame(contents(await chat.get('/messages/search?q=hers', dan.key)), []);
    t.match((await chat.get('/messages/search', dan.key)).body, { errors: [{ field: 'q' }] });
    const today = new Date().toISOString().slice(0, 10);
    t.equal((await chat.get(`/messages?start_date=${today}&end_date=${today}`, dan.key)).at('pagination.total'), 4);
    t.equal((await chat.get('/messages?end_date=2024-01-31', dan.key)).at('pagination.total'), 0);
    t.equal((await chat.get('/messages?start_date=2024-01-01T00:00:00Z', dan.key)).at('pagination.total'), 4);
    for (const query of [
      'start_date=yesterday',
      'end_date=2024-02-30',
      'sort=content',
      'include_deleted=1',
      'size=1000',
    ])
      t.match(
        (await chat.get(`/messages?${query}`, dan.key)).body,
        { errors: [{ field: query.split('=')[0] }] },
        query,
      );

    for (const [path, fields] of [
      ['/messages?page=0&size=1000&sort=x&order=y&end_date=z', ['page', 'size', 'sort', 'order', 'end_date']],
      ['/messages/search?size=0&start_date=x', ['size', 'start_date', 'q']],
      [`/messages/rooms/${one}?limit=0&offset=-1`, ['limit', 'offset']],
    ] as const)
      t.strictSame(wrongFields(await chat.get(path, dan.key)), fields, path);

    t.strictSame(contents(await chat.get(`/messages/rooms/${one}?limit=2`, dan.key)), ['Gamma 100%', 'Delta']);
    const before = await chat.get(`/messages/rooms/${one}?limit=2&offset=2`, dan.key);
    t.strictSame(contents(before), ['Alpha', 'Beta']);
    t.match(before.at('pagination'), { has_next: false, has_prev: true, total: 4 });
    const beta = (before.at('data') as { id: string }[])[1]?.id;
    t.strictSame(contents(await chat.get(`/messages/rooms/${one}?before_message_id=${beta}`, eve.key)), ['Alpha']);

    t.strictSame(contents(await chat.get(`/messages/rooms/${one}/unread`, eve.key)), ['Alpha', 'Beta', 'Gamma 100%']);
    const read = await chat.post(`/messages/rooms/${one}/read`, { message_id: beta }, eve.key);
    t.match(read.body, { data: { room_id: one, message_id: beta }, message: /\w/ });
    t.match((await chat.post(`/messages/rooms/${one}/read`, { message_id: beta }, eve.key)).body, {
      status: 'success',
    });
    t.strictSame(contents(await chat.get(`/messages/rooms/${one}/unread`, eve.key)), ['Gamma 100%']);
    t.equal((await chat.post(`/messages/rooms/${one}/read`, { message_id: beta }, home.key)).status, 403);
    t.equal((await chat.post(`/messages/rooms/${two}/read`, { message_id: beta }, eve.key)).status, 404);
    t.match((await chat.post(`/messages/rooms/${one}/read`, {}, eve.key)).body, { errors: [{ field: 'message_id' }] });
  });

  t.test('a send with a key takes effect once; who is deleted keeps their messages', async (t) => {
    const gone = await chat.user(client, 'gone');
    await chat.post(`/rooms/${room}/join`, {}, gone.key);
    const headers = { 'idempotency-key': 'message one' };
    const ask = () =>
      chat.call('POST', '/messages', { as: gone.key, body: { room_id: room, content: 'Once' }, headers });
    const answers = await Promise.all([ask(), ask(), ask()]);
    t.equal(new Set(answers.map((answer) => answer.text.replace(/"timestamp".*/, ''))).size, 1);
    t.equal(answers[0]?.status, 201);
    t.equal((await chat.del(`/users/${gone.id}`, client.key)).status, 204);
    const read = await chat.get(`/messages/${answers[0]?.str('data.id')}`, ann.key);
    t.match(read.body, { data: { content: 'Once', sender_id: gone.id, sender_name: 'Deleted user' } });
  });

  t.test('positions', async (t) => {
    const position = (await send({ content: 'x' })).headers.get('x-parley-position') ?? '';
    const at = (value: string) =>
      chat.call('GET', '/messages', { as: ann.key, headers: { 'x-parley-position': value } });
    t.equal((await at(position)).headers.get('x-parley-stale'), null);
    for (const value of ['x', '-1', String(BigInt(position) + 1_000n)])
      t.match((await at(value)).body, { error_code: 'BAD_REQUEST', status_code: 400 }, value);
  });

  t.test('commands count for their dialect', async (t) => {
    const metrics = await (await fetch(`${chat.url}/metrics`)).text();
    t.match(metrics, /parley_commands_accepted_total\{dialect="chatapi",command="PostMessage"\} \d+\n/);
    t.match(metrics, /parley_commands_accepted_total\{dialect="chatapi",command="CreateRoom"\} \d+\n/);
    t.notMatch(metrics, /dialect="messagejs",command="PostMessage"/);
    t.match(await (await fetch(`${chat.url}/api/v1/utils/health-check/`)).text(), /^true$/);
  });
});

t.test('the limit of a key, on every answer', async (t) => {
  const chat = await startHarness(t, { CHATAPI_MESSAGE_RATE_LIMIT: '4' });
  const client = await chat.client();
  const user = await chat.user(client);
  const room = await chat.room(user.key);
  const remaining = async (answer: Promise<Answer>) => {
    const { status, headers } = await answer;
    t.equal(headers.get('x-ratelimit-limit'), '4');
    t.match(headers.get('x-ratelimit-reset'), /^\d{10}$/);
    return [status, headers.get('x-ratelimit-remaining')];
  };
  const otherRoute = () => chat.get('/rooms', user.key);
  // Each takes one point, whatever the rows show.
  const read = (path: string, as = user.key) => chat.call('GET', path, { as, asItIs: true });
  t.strictSame(await remaining(read('/messages/search?q=x')), [200, '3']);
  t.strictSame(await remaining(chat.post('/messages', { room_id: room, content: 'x' }, user.key)), [201, '2']);
  t.strictSame(await remaining(chat.post('/messages', {}, user.key)), [422, '1']);
  t.strictSame(await remaining(read('/messages/nonsense')), [404, '0']);
  const over = await chat.get('/messages', user.key);
  t.match(over.body, { error_code: 'RATE_LIMIT_EXCEEDED', status_code: 429 });
  t.match(over.headers.get('retry-after'), /^[1-9]\d*$/);
  t.equal(over.headers.get('x-ratelimit-remaining'), '0');
  t.equal((await otherRoute()).status, 200, 'other routes have none');
  t.strictSame(await remaining(read('/messages', client.key)), [200, '3'], 'another key');
  t.strictSame(await remaining(read('/messages', 'sk_user_x')), [401, '4'], 'who is not known has used up nothing');
});

t.test('storage that is away', async (t) => {
  const chat = await startHarness(t);
  const client = await chat.client();
  const user = await chat.user(client);
  const room = await chat.room(user.key);
  const body = { room_id: room, content: 'Through the storm' };
  const ask = () => chat.call('POST', '/messages', { as: user.key, body, headers: { 'idempotency-key': 'storm' } });
  chat.way.cut();
  for (const answer of await Promise.all([
    ask(),
    chat.get('/messages', user.key),
    chat.get('/rooms/all', client.key),
  ])) {
    t.match(answer.body, { error_code: 'SERVICE_UNAVAILABLE', status_code: 503 });
    t.match(answer.headers.get('retry-after'), /^[1-9]\d*$/);
  }
  chat.way.restore();
  const again = await ask();
  t.equal(again.status, 201, 'the same key finds out');
  t.equal((await ask()).at('data.id'), again.at('data.id'));
});
