import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type Gateway, type Sockets, socketSubscriber } from '../../gateway/index.ts';
import { type ChannelContext, companyChannel } from './channel.ts';
import { Connection } from './connection.ts';
import { detail, WireError } from './errors.ts';
import { type Version, versionOf } from './frames.ts';
import type { CompanyOptions } from './options.ts';
import { type Context, DIALECT } from './routes.ts';
import type { TokenClaims } from './tokens.ts';
import { objectOf, refused } from './wire.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who opens a socket, once its token was found to hold. */
    companyOpening: Opening | null;
  }
}

interface Opening {
  readonly claims: TokenClaims;
  readonly version: Version;
  /** When its authentication began, monotonic milliseconds. */
  readonly authenticatedAtMs: number;
}

/** Adds the channel's sockets to the gateway: before the gateway starts. */
export function channelSockets(gateway: Pick<Gateway, 'sockets'>, options: CompanyOptions): Sockets<ChannelContext> {
  return gateway.sockets(companyChannel(options));
}

const description = `An upgrade to a WebSocket that speaks Phoenix channels. Version 1 (\`vsn=1.0.0\`, also without \`vsn\`): frames
\`{"topic","event","payload","ref"}\`; version 2 (\`vsn=2.0.0\`): \`[join_ref, ref, topic, event, payload]\`. Join \`room:chat\`; send
\`send_msg\` with \`{"user","conv","message"}\`, which is not answered unless it is not known to be stored; receive \`receive_msg\` with
\`{"message"}\`. A \`heartbeat\` on the topic \`phoenix\` keeps a socket open that is silent for 60 s otherwise.`;

/** The route of the channel (sheet, section 5). What its token does not open is refused before the upgrade. */
export function channelRoute(
  app: FastifyInstance,
  { options, tokens }: Context,
  sockets: Sockets<ChannelContext>,
): void {
  const { people, config } = options;
  app.route({
    method: 'GET',
    url: '/socket/websocket',
    schema: {
      querystring: z.object({ token: z.string().optional(), vsn: z.string().optional() }),
      response: { 101: z.null().meta({ description: 'The socket is open' }), 403: refused, 426: refused },
    },
    config: {
      dialect: DIALECT,
      openapi: { summary: 'Open the channel', tags: ['Channel'], security: [], description },
    },
    async onRequest(request: FastifyRequest) {
      const authenticatedAtMs = performance.now();
      const { token, vsn } = objectOf(request.query);
      const version = versionOf(vsn);
      if (typeof token !== 'string' || version === null) throw detail(403);
      try {
        const claims = await tokens.read(token);
        await people.authenticateSession(claims);
        request.companyOpening = { claims, version, authenticatedAtMs };
      } catch (error) {
        throw isTokenTrouble(error) ? detail(403) : error;
      }
    },
    handler: () => {
      throw detail(426, { upgrade: 'websocket', connection: 'upgrade' });
    },
    wsHandler: async (ws, request) => {
      const { claims, version, authenticatedAtMs } = request.companyOpening as Opening;
      const context: ChannelContext = { version, joinRef: undefined };
      const connection = new Connection(ws, options, claims, context);
      const { account, session: credential, expire } = claims;
      connection.opened(
        await sockets.open({
          subscriber: socketSubscriber(ws, request.raw.socket),
          workspace: config.workspace,
          account,
          context,
          credential,
          authenticatedAtMs,
          expiresAt: expire * 1_000,
        }),
      );
    },
  });
}

/** A refusal of the token itself: anything but storage that is away. */
function isTokenTrouble(error: unknown): boolean {
  if (error instanceof WireError) return error.status === 401;
  const { name, code } = error as { name?: unknown; code?: unknown };
  return name === 'DomainError' && code !== 'unavailable';
}
