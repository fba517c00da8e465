/**
 * The Company dialect: a small chat between two, of small integers (its sheet is the contract). Requests under `/api`;
 * messages are sent over a Phoenix channel at `/socket/websocket` alone.
 *
 * Promises: answers and refusals are shaped as the sheet has them, wrapped or bare; what it has no words for is
 * `{"errors":{"detail"}}`. A password is shown only where the request itself carried or made it, and mailed at most once, from
 * memory. A token ends at once when its holder logs out, and its sockets with it. An image is
 * shown while its owner has it, and to whoever holds a token. What is pushed is stored before. An answer
 * to a write carries `X-Parley-Position`; reads wait for the rows to show what this node acknowledged.
 * No rule of chat is here: who may do what is the commands'.
 *
 * Limits: bodies by the host's limit, texts of users by `wire.ts`, messages by that of a frame (64 KiB), 64 frames of a
 * socket that wait, images by `COMPANY_UPLOAD_LIMIT_BYTES`. Lists are whole, as the sheet has no pages.
 */
import type { FastifyInstance } from 'fastify';
import { originRule } from '../cors.ts';
import type { Dialect } from '../dialect.ts';
import { checkInHandlers } from '../routes.ts';
import { conversationRoutes } from './conversations.ts';
import { detail, detailBody, errorHandler } from './errors.ts';
import { imageRoutes } from './images.ts';
import type { CompanyOptions } from './options.ts';
import { BASE_PATH, createContext, DIALECT } from './routes.ts';
import { channelRoute, channelSockets } from './socket.ts';
import { userRoutes } from './users.ts';
import { refused } from './wire.ts';

export type { CompanyConfig, CompanyOptions } from './options.ts';

/** Refusals that any route can answer: shapes, sizes, types, storage. */
const commonStatuses = [400, 413, 415, 503];

/** Makes the dialect, and adds its sockets to the gateway, which must not have started. */
export function companyDialect(options: CompanyOptions): Dialect {
  const { gateway, servesRequests, clock, config } = options;
  const sockets = gateway === null ? null : channelSockets(gateway, options);
  const admitted = originRule(config.allowedOrigins, config.production);
  return {
    name: DIALECT,
    title: 'Company',
    description:
      'Users, conversations between two, and their messages; sent and received over the channel `/socket/websocket`. ' +
      'Every request but register and login takes the token of a login.',
    securitySchemes: {
      token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Token of a login' },
    },
    prefixes: [BASE_PATH, '/socket'],
    cors: {
      methods: 'GET, POST, PUT, DELETE, OPTIONS',
      requestHeaders: 'Content-Type, Authorization, X-Parley-Position',
      exposedHeaders: 'Authorization, Retry-After, X-Parley-Position, X-Parley-Stale',
      // The credential is a header that a page has to know, never a cookie.
      admit: (origin) => (admitted(origin) === 'refused' ? 'refused' : 'anonymous'),
    },
    commonResponses: Object.fromEntries(commonStatuses.map((status) => [status, refused])),
    sockets: sockets !== null,
    refuse: ({ status }) => detailBody(status),
    async register(app: FastifyInstance) {
      app.decorateRequest('companyUser', null);
      app.decorateRequest('companyOpening', null);
      app.setErrorHandler(errorHandler(clock));
      checkInHandlers(app, () => detail(400));
      const context = createContext(options);
      if (servesRequests) {
        userRoutes(app, context);
        conversationRoutes(app, context);
        await imageRoutes(app, context);
      }
      if (sockets) channelRoute(app, context, sockets);
    },
  };
}
