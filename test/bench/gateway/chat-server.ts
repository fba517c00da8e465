/**
 * The hub alone, a process of its own: the gateway over a real log, with the dialect of the gateway's tests and one route
 * that posts. Forked with the address of a migrated database; says `{port}` when it listens, drains when it is told `drain`.
 */
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import websocket from '@fastify/websocket';
import { fastify } from 'fastify';
import { codec, event } from '../../../schemas/index.ts';
import { createGateway, gatewayMigrations } from '../../../src/gateway/index.ts';
import { NO_STREAM } from '../../../src/log/log.ts';
import { logMigrations } from '../../../src/log/migrations.ts';
import { openPostgresLog } from '../../../src/log/postgres.ts';
import { migrate } from '../../../src/platform/migrate.ts';
import { openPool } from '../../../src/platform/postgres.ts';
import { ChatReadModel, chatDialect } from '../../gateway/chat-dialect.ts';
import { registerOpen } from '../../gateway/chat-route.ts';
import { roomOf } from './target.ts';

const url = process.argv[2] ?? '';
await migrate(url, [...logMigrations, ...gatewayMigrations]);
const log = await openPostgresLog({ url, codec });
const pool = openPool({ url, name: 'bench', maxConnections: 4 });
const readModel = new ChatReadModel(log);
readModel.start();
const gateway = createGateway({
  log,
  pool,
  url,
  readModel,
  startAt: () => log.head(),
  sole: true,
  onTrouble: (error, text) => console.error(text, error),
});
const sockets = gateway.sockets(chatDialect(readModel));
const app = fastify({ logger: false });
await app.register(websocket);
registerOpen(app, sockets, null);
await gateway.start();

let messages = 0;
app.post<{ Body: { room: number; text: string } }>('/post', async (request, reply) => {
  const { room, text } = request.body;
  const message = ++messages;
  const [outcome] = await log.append([
    {
      commitId: randomUUID(),
      stream: `message-${message}`,
      expected: NO_STREAM,
      events: [
        event('MessagePosted', {
          workspace: 1,
          room,
          message,
          sender: 1_000_000,
          profileRevision: 0,
          senderName: null,
          device: null,
          body: { kind: 'text', text },
          meta: null,
          replyTo: null,
          forwardedFrom: null,
          audience: null,
        }),
      ],
      at: Date.now(),
    },
  ]);
  return reply.code(outcome?.outcome === 'written' ? 201 : 503).send({ ok: outcome?.outcome === 'written' });
});
let place = { accounts: 0, rooms: 0 };
app.post<{ Body: { sockets: number; perRoom: number } }>('/prepare', async (request) => {
  const { sockets: count, perRoom } = request.body;
  const { accounts, rooms } = place;
  for (let from = 0; from < count; from += 500) {
    const events = Array.from({ length: Math.min(500, count - from) }, (_, i) =>
      event('MembershipStarted', {
        workspace: 1,
        room: rooms + roomOf(from + i, perRoom),
        account: accounts + from + i + 1,
        membership: from + i + 1,
        roles: [],
        historyFrom: 0,
      }),
    );
    await log.append([
      { commitId: randomUUID(), stream: `join-${randomUUID()}`, expected: NO_STREAM, events, at: Date.now() },
    ]);
  }
  const head = await log.head();
  while (gateway.position < head || readModel.reached() < head) await new Promise((resolve) => setTimeout(resolve, 10));
  const made = place;
  place = { accounts: accounts + count, rooms: rooms + roomOf(count, perRoom) };
  return made;
});
await app.listen({ host: '127.0.0.1', port: 0, backlog: 4_096 });
process.send?.({ port: (app.server.address() as AddressInfo).port });
process.on('message', (message) => {
  if (message === 'drain') void gateway.drain();
});
process.on('disconnect', () => process.exit(0));
