import t from 'tap';
import { type Answer, startHarness, wrongFields } from './harness.ts';
import { open } from './sockets.ts';

const ids = (answer: Answer) => (answer.at('data') as { id: string }[]).map(({ id }) => id);

/** ChatAPI sheet, section 8. */
t.test('rooms', async (t) => {
  const chat = await startHarness(t);
  const client = await chat.client();
  const other = await chat.client('Other');
  const [ann, ben, cem] = [
    await chat.user(client, 'ann'),
    await chat.user(client, 'ben'),
    await chat.user(client, 'cem'),
  ];
  const stranger = await chat.user(other, 'ann');
  const nowhere = await chat.room(other.key);

  t.test('created, read, changed, deleted', async (t) => {
    const made = await chat.post('/rooms', { name: 'Team', description: 'Us', meta: { a: [1] } }, ann.key);
    t.equal(made.status, 201);
    t.match(made.headers.get('x-parley-position'), /^\d+$/);
    const id = made.str('data.id');
    t.match(made.body, {
      data: {
        client_id: client.id,
        name: 'Team',
        description: 'Us',
        room_type: 'group',
        max_members: 100,
        created_by_user_id: ann.id,
        is_active: true,
        meta: { a: [1] },
        participant_count: 1,
        message_count: 0,
        last_message_at: null,
        deactivated_reason: null,
      },
      status: 'success',
    });
    t.strictSame((await chat.get(`/rooms/${id}`, ann.key)).at('data'), made.at('data'), 'rows say the same');
    t.equal((await chat.get(`/rooms/${id}`, ben.key)).status, 403);
    t.equal((await chat.get(`/rooms/${id}`, client.key)).status, 200);
    const changed = await chat.put(`/rooms/${id}`, { name: 'Crew', meta: null, max_members: 3 }, ann.key);
    t.match(changed.body, { data: { name: 'Crew', description: 'Us', meta: null, max_members: 3 } });
    t.equal((await chat.put(`/rooms/${id}`, {}, ann.key)).at('data.name'), 'Crew');
    t.equal((await chat.put(`/rooms/${id}`, { name: 'Mine' }, ben.key)).status, 403);
    await chat.post(`/rooms/${id}/join`, undefined, ben.key);
    t.equal((await chat.put(`/rooms/${id}`, { name: 'Mine' }, ben.key)).status, 403, 'a plain member');
    t.equal((await chat.del(`/rooms/${id}`, ben.key)).status, 403);
    t.equal((await chat.del(`/rooms/${id}`, ann.key)).status, 204);
    t.equal((await chat.get(`/rooms/${id}`, ann.key)).status, 404);
    t.equal((await chat.del(`/rooms/${id}`, ann.key)).status, 404);
    const byMaster = await chat.post('/rooms', {}, client.key);
    t.match(byMaster.body, { data: { created_by_user_id: client.id, participant_count: 0, name: null } });
  });

  t.test('bodies that are none', async (t) => {
    for (const [body, field] of [
      [{ name: 'x'.repeat(101) }, 'name'],
      [{ room_type: 'secret' }, 'room_type'],
      [{ max_members: 0 }, 'max_members'],
      [{ room_type: 'direct', max_members: 3 }, 'max_members'],
      [{ meta: [] }, 'meta'],
      [{ meta: { text: '\0' } }, 'meta'],
    ] as const) {
      const answer = await chat.post('/rooms', body, ann.key);
      t.match(answer.body, { status_code: 422, errors: [{ field }] }, JSON.stringify(body));
    }
    const name = '\u{1F600}'.repeat(100);
    t.match((await chat.post('/rooms', { name }, ann.key)).body, { data: { name } }, 'characters, not UTF-16 units');
    t.equal((await chat.post('/rooms', { name: `${name}!` }, ann.key)).status, 422);
    t.strictSame(wrongFields(await chat.get('/rooms?page=x&order=up&is_active=1', ann.key)), [
      'page',
      'order',
      'is_active',
    ]);
    const deep = `{"meta":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}}`;
    t.equal((await chat.call('POST', '/rooms', { as: ann.key, body: deep })).status, 422);
  });

  t.test('joining and leaving', async (t) => {
    const id = await chat.room(ann.key, { name: 'Open', max_members: 2 });
    const joined = await chat.post(`/rooms/${id}/join`, undefined, ben.key);
    t.equal(joined.status, 200);
    t.match(joined.body, {
      data: { message: /\w/, room_id: id, user_id: ben.id, user_name: 'The ben', joined_at: /Z$/, meta: null },
      status: 'success',
      message: /\w/,
    });
    t.match((await chat.post(`/rooms/${id}/join`, undefined, ben.key)).body, { error_code: 'ALREADY_IN_ROOM' });
    t.match((await chat.post(`/rooms/${id}/join`, {}, cem.key)).body, { error_code: 'ROOM_FULL', status_code: 400 });
    t.match((await chat.post(`/rooms/${id}/leave`, {}, cem.key)).body, { error_code: 'RESOURCE_NOT_FOUND' });
    const left = await chat.post(`/rooms/${id}/leave`, undefined, ben.key);
    t.match(left.body, { data: { user_id: ben.id, left_at: /Z$/ }, message: /\w/ });
    t.equal((await chat.get(`/rooms/${id}`, ben.key)).status, 403);
    t.equal((await chat.post(`/rooms/${id}/join`, {}, ben.key)).status, 200, 'back again');
    t.equal((await chat.post(`/rooms/${id}/leave`, { user_id: ben.id }, client.key)).status, 200);
    const meta = { seat: 4 };
    const byMaster = await chat.post(`/rooms/${id}/join`, { user_id: cem.id, user_name: 'C', meta }, client.key);
    t.match(byMaster.body, { data: { user_id: cem.id, user_name: 'The cem', meta } }, 'it has a name of its own');
    t.match((await chat.post(`/rooms/${id}/join`, {}, client.key)).body, { errors: [{ field: 'user_id' }] });
    for (const user of [stranger.id, 'nobody'])
      t.equal((await chat.post(`/rooms/${id}/join`, { user_id: user }, client.key)).status, 404);
    const direct = await chat.room(ann.key, { room_type: 'direct' });
    t.match((await chat.get(`/rooms/${direct}`, ann.key)).body, { data: { room_type: 'direct', max_members: 2 } });
    t.match((await chat.post(`/rooms/${direct}/join`, {}, ben.key)).body, { status_code: 403 });
    t.equal((await chat.post(`/rooms/${direct}/members`, { user_id: ben.id }, ann.key)).status, 200);
    t.match((await chat.post(`/rooms/${direct}/members`, { user_id: cem.id }, ann.key)).body, {
      error_code: 'ROOM_FULL',
    });
  });

  t.test('a master key lets in under a name, who has none', async (t) => {
    const body = { email: 'dot@example.com', username: 'dot' };
    const dot = await chat.created('/users', body, client.key);
    const [id, full] = [await chat.room(ann.key), await chat.room(ann.key, { max_members: 1 })];
    const join = (room: string, name: string) =>
      chat.post(`/rooms/${room}/join`, { user_id: dot.at('data.id'), user_name: name }, client.key);
    t.match((await join(full, 'Refused')).body, { error_code: 'ROOM_FULL' });
    const watcher = await open(t, chat, ann.key);
    const who = { user_id: dot.at('data.id'), user_name: 'Dot Matrix' };
    t.match((await join(id, ' Dot Matrix ')).body, { data: who });
    t.match(await watcher.next(), { type: 'user_joined', room_id: id, data: who });
    for (const list of ['participants', 'members'])
      t.match((await chat.get(`/rooms/${id}/${list}`, ann.key)).at('data'), [{ user_id: ann.id }, who], list);
    t.equal((await join(id, 'Late')).status, 400);
    t.match((await join(await chat.room(ann.key), 'Another')).body, { data: who }, 'it has a name now');
    t.equal((await chat.get(`/users/${who.user_id}`, client.key)).at('data.full_name'), who.user_name);
    t.match((await chat.post(`/rooms/${id}/leave`, { user_id: who.user_id }, client.key)).body, { data: who });
    t.match((await watcher.upTo('user_left')).at(-1), { data: who });
    await chat.post(`/rooms/${id}/join`, { user_name: 'Anybody' }, dot.str('data.scoped_api_key'));
    t.match((await watcher.upTo('user_joined')).at(-1), { data: who }, 'a scoped key gives none');
  });

  t.test('members and roles', async (t) => {
    const id = await chat.room(ann.key);
    t.equal((await chat.post(`/rooms/${id}/members`, { user_id: ben.id }, cem.key)).status, 403);
    const added = await chat.post(`/rooms/${id}/members`, { user_id: ben.id, role: 'admin', meta: { x: 1 } }, ann.key);
    t.match(added.body, { data: { user_id: ben.id, user_name: 'The ben', role: 'admin', meta: { x: 1 } } });
    const again = await chat.post(`/rooms/${id}/members`, { user_id: ben.id }, ann.key);
    t.match(again.body, { error_code: 'ALREADY_IN_ROOM', status_code: 400 });
    t.equal((await chat.post(`/rooms/${id}/members`, { user_id: stranger.id }, ann.key)).status, 404);
    t.equal((await chat.post(`/rooms/${id}/members`, { user_id: cem.id }, ben.key)).status, 200, 'by an admin');
    const members = await chat.get(`/rooms/${id}/members`, cem.key);
    t.match(members.body, {
      data: [{ role: 'owner' }, { role: 'admin' }, { role: 'member' }],
      pagination: { total: 3 },
    });
    const participants = await chat.get(`/rooms/${id}/participants?size=1&page=2`, cem.key);
    t.match(participants.body, { data: [{ user_id: ben.id, meta: { x: 1 } }], pagination: { pages: 3 } });
    t.equal((await chat.get(`/rooms/${id}/members/${ann.id}/role`, cem.key)).at('data.role'), 'owner');
    t.equal((await chat.del(`/rooms/${id}/members/${ann.id}`, cem.key)).status, 403);
    t.equal((await chat.del(`/rooms/${id}/members/${cem.id}`, ben.key)).status, 204);
    t.equal((await chat.del(`/rooms/${id}/members/${cem.id}`, ben.key)).status, 404);
    t.equal((await chat.get(`/rooms/${id}/members/${cem.id}/role`, ben.key)).status, 404);
    t.equal((await chat.del(`/rooms/${id}/members/${ben.id}`, ben.key)).status, 204, 'oneself');
    t.equal((await chat.get(`/rooms/${id}/members`, ben.key)).status, 403);
    t.equal((await chat.del(`/users/${cem.id}`, client.key)).status, 204);
  });

  t.test('lists: own rooms, all rooms, order, search', async (t) => {
    const home = await chat.client('Lists');
    const [dan, eve] = [await chat.user(home, 'dan'), await chat.user(home, 'eve')];
    const quiet = await chat.room(dan.key, { name: 'Quiet 100%' });
    const loud = await chat.room(dan.key, { name: 'Loud' });
    const hers = await chat.room(eve.key, { name: 'Hers' });
    await chat.message(dan.key, loud);
    t.strictSame(ids(await chat.get('/rooms', dan.key)), [loud, quiet], 'the last message first');
    t.strictSame(ids(await chat.get('/rooms', eve.key)), [hers]);
    t.strictSame(ids(await chat.get('/rooms', home.key)), [loud, hers, quiet]);
    t.strictSame(ids(await chat.get('/rooms/all', home.key)), [loud, hers, quiet], 'no room of that id');
    t.strictSame(ids(await chat.get('/rooms/all?sort=name&order=asc', home.key)), [hers, loud, quiet]);
    t.strictSame(ids(await chat.get('/rooms?search=100%25', dan.key)), [quiet]);
    t.strictSame(ids(await chat.get('/rooms?sort=created_at&size=1&page=2', dan.key)), [quiet]);
    t.match((await chat.get('/rooms?is_active=maybe', dan.key)).body, { errors: [{ field: 'is_active' }] });
    const off = await chat.post(`/rooms/${quiet}/deactivate`, { reason: 'closed for now' }, dan.key);
    t.match(off.body, { data: { is_active: false, deactivated_reason: 'closed for now', deactivated_at: /Z$/ } });
    t.equal((await chat.post(`/rooms/${loud}/deactivate`, { reason: 'auto_inactive' }, dan.key)).status, 422);
    t.equal((await chat.post(`/rooms/${loud}/deactivate`, {}, eve.key)).status, 403);
    t.strictSame(ids(await chat.get('/rooms', dan.key)), [loud]);
    t.strictSame(ids(await chat.get('/rooms?is_active=false', dan.key)), [quiet]);
    const refused = await chat.post('/messages', { room_id: quiet, content: 'x' }, dan.key);
    t.match(refused.body, { error_code: 'ROOM_INACTIVE', status_code: 400 });
    t.match((await chat.post(`/rooms/${quiet}/activate`, undefined, dan.key)).body, { data: { is_active: true } });
    t.equal((await chat.post('/messages', { room_id: quiet, content: 'x' }, dan.key)).status, 201);
  });

  t.test('a create with a key takes effect once', async (t) => {
    const headers = { 'idempotency-key': 'room one' };
    const send = (as: string) => chat.call('POST', '/rooms', { as, body: { name: 'Once' }, headers });
    const [first, second] = [await send(ann.key), await send(ann.key)];
    t.strictSame([first.status, second.status], [201, 201]);
    t.strictSame(second.at('data'), first.at('data'));
    t.not((await send(ben.key)).at('data.id'), first.at('data.id'), 'another account');
  });

  t.test("another client's rooms do not exist, nor what is no id", async (t) => {
    for (const room of [nowhere, 'nonsense', '00000000-0000-4000-8000-000000000000', ann.id]) {
      for (const as of [client.key, ann.key]) {
        for (const [method, path, body] of [
          ['GET', '', undefined],
          ['PUT', '', { name: 'x' }],
          ['DELETE', '', undefined],
          ['POST', '/join', { user_id: ann.id }],
          ['POST', '/leave', { user_id: ann.id }],
          ['POST', '/deactivate', {}],
          ['POST', '/activate', undefined],
          ['GET', '/participants', undefined],
          ['GET', '/members', undefined],
          ['POST', '/members', { user_id: ann.id }],
          ['DELETE', `/members/${ann.id}`, undefined],
          ['GET', `/members/${ann.id}/role`, undefined],
        ] as const) {
          const answer = await chat.call(method, `/rooms/${room}${path}`, { as, body });
          t.match(answer.body, { error_code: 'RESOURCE_NOT_FOUND' }, `${method} ${path} of ${room}`);
        }
      }
    }
  });
});

t.test('a room without a message for its time is inactive, until there is one', async (t) => {
  const chat = await startHarness(t, { ROOM_INACTIVE_AFTER_GROUP: '1ms' });
  const client = await chat.client();
  const user = await chat.user(client);
  const id = await chat.room(user.key);
  const read = await chat.get(`/rooms/${id}`, user.key);
  t.match(read.body, { data: { is_active: false, deactivated_reason: 'auto_inactive', deactivated_at: /Z$/ } });
  t.strictSame(ids(await chat.get('/rooms', user.key)), []);
  t.equal((await chat.post('/messages', { room_id: id, content: 'x' }, user.key)).status, 201, 'it takes messages');
  t.match((await chat.post('/rooms', { room_type: 'channel' }, user.key)).body, { data: { is_active: true } });
});
