/** Event streams, several dialects on one gateway, and what dialects load before they spell. */
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fastify } from 'fastify';
import t from 'tap';
import { codec, type RecordedEvent } from '../../schemas/index.ts';
import { createGateway, eventStreamData, eventStreamSubscriber } from '../../src/gateway/index.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { until } from '../support/until.ts';
import { ChatReadModel, chatDialect } from './chat-dialect.ts';
import { Chat, connect, gatewayDatabase, startNode } from './world.ts';

await t.test('two dialects on one tail: an event stream, spelled its own way, beside sockets', async (t) => {
  const url = await gatewayDatabase(t);
  const log = await openPostgresLog({ url, codec });
  const pool = openPool({ url, name: 'test', maxConnections: 4 });
  const readModel = new ChatReadModel(log);
  readModel.start();
  let tails = 0;
  const gateway = createGateway({
    log: {
      tail: (from, signal) => {
        tails++;
        return log.tail(from, signal);
      },
      head: () => log.head(),
    },
    pool,
    url,
    readModel,
    startAt: () => log.head(),
    sole: true,
    onTrouble: (error) => t.fail(String(error)),
  });
  const ended: boolean[] = [];
  gateway.sockets(chatDialect(readModel));
  const streams = gateway.sockets(
    chatDialect(readModel, {
      name: 'stream',
      encoding: eventStreamData,
      heartbeat: { intervalMs: 300, graceMs: 0, ping: { frame: '' } },
      frames: (event: RecordedEvent) => (event.type === 'MessagePosted' ? [`line 1\nof ${event.data.body.text}`] : []),
      ended: (_, { last }) => ended.push(last),
    }),
  );
  const app = fastify({ logger: false });
  app.get('/stream', async (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' });
    reply.raw.flushHeaders();
    const opened = await streams.open({
      subscriber: eventStreamSubscriber(reply.raw),
      workspace: 1,
      account: 1,
      context: { name: 'stream' },
      credential: 'key-7',
      authenticatedAtMs: performance.now(),
    });
    if (opened.outcome === 'opened') opened.session.start();
  });
  await gateway.start();
  await app.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(async () => {
    await gateway.stop();
    await app.close();
    await readModel.stop();
    await log.close();
    await pool.end();
  });
  const chat = new Chat(log);
  await chat.join(1, 1);
  const request = get({ port: (app.server.address() as AddressInfo).port, path: '/stream' });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.setEncoding('utf8');
  let text = '';
  response.on('data', (piece: string) => {
    text += piece;
  });
  await until(() => streams.gauges().sessions - streams.gauges().joining === 1);
  await chat.post(1, 2, 'hello');
  await until(() => text.includes('hello'));
  t.match(text, 'data: line 1\ndata: of hello\n\n');
  await until(() => text.includes('data: \n\n'));
  t.equal(tails, 1, 'one tail');
  const closed = once(response, 'close');
  await chat.revokeKey(7);
  await closed;
  t.ok(response.complete, 'the stream ends as it should');
  await until(() => ended.length === 1);
  t.same(ended, [true]);
  t.match(gateway.gauges(), { chat_sessions: 0, stream_sessions: 0, stream_revoked: 1, connections_held: 0 });
});

await t.test('what a dialect loads before it spells: for events that somebody is shown, live and missed', async (t) => {
  const names = new Map<number, string>();
  const prepared: bigint[][] = [];
  const node = await startNode(t, await gatewayDatabase(t), {
    dialect: {
      prepare(events) {
        const missing = events.filter(({ type, data }) => type === 'MessagePosted' && !names.has(data.sender));
        if (missing.length === 0) return undefined;
        return (async () => {
          prepared.push(missing.map(({ position }) => position));
          await new Promise((resolve) => setTimeout(resolve, 20));
          for (const { type, data } of missing) {
            if (type === 'MessagePosted') names.set(data.sender, `name of ${data.sender}`);
          }
        })();
      },
      variant: () => 0,
      frames: (event, _variant, { at }) =>
        event.type === 'MessagePosted'
          ? [JSON.stringify({ type: 'message', text: names.get(event.data.sender) ?? 'unknown', position: at })]
          : [],
    },
  });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  await chat.join(2, 2);
  const client = await connect(t, node, { account: 1 });
  await client.reached(joined);
  await chat.post(2, 21, 'nobody is there');
  const { position } = await chat.post(1, 11, 'hello');
  await client.reached(position);
  t.same(client.texts, ['name of 11']);
  t.same(prepared, [[position]], 'for what is shown alone');
  const late = await connect(t, node, { account: 2, after: joined });
  await late.reached(position);
  t.same(late.texts, ['name of 21'], 'what was missed is prepared when it is asked for');
  // Appended in one flush, so told in one batch: when it is prepared nobody is in the room yet.
  const [, posted] = await Promise.all([chat.join(3, 1), chat.post(3, 31, 'welcome')]);
  await client.reached(posted.position);
  t.same(client.texts, ['name of 11', 'name of 31'], 'and for who joins right before it');
});

await t.test('a dialect that cannot load in time spells without', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), {
    limits: { maxPrepareMs: 50 },
    dialect: { prepare: () => new Promise(() => {}) },
  });
  const chat = new Chat(node.log);
  const joined = await chat.join(1, 1);
  const client = await connect(t, node, { account: 1 });
  await client.reached(joined);
  const { position } = await chat.post(1, 2, 'hello');
  await client.reached(position);
  t.same(client.texts, ['hello']);
  t.match(node.troubles, [/too long/]);
});

await t.test('a process has room for so many', async (t) => {
  const node = await startNode(t, await gatewayDatabase(t), { limits: { maxSessions: 2 } });
  await connect(t, node, { account: 1 });
  await connect(t, node, { account: 2 });
  const third = await connect(t, node, { account: 3 });
  t.match(await third.closed, { code: 1013, reason: 'full' });
});
