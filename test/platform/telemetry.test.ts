import { spawnSync } from 'node:child_process';
import t from 'tap';
import { formatTraceparent, noTelemetry, parseTraceparent, startTelemetry } from '../../src/platform/telemetry.ts';
import { alpha, testHost } from '../dialects/host.ts';
import { type CollectedSpan, startCollector } from '../support/otlp-collector.ts';

function byName(spans: readonly CollectedSpan[], name: string): CollectedSpan {
  const found = spans.find((span) => span.name === name);
  if (!found) throw new Error(`no span ${name} among ${spans.map((span) => span.name).join(', ')}`);
  return found;
}

t.test('without the variables nothing is loaded and nothing happens', async (t) => {
  for (const env of [{}, { OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://x' }]) {
    t.equal(await startTelemetry(env), noTelemetry);
  }
  t.equal(await startTelemetry({ OTEL_SDK_DISABLED: 'true', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://x' }), noTelemetry);
  const { tracer } = noTelemetry;
  const span = tracer.start('x', { parent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' });
  span.end({ error: new Error('x') });
  t.equal(span.traceparent, undefined);
  t.equal(tracer.enabled, false);

  const file = JSON.stringify(new URL('../../src/platform/telemetry.ts', import.meta.url).href);
  const code = `import { registerHooks } from 'node:module';
    registerHooks({ load: (url, context, next) => { if (/opentelemetry/.test(url)) console.log(url); return next(url, context); } });
    const { startTelemetry } = await import(${file});
    await startTelemetry({});`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
  });
  t.equal(status, 0, stderr);
  t.equal(stdout, '', 'no file of OpenTelemetry was read');
});

t.test('an exporter that is not known is told, and off', async (t) => {
  const lines: string[] = [];
  t.equal(await startTelemetry({ OTEL_TRACES_EXPORTER: 'zipkin' }, (line) => lines.push(line)), noTelemetry);
  t.match(lines, [/^OTEL_TRACES_EXPORTER=zipkin is not known/]);
});

t.test('the spans of one trace arrive with their parents', async (t) => {
  const collector = await startCollector(t);
  const { tracer, stop } = await startTelemetry({
    OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.endpoint}/`,
    OTEL_SERVICE_NAME: 'parley-test',
  });
  const request = tracer.start('request', { kind: 'server', attributes: { 'http.route': '/x' } });
  const append = tracer.start('append', { parent: request.traceparent, kind: 'producer' });
  append.end();
  request.end({ attributes: { 'http.response.status_code': 202 } });
  // Later, elsewhere: all that is known is the text in the event.
  const dispatch = tracer.start('dispatch', { parent: append.traceparent, kind: 'consumer' });
  const call = tracer.start('call', { parent: dispatch.traceparent, kind: 'client' });
  call.end({ error: new Error('refused') });
  dispatch.end();
  const other = tracer.start('batch', { links: [request.traceparent as string, 'nonsense'] });
  other.end();
  await stop();

  t.strictSame([...new Set(collector.paths)], ['/v1/traces']);
  t.strictSame([...new Set(collector.services)], ['parley-test']);
  const [root, child, grandchild, leaf, batch] = ['request', 'append', 'dispatch', 'call', 'batch'].map((name) =>
    byName(collector.spans, name),
  ) as [CollectedSpan, CollectedSpan, CollectedSpan, CollectedSpan, CollectedSpan];
  t.notOk(root.parentSpanId);
  t.equal(child.parentSpanId, root.spanId);
  t.equal(grandchild.parentSpanId, child.spanId);
  t.equal(leaf.parentSpanId, grandchild.spanId);
  for (const span of [child, grandchild, leaf]) t.equal(span.traceId, root.traceId);
  t.equal(request.traceparent, `00-${root.traceId}-${root.spanId}-01`);
  t.not(batch.traceId, root.traceId);
  t.match(batch.links, [{ traceId: root.traceId, spanId: root.spanId }]);
  t.equal(batch.links?.length, 1, 'what is malformed is no cause');
  t.strictSame(
    [root, child, grandchild, leaf, batch].map(({ kind }) => kind),
    [2, 4, 5, 3, 1],
    'kinds by the protocol',
  );
  t.match(leaf.status, { code: 2, message: 'refused' });
  t.notOk(root.status.code);
  t.match(root.attributes, [
    { key: 'http.route', value: { stringValue: '/x' } },
    { key: 'http.response.status_code', value: { intValue: 202 } },
  ]);
});

t.test("a request's span is the child of its caller's, and what it causes is its child", async (t) => {
  const collector = await startCollector(t);
  const telemetry = await startTelemetry({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.endpoint}/own/path` });
  const dialect = alpha();
  const traced: (string | undefined)[] = [];
  const host = await testHost(t, {
    telemetry,
    dialects: [
      {
        ...dialect,
        register(app) {
          app.addHook('preHandler', async (request) => {
            traced.push(request.trace);
            telemetry.tracer.start('append', { parent: request.trace }).end();
          });
          return dialect.register(app);
        },
      },
    ],
  });
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const answer = await fetch(`${host.url}/api/v1/things/1`, {
    headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
  });
  await answer.text();
  await (await fetch(`${host.url}/api/v1/broken`, { headers: { traceparent: 'nonsense' } })).text();
  // The span of a request ends with its answer's last byte, which the client may see first.
  await host.close();
  await telemetry.stop();
  t.strictSame([...new Set(collector.paths)], ['/own/path']);
  const span = byName(collector.spans, 'GET /api/v1/things/:id');
  t.match(span, { traceId, parentSpanId: 'b7ad6b7169203331', kind: 2 });
  t.equal(traced[0], `00-${traceId}-${span.spanId}-01`);
  const append = collector.spans.filter(({ name }) => name === 'append').find((each) => each.traceId === traceId);
  t.equal(append?.parentSpanId, span.spanId);
  const broken = byName(collector.spans, 'GET /api/v1/broken');
  t.notOk(broken.parentSpanId, 'a malformed parent is none');
  t.equal(broken.status.code, 2);
});

t.test('a collector that is away costs a line, not the stop', async (t) => {
  const collector = await startCollector(t);
  const lines: string[] = [];
  const { tracer, stop } = await startTelemetry(
    { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint.replace(/:\d+$/, ':1') },
    (line) => lines.push(line),
  );
  tracer.start('x').end();
  await stop();
  t.ok(lines.length > 0);
  t.match(lines[0], /^traces: /);
});

t.test('traceparent, by the W3C recommendation', async (t) => {
  const good = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const parsed = parseTraceparent(good);
  t.match(parsed, { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 });
  t.equal(parsed && formatTraceparent(parsed), good);
  t.match(parseTraceparent(good.replace(/01$/, 'fe')), { traceFlags: 0 });
  t.ok(parseTraceparent(`${good.replace('00', 'cc')}-what-the-future-brings`));
  for (const bad of [
    '',
    'nonsense',
    `${good}-more`,
    good.toUpperCase(),
    good.replace('00', 'ff'),
    good.replace('0af7651916cd43dd8448eb211c80319c', '0'.repeat(32)),
    good.replace('b7ad6b7169203331', '0'.repeat(16)),
    good.slice(0, -1),
  ]) {
    t.equal(parseTraceparent(bad), null, bad);
  }
});
