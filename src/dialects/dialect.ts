import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import type { CorsPolicy } from './cors.ts';

/** One public API: what the HTTP host needs of it. */
export interface Dialect {
  /** Also the name of its document, `/openapi/<name>.json`. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Security schemes of its document (OpenAPI 3.1 `components.securitySchemes`). */
  readonly securitySchemes: Readonly<Record<string, object>>;
  /**
   * Paths, such as `/api/v1`, below which answers that no route gives are this dialect's (`refuse`, `cors`). The longest
   * prefix wins, then the first dialect; elsewhere the host answers for itself.
   */
  readonly prefixes?: readonly string[];
  /** Which web pages may call it; none may unless told. */
  readonly cors?: CorsPolicy;
  /** Answers, by status, that any of its routes may give: its document names them where a route does not. */
  readonly commonResponses?: Readonly<Record<number, z.ZodType>>;
  /** Some of its routes are upgraded to sockets (`wsHandler`). */
  readonly sockets?: boolean;
  /** The JSON body of an answer that the host gives in the dialect's place. */
  refuse?(refusal: Refusal): object;
  /** Registers its routes, full paths, with its own error handler: encapsulated, so that no rule leaks out. */
  register(app: FastifyInstance): Promise<void> | void;
}

/** Why the host answers a request before, or instead of, any route. */
export interface Refusal {
  /** `draining` is answered with `Retry-After`. */
  readonly kind: 'unknown-route' | 'malformed-url' | 'draining' | 'unauthenticated' | 'malformed-body';
  readonly status: 404 | 400 | 401 | 413 | 503;
  /** For people. */
  readonly message: string;
  /** Of `unauthenticated`: the method, and whether there was a credential at all. */
  readonly method?: string;
  readonly presented?: boolean;
}

/** What a route tells its document, in `config.openapi` beside its `schema` (zod schemas). */
export interface RouteDocument {
  readonly summary: string;
  readonly tags: readonly string[];
  /** Names of security schemes, any of which will do; none for public routes. */
  readonly security: readonly string[];
  readonly description?: string;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set by a dialect on each of its routes: puts it into the dialect's document. */
    readonly openapi?: RouteDocument;
    readonly dialect?: string;
  }

  interface FastifyRequest {
    /** W3C `traceparent` of the request's span: goes into the commands' metadata. `undefined` while traces are off. */
    trace: string | undefined;
  }
}
