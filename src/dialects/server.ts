/**
 * The HTTP host: one fastify server for all dialects, the documents and the metrics. It knows no dialect's rules: what it
 * answers in a dialect's place, the dialect words.
 */
import { maxHeaderSize, STATUS_CODES } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import fastifyStatic from '@fastify/static';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { validatorCompiler } from 'fastify-type-provider-zod';
import manifest from '../../package.json' with { type: 'json' };
import type { Clock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Span, Telemetry } from '../platform/telemetry.ts';
import { type CollisionOptions, type Collisions, collisionsOf, unionOf } from './collisions.ts';
import { applyCors, type CorsPolicy } from './cors.ts';
import type { Dialect, Refusal } from './dialect.ts';
import { registerDocs } from './docs.ts';
import { type HealthSource, registerHealth } from './health.ts';
import { type CollectedRoute, documentOf } from './openapi.ts';
import { mergedDocument } from './openapi-merge.ts';
import { RequestWatch } from './request-watch.ts';
import { registerSockets } from './sockets.ts';

/** What the host needs. */
export interface HttpHostOptions {
  readonly config: Pick<Config, 'http'> & {
    /** For paths on which two dialects meet. */
    readonly collisions?: CollisionOptions;
  };
  readonly dialects: readonly Dialect[];
  readonly health: HealthSource;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  /** Browser builds of SDKs, each offered below `/v1/` by its name, such as `messagejs.js`. */
  readonly sdkFiles: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

/** The server, made and not yet listening. */
export interface HttpHost {
  readonly app: FastifyInstance;
  /** Listens as the configuration says. Rejects in one line when it cannot. */
  listen(): Promise<{ readonly port: number; readonly url: string }>;
  /**
   * From here on requests are answered with 503 and `Retry-After` and connections close after their answer; those under way
   * go on. Health and metrics are still answered, `/health/ready` as not ready.
   */
  drain(): void;
  /** Drains, stops listening, waits for requests under way as long as `SHUTDOWN_TIMEOUT` says, then cuts them. */
  close(): Promise<void>;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** When it began, on the host's monotonic clock, milliseconds. */
    startedMs: number;
    span: Span | null;
    /** What its error handler was given, for the log. */
    failure: Error | null;
  }
}

/** Longer than the idle time of common load balancers (60 s), so that they and not we close a connection. */
const keepAliveMs = 65_000;
/** A socket on which nothing moves, in either direction, is cut: a client that does not read its answer. */
const silentSocketMs = 120_000;
const headersTimeoutMs = 10_000;
/** Of a body that is too large. */
const maxDroppedBytes = 32 * 1024 * 1024;
/** What `Retry-After` says while draining, seconds: a successor is usually there by then. */
const retryAfterSeconds = 1;

/** Makes the host and registers everything. */
export async function createHttpHost(options: HttpHostOptions): Promise<HttpHost> {
  const { config, dialects, health, metrics, clock, telemetry, sdkFiles } = options;
  const state = { draining: false };
  const watch = new RequestWatch({ ...options, isDraining: () => state.draining });
  const collisions = collisionsOf(dialects, config.collisions ?? { hosts: new Map(), cookieName: 'authToken' });
  const owners = new Owners(dialects, collisions);
  const say = (refusal: Refusal, body: object, reply: FastifyReply) =>
    reply.code(refusal.status).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
  const refuse = (refusal: Refusal, request: FastifyRequest, reply: FastifyReply) => {
    const dialect = owners.of(request);
    // Routes count what they answer themselves, also when it is said in their place.
    const hasRoute = refusal.kind === 'draining' && !request.is404;
    if (!hasRoute) watch.count(dialect?.name ?? '-', '-', request.method)(refusal.status, 0);
    return say(refusal, dialect?.refuse?.(refusal) ?? neutralBody(refusal), reply);
  };
  const app = makeServer(config.http, collisions, (request, reply) => {
    refuse({ kind: 'malformed-url', status: 400, message: 'The URL is malformed' }, request, reply);
  });

  if (dialects.some(({ sockets }) => sockets)) await registerSockets(app);
  app.decorateRequest('startedMs', 0);
  app.decorateRequest('trace', undefined);
  app.decorateRequest('span', null);
  app.decorateRequest('failure', null);
  app.setValidatorCompiler(validatorCompiler);
  // Answers are rendered field by field by the dialects: there is nothing to strip from them.
  app.setSerializerCompiler(() => JSON.stringify);
  const { tracer } = telemetry;
  app.addHook('onRequest', (request, reply, done) => {
    request.startedMs = clock.monotonicMs();
    const { origin } = request.raw.headers;
    if (origin !== undefined) {
      const path = pathOf(request.raw.url ?? '/');
      if (applyCors(owners.corsOf(request, path), origin, path, request, reply)) return;
    }
    if (state.draining && !isSight(request.raw.url ?? '/')) {
      reply.header('retry-after', String(retryAfterSeconds)).header('connection', 'close');
      refuse({ kind: 'draining', status: 503, message: 'The server is shutting down' }, request, reply);
      return;
    }
    if (tracer.enabled) watch.trace(request);
    done();
  });
  if (tracer.enabled) app.addHook('onResponse', async (request, reply) => watch.endTrace(request, reply));
  app.addHook('onError', async (request, reply, error) => {
    request.failure = error;
    if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE' && isSoonOver(request)) reply.removeHeader('connection');
  });
  app.setNotFoundHandler((request, reply) => {
    const message = `There is no ${request.method} ${pathOf(request.raw.url ?? '/')}`;
    return refuse({ kind: 'unknown-route', status: 404, message }, request, reply);
  });
  app.setErrorHandler((error: { statusCode?: number }, _request, reply) => {
    const given = error.statusCode ?? 500;
    const status = given >= 400 && given < 500 ? given : 500;
    return reply.code(status).send({ error: STATUS_CODES[status] ?? 'Error', code: codeOf(status) });
  });
  app.addHook('preClose', async () => drain());

  function drain(): void {
    state.draining = true;
    app.server.closeIdleConnections();
  }

  const routes = await registerAll(app, dialects, watch, collisions);
  owners.know(routes);
  app.addHook('onRoute', (route) => watch.addTo(route, '-'));
  collisions?.register(app, (refusal, dialect, reply) => {
    const bodies = (dialect ? [dialect] : collisions.dialects).map((each) => each.refuse?.(refusal) ?? {});
    say(refusal, Object.assign({}, ...bodies), reply);
  });
  await app.register(fastifyStatic, { serve: false, root: import.meta.dirname });
  registerHealth(app, { health, metrics, isDraining: () => state.draining });
  const version = manifest.version;
  const documents = dialects.map((dialect) => ({
    name: dialect.name,
    title: dialect.title,
    document: documentOf(dialect, routes.get(dialect.name) ?? [], version),
  }));
  registerDocs(app, documents, mergedDocument(documents, version));
  for (const [name, file] of Object.entries(sdkFiles)) registerSdk(app, name, file);
  await app.ready();
  return {
    app,
    listen: () => listen(app, config.http),
    drain,
    close: () => close(app, config.http.shutdownTimeoutMs),
  };
}

function makeServer(
  http: Config['http'],
  collisions: Collisions | null,
  onMalformedUrl: (request: FastifyRequest, reply: FastifyReply) => void,
): FastifyInstance {
  return fastify({
    logger: false,
    // Nobody reads the ids of requests: `traceparent` is what ties lines together.
    genReqId: () => '',
    routerOptions: {
      ignoreTrailingSlash: true,
      // As long as a URL can be: a text that is no id is an unknown one, however long.
      maxParamLength: maxHeaderSize,
      ...(collisions && { constraints: { dialect: collisions.strategy } }),
    },
    bodyLimit: http.bodyLimitBytes,
    trustProxy: http.trustedProxies.length > 0 ? [...http.trustedProxies] : false,
    keepAliveTimeout: keepAliveMs,
    requestTimeout: http.requestTimeoutMs,
    connectionTimeout: Math.max(silentSocketMs, http.requestTimeoutMs),
    http: {
      headersTimeout: Math.min(headersTimeoutMs, http.requestTimeoutMs),
      connectionsCheckingInterval: Math.min(5_000, Math.max(100, http.requestTimeoutMs / 4)),
    },
    // Ours says it with the dialect's body.
    return503OnClosing: false,
    clientErrorHandler: answerParserError,
    frameworkErrors: (_error, request, reply) => onMalformedUrl(request, reply),
  });
}

/** Registers the dialects, each in a scope of its own, and collects their routes for the documents. */
async function registerAll(
  app: FastifyInstance,
  dialects: readonly Dialect[],
  watch: RequestWatch,
  collisions: Collisions | null,
): Promise<ReadonlyMap<string, readonly CollectedRoute[]>> {
  const routes = new Map<string, CollectedRoute[]>();
  for (const dialect of dialects) {
    const collected: CollectedRoute[] = [];
    routes.set(dialect.name, collected);
    await app.register(async (scope) => {
      scope.addHook('onRoute', (route) => {
        const { method, url, schema, config: about } = route;
        collected.push({ methods: [method].flat(), url, schema, openapi: about?.openapi });
        collisions?.constrain(route, dialect.name);
        watch.addTo(route, dialect.name);
      });
      await dialect.register(scope);
    });
  }
  return routes;
}

/** Who answers for a request: the dialect of its route; without one the longest prefix wins, then the first dialect. */
class Owners {
  readonly #prefixes: readonly { readonly dialect: Dialect; readonly prefix: string }[];
  readonly #byName: ReadonlyMap<string, Dialect>;
  readonly #collisions: Collisions | null;
  readonly #union: CorsPolicy | undefined;
  #routes: readonly { readonly dialect: Dialect; readonly pattern: RegExp }[] = [];

  constructor(dialects: readonly Dialect[], collisions: Collisions | null) {
    this.#prefixes = dialects
      .flatMap((dialect) => (dialect.prefixes ?? []).map((prefix) => ({ dialect, prefix })))
      .sort((a, b) => b.prefix.length - a.prefix.length);
    this.#byName = new Map(dialects.map((dialect) => [dialect.name, dialect]));
    this.#collisions = collisions;
    const policies = (collisions?.dialects ?? []).flatMap(({ cors }) => cors ?? []);
    this.#union = policies.length === 2 ? unionOf(policies) : policies[0];
  }

  /** The routes there are: a preflight has none of its own. */
  know(routes: ReadonlyMap<string, readonly CollectedRoute[]>): void {
    this.#routes = (this.#collisions?.dialects ?? []).flatMap((dialect) =>
      (routes.get(dialect.name) ?? []).map(({ url }) => ({
        dialect,
        pattern: new RegExp(`^${url.replace(/:[A-Za-z_]\w*/g, '[^/]+').replace(/\*$/, '.*')}/?$`),
      })),
    );
  }

  of(request: FastifyRequest): Dialect | undefined {
    const routed = this.#byName.get(request.routeOptions.config?.dialect ?? '');
    if (routed) return routed;
    const owner = this.#byPrefix(request.raw.url ?? '/');
    return owner && this.#collisions?.dialects.includes(owner) ? this.#collisions.ownerOf(request.raw) : owner;
  }

  /** The rules for calls from pages: those of the dialect that answers, or of both that may. */
  corsOf(request: FastifyRequest, path: string): CorsPolicy | undefined {
    const routed = this.#byName.get(request.routeOptions.config?.dialect ?? '');
    if (routed) return routed.cors;
    const owner = this.#byPrefix(path);
    if (!owner || !this.#collisions?.dialects.includes(owner)) return owner?.cors;
    if (this.#collisions.isShared(path)) return this.#union;
    const there = this.#routes.filter(({ pattern }) => pattern.test(path));
    const [first, ...others] = new Set(there.map(({ dialect }) => dialect));
    return first && others.length === 0 ? first.cors : this.#union;
  }

  #byPrefix(url: string): Dialect | undefined {
    const isBelow = (prefix: string) =>
      url.startsWith(prefix) && (prefix.endsWith('/') || ['/', '?', ''].includes(url.charAt(prefix.length)));
    return this.#prefixes.find(({ prefix }) => isBelow(prefix))?.dialect;
  }
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  const path = query < 0 ? url : url.slice(0, query);
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/**
 * Whether what is left of a body that is refused can be read and dropped. A connection that is closed while its client still
 * writes takes the refusal along: the client sees it broken.
 */
function isSoonOver({ headers }: FastifyRequest): boolean {
  return Number(headers['content-length']) <= maxDroppedBytes;
}

/** What is asked by those who watch a server that drains. */
function isSight(url: string): boolean {
  return url.startsWith('/health/') || url.startsWith('/metrics');
}

function neutralBody({ status, message }: Refusal): object {
  return { error: message, code: codeOf(status) };
}

function codeOf(status: number): string {
  return (STATUS_CODES[status] ?? 'Error').toUpperCase().replace(/[^A-Z]+/g, '_');
}

const parserErrors: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** Answers what is no HTTP, or came too slowly. There is no request yet that a dialect could answer. */
function answerParserError(error: { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = parserErrors[error.code ?? ''] ?? 400;
  const body = JSON.stringify({ error: STATUS_CODES[status], code: codeOf(status) });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

/** An SDK for pages: from any origin, remembered for an hour. */
function registerSdk(app: FastifyInstance, name: string, file: string): void {
  const folder = file.slice(0, Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1);
  app.get(`/v1/${name}`, (_request, reply) =>
    reply
      .header('access-control-allow-origin', '*')
      .header('cross-origin-resource-policy', 'cross-origin')
      .type('text/javascript; charset=utf-8')
      .sendFile(file.slice(folder.length), folder, { maxAge: 3_600_000, contentType: false }),
  );
}

async function listen(app: FastifyInstance, { host, port }: Config['http']): Promise<{ port: number; url: string }> {
  await app.listen({ host, port });
  const { port: bound } = app.server.address() as AddressInfo;
  const isWildcard = host === '0.0.0.0' || host === '::';
  return { port: bound, url: `http://${isWildcard ? 'localhost' : host.includes(':') ? `[${host}]` : host}:${bound}` };
}

async function close(app: FastifyInstance, timeoutMs: number): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), timeoutMs);
  try {
    await app.close();
  } finally {
    clearTimeout(cut);
  }
}
