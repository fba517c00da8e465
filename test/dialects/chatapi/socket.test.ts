import t from 'tap';
import { startHarness } from './harness.ts';
import { codeOf, dial, open } from './sockets.ts';

/** ChatAPI sheet, section 12. */
t.test('what happens in rooms, on sockets', async (t) => {
  const chat = await startHarness(t, {
    CHATAPI_MAX_CONNECTIONS: '0',
    CHATAPI_FRAME_RATE_LIMIT: '0',
  });
  const client = await chat.client();
  const other = await chat.client('Other');
  const [ann, ben, cem] = [
    await chat.user(client, 'ann'),
    await chat.user(client, 'ben'),
    await chat.user(client, 'cem'),
  ];
  const stranger = await chat.user(other, 'ann');

  t.test('opened with a key by frame, query and headers', async (t) => {
    const room = await chat.room(ann.key);
    await chat.post(`/rooms/${room}/join`, {}, ben.key);
    const byFrame = await open(t, chat, ann.key);
    t.match(byFrame.welcome, {
      type: 'connection_status',
      data: { status: 'connected', user_id: ann.id, online_users: [ann.id], total_online: 1, total_participants: 2 },
      timestamp: /Z$/,
      position: /^\d+$/,
    });
    const inData = await dial(t, chat);
    inData.send({ type: 'auth', data: { token: ann.key } });
    for (const socket of [
      inData,
      await dial(t, chat, `?token=${ann.key}`),
      await dial(t, chat, '', { authorization: `Bearer ${ann.key}` }),
      await dial(t, chat, '', { 'x-api-key': ann.key }),
    ]) {
      t.match(await socket.next(), { type: 'connection_status', data: { user_id: ann.id } });
    }
    const master = await open(t, chat, client.key);
    t.match(master.welcome, { data: { user_id: client.id, online_users: [ann.id], total_participants: 3 } });
    const forBen = await open(t, chat, client.key, { user_id: ben.id, room_id: room });
    t.match(forBen.welcome, { data: { user_id: ben.id, room_id: room, total_online: 2, total_participants: 2 } });
  });

  t.test('frames of messages and members', async (t) => {
    const room = await chat.room(ann.key, { name: 'Frames' });
    const watcher = await open(t, chat, ann.key);
    await chat.post(`/rooms/${room}/join`, {}, ben.key);
    t.match(await watcher.next(), {
      type: 'user_joined',
      room_id: room,
      data: { user_id: ben.id, user_name: 'The ben', joined_at: /Z$/, meta: null },
      timestamp: /Z$/,
      position: /^\d+$/,
    });
    const message = await chat.message(ben.key, room, 'Hello', { meta: { a: 1 } });
    const shown = await watcher.next();
    const about = { sender_id: ben.id, sender_name: 'The ben', content: 'Hello', message_type: 'text', meta: { a: 1 } };
    const created_at = shown.timestamp;
    t.strictSame(shown, {
      type: 'message',
      data: { id: message, ...about, created_at },
      timestamp: created_at,
      room_id: room,
      position: shown.position,
    });
    const edited = await chat.put(`/messages/${message}`, { content: 'Bye' }, ben.key);
    t.match(await watcher.next(), {
      type: 'message_updated',
      room_id: room,
      data: { id: message, content: 'Bye', edited_at: edited.str('data.edited_at') },
    });
    await chat.post(`/messages/rooms/${room}/read`, { message_id: message }, ben.key);
    t.match(await watcher.next(), { type: 'messages_read', data: { user_id: ben.id, message_id: message } });
    await chat.post(`/messages/rooms/${room}/read`, { message_id: message }, ann.key);
    await chat.del(`/messages/${message}`, ben.key);
    t.match(
      await watcher.next(),
      { type: 'message_deleted', data: { id: message, deleted_by: ben.id, deleted_at: /Z$/ } },
      'and not what it read itself',
    );
    await chat.post(`/rooms/${room}/leave`, {}, ben.key);
    t.match(await watcher.next(), {
      type: 'user_left',
      data: { user_id: ben.id, user_name: 'The ben', left_at: /Z$/ },
    });
    const file = { message_type: 'image', file_url: 'https://files.example.com/a.png', file_name: 'a.png' };
    const reply = await chat.message(ann.key, room, 'see', file);
    t.match(await watcher.next(), { data: { id: reply, ...file, content: 'see' } });
    const byMaster = { sender_id: ann.id, sender_name: 'Annie' };
    await chat.post('/messages', { room_id: room, content: 'x', reply_to_id: reply, ...byMaster }, client.key);
    t.match(await watcher.next(), { data: { reply_to_id: reply, sender_name: 'Annie' } });
    const positions = watcher.frames.map(({ position }) => BigInt(position));
    t.ok(
      positions.every((position, i) => i === 0 || position >= (positions[i - 1] as bigint)),
      'positions rise',
    );
  });

  t.test('frames of clients', async (t) => {
    const room = await chat.room(ann.key, { name: 'Talk' });
    await chat.post(`/rooms/${room}/join`, {}, ben.key);
    const [a, b] = [await open(t, chat, ann.key), await open(t, chat, ben.key)];
    t.match(await a.ask('ping'), { type: 'pong', data: {}, position: /^\d+$/ });

    const said = await a.ask('send_message', { room_id: room, content: 'by socket', meta: { n: 1 } });
    t.match(said, {
      type: 'message',
      room_id: room,
      data: { sender_id: ann.id, content: 'by socket', meta: { n: 1 } },
    });
    t.match(await b.next(), { type: 'message', data: { id: said.data.id } });
    t.match((await chat.get(`/messages/${said.data.id}`, ben.key)).body, { data: { content: 'by socket' } });

    a.send({ type: 'typing', data: { room_id: room, is_typing: true } });
    const typing = { user_id: ann.id, user_name: 'The ann', is_typing: true };
    t.match(await b.next(), { type: 'typing', room_id: room, data: typing });
    t.strictSame(await a.quiet(), [], 'not to the typist');

    t.match(await b.ask('get_online_users', { room_id: room }), {
      type: 'online_users',
      room_id: room,
      data: { online_users: [ann.id, ben.id].sort(() => 0), total_online: 2 },
    });
    const online = await chat.get(`/rooms/${room}/online`, ann.key);
    t.match(online.body, { data: { total_online: 2 }, status: 'success' });
    t.same((online.at('data.online_users') as string[]).toSorted(), [ann.id, ben.id].toSorted());
    t.match(await b.ask('get_online_users'), { data: { total_online: 2 } });

    b.send({ type: 'mark_messages_read', data: { room_id: room, message_id: said.data.id } });
    t.match(await a.next(), { type: 'messages_read', data: { user_id: ben.id, message_id: said.data.id } });
    t.strictSame(await b.quiet(), []);

    b.send({ type: 'leave_room', data: { room_id: room } });
    await b.quiet();
    await chat.message(ann.key, room, 'unseen');
    t.match(await a.next(), { data: { content: 'unseen' } });
    b.send({ type: 'join_room', data: { room_id: room } });
    t.strictSame(await b.quiet(), []);
    await chat.message(ann.key, room, 'seen');
    t.match(await b.next(), { data: { content: 'seen' } });
  });

  t.test('a socket of one room', async (t) => {
    const [room, elsewhere] = [await chat.room(ann.key), await chat.room(ann.key)];
    const a = await open(t, chat, ann.key, { room_id: room });
    await chat.message(ann.key, elsewhere, 'elsewhere');
    await chat.message(ann.key, room, 'here');
    t.match(await a.next(), { data: { content: 'here' } });
    const b = await dial(t, chat, `?room_id=${room}&user_id=${ben.id}&user_name=Benny`, {
      authorization: `Bearer ${client.key}`,
    });
    t.match(await b.next(), { type: 'connection_status', data: { user_id: ben.id, room_id: room } });
    b.send({ type: 'typing', data: { is_typing: false } });
    t.match(await a.next(), { type: 'typing', data: { user_id: ben.id, user_name: 'Benny', is_typing: false } });
    const said = { room_id: room, content: 'by the master key' };
    const shown = { sender_id: ben.id, sender_name: 'Benny', content: 'by the master key' };
    t.match(await b.ask('send_message', said), { type: 'message', data: shown }, 'in the name of who is no member');
    t.match(await a.next(), { data: shown });
    t.match(await b.ask('send_message', { ...said, sender_id: ann.id }), { data: { sender_id: ann.id } });
    t.match(await a.next(), { data: { sender_id: ann.id, sender_name: 'The ann' } });
    a.send({ type: 'join_room', data: { room_id: elsewhere } });
    t.match(
      await a.ask('typing', { is_typing: true }),
      { type: 'error', data: { code: 'VALIDATION_ERROR' } },
      'which?',
    );
    await chat.message(ann.key, elsewhere, 'elsewhere too');
    t.match(await a.next(), { data: { content: 'elsewhere too' } });
  });

  t.test('what opens no socket', async (t) => {
    const [room, foreign] = [await chat.room(ann.key), await chat.room(other.key)];
    const tokens = [
      '',
      'nonsense',
      'ck_live_x',
      `${ann.key}x`,
      stranger.key.replace('sk_user', 'ck_live'),
      7,
      null,
      {},
    ];
    for (const token of tokens) {
      const socket = await dial(t, chat);
      socket.send({ type: 'auth', token });
      t.equal(await codeOf(socket), 4001, `auth with ${JSON.stringify(token)}`);
    }
    t.equal(await codeOf(await dial(t, chat, '?token=nonsense')), 4001);
    t.equal(await codeOf(await dial(t, chat, `?token=${ann.key}&token=${ann.key}`)), 4001);
    for (const [asked, code] of [
      [{ room_id: foreign }, 4002],
      [{ room_id: 'nonsense' }, 4002],
      [{ room_id: [] }, 4002],
      [{ room_id: room }, 4003],
    ] as const) {
      const socket = await dial(t, chat);
      socket.send({ type: 'auth', token: ben.key, ...asked });
      t.equal(await codeOf(socket), code, JSON.stringify(asked));
    }
    for (const user of [stranger.id, 'nonsense', 5]) {
      const socket = await dial(t, chat);
      socket.send({ type: 'auth', token: client.key, user_id: user });
      t.equal(await codeOf(socket), 4001, `for the user ${user}`);
    }
    const plain = await chat.get('/websocket/open', ann.key);
    t.match(plain.body, { error_code: 'BAD_REQUEST', status_code: 426 });
    t.equal(plain.headers.get('upgrade'), 'websocket');
  });

  t.test('frames before the key', async (t) => {
    for (const frame of ['not json', '[]', '{"type":"ping"}', '{"type":"auth"}', '{}', '"auth"']) {
      const socket = await dial(t, chat);
      socket.send(frame);
      socket.send({ type: 'auth', token: ann.key });
      t.equal(await codeOf(socket), 4001, frame);
      t.strictSame(socket.frames, []);
    }
    const binary = await dial(t, chat);
    binary.ws.send(Buffer.from(JSON.stringify({ type: 'auth', token: ann.key })));
    t.equal(await codeOf(binary), 4001);
  });

  t.test('frames that are refused, on a socket that stays', async (t) => {
    const [room, foreign] = [await chat.room(ann.key), await chat.room(other.key)];
    const closed = await chat.room(ann.key);
    const mine = await chat.message(ann.key, room);
    const abroad = await chat.message(other.key, foreign);
    await chat.post(`/rooms/${closed}/deactivate`, {}, ann.key);
    const a = await open(t, chat, ben.key);
    for (const text of ['', 'not json', '[]', 'null', '5', '{}', '{"type":5}', '{"type":"ping","data":[]}']) {
      a.send(text);
      t.match(await a.next(), { type: 'error', data: { code: 'BAD_REQUEST', message: /\w/, timestamp: /Z$/ } }, text);
    }
    for (const type of ['dance', 'auth', 'constructor', '__proto__', 'message'])
      t.match(await a.ask(type), { type: 'error', data: { code: 'BAD_REQUEST' } }, type);
    for (const [type, data, code] of [
      ['send_message', {}, 'VALIDATION_ERROR'],
      ['send_message', { room_id: room, content: '  ' }, 'VALIDATION_ERROR'],
      ['send_message', { room_id: room, content: 'x\0' }, 'VALIDATION_ERROR'],
      ['send_message', { room_id: room, content: 'x'.repeat(10_001) }, 'INSUFFICIENT_PERMISSIONS'],
      ['send_message', { room_id: room, content: 'x' }, 'INSUFFICIENT_PERMISSIONS'],
      ['send_message', { room_id: foreign, content: 'x' }, 'RESOURCE_NOT_FOUND'],
      ['send_message', { room_id: 'none', content: 'x' }, 'RESOURCE_NOT_FOUND'],
      ['typing', { room_id: room, is_typing: 'yes' }, 'VALIDATION_ERROR'],
      ['typing', { is_typing: true }, 'VALIDATION_ERROR'],
      ['typing', { room_id: room, is_typing: true }, 'INSUFFICIENT_PERMISSIONS'],
      ['typing', { room_id: foreign, is_typing: true }, 'RESOURCE_NOT_FOUND'],
      ['get_online_users', { room_id: room }, 'INSUFFICIENT_PERMISSIONS'],
      ['get_online_users', { room_id: foreign }, 'RESOURCE_NOT_FOUND'],
      ['get_online_users', { room_id: 5 }, 'VALIDATION_ERROR'],
      ['join_room', {}, 'VALIDATION_ERROR'],
      ['join_room', { room_id: room }, 'INSUFFICIENT_PERMISSIONS'],
      ['join_room', { room_id: foreign }, 'RESOURCE_NOT_FOUND'],
      ['leave_room', { room_id: foreign }, 'RESOURCE_NOT_FOUND'],
      ['mark_messages_read', { room_id: room, message_id: mine }, 'INSUFFICIENT_PERMISSIONS'],
      ['mark_messages_read', { room_id: foreign, message_id: abroad }, 'RESOURCE_NOT_FOUND'],
      ['mark_messages_read', { room_id: room, message_id: 'x' }, 'RESOURCE_NOT_FOUND'],
    ] as const) {
      t.match(
        await a.ask(type, data),
        { type: 'error', data: { code } },
        `${type} ${JSON.stringify(data).slice(0, 60)}`,
      );
    }
    const b = await open(t, chat, ann.key);
    t.match(await b.ask('send_message', { room_id: closed, content: 'x' }), { data: { code: 'ROOM_INACTIVE' } });
    const long = { room_id: room, content: 'x'.repeat(10_001) };
    t.match(await b.ask('send_message', long), { data: { code: 'CONTENT_TOO_LONG' } });
    t.match(await b.ask('send_message', { room_id: room, content: 'x', sender_id: cem.id }), {
      type: 'message',
      data: { sender_id: ann.id },
    });
    t.match(await a.ask('ping'), { type: 'pong' });
  });

  t.test('what is no text, or too large, closes', async (t) => {
    const a = await open(t, chat, ann.key);
    a.ws.send(Buffer.from('{"type":"ping","data":{}}'));
    t.equal(await codeOf(a), 1003);
    const b = await open(t, chat, ann.key);
    b.send({ type: 'ping', data: { text: 'x'.repeat(65_536) } });
    t.equal(await codeOf(b), 1009);
    const early = await dial(t, chat);
    early.send('x'.repeat(70_000));
    t.equal(await codeOf(early), 1009);
    t.match(await (await open(t, chat, ann.key)).ask('ping'), { type: 'pong' }, 'the server is well');
  });
});
