/** Going on from a position: from the ring, from history, across a restart, while the read model lags. */
import t from 'tap';
import { until } from '../support/until.ts';
import { Chat, connect, gatewayDatabase, startNode } from './world.ts';

const smallRing = { ring: { maxEvents: 10, maxBytes: 1024 * 1024 } };

await t.test('from the ring: what was missed, and then what comes', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  await chat.join(1, 1);
  const first = await connect(t, node, { account: 1 });
  const { position } = await chat.post(1, 2, 'a');
  await first.reached(position);
  await first.close();
  await chat.post(1, 2, 'b');
  await chat.post(1, 2, 'c');
  const second = await connect(t, node, { account: 1, after: first.position });
  t.match(second.frames[0], { type: 'welcome', position: position.toString() }, 'welcomed at where it goes on');
  const last = await chat.post(1, 2, 'd');
  await second.reached(last.position);
  t.same(second.texts, ['b', 'c', 'd']);
  t.equal(node.readModel.pages, 0, 'the read model was not asked');
  t.match(node.sockets.gauges(), { joinedFromRing: 2, joinedFromHistory: 0 });
});

await t.test('from history, page by page, and then from the ring', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), { limits: { ...smallRing, pageItems: 7 } });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  const texts = Array.from({ length: 50 }, (_, i) => `text ${i}`);
  for (const text of texts) await chat.post(1, 2, text);
  const client = await connect(t, node, { account: 1, after: joined });
  const { position } = await chat.post(1, 2, 'live');
  await client.reached(position);
  t.same(client.texts, [...texts, 'live']);
  t.ok(node.readModel.pages >= 6, 'several pages');
  t.match(node.sockets.gauges(), { joinedFromHistory: 1, ringEvents: 10 });
  const positions = client.events.map((frame) => BigInt(frame.position));
  t.ok(
    positions.every((at, i) => i === 0 || at > (positions[i - 1] as bigint)),
    'positions rise',
  );
});

await t.test('only what it could see then: nothing from before it joined, and its own removal', async (t) => {
  const url = await gatewayDatabase(t);
  for (const limits of [{}, { ...smallRing, ring: { maxEvents: 2, maxBytes: 1024 } }]) {
    await t.test(JSON.stringify(limits), async (t) => {
      const workspace = 'ring' in limits ? 2 : 1;
      const node = await startNode(t, url, { limits });
      const chat = new Chat(node.log, workspace);
      const start = await chat.join(1, 1);
      await chat.post(1, 1, 'before');
      await chat.join(1, 2);
      await chat.post(1, 1, 'while');
      await chat.leave(1, 2);
      await chat.post(1, 1, 'between');
      await chat.join(1, 2);
      const { position } = await chat.post(1, 1, 'again');
      const client = await connect(t, node, { workspace, account: 2, after: start });
      await client.reached(position);
      t.same(
        client.events.map(({ type, text }) => text ?? type),
        ['joined', 'members', 'while', 'left', 'joined', 'members', 'again'],
      );
    });
  }
});

await t.test('a deleted message is told as deleted alone', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  const start = await chat.join(1, 1);
  const gone = await chat.post(1, 2, 'gone');
  await chat.post(1, 2, 'stays');
  await chat.delete(1, 2, gone);
  await chat.join(2, 1);
  await chat.post(2, 2, 'in a room that goes');
  const position = await chat.deleteRoom(2);
  await until(() => node.gateway.position >= position);
  const client = await connect(t, node, { account: 1, after: start });
  await client.reached(position);
  t.same(
    client.events.map(({ type, text }) => text ?? type),
    ['stays', 'deleted', 'joined', 'members', 'room_deleted'],
  );
});

await t.test('across a restart: the ring begins where the read model is', async (t) => {
  const url = await gatewayDatabase(t);
  const before = await startNode(t, url);
  const chat = new Chat(before.log);
  await chat.join(1, 1);
  const client = await connect(t, before, { account: 1 });
  const seen = await chat.post(1, 2, 'seen');
  await client.reached(seen.position);
  await before.stop();
  t.match(await client.closed, { code: 1001 });
  const shutdown = client.frames.at(-1);
  t.match(shutdown, { type: 'shutdown', position: seen.position.toString() });
  const reconnectAfterMs = shutdown?.reconnectAfterMs as number;
  t.ok(reconnectAfterMs >= 0 && reconnectAfterMs <= 3_000, 'jitter of 3 s at most');

  const beside = await startNode(t, url);
  const writer = new Chat(beside.log);
  for (const text of ['missed 1', 'missed 2', 'missed 3']) await writer.post(1, 2, text);
  const after = await startNode(t, url);
  t.match(after.sockets.gauges(), { ringEvents: 0 }, 'what the read model has is not read again');
  const again = await connect(t, after, { account: 1, after: BigInt(shutdown?.position ?? 0) });
  const last = await writer.post(1, 2, 'live');
  await again.reached(last.position);
  t.same(again.texts, ['missed 1', 'missed 2', 'missed 3', 'live']);
});

await t.test('while the read model lags, what happens waits; nothing is lost when it has caught up', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), { limits: smallRing });
  const chat = new Chat(node.log);
  const start = await chat.join(1, 1);
  const texts = Array.from({ length: 30 }, (_, i) => `text ${i}`);
  for (const text of texts.slice(0, 5)) await chat.post(1, 2, text);
  const { position: held } = await chat.post(1, 2, 'held');
  await connect(t, node, { account: 9 }).then((other) => other.reached(held));
  node.readModel.hold();
  for (const text of texts.slice(5)) await chat.post(1, 2, text);
  const client = await connect(t, node, { account: 1, after: start });
  client.ws.send('ping');
  await client.frame(({ type }) => type === 'pong');
  t.equal(node.sessions.get('1')?.live, false, 'not live: the ring is not reached');
  t.match(node.sockets.gauges(), { joining: 1 });
  node.readModel.release();
  const { position } = await chat.post(1, 2, 'live');
  await client.reached(position);
  t.same(client.texts, [...texts.slice(0, 5), 'held', ...texts.slice(5), 'live']);
});

await t.test('memberships that the read model does not have yet are taken from the ring', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  await chat.join(1, 1, 3);
  const start = await chat.join(3, 4);
  await until(() => node.readModel.reached() >= start);
  node.readModel.hold();
  await chat.join(1, 2);
  await chat.leave(1, 3);
  const closed = await chat.deleteRoom(3);
  await until(() => node.gateway.position >= closed);
  const [two, three, four] = await Promise.all([2, 3, 4].map((account) => connect(t, node, { account, after: start })));
  if (!two || !three || !four) throw new Error('not connected');
  await chat.post(3, 1, 'in a room that is gone');
  const { position } = await chat.post(1, 1, 'hello');
  await Promise.all([two, three, four].map((client) => client.reached(position)));
  const shown = ({ events }: typeof two) => events.map(({ type, account, text }) => text ?? `${type} ${account ?? ''}`);
  t.same(shown(two), ['joined 2', 'members ', 'left 3', 'hello']);
  t.same(shown(three), ['joined 2', 'members ', 'left 3']);
  t.same(shown(four), ['room_deleted ']);
});

await t.test('a read model that does not catch up ends the session as a drain does', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), { limits: { ...smallRing, maxLagMs: 300 } });
  const chat = new Chat(node.log);
  const start = await chat.join(1, 1);
  const reach = await connect(t, node, { account: 9 });
  await reach.reached(start);
  node.readModel.hold();
  for (let i = 0; i < 30; i++) await chat.post(1, 2, `text ${i}`);
  const client = await connect(t, node, { account: 1, after: start });
  t.match(await client.closed, { code: 1001 });
  t.match(client.frames.at(-1), { type: 'shutdown' });
  const position = BigInt(client.frames.at(-1)?.position ?? 0);
  node.readModel.release();
  const again = await connect(t, node, { account: 1, after: position });
  const last = await chat.post(1, 2, 'last');
  await again.reached(last.position);
  t.same([...client.texts, ...again.texts], [...Array.from({ length: 30 }, (_, i) => `text ${i}`), 'last']);
});

await t.test('a position beyond the log', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  const client = await connect(t, node, { account: 1, after: joined + 1_000n });
  t.match(client.frames[0], { invalid: true, position: joined.toString() });
  const { position } = await chat.post(1, 2, 'hello');
  await client.reached(position);
  t.same(client.texts, ['hello'], 'it goes on from now');
});

await t.test('without a position: where the last socket of the account ended', async (t) => {
  for (const ring of [undefined, { maxEvents: 3, maxBytes: 1024 * 1024 }]) {
    await t.test(ring ? 'from history' : 'from the ring', async (t) => {
      const node = await startNode(t, await gatewayDatabase(t), ring ? { limits: { ring } } : {});
      const chat = new Chat(node.log);
      const joined = await chat.join(1, 1);
      const first = await connect(t, node, { account: 1, after: 'last' });
      await first.reached(joined);
      t.same(first.events, [], 'no socket has ended yet: from now on');
      await first.close();
      for (let i = 0; i < 8; i++) await chat.post(1, 2, `missed ${i}`);
      const second = await connect(t, node, { account: 1, after: 'last', maxItems: 5, name: 'second' });
      const { position } = await chat.post(1, 2, 'live');
      await second.reached(position);
      t.same(second.texts.slice(-6), [...[3, 4, 5, 6, 7].map((i) => `missed ${i}`), 'live'], 'the latest');
      const third = await connect(t, node, { account: 1, after: 'last', name: 'third' });
      await third.reached(position);
      t.same(third.events, [], 'while another is open nothing was missed');
    });
  }
});

await t.test('pages larger than one socket may have waiting', async (t) => {
  const limits = { pageBytes: 4_096, maxBufferedBytes: 16_384, ring: { maxEvents: 100, maxBytes: 100_000_000 } };
  const node = await startNode(t, await gatewayDatabase(t), { limits });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  const texts = Array.from({ length: 200 }, (_, i) => `${i} ${'x'.repeat(1_000)}`);
  let position = joined;
  for (const text of texts) ({ position } = await chat.post(1, 2, text));
  const client = await connect(t, node, { account: 1, after: joined });
  await client.reached(position);
  t.same(client.texts, texts);
});
