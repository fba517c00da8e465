/**
 * The MessageJS dialect: "send one templated message through a third-party channel" (its sheet is the contract).
 *
 * Promises: every error is `{error, code, details?}` with the sheet's codes; no 5xx but 503 (with `Retry-After`: storage is
 * away, or draining), 502 where a provider cannot be reached, and 500 for what is a defect, which shows no internals.
 * Answers to writes are rendered from what was just written and carry `X-Parley-Position`; reads wait for the rows to show
 * what this node acknowledged, and say `X-Parley-Stale` when they do not.
 * No rule of messaging is here: who may do what, what a key is worth and what becomes of a message is the commands'.
 *
 * Limits: bodies by the host's limit (a batch and callbacks have their own), names, texts and lists by `wire.ts`, requests
 * by the rate limits of the configuration.
 */
import type { FastifyInstance } from 'fastify';
import { type CorsPolicy, originRule } from '../cors.ts';
import type { Dialect, Refusal } from '../dialect.ts';
import { checkInHandlers } from '../routes.ts';
import { analyticsRoutes } from './analytics.ts';
import { authRoutes } from './auth.ts';
import { batchRoute } from './batch.ts';
import { callbackRoutes } from './callbacks.ts';
import { connectorRoutes } from './connectors.ts';
import { createContext } from './context.ts';
import { errorHandler, invalid, type WireCode } from './errors.ts';
import { historyRoutes } from './history.ts';
import { keyRoutes } from './keys.ts';
import { operationsRoutes } from './operations.ts';
import type { MessageJsOptions } from './options.ts';
import { projectRoutes } from './projects.ts';
import { BASE_PATH, DIALECT } from './routes.ts';
import { sendRoute } from './send.ts';
import { templateRoutes } from './templates.ts';
import { errorBody } from './wire.ts';

export { twilioCallback } from './callbacks.ts';
export type { MessageJsConfig, MessageJsOptions } from './options.ts';

/** Refusals that any route can answer: shapes, sizes, types, limits, storage. */
const commonStatuses = [400, 413, 415, 429, 503];

const codesOfRefusals = {
  'unknown-route': 'NOT_FOUND',
  'malformed-url': 'INVALID_INPUT',
  draining: 'SERVICE_UNAVAILABLE',
  'malformed-body': 'INVALID_INPUT',
} as const;

/** The words for a refusal by the host. A send takes a key, everything else a token. */
function codeOf({ kind, method, presented }: Refusal): WireCode {
  if (kind !== 'unauthenticated') return codesOfRefusals[kind];
  if (method !== 'POST') return 'INVALID_TOKEN';
  return presented ? 'INVALID_API_KEY' : 'MISSING_API_KEY';
}

/** Makes the dialect. */
export function messagejsDialect(options: MessageJsOptions): Dialect {
  const { config, clock } = options;
  return {
    name: DIALECT,
    title: 'MessageJS',
    description:
      'Sends templated messages through WhatsApp, Telegram and Twilio. `POST /messages` takes an API key of a project; ' +
      "everything else is the dashboard's and takes the token of a user.",
    securitySchemes: {
      jwt: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Token of register, login or refresh' },
      cookie: { type: 'apiKey', in: 'cookie', name: config.cookieName },
      apiKey: { type: 'http', scheme: 'bearer', description: 'API key of a project, `pk_live_...`' },
    },
    prefixes: [BASE_PATH],
    cors: corsPolicy(options),
    commonResponses: Object.fromEntries(commonStatuses.map((status) => [status, errorBody])),
    refuse: (refusal) => ({ error: refusal.message, code: codeOf(refusal) }),
    register(app: FastifyInstance) {
      app.decorateRequest('messagejsUser', null);
      app.decorateRequest('messagejsKey', null);
      app.setErrorHandler(errorHandler(clock));
      checkInHandlers(app, () => invalid('INVALID_INPUT', 'The body is not valid JSON'));
      const context = createContext(options);
      authRoutes(app, context);
      projectRoutes(app, context);
      keyRoutes(app, context);
      connectorRoutes(app, context);
      templateRoutes(app, context);
      sendRoute(app, context);
      batchRoute(app, context);
      historyRoutes(app, context);
      analyticsRoutes(app, context);
      callbackRoutes(app, context);
      operationsRoutes(app, context);
    },
  };
}

/** Section 1. Sends come from pages of any site; they carry a key and need no cookie. */
function corsPolicy({ config }: MessageJsOptions): CorsPolicy {
  const rule = originRule(config.allowedOrigins, config.production);
  const sendPaths = new Set([`${BASE_PATH}/messages`, `${BASE_PATH}/messages/batch`]);
  return {
    methods: 'GET, POST, PUT, DELETE, OPTIONS',
    requestHeaders: 'Content-Type, Authorization, Idempotency-Key, X-Parley-Position',
    exposedHeaders:
      'X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Parley-Position, X-Parley-Stale',
    admit(origin, method, path) {
      const admission = rule(origin);
      return admission === 'refused' && method === 'POST' && sendPaths.has(path) ? 'anonymous' : admission;
    },
  };
}
