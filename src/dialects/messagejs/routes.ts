import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { z } from 'zod';
import type { RouteDocument } from '../dialect.ts';
import type { DashboardUser } from './credentials.ts';
import { errorBody } from './wire.ts';

/** Name of the dialect, also that of its document. */
export const DIALECT = 'messagejs';
/** Where its routes stand. */
export const BASE_PATH = '/api/v1';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks, on dashboard routes. */
    messagejsUser: DashboardUser | null;
  }
}

/** One route, as its file writes it. */
export interface Route extends RouteDocument {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below `/api/v1`. */
  readonly path: string;
  /** A zod schema, or one by content type. */
  readonly body?: unknown;
  readonly query?: z.ZodType;
  readonly params?: z.ZodType;
  readonly headers?: z.ZodType;
  /** Answers by status, the good ones. */
  readonly answers: Readonly<Record<number, unknown>>;
  /** Statuses of errors that this route may answer, beside those that any may (`commonResponses`). */
  readonly refusals?: readonly number[];
  /** Runs before the body is read. */
  readonly onRequest?: RouteOptions['onRequest'];
  readonly bodyLimit?: number;
  readonly handler: RouteOptions['handler'];
}

/** Registers a route: its schemas are its document, what comes in is checked by the handler (the order of errors is ours). */
export function addRoute(app: FastifyInstance, route: Route): void {
  const { method, path, body, query, params, headers, answers, refusals = [], onRequest, bodyLimit, handler } = route;
  const { summary, tags, security, description } = route;
  app.route({
    method,
    url: BASE_PATH + path,
    handler,
    schema: {
      ...(body !== undefined && { body }),
      ...(query && { querystring: query }),
      ...(params && { params }),
      ...(headers && { headers }),
      response: { ...answers, ...Object.fromEntries(refusals.map((status) => [status, errorBody])) },
    },
    config: {
      dialect: DIALECT,
      openapi: { summary, tags, security, ...(description !== undefined && { description }) },
    },
    ...(onRequest && { onRequest }),
    ...(bodyLimit !== undefined && { bodyLimit }),
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
