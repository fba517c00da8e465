import t, { type Test } from 'tap';
import { harnessOf, startHarness } from './harness.ts';
import { codeOf, dial, open } from './sockets.ts';

const contents = (frames: readonly { data: Readonly<Record<string, unknown>> }[]) =>
  frames.map(({ data }) => data.content).filter((content) => content !== undefined);

t.test('a socket goes on from where it was', async (t) => {
  const chat = await startHarness(t, {
    CHATAPI_MAX_CONNECTIONS: '0',
    CHATAPI_MESSAGE_RATE_LIMIT: '0',
    CHATAPI_FRAME_RATE_LIMIT: '0',
  });
  const client = await chat.client();
  const [ann, ben] = [await chat.user(client, 'ann'), await chat.user(client, 'ben')];
  const room = await chat.room(ann.key);
  await chat.post(`/rooms/${room}/join`, {}, ben.key);

  const asked = async (t: Test, key: string, more: object) => {
    const socket = await dial(t, chat);
    socket.send({ type: 'auth', token: key, ...more });
    t.match(await socket.next(), { type: 'connection_status' });
    return socket;
  };

  t.test('from a position, in whatever spelling', async (t) => {
    const first = await open(t, chat, ben.key);
    await chat.message(ann.key, room, 'one');
    const { position } = await first.next();
    await first.close();
    await chat.message(ann.key, room, 'two');
    await chat.message(ben.key, room, 'three');
    for (const after of [position, Number(position)]) {
      const again = await asked(t, ben.key, { after });
      t.strictSame(contents([await again.next(), await again.next()]), ['two', 'three']);
      await again.close();
    }
    const byQuery = await dial(t, chat, `?token=${ben.key}&after=${position}`);
    t.match(await byQuery.next(), { type: 'connection_status', position });
    t.strictSame(contents([await byQuery.next(), await byQuery.next()]), ['two', 'three']);
    await chat.message(ann.key, room, 'four');
    t.strictSame(contents([await byQuery.next()]), ['four']);
  });

  t.test('positions that are none', async (t) => {
    const head = (await chat.history()).at(-1)?.position as bigint;
    for (const after of ['', 'x', '-1', '1.5', -1, 1.5, '99999999999999999999', {}, [], String(head + 1_000_000n)]) {
      const socket = await asked(t, ben.key, { after });
      const said = await socket.next();
      t.match(said, { type: 'error', data: { code: 'POSITION_INVALID' }, position: /^\d+$/ }, JSON.stringify(after));
      t.ok(BigInt(said.position) >= head);
      await chat.message(ann.key, room, 'after all');
      t.strictSame(contents([await socket.next()]), ['after all']);
      await socket.close();
    }
  });

  t.test('without one: what its account missed', async (t) => {
    const cem = await chat.user(client, 'cem');
    await chat.post(`/rooms/${room}/join`, {}, cem.key);
    await chat.message(ann.key, room, 'before the first socket');
    const first = await asked(t, cem.key, {});
    t.strictSame(await first.quiet(), []);
    await first.close();
    const texts = Array.from({ length: 1_010 }, (_, i) => `missed ${i}`);
    for (let i = 0; i < texts.length; i += 50)
      await Promise.all(texts.slice(i, i + 50).map((text) => chat.message(client.key, room, text)));
    const second = await asked(t, cem.key, {});
    const missed = [];
    for (let i = 0; i < 1_000; i++) missed.push(await second.next());
    await chat.message(ann.key, room, 'the end');
    t.strictSame(contents([await second.next()]), ['the end'], 'a thousand, and no more');
    t.equal(new Set(contents(missed)).size, 1_000);
    const third = await asked(t, cem.key, {});
    t.strictSame(await third.quiet(), [], 'while another is open nothing is missed');
    const master = await asked(t, client.key, { user_id: cem.id });
    t.strictSame(await master.quiet(), [], 'a master key says from where');
  });

  t.test('without one: an edit that no socket was open for', async (t) => {
    const [fay, gus] = [await chat.user(client, 'fay'), await chat.user(client, 'gus')];
    const quiet = await chat.room(fay.key);
    await chat.post(`/rooms/${quiet}/join`, {}, gus.key);
    const before = await chat.message(fay.key, quiet, 'old words');
    const socket = await asked(t, gus.key, {});
    await socket.quiet();
    await socket.close();
    await chat.put(`/messages/${before}`, { content: 'new words' }, fay.key);
    const between = await chat.message(fay.key, quiet, 'posted meanwhile');
    await chat.put(`/messages/${between}`, { content: 'and edited' }, fay.key);
    const again = await asked(t, gus.key, {});
    await chat.message(fay.key, quiet, 'the end');
    const frames = [];
    while (frames.at(-1)?.data.content !== 'the end') frames.push(await again.next());
    t.match(
      frames.filter(({ type }) => type === 'message_updated'),
      [
        { type: 'message_updated', data: { id: before, content: 'new words' } },
        { type: 'message_updated', data: { id: between, content: 'and edited' } },
      ],
    );
  });

  t.test('what it could see when it happened, and still exists', async (t) => {
    const dan = await chat.user(client, 'dan');
    const eve = await chat.user(client, 'eve');
    const start = await open(t, chat, dan.key);
    const { position: after } = await start.ask('ping');
    await start.close();
    await chat.message(ann.key, room, 'before the join');
    await chat.post(`/rooms/${room}/join`, { meta: { seat: 1 } }, dan.key);
    const edited = await chat.message(ann.key, room, 'first words');
    await chat.put(`/messages/${edited}`, { content: 'second words' }, ann.key);
    const deleted = await chat.message(ann.key, room, 'regretted');
    await chat.del(`/messages/${deleted}`, ann.key);
    await chat.post(`/rooms/${room}/join`, {}, eve.key);
    await chat.message(eve.key, room, 'by who goes');
    await chat.del(`/users/${eve.id}`, client.key);
    await chat.post(`/rooms/${room}/leave`, {}, dan.key);
    await chat.message(ann.key, room, 'after the leave');

    const expected = [
      { type: 'user_joined', data: { user_id: dan.id, user_name: 'The dan', meta: { seat: 1 } } },
      { type: 'message', data: { id: edited } },
      { type: 'message_updated', data: { id: edited, content: 'second words' } },
      { type: 'message_deleted', data: { id: deleted, deleted_by: ann.id } },
      { type: 'user_joined', data: { user_id: eve.id, user_name: 'Deleted user' } },
      { type: 'message', data: { content: 'by who goes', sender_name: 'Deleted user' } },
      { type: 'user_left', data: { user_id: dan.id } },
    ];
    const again = await asked(t, dan.key, { after });
    const frames = [];
    for (const _ of expected) frames.push(await again.next());
    t.match(frames, expected, 'from memory');
    t.strictSame(await again.quiet(), []);
    t.notMatch(JSON.stringify(frames), /The eve|regretted|before the join|after the leave/);
  });
});

t.test('over a drain, a restart, and both rings', async (t) => {
  const chat = await startHarness(t, { CHATAPI_MAX_CONNECTIONS: '0' });
  const client = await chat.client();
  const [ann, ben] = [await chat.user(client, 'ann'), await chat.user(client, 'ben')];
  const room = await chat.room(ann.key);
  await chat.post(`/rooms/${room}/join`, {}, ben.key);
  const socket = await open(t, chat, ben.key);
  await chat.message(ann.key, room, 'one');
  t.strictSame(contents([await socket.next()]), ['one']);
  const restarted = chat.restart();
  const shutdown = await socket.next();
  t.match(shutdown, {
    type: 'server.shutdown',
    data: { reconnect_after_ms: Number, position: shutdown.position },
    timestamp: /Z$/,
  });
  t.ok(Number(shutdown.data.reconnect_after_ms) <= 3_000);
  t.equal(await codeOf(socket), 1001);
  const anew = harnessOf(await restarted);
  const later = await anew.message(ann.key, room, 'two');
  await anew.put(`/messages/${later}`, { content: 'two, rather' }, ann.key);
  const again = await open(t, anew, ben.key, { after: shutdown.position });
  t.match([await again.next(), await again.next()], [{ data: { sender_name: 'The ann' } }, { data: { id: later } }]);

  const master = await open(t, anew, client.key, { room_id: room, after: '0' });
  const seen = [];
  while (seen.length < 5) seen.push(await master.next());
  t.match(
    seen,
    [
      { type: 'user_joined', data: { user_id: ann.id, user_name: 'The ann' } },
      { type: 'user_joined', data: { user_id: ben.id } },
      { type: 'message', data: { content: 'one', sender_name: 'The ann' } },
      { type: 'message', data: { id: later } },
      { type: 'message_updated', data: { id: later, content: 'two, rather' } },
    ],
    'a master key sees what it is no member of, from before this process began',
  );
  const positions = seen.map(({ position }) => BigInt(position));
  t.ok(positions.every((position, i) => i === 0 || position > (positions[i - 1] as bigint)));
});
