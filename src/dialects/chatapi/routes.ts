import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { z } from 'zod';
import type { RouteDocument } from '../dialect.ts';
import type { Context } from './context.ts';
import { type Access, keyGuard } from './credentials.ts';
import * as wire from './wire.ts';

/** Name of the dialect, also that of its document. */
export const DIALECT = 'chatapi';
/** Where its routes stand. */
export const BASE_PATH = '/api/v1';

/** One route, as its file writes it. */
export interface Route extends Omit<RouteDocument, 'security'> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below `/api/v1`. */
  readonly path: string;
  /** Who may call it, and what it is limited by; null: anybody, see its handler. */
  readonly access: Access | null;
  readonly body?: z.ZodType;
  readonly query?: z.ZodType;
  /** An `Idempotency-Key` is honoured. */
  readonly keyed?: boolean;
  /** Answers by status, the good ones. */
  readonly answers: Readonly<Record<number, z.ZodType>>;
  /** Statuses of errors that this route may answer, beside those that any may (`commonResponses`). */
  readonly refusals?: readonly number[];
  /** Runs before the body is read, instead of the guard of `access`. */
  readonly onRequest?: RouteOptions['onRequest'];
  readonly handler: RouteOptions['handler'];
}

const keyedHeaders = z.object({
  'idempotency-key': z
    .string()
    .optional()
    .describe('1 to 255 characters: the same request can be sent again, takes effect once and is answered the same'),
});

/** Registers a route: its schemas are its document; what comes in is checked by the handler (the order of errors is ours). */
export function addRoute(app: FastifyInstance, context: Context, route: Route): void {
  const { method, path, access, body, query, keyed = false, answers, refusals = [], handler } = route;
  const { summary, tags, description } = route;
  const onRequest = route.onRequest ?? (access ? keyGuard(context.options, DIALECT, access) : undefined);
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => name);
  const guarded = access ? [401, ...(access.who === 'master' ? [403] : [])] : [];
  const errors = new Set([...refusals, ...guarded, ...(body || query || keyed ? [422] : [])]);
  app.route({
    method,
    url: BASE_PATH + path,
    handler,
    schema: {
      ...(body !== undefined && { body }),
      ...(query && { querystring: query }),
      ...(names.length > 0 && { params: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) }),
      ...(keyed && { headers: keyedHeaders }),
      response: { ...answers, ...Object.fromEntries([...errors].map((status) => [status, wire.errorBody])) },
    },
    config: {
      dialect: DIALECT,
      openapi: {
        summary,
        tags,
        security: access ? ['bearer', 'apiKey'] : [],
        ...(description !== undefined && { description }),
      },
    },
    ...(onRequest && { onRequest }),
  });
}

/** Tells the position of what was written (design promise 8). */
export function tellPosition(reply: FastifyReply, position: bigint | null): void {
  if (position !== null) reply.header('x-parley-position', position.toString());
}

/** A parameter of the path. */
export function param(request: FastifyRequest, name: string): string {
  return (request.params as Readonly<Record<string, string>>)[name] ?? '';
}

/** ISO 8601, UTC. */
export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** ISO 8601, or null for a time that has not come. */
export function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : iso(ms);
}
