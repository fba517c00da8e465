/**
 * Traces: OpenTelemetry with spans made by hand. Nothing of it is loaded, and a span costs a function call, unless the
 * standard variables ask for it: `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or
 * `OTEL_TRACES_EXPORTER` (`otlp`, `console`, `none`). `OTEL_SDK_DISABLED=true` turns it off.
 *
 * A trace goes from room to room as text, the W3C `traceparent` (in events: `meta.trace`), not as a hidden context.
 * Spans are exported in batches in the background; where they cannot be sent they are dropped, and a line says so.
 * The library reads its finer settings (`OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_EXPORTER_OTLP_HEADERS`,
 * `OTEL_RESOURCE_ATTRIBUTES`) from the environment of the process itself.
 */
import type { Tracer as SdkTracer, SpanContext } from '@opentelemetry/api';
import type { NodeTracerProvider, SpanExporter } from '@opentelemetry/sdk-trace-node';

type Attributes = Readonly<Record<string, string | number | boolean>>;

/** What a span is begun with. */
export interface SpanOptions {
  /** `traceparent` of the span that caused it; one that is malformed counts as none. */
  readonly parent?: string | undefined;
  /** `traceparent` of other causes: of a batch's events. */
  readonly links?: readonly string[];
  readonly kind?: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  readonly attributes?: Attributes;
}

/** Work that is being done. */
export interface Span {
  /** What to hand on, as the parent of what this causes; `undefined` while traces are off. */
  readonly traceparent: string | undefined;
  /** Ends it, once. With an error it counts as failed. */
  end(result?: { readonly error?: unknown; readonly attributes?: Attributes }): void;
}

/** Makes spans. */
export interface Tracer {
  /** False: `start` does nothing. For work that would only be done for a span. */
  readonly enabled: boolean;
  start(name: string, options?: SpanOptions): Span;
}

/** Traces of this process. */
export interface Telemetry {
  readonly tracer: Tracer;
  /** Sends what is still waiting; never rejects. */
  stop(): Promise<void>;
}

const noSpan: Span = { traceparent: undefined, end() {} };

/** Traces that are off. */
export const noTelemetry: Telemetry = { tracer: { enabled: false, start: () => noSpan }, async stop() {} };

/** Time of one export, retries included, unless told: it may hold up the end of the process. The library's own is 10 s. */
const exportTimeoutMs = 3_000;
/** Time that the last spans may take to leave at a stop. */
const stopTimeoutMs = 4_000;

/**
 * Starts traces, if the environment asks for them.
 * @param warn told in one line what is wrong: an exporter that is not known, spans that could not be sent
 */
export async function startTelemetry(
  env: Readonly<Record<string, string | undefined>>,
  warn: (line: string) => void = () => {},
): Promise<Telemetry> {
  const wanted = exporterOf(env);
  if (wanted === 'none') return noTelemetry;
  if (wanted !== 'otlp' && wanted !== 'console') {
    warn(`OTEL_TRACES_EXPORTER=${wanted} is not known (otlp, console, none): traces are off`);
    return noTelemetry;
  }
  const protocol = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL || env.OTEL_EXPORTER_OTLP_PROTOCOL;
  if (wanted === 'otlp' && protocol && protocol !== 'http/json')
    warn(`the OTLP protocol ${protocol} is not spoken here: traces are sent as http/json`);
  const { provider, tracer } = await openProvider(wanted, env, warn);
  return {
    tracer,
    async stop() {
      const sent = provider.shutdown().then(
        () => true,
        () => false,
      );
      const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), stopTimeoutMs).unref());
      if (!(await Promise.race([sent, late]))) warn('traces: the last spans could not be sent');
    },
  };
}

function exporterOf(env: Readonly<Record<string, string | undefined>>): string {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return 'none';
  const named = env.OTEL_TRACES_EXPORTER?.trim().toLowerCase();
  if (named) return named;
  return env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT ? 'otlp' : 'none';
}

/** The address that spans are sent to (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP"). */
function endpointOf(env: Readonly<Record<string, string | undefined>>): string {
  if (env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) return env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT || 'http://localhost:4318';
  return `${base.replace(/\/+$/, '')}/v1/traces`;
}

async function openProvider(
  wanted: 'otlp' | 'console',
  env: Readonly<Record<string, string | undefined>>,
  warn: (line: string) => void,
): Promise<{ provider: NodeTracerProvider; tracer: Tracer }> {
  const [api, sdk, resources] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/resources'),
  ]);
  const quiet = () => {};
  const say = (message: string) => warn(`traces: ${message.split('\n')[0]?.slice(0, 300)}`);
  api.diag.setLogger(
    { error: say, warn: quiet, info: quiet, debug: quiet, verbose: quiet },
    { logLevel: api.DiagLogLevel.ERROR, suppressOverrideMessage: true },
  );
  const described = resources.detectResources({ detectors: [resources.envDetector] });
  const provider = new sdk.NodeTracerProvider({
    resource: resources
      .defaultResource()
      .merge(resources.resourceFromAttributes({ 'service.name': env.OTEL_SERVICE_NAME || 'parley' }))
      .merge(described),
    spanProcessors: [new sdk.BatchSpanProcessor(await openExporter(wanted, env, sdk))],
  });
  return { provider, tracer: tracerOn(api, provider.getTracer('parley')) };
}

async function openExporter(
  wanted: 'otlp' | 'console',
  env: Readonly<Record<string, string | undefined>>,
  sdk: typeof import('@opentelemetry/sdk-trace-node'),
): Promise<SpanExporter> {
  if (wanted === 'console') return new sdk.ConsoleSpanExporter();
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  const timeoutMs = Number(env.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT || env.OTEL_EXPORTER_OTLP_TIMEOUT) || exportTimeoutMs;
  return new OTLPTraceExporter({ url: endpointOf(env), timeoutMillis: timeoutMs });
}

function tracerOn(api: typeof import('@opentelemetry/api'), sdkTracer: SdkTracer): Tracer {
  const kinds = {
    internal: api.SpanKind.INTERNAL,
    server: api.SpanKind.SERVER,
    client: api.SpanKind.CLIENT,
    producer: api.SpanKind.PRODUCER,
    consumer: api.SpanKind.CONSUMER,
  };
  const remote = (traceparent: string | undefined) =>
    traceparent === undefined ? null : parseTraceparent(traceparent);
  return {
    enabled: true,
    start(name, { parent, links = [], kind = 'internal', attributes = {} } = {}) {
      const cause = remote(parent);
      const context = cause ? api.trace.setSpanContext(api.ROOT_CONTEXT, cause) : api.ROOT_CONTEXT;
      const linked = links.flatMap((link) => remote(link) ?? []).map((each) => ({ context: each }));
      const span = sdkTracer.startSpan(
        name,
        { kind: kinds[kind], attributes: { ...attributes }, links: linked },
        context,
      );
      return {
        traceparent: formatTraceparent(span.spanContext()),
        end({ error, attributes: more } = {}) {
          if (more) span.setAttributes({ ...more });
          if (error !== undefined) {
            const message = error instanceof Error ? error.message : String(error);
            span.setStatus({ code: api.SpanStatusCode.ERROR, message });
          }
          span.end();
        },
      };
    },
  };
}

/** Reads a `traceparent` (W3C Trace Context, section 3.2); null when it is malformed. */
export function parseTraceparent(text: string): SpanContext | null {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text.trim());
  if (!match) return null;
  const [, version, traceId = '', spanId = '', flags = '', rest] = match;
  // Version 00 has nothing behind the flags; later ones may. ff is no version, and ids of zeros are none.
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
}

/** Writes a `traceparent` of version 00. */
export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`;
}
