/** Nodes with a gateway on one database, the chat's commands against the log, and clients on real sockets. */
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import websocket from '@fastify/websocket';
import { fastify } from 'fastify';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { codec, type DomainEvent, event } from '../../schemas/index.ts';
import {
  createGateway,
  type Gateway,
  type GatewayOptions,
  gatewayMigrations,
  type Session,
  type SocketDialect,
  type Sockets,
} from '../../src/gateway/index.ts';
import { type Log, NO_STREAM } from '../../src/log/log.ts';
import { logMigrations } from '../../src/log/migrations.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { settle } from '../support/log-load.ts';
import { testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { type ChatItem, ChatReadModel, type Context, chatDialect } from './chat-dialect.ts';
import { type Ask, registerOpen } from './chat-route.ts';

/** A database of the test's own, migrated. */
export async function gatewayDatabase(t: Test): Promise<string> {
  const { url } = await testDatabase(t, {
    template: {
      name: `gateway ${JSON.stringify([logMigrations, gatewayMigrations])}`,
      build: (template) => migrate(template, [...logMigrations, ...gatewayMigrations]),
    },
  });
  return url;
}

/** How a node is started. */
export interface NodeOptions extends Partial<Pick<GatewayOptions, 'limits' | 'sole' | 'leaseLifeMs' | 'leaseRenewMs'>> {
  readonly dialect?: Partial<SocketDialect<Context, ChatItem>>;
  /** Stands between the log and the gateway. */
  readonly logOf?: (log: Log) => Pick<Log, 'tail' | 'head'>;
  /** Where the ring begins; default: where the read model is when it has read the whole log. */
  readonly startAt?: bigint;
  /** The read model is held still at this position. */
  readonly holdAt?: 'start' | 'never';
}

/** A process of Parley, as far as sockets go. */
export interface Node {
  readonly gateway: Gateway;
  readonly sockets: Sockets<Context>;
  readonly readModel: ChatReadModel;
  readonly log: Log;
  readonly url: string;
  readonly troubles: string[];
  /** Live and joining sessions, by name. */
  readonly sessions: Map<string, Session<Context>>;
  /** Names of sessions that have ended, with whether their account has no other. */
  readonly ended: { readonly name: string; readonly last: boolean }[];
  stop(): Promise<void>;
}

/** Starts a node, which is stopped when the test ends. */
export async function startNode(t: Test, databaseUrl: string, options: NodeOptions = {}): Promise<Node> {
  const log = await openPostgresLog({ url: databaseUrl, codec });
  const pool = openPool({ url: databaseUrl, name: 'test', maxConnections: 4 });
  const readModel = new ChatReadModel(log);
  if (options.holdAt === 'start') readModel.hold();
  readModel.start();
  const troubles: string[] = [];
  const sessions = new Map<string, Session<Context>>();
  const ended: { name: string; last: boolean }[] = [];
  const head = await log.head();
  if (options.holdAt !== 'start') await until(() => readModel.reached() >= head);
  const { dialect: rest, logOf, startAt, holdAt: _, ...limits } = options;
  const gateway = createGateway({
    log: logOf?.(log) ?? log,
    pool,
    url: databaseUrl,
    readModel,
    startAt: async () => startAt ?? readModel.reached(),
    onTrouble: (error, text) => troubles.push(`${text}: ${error instanceof Error ? error.message : error}`),
    ...limits,
  });
  const dialect = chatDialect(readModel, {
    ended: (session, { last }) => {
      ended.push({ name: session.context.name, last });
    },
    ...rest,
  });
  const sockets = gateway.sockets(dialect);
  const app = fastify({ logger: false });
  await app.register(websocket);
  registerOpen(app, sockets, sessions);
  await gateway.start();
  await app.listen({ host: '127.0.0.1', port: 0 });
  let stopped: Promise<void> | null = null;
  const stop = () => {
    stopped ??= (async () => {
      await gateway.stop();
      await app.close();
      await readModel.stop();
      await log.close();
      await pool.end();
    })();
    return stopped;
  };
  t.teardown(stop);
  const url = `ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/open`;
  return { gateway, sockets, readModel, log, url, troubles, sessions, ended, stop };
}

/** What came over a socket. */
export interface Received {
  readonly type: string;
  readonly position: string;
  readonly [field: string]: unknown;
}

/** One socket of a client's. */
export class Client {
  readonly ws: WebSocket;
  readonly frames: Received[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #changed = new EventTarget();
  #isClosed = false;

  constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on('message', (data) => {
      this.frames.push(JSON.parse(String(data)) as Received);
      this.#changed.dispatchEvent(new Event('changed'));
    });
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        this.#isClosed = true;
        this.#changed.dispatchEvent(new Event('changed'));
        resolve({ code, reason: String(reason) });
      });
    });
    ws.on('error', () => {});
  }

  /** The first frame that is so, as soon as it is there. Rejects when the socket closes first. */
  async frame(is: (frame: Received) => boolean): Promise<Received> {
    for (;;) {
      const found = this.frames.find(is);
      if (found) return found;
      if (this.#isClosed) throw new Error('the socket closed');
      await new Promise((resolve) => this.#changed.addEventListener('changed', resolve, { once: true }));
    }
  }

  /** Everything up to a position has been sent to it. */
  async reached(position: bigint): Promise<void> {
    for (;;) {
      const before = this.frames.length;
      this.ws.send('ping');
      const pong = await this.frame((frame) => frame.type === 'pong' && this.frames.indexOf(frame) >= before);
      if (BigInt(pong.position) >= position) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Frames of events, in the order in which they came. */
  get events(): Received[] {
    return this.frames.filter(({ type }) => !['welcome', 'pong', 'shutdown'].includes(type));
  }

  /** Texts of messages. */
  get texts(): unknown[] {
    return this.frames.flatMap(({ type, text }) => (type === 'message' ? [text] : []));
  }

  /** The position that it would resume from. */
  get position(): bigint {
    return this.frames.reduce((last, { position }) => (BigInt(position) > last ? BigInt(position) : last), 0n);
  }

  /** Goes, politely, and resolves when the node has said goodbye. */
  async close(): Promise<void> {
    this.ws.close(1000);
    await this.closed;
  }
}

/** Opens a socket. Resolves when the node has welcomed it, or closed it. */
export async function connect(t: Test, node: Pick<Node, 'url'>, ask: Ask): Promise<Client> {
  const query = JSON.stringify(ask, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
  const client = new Client(new WebSocket(`${node.url}?ask=${encodeURIComponent(query)}`));
  t.teardown(() => client.ws.terminate());
  await Promise.race([client.frame(({ type }) => type === 'welcome').catch(() => {}), client.closed]);
  return client;
}

/** What people do, as commits to the log. Each resolves with the position of what it wrote. */
export class Chat {
  readonly #log: Pick<Log, 'append'>;
  readonly #workspace: number;
  #messages: number;
  #memberships = 0;

  /** @param messages the number before its first message's */
  constructor(log: Pick<Log, 'append'>, workspace = 1, messages = 0) {
    this.#log = log;
    this.#workspace = workspace;
    this.#messages = messages;
  }

  async write(stream: string, ...events: DomainEvent[]): Promise<bigint> {
    const outcome = await settle(this.#log, {
      commitId: randomUUID(),
      stream,
      expected: NO_STREAM,
      events,
      at: Date.now(),
    });
    if (outcome.outcome !== 'written') throw new Error(outcome.outcome);
    return outcome.position;
  }

  /** Accounts join a room, in one commit. */
  join(room: number, ...accounts: number[]): Promise<bigint> {
    const workspace = this.#workspace;
    return this.write(
      `join-${randomUUID()}`,
      ...accounts.map((account) =>
        event('MembershipStarted', {
          workspace,
          room,
          account,
          membership: ++this.#memberships,
          roles: [],
          historyFrom: 0,
        }),
      ),
    );
  }

  leave(room: number, account: number): Promise<bigint> {
    const workspace = this.#workspace;
    return this.write(`leave-${randomUUID()}`, event('MembershipEnded', { workspace, room, account, membership: 1 }));
  }

  /** The stream of a message, and where it stands. */
  async post(
    room: number,
    sender: number,
    text: string,
    receivers: readonly number[] | null = null,
  ): Promise<{ readonly stream: string; readonly message: number; readonly position: bigint }> {
    const message = ++this.#messages;
    const stream = `message-${this.#workspace}-${randomUUID()}`;
    const position = await this.write(
      stream,
      event('MessagePosted', {
        workspace: this.#workspace,
        room,
        message,
        sender,
        profileRevision: 0,
        senderName: null,
        device: null,
        body: { kind: 'text', text },
        meta: null,
        replyTo: null,
        forwardedFrom: null,
        audience: receivers === null ? null : { receivers: [...receivers], total: receivers.length },
      }),
    );
    return { stream, message, position };
  }

  async delete(
    room: number,
    account: number,
    { stream, message }: { stream: string; message: number },
  ): Promise<bigint> {
    const outcome = await settle(this.#log, {
      commitId: randomUUID(),
      stream,
      expected: 0,
      events: [event('MessageDeleted', { workspace: this.#workspace, room, message, account, scope: 'everyone' })],
      at: Date.now(),
    });
    if (outcome.outcome !== 'written') throw new Error(outcome.outcome);
    return outcome.position;
  }

  deleteRoom(room: number): Promise<bigint> {
    return this.write(`room-${randomUUID()}`, event('RoomDeleted', { workspace: this.#workspace, room, erase: true }));
  }

  revokeKey(key: number): Promise<bigint> {
    return this.write(`key-${randomUUID()}`, event('KeyRevoked', { workspace: this.#workspace, key }));
  }
}
