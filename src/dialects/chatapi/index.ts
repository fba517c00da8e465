/**
 * The ChatAPI dialect: a multi-tenant chat back end (its sheet is the contract). A client's server holds a master key; the
 * users that it creates hold scoped keys, and talk in rooms.
 *
 * Promises: answers stand in `{data, status, timestamp}`, lists with `pagination`; every error is
 * `{detail, error_code, status_code, timestamp, errors?}` with the sheet's codes; no 5xx but 503 (with `Retry-After`: storage
 * is away, or draining) and 500 for what is a defect, which shows no internals. Answers to writes are rendered from what was
 * just written and carry `X-Parley-Position`; reads wait for the rows to show what this node acknowledged, and say
 * `X-Parley-Stale` when they do not. What is another client's does not exist.
 * No rule of messaging is here: who may do what is the commands'.
 *
 * The socket promises what the gateway does: what happens in a user's rooms in the order of the log, on from any position,
 * each frame with the position up to which everything was sent; what a key may no more, its sockets do no more. What clients
 * send is handled in the order in which it came, and refused by an `error` frame; a socket that was opened is closed where a
 * frame is binary (1003) or above 64 KiB (1009), and where its key has ended (4001).
 *
 * Limits: bodies by the host's limit, names and texts by `wire.ts`, requests, members, contents, sockets and their frames by
 * the configuration; 64 frames of a socket that wait; 10 s for the key of a socket.
 */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Dialect, Refusal } from '../dialect.ts';
import { checkInHandlers } from '../routes.ts';
import { clientRoutes } from './clients.ts';
import { createContext } from './context.ts';
import { emailProviderRoutes } from './email-providers.ts';
import { errorBody, errorHandler, type WireCode, WireError } from './errors.ts';
import { memberRoutes } from './members.ts';
import { messageRoutes } from './messages.ts';
import { notificationRoutes } from './notifications.ts';
import type { ChatApiOptions } from './options.ts';
import { Crowds, onlineRoute } from './presence.ts';
import { Renderer } from './rendering.ts';
import { roomMessageRoutes } from './room-messages.ts';
import { roomRoutes } from './rooms.ts';
import { addRoute, BASE_PATH, DIALECT } from './routes.ts';
import { socketRoute } from './socket.ts';
import { Opening } from './socket-opening.ts';
import { userRoutes } from './users.ts';
import { webhookDeliveryRoutes } from './webhook-deliveries.ts';
import { webhookRoutes } from './webhooks.ts';
import * as wire from './wire.ts';

export { notificationPosts } from './notification-rendering.ts';
export type { ChatApiConfig, ChatApiOptions } from './options.ts';
export { Spelling } from './spelling.ts';
export { webhookEventNames, webhookEvents } from './webhook-events.ts';

/** Refusals that any route can answer: shapes, sizes, types, limits, storage. */
const commonStatuses = [400, 413, 415, 429, 503];

const codesOfRefusals: Readonly<Record<Refusal['kind'], WireCode>> = {
  'unknown-route': 'RESOURCE_NOT_FOUND',
  'malformed-url': 'BAD_REQUEST',
  draining: 'SERVICE_UNAVAILABLE',
  unauthenticated: 'INVALID_CREDENTIALS',
  'malformed-body': 'BAD_REQUEST',
};

/** Makes the dialect, and adds its sockets to the gateway, which must not have started. */
export function chatapiDialect(options: ChatApiOptions): Dialect {
  const { clock, config, gateway, servesRequests } = options;
  const context = createContext(options);
  const crowds = new Crowds(context);
  const opening = gateway === null ? null : new Opening(context, gateway, crowds);
  const withCredentials = new Set(config.corsOrigins.filter((origin) => origin !== '*'));
  return {
    name: DIALECT,
    title: 'ChatAPI',
    description:
      'Rooms, messages and users for many clients. The server of a client uses its master key, `ck_live_...`; a user has a ' +
      'scoped key, `sk_user_...`.',
    securitySchemes: {
      bearer: { type: 'http', scheme: 'bearer', description: 'A master key or a scoped key' },
      apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'The same, where there is no bearer' },
    },
    prefixes: [BASE_PATH],
    cors: {
      methods: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
      requestHeaders: '*',
      exposedHeaders:
        'X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Parley-Position, X-Parley-Stale',
      admit: (origin) => (withCredentials.has(origin) ? 'credentials' : 'anonymous'),
    },
    sockets: opening !== null,
    commonResponses: Object.fromEntries(commonStatuses.map((status) => [status, wire.errorBody])),
    refuse: ({ kind, message, status }) => errorBody(codesOfRefusals[kind], message, status, clock.now()),
    register(app: FastifyInstance) {
      app.decorateRequest('chatapiCaller', null);
      app.setErrorHandler(errorHandler(clock));
      checkInHandlers(app, () => new WireError('BAD_REQUEST', 'The body is not valid JSON'));
      if (opening) socketRoute(app, context, opening);
      if (!servesRequests) return;
      const render = new Renderer(context);
      onlineRoute(app, context, render, crowds);
      for (const routes of [
        clientRoutes,
        userRoutes,
        roomRoutes,
        memberRoutes,
        messageRoutes,
        roomMessageRoutes,
        webhookRoutes,
        webhookDeliveryRoutes,
        emailProviderRoutes,
        notificationRoutes,
      ]) {
        routes(app, context, render);
      }
      addRoute(app, context, {
        method: 'GET',
        path: '/utils/health-check',
        summary: 'Health, in the shape of the original',
        tags: ['Operations'],
        access: null,
        answers: { 200: z.literal(true) },
        handler: (_request, reply) => reply.header('content-type', 'application/json; charset=utf-8').send('true'),
      });
    },
  };
}
