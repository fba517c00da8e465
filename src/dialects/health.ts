import type { FastifyInstance } from 'fastify';
import type { Metrics } from '../platform/metrics.ts';

/** How the parts are that a request needs. */
export interface HealthReport {
  readonly database: boolean;
  readonly log: boolean;
  /** How far the projector is behind the log. */
  readonly projector: { readonly lagEvents: number; readonly lagSeconds: number } | null;
  /** Address of the sandbox when it runs in this process. */
  readonly sandboxUrl: string | null;
}

/** Asks the parts. May reject or take long: both count as not ready. */
export type HealthSource = () => Promise<HealthReport>;

/** What the health routes need. */
export interface HealthOptions {
  readonly health: HealthSource;
  readonly metrics: Metrics;
  readonly isDraining: () => boolean;
}

/** An answer that takes longer counts as none; below the time-outs that probes commonly have. */
const askTimeoutMs = 2_000;

/**
 * `/health/live` (the process answers), `/health/ready` (it can serve: 200, else 503) and `/metrics`.
 * A projector that lags does not make it unready: writes are unaffected, and reads say how fresh they are.
 */
export function registerHealth(app: FastifyInstance, { health, metrics, isDraining }: HealthOptions): void {
  let underWay: Promise<HealthReport | null> | null = null;
  const ask = () => {
    // One question at a time, however many ask.
    underWay ??= answered(health).finally(() => {
      underWay = null;
    });
    return underWay;
  };

  app.get('/health/live', (_request, reply) => reply.header('cache-control', 'no-store').send({ status: 'ok' }));

  app.get('/health/ready', async (_request, reply) => {
    const report = await ask();
    const isUp = report?.database === true && report.log;
    const isReady = isUp && !isDraining();
    reply.header('cache-control', 'no-store').code(isReady ? 200 : 503);
    if (!isReady) reply.header('retry-after', '1');
    return {
      status: isDraining() ? 'draining' : isUp ? 'ok' : 'unavailable',
      database: report?.database ? 'ok' : 'error',
      log: report?.log ? 'ok' : 'error',
      projector: report?.projector ?? null,
      sandbox: report !== null && report.sandboxUrl !== null,
      ...(report?.sandboxUrl && { sandboxUrl: report.sandboxUrl }),
    };
  });

  app.get('/metrics', async (_request, reply) => {
    const { text, contentType } = await metrics.read();
    return reply.header('cache-control', 'no-store').header('content-type', contentType).send(text);
  });
}

async function answered(health: HealthSource): Promise<HealthReport | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), askTimeoutMs);
  });
  try {
    return await Promise.race([health(), late]);
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}
