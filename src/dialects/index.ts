/**
 * The public APIs and what carries them: one folder per dialect, and the HTTP host for all (`server.ts`).
 *
 * Promises: a request is answered by one dialect, in its own shapes, also where no route is found, the URL is malformed or
 * the process drains. An answer is never more than the dialect rendered. A page may call what its dialect's `cors` admits.
 * Each dialect has its document at `/openapi/<name>.json`, made from the schemas its routes check with; `/openapi.json`
 * merges all; `/docs` and `/redoc` show them without any address but this host's. `/health/*` and `/metrics` tell how it is.
 *
 * Limits: bodies, headers, time for a request and silence of a socket are bounded by configuration. While it drains, what is
 * under way is finished and everything else is a 503 with `Retry-After`.
 */
export { type Admission, type CorsPolicy, originRule } from './cors.ts';
export type { Dialect, Refusal, RouteDocument } from './dialect.ts';
export type { HealthReport, HealthSource } from './health.ts';
export { createHttpHost, type HttpHost, type HttpHostOptions } from './server.ts';
