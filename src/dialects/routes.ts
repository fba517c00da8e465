/** Routes as all dialects register them: their schemas are their documents; what comes in, their handlers check. */
import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import type { z } from 'zod';
import type { RouteDocument } from './dialect.ts';

/** One route. Schemas are of zod, those of a body and of answers also by content type. */
export interface DocumentedRoute extends RouteDocument {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Its whole path. */
  readonly url: string;
  readonly body?: unknown;
  readonly query?: z.ZodType;
  readonly params?: z.ZodType;
  readonly headers?: z.ZodType;
  /** By status. */
  readonly response: Readonly<Record<number, unknown>>;
  /** Runs before the body is read. */
  readonly onRequest?: RouteOptions['onRequest'];
  readonly bodyLimit?: number | undefined;
  readonly handler: RouteOptions['handler'];
  /** Takes the socket that a request for an upgrade becomes. */
  readonly wsHandler?: RouteOptions['wsHandler'];
}

/** Registers a route of a dialect. */
export function addDocumentedRoute(app: FastifyInstance, dialect: string, route: DocumentedRoute): void {
  const { method, url, body, query, params, headers, response, onRequest, bodyLimit, handler, wsHandler } = route;
  const { summary, tags, security, description } = route;
  app.route({
    method,
    url,
    handler,
    schema: {
      ...(body !== undefined && { body }),
      ...(query && { querystring: query }),
      ...(params && { params }),
      ...(headers && { headers }),
      response,
    },
    config: { dialect, openapi: { summary, tags, security, ...(description !== undefined && { description }) } },
    ...(onRequest && { onRequest }),
    ...(bodyLimit !== undefined && { bodyLimit }),
    ...(wsHandler && { wsHandler }),
  });
}

/**
 * Lets the handlers of a dialect check what comes in themselves: the sheets have orders of errors. Bodies are JSON; none at
 * all is none, whatever the content type says of it.
 * @param malformed refuses what is no JSON
 */
export function checkInHandlers(app: FastifyInstance, malformed: () => Error): void {
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => JSON.stringify);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    if (body.length === 0) return done(null, undefined);
    const text = utf8Of(body as Buffer);
    if (text === null) return done(malformed());
    try {
      done(null, JSON.parse(text));
    } catch {
      done(malformed());
    }
  });
}

/** What bytes say in UTF-8, as JSON is spelled (RFC 8259, section 8.1); null when they are none: nothing is put in their place. */
export function utf8Of(bytes: Buffer): string | null {
  return isUtf8(bytes) ? bytes.toString() : null;
}

/**
 * The text of a header: UTF-8 where it is that, Latin-1 otherwise, as browsers and `fetch` send it. What differs stays
 * different: nothing is put in the place of bytes.
 */
export function headerText(given: string | readonly string[]): string {
  const bytes = typeof given === 'string' ? given : given.join(', ');
  return /[\x80-\xff]/.test(bytes) ? (utf8Of(Buffer.from(bytes, 'latin1')) ?? bytes) : bytes;
}

/** A parameter of the path. */
export function param(request: FastifyRequest, name: string): string {
  return (request.params as Readonly<Record<string, string>>)[name] ?? '';
}
