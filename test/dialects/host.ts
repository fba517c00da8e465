/** A host for tests: real HTTP, and two small dialects with rules of their own. */
import type { Test } from 'tap';
import { z } from 'zod';
import type { Dialect, HealthReport } from '../../src/dialects/index.ts';
import { createHttpHost, type HttpHost, type HttpHostOptions, originRule } from '../../src/dialects/index.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { loadConfig } from '../../src/platform/config.ts';
import { createLogger } from '../../src/platform/logger.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { noTelemetry } from '../../src/platform/telemetry.ts';

/** What a test can look at beside the answers. */
export interface TestHost extends HttpHost {
  readonly url: string;
  readonly port: number;
  /** Log lines, parsed. */
  readonly lines: Record<string, unknown>[];
}

export interface TestHostOptions extends Partial<HttpHostOptions> {
  readonly env?: Record<string, string>;
}

export const allWell: HealthReport = {
  database: true,
  log: true,
  projector: { lagEvents: 0, lagSeconds: 0 },
  sandboxUrl: null,
};

/** Listens on a free port of loopback until the test ends. */
export async function testHost(test: Test, { env = {}, ...options }: TestHostOptions = {}): Promise<TestHost> {
  const lines: Record<string, unknown>[] = [];
  const config = loadConfig({ PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'info', ...env });
  const host = await createHttpHost({
    config,
    dialects: [],
    health: async () => allWell,
    metrics: createMetrics({ processMetrics: false }),
    logger: createLogger({
      level: config.log.level,
      destination: { write: (line) => void lines.push(JSON.parse(line)) },
    }),
    telemetry: noTelemetry,
    sdkFiles: {},
    clock: systemClock,
    ...options,
  });
  const { port, url } = await host.listen();
  test.teardown(() => host.close());
  return { ...host, url, port, lines };
}

const thing = z.object({ id: z.string(), size: z.number().int().nullable() }).meta({ id: 'TestThing' });
const problem = z.object({ error: z.string(), code: z.string() }).meta({ id: 'TestProblem' });
const plain = z.object({ detail: z.string() }).meta({ id: 'TestPlain' });

/** A dialect in the manner of MessageJS. */
export function alpha({ allowed = [] as string[], production = false } = {}): Dialect {
  const rule = originRule(allowed, production);
  return {
    name: 'alpha',
    title: 'Alpha',
    description: 'Things.',
    securitySchemes: { Token: { type: 'http', scheme: 'bearer' } },
    prefixes: ['/api/v1'],
    cors: {
      methods: 'GET, POST, PUT, DELETE, OPTIONS',
      requestHeaders: 'Content-Type, Authorization, Idempotency-Key, X-Parley-Position',
      exposedHeaders: 'Retry-After, X-Parley-Position',
      admit: (origin, method, path) => {
        const admission = rule(origin);
        return admission === 'refused' && method === 'POST' && path === '/api/v1/things' ? 'anonymous' : admission;
      },
    },
    commonResponses: { 503: problem },
    refuse: ({ kind, message }) => ({ error: message, code: kind.toUpperCase() }),
    register(app) {
      const about = { tags: ['things'], security: ['Token'] };
      app.setErrorHandler((error: { statusCode?: number; message: string }, _request, reply) =>
        reply.code(error.statusCode ?? 500).send({ error: error.message, code: 'ALPHA' }),
      );
      app.post(
        '/api/v1/things',
        {
          schema: { body: z.object({ size: z.number().int().default(1) }), response: { 201: thing, 400: problem } },
          config: { openapi: { summary: 'Make a thing', ...about } },
        },
        (request, reply) =>
          reply.code(201).send({ id: 'a1', size: (request.body as { size: number }).size, seenFrom: request.ip }),
      );
      app.get(
        '/api/v1/things/:id',
        {
          schema: {
            params: z.object({ id: z.string() }),
            querystring: z.object({ limit: z.coerce.number().int().min(1).max(100).default(50).describe('At most') }),
            response: { 200: thing, 404: problem },
          },
          config: { openapi: { summary: 'A thing', ...about } },
        },
        (request) => ({ id: (request.params as { id: string }).id, size: null }),
      );
      app.delete(
        '/api/v1/things/:id',
        {
          schema: { response: { 204: z.null() } },
          config: { openapi: { summary: 'Forget a thing', tags: ['things'], security: [] } },
        },
        (_request, reply) => reply.code(204).send(),
      );
      app.get('/api/v1/broken', () => {
        throw new Error('token=abc broke');
      });
      app.get('/api/v1/away', (_request, reply) => reply.code(503).send({ error: 'away', code: 'AWAY' }));
    },
  };
}

/** A dialect that meets the first on a path, with other rules. */
export function beta(): Dialect {
  return {
    name: 'beta',
    title: 'Beta',
    description: 'Other things.',
    securitySchemes: { Token: { type: 'apiKey', in: 'header', name: 'X-Key' } },
    prefixes: ['/other', '/api/v1/deep'],
    cors: {
      methods: '*',
      requestHeaders: 'access-token',
      exposedHeaders: '',
      preflightStatus: 200,
      admit: () => 'anonymous',
    },
    refuse: ({ message }) => ({ detail: message }),
    register(app) {
      app.get(
        '/other/things/:name',
        {
          schema: { response: { 200: plain } },
          config: { openapi: { summary: 'A thing', tags: ['others'], security: ['Token'] } },
        },
        () => ({ detail: 'x' }),
      );
    },
  };
}
