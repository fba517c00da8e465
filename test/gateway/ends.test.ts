/** How sessions end: too slow, silent, drained, revoked, expired, one too many; and a tail that is silent. */
import t from 'tap';
import { event } from '../../schemas/index.ts';
import type { Log } from '../../src/log/log.ts';
import { until } from '../support/until.ts';
import { Chat, connect, gatewayDatabase, startNode } from './world.ts';

await t.test('a socket that does not take what it is sent is closed, and resumes', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), { limits: { maxBufferedBytes: 300_000 } });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1, 2);
  const slow = await connect(t, node, { account: 1 });
  const quick = await connect(t, node, { account: 2 });
  await Promise.all([slow.reached(joined), quick.reached(joined)]);
  slow.ws.pause();
  const texts: string[] = [];
  // What kernels hold for a connection is a few megabytes.
  while (node.sockets.gauges().slow === 0) {
    t.ok(texts.length < 500, 'the cap is reached');
    texts.push(`${texts.length} ${'x'.repeat(200_000)}`);
    const { position } = await chat.post(1, 3, texts.at(-1) as string);
    await quick.reached(position);
  }
  slow.ws.resume();
  t.match(await slow.closed, { code: 4008, reason: 'too slow' });
  t.ok(slow.texts.length < texts.length, 'it did not get all');
  const again = await connect(t, node, { account: 1, after: slow.position });
  const { position } = await chat.post(1, 3, 'last');
  await Promise.all([again.reached(position), quick.reached(position)]);
  t.ok(
    [...texts, 'last'].every((text, i) => text === [...slow.texts, ...again.texts][i]),
    'in order, without a gap or a repeat',
  );
  t.equal(quick.texts.length, texts.length + 1, 'the other one was not disturbed');
});

await t.test('one that is slow and never answers is cut', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), {
    limits: { maxBufferedBytes: 300_000, closeTimeoutMs: 100 },
  });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  const slow = await connect(t, node, { account: 1 });
  await slow.reached(joined);
  slow.ws.pause();
  for (let i = 0; node.ended.length === 0; i++) await chat.post(1, 3, `${i} ${'x'.repeat(200_000)}`);
  t.same(node.ended, [{ name: '1', last: true }]);
});

await t.test('all sockets together have a limit: the largest go', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), { limits: { maxTotalBufferedBytes: 1_000_000 } });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  await chat.join(2, 2);
  const large = await connect(t, node, { account: 1 });
  const small = await connect(t, node, { account: 2 });
  await Promise.all([large.reached(joined), small.reached(joined)]);
  large.ws.pause();
  // Below what one may have, above what all may have.
  for (let i = 0; node.sockets.gauges().slow === 0; i++) {
    if (node.sockets.gauges().bufferedBytes < 700_000) await chat.post(1, 3, `${i} ${'x'.repeat(200_000)}`);
    else await chat.post(1, 3, `${i} ${'x'.repeat(20_000)}`);
  }
  large.ws.resume();
  t.match(await large.closed, { code: 4008 });
  t.equal(small.ws.readyState, small.ws.OPEN);
});

await t.test('a peer that is silent is cut, one that answers stays', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), {
    dialect: { heartbeat: { intervalMs: 300, graceMs: 600, ping: 'protocol' } },
  });
  const silent = await connect(t, node, { account: 1 });
  const alive = await connect(t, node, { account: 2 });
  let pings = 0;
  alive.ws.on('ping', () => pings++);
  silent.ws.pause();
  await until(() => node.ended.length > 0);
  t.same(node.ended, [{ name: '1', last: true }]);
  t.match(node.sockets.gauges(), { silent: 1, sessions: 1 });
  await until(() => pings >= 3);
  t.equal(alive.ws.readyState, alive.ws.OPEN);
});

await t.test('where nobody is pinged, a peer has to speak', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), {
    dialect: { heartbeat: { intervalMs: 1_500, graceMs: 0, ping: 'none' } },
  });
  await connect(t, node, { account: 1 });
  const speaking = await connect(t, node, { account: 2 });
  const talk = setInterval(() => speaking.ws.send('ping'), 100);
  t.teardown(() => clearInterval(talk));
  await until(() => node.ended.length > 0);
  t.same(node.ended, [{ name: '1', last: true }]);
  t.equal(speaking.ws.readyState, speaking.ws.OPEN);
});

await t.test('a drain tells everybody where to go on, each at a moment of its own', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  const accounts = Array.from({ length: 40 }, (_, i) => i + 1);
  await chat.join(1, ...accounts);
  const { position } = await chat.post(1, 1, 'before');
  const clients = await Promise.all(accounts.map((account) => connect(t, node, { account })));
  await Promise.all(clients.map((client) => client.reached(position)));
  await node.gateway.drain();
  const delays = new Set<unknown>();
  for (const client of clients) {
    t.match(await client.closed, { code: 1001 });
    const last = client.frames.at(-1);
    t.match(last, { type: 'shutdown', position: position.toString() });
    delays.add(last?.reconnectAfterMs);
  }
  t.ok(delays.size > 20 && [...delays].every((ms) => Number.isInteger(ms) && (ms as number) <= 3_000));
  await chat.post(1, 1, 'meanwhile');
  const again = await Promise.all(
    clients.map((client, i) => connect(t, node, { account: i + 1, after: client.position })),
  );
  const last = await chat.post(1, 1, 'after');
  await Promise.all(again.map((client) => client.reached(last.position)));
  for (const client of again) t.same(client.texts, ['meanwhile', 'after']);
});

await t.test('a process that stops refuses whoever comes', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  await node.gateway.drain({ refuse: true });
  const client = await connect(t, node, { account: 1 });
  t.match(await client.closed, { code: 1013, reason: 'draining' });
});

await t.test('a revoked credential closes its sockets on every node', async (t) => {
  const url = await gatewayDatabase(t);
  const nodes = [await startNode(t, url), await startNode(t, url)] as const;
  const chat = new Chat(nodes[0].log);
  await chat.join(1, 1, 2);
  const revoked = await Promise.all(nodes.map((node, i) => connect(t, node, { account: 1, key: 7, name: `${i}` })));
  const other = await connect(t, nodes[1], { account: 1, key: 8, name: 'other' });
  const third = await connect(t, nodes[1], { account: 2, key: 9, name: 'third' });
  const { position } = await chat.post(1, 2, 'seen');
  await Promise.all([...revoked, other, third].map((client) => client.reached(position)));
  await chat.revokeKey(7);
  for (const client of revoked) t.match(await client.closed, { code: 4001 });
  const next = await chat.post(1, 2, 'not for the revoked');
  await other.reached(next.position);
  t.same(revoked[0]?.texts, ['seen']);
  t.same(other.texts, ['seen', 'not for the revoked']);

  await chat.write('gone', event('AccountDeleted', { workspace: 1, account: 1, messages: 'keep' }));
  t.match(await other.closed, { code: 4001 });
  t.equal(third.ws.readyState, third.ws.OPEN);
  await chat.write('workspace', event('WorkspaceDeleted', { workspace: 1, owner: null }));
  t.match(await third.closed, { code: 4001 });
});

await t.test('one that was revoked while it was being authenticated does not get in', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const chat = new Chat(node.log);
  const position = await chat.revokeKey(7);
  await until(() => node.gateway.position >= position);
  const late = await connect(t, node, { account: 1, key: 7, authenticatedAgoMs: 5_000 });
  t.match(await late.closed, { code: 4001 });
  t.equal(late.frames.length, 0);
  // Connections are claimed in the order in which they came: the one that did not get in may still have been being claimed.
  await connect(t, node, { account: 2, key: 8, authenticatedAgoMs: 5_000 });
  await until(async () => (await node.gateway.online(1, [1])).size === 0);
  const fine = await connect(t, node, { account: 1, key: 8, authenticatedAgoMs: 5_000 });
  t.match(fine.frames, [{ type: 'welcome', first: true }], 'and nothing is left of it');
  t.same(node.ended, [], 'nobody was told of its end who was not told of it');
});

await t.test('a credential that expires', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t));
  const client = await connect(t, node, { account: 1, expiresInMs: 300 });
  const other = await connect(t, node, { account: 1, expiresInMs: 3_600_000, name: 'other' });
  t.match(await client.closed, { code: 4001 });
  t.equal(other.ws.readyState, other.ws.OPEN);
});

/** A log that can be held still: its tail says nothing, and the head cannot be asked for. */
class HeldLog implements Pick<Log, 'tail' | 'head'> {
  readonly #log: Log;
  #held: PromiseWithResolvers<void> | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  hold(): void {
    this.#held = Promise.withResolvers();
  }

  release(): void {
    this.#held?.resolve();
    this.#held = null;
  }

  async *tail(from: bigint, signal: AbortSignal) {
    for await (const batch of this.#log.tail(from, signal)) {
      while (this.#held) await this.#held.promise;
      yield batch;
    }
  }

  async head(): Promise<bigint> {
    if (this.#held) throw new Error('away');
    return this.#log.head();
  }
}

await t.test('while the tail is silent nothing is sent that did not come from it', async (t) => {
  let held: HeldLog | undefined;
  const node = await startNode(t, await gatewayDatabase(t), {
    logOf: (log) => {
      held = new HeldLog(log);
      return held;
    },
  });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1, 2);
  const revoked = await connect(t, node, { account: 1, key: 7 });
  await revoked.reached(joined);
  const told = (text: string) =>
    node.sockets.broadcast(
      { workspace: 1, room: 1 },
      () => 0,
      (_, position) => JSON.stringify({ type: 'typing', text, position }),
    );
  t.ok(node.gateway.fresh);
  told('heard');
  await revoked.frame(({ type }) => type === 'typing');
  held?.hold();
  await until(() => !node.gateway.fresh);
  await chat.revokeKey(7);
  told('not heard');
  const waiting = await connect(t, node, { account: 2, key: 8, after: joined });
  const { position } = await chat.post(1, 9, 'after the revocation');
  waiting.ws.send('ping');
  await waiting.frame(({ type }) => type === 'pong');
  t.equal(node.sessions.get('2')?.live, false, 'who comes is not shown anything either');
  held?.release();
  t.match(await revoked.closed, { code: 4001 });
  await waiting.reached(position);
  t.same(waiting.texts, ['after the revocation']);
  t.same(
    revoked.frames.flatMap(({ type, text }) => (type === 'typing' || type === 'message' ? [text] : [])),
    ['heard'],
  );
  t.ok(node.gateway.fresh);
});
