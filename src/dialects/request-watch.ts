import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Telemetry } from '../platform/telemetry.ts';

/** What watching requests needs. */
export interface RequestWatchOptions {
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly isDraining: () => boolean;
}

type Counted = (status: number, durationMs: number) => void;

/** Time between two lines about 503: storage that is away must not flood the log. */
const unavailableLineMs = 1_000;

/**
 * Watches requests: metrics, log lines and spans. Its hook is made per route, so that nothing is looked up in a request.
 * A line per request is written at level debug; above it only answers of 500 and up have one.
 */
export class RequestWatch {
  readonly #options: RequestWatchOptions;
  readonly #isVerbose: boolean;
  readonly #counters = new Map<string, Counted>();
  #lastUnavailableMs = Number.NEGATIVE_INFINITY;
  #unavailable = 0;

  constructor(options: RequestWatchOptions) {
    this.#options = options;
    this.#isVerbose = options.logger.isLevelEnabled('debug');
  }

  /** The counter of a route; the same for the same labels. */
  count(dialect: string, route: string, method: string): Counted {
    const key = `${dialect} ${method} ${route}`;
    let counted = this.#counters.get(key);
    if (counted === undefined) {
      counted = this.#options.metrics.route({ dialect, route, method });
      this.#counters.set(key, counted);
    }
    return counted;
  }

  /** Adds the hook to a route that is being registered, before all others: it sees the answer as it leaves. */
  addTo(route: RouteOptions, dialect: string): void {
    const { clock, isDraining } = this.#options;
    const url = route.url;
    const methods = [route.method].flat();
    const [only] = methods;
    const counters = new Map(methods.map((method) => [method, this.count(dialect, url, method)]));
    const single = methods.length === 1 && only !== undefined ? counters.get(only) : undefined;
    const own = route.onSend === undefined ? [] : [route.onSend].flat();
    const hook = (request: FastifyRequest, reply: FastifyReply, _payload: unknown, done: () => void) => {
      const durationMs = clock.monotonicMs() - request.startedMs;
      const counted = single ?? counters.get(request.method);
      counted?.(reply.statusCode, durationMs);
      if (isDraining()) reply.header('connection', 'close');
      if (this.#isVerbose || reply.statusCode >= 500) this.#line(request, reply.statusCode, url, durationMs);
      done();
    };
    route.onSend = [...own, hook];
  }

  /** Starts the request's span, a child of the caller's. */
  trace(request: FastifyRequest): void {
    const { method } = request;
    const route = request.routeOptions.url ?? '-';
    const parent = request.raw.headers.traceparent;
    const span = this.#options.telemetry.tracer.start(`${method} ${route}`, {
      kind: 'server',
      parent: typeof parent === 'string' ? parent : undefined,
      attributes: { 'http.request.method': method, 'http.route': route },
    });
    request.span = span;
    request.trace = span.traceparent;
  }

  endTrace(request: FastifyRequest, { statusCode }: FastifyReply): void {
    const attributes = { 'http.response.status_code': statusCode };
    request.span?.end(statusCode >= 500 ? { attributes, error: request.failure ?? statusCode } : { attributes });
  }

  #line(request: FastifyRequest, status: number, route: string, durationMs: number): void {
    const { logger } = this.#options;
    const line = { method: request.method, route, status, ms: Math.round(durationMs * 10) / 10 };
    if (status < 500) {
      logger.debug(line, 'request');
      return;
    }
    if (status !== 503) {
      logger.error({ ...line, err: request.failure ?? undefined }, 'request failed');
      return;
    }
    this.#unavailable++;
    const nowMs = this.#options.clock.monotonicMs();
    if (!this.#isVerbose && nowMs - this.#lastUnavailableMs < unavailableLineMs) return;
    this.#lastUnavailableMs = nowMs;
    logger.warn(
      { ...line, count: this.#unavailable, reason: request.failure?.message },
      'requests refused: unavailable',
    );
    this.#unavailable = 0;
  }
}
