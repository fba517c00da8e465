/** The route by which tests and benchmarks of the gateway open sockets. */
import type { FastifyInstance } from 'fastify';
import { type Session, type Sockets, socketSubscriber } from '../../src/gateway/index.ts';
import type { Context } from './chat-dialect.ts';

/** What a client asks for, as a query. */
export interface Ask {
  readonly account: number;
  readonly workspace?: number;
  readonly name?: string;
  readonly key?: number;
  /** Connections that the workspace may have. */
  readonly limit?: number;
  readonly after?: bigint | string;
  readonly maxItems?: number;
  readonly rooms?: readonly number[];
  readonly topics?: readonly string[];
  /** It is told nothing until it says `start`. */
  readonly late?: boolean;
  /** How long ago its authentication began, milliseconds. */
  readonly authenticatedAgoMs?: number;
  /** Milliseconds until its credential expires. */
  readonly expiresInMs?: number;
}

/** The route that opens sockets. `sessions` gets them by name. */
export function registerOpen(
  app: FastifyInstance,
  sockets: Sockets<Context>,
  sessions: Map<string, Session<Context>> | null,
): void {
  app.get<{ Querystring: { ask: string } }>('/open', { websocket: true }, async (ws, request) => {
    const ask = JSON.parse(request.query.ask) as Ask & { after?: string };
    const { workspace = 1, account, name = String(account), after, limit, expiresInMs } = ask;
    const opened = await sockets.open({
      subscriber: socketSubscriber(ws, request.raw.socket),
      workspace,
      account,
      context: { name },
      credential: `key-${ask.key ?? account}`,
      authenticatedAtMs: performance.now() - (ask.authenticatedAgoMs ?? 0),
      ...(limit !== undefined && { limit: { scope: `workspace-${workspace}`, max: limit } }),
      ...(after !== undefined && { after: after === 'last' ? 'last-ended' : BigInt(after) }),
      ...(ask.maxItems !== undefined && { maxItems: ask.maxItems }),
      ...(ask.rooms !== undefined && { rooms: ask.rooms }),
      ...(ask.topics !== undefined && { topics: ask.topics }),
      ...(expiresInMs !== undefined && { expiresAt: Date.now() + expiresInMs }),
    });
    if (opened.outcome === 'refused') {
      if (opened.reason === 'limit') ws.close(4004, 'limit');
      else if (opened.reason !== 'gone') ws.close(1013, opened.reason);
      return;
    }
    const { session } = opened;
    sessions?.set(name, session);
    ws.on('message', (data) => {
      const text = String(data);
      if (text === 'ping') session.send(JSON.stringify({ type: 'pong', position: session.position.toString() }));
      else if (text === 'start') session.start();
    });
    const { first, position } = session;
    session.send(
      JSON.stringify({ type: 'welcome', position: position.toString(), first, invalid: opened.positionInvalid }),
    );
    if (ask.late !== true) session.start();
  });
}
