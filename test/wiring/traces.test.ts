/** One trace from the request to the provider, through the log (`OTEL_*`). */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { loadConfig } from '../../src/platform/config.ts';
import { startParley } from '../../src/wiring/index.ts';
import { startCollector } from '../support/otlp-collector.ts';
import { testDatabase } from '../support/postgres.ts';

t.test('a send is one trace: request, append, projector, attempt', async (t) => {
  const collector = await startCollector(t);
  const { url } = await testDatabase(t);
  const secret = () => randomBytes(32).toString('hex');
  const config = loadConfig({
    DATABASE_URL: url,
    JWT_SECRET: secret(),
    ENCRYPTION_KEY: secret(),
    ID_KEY: secret(),
    PORT: '0',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'fatal',
  });
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint };
  const parley = await startParley(config, { sandbox: true, env });
  const ask = async (method: string, path: string, as?: string, body?: unknown, headers = {}) => {
    const response = await fetch(`${parley.url}/api/v1${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...(as && { authorization: `Bearer ${as}` }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return (await response.json()) as Record<string, string>;
  };
  const { token } = await ask('POST', '/auth/register', undefined, {
    email: 'ada@example.com',
    password: 'correct horse battery',
  });
  const { id: project } = await ask('POST', '/projects', token, { name: 'First' });
  const { key } = await ask('POST', `/projects/${project}/keys`, token, {});
  const { id: connectorId } = await ask('POST', `/projects/${project}/connectors`, token, {
    type: 'whatsapp',
    credentials: { phoneNumberId: '106540352242922', accessToken: 'EAAG-test-token' },
  });
  const { id: templateId } = await ask('POST', `/projects/${project}/templates`, token, {
    name: 'Hello',
    connectorType: 'whatsapp',
    content: 'Hello',
  });
  const traceId = randomBytes(16).toString('hex');
  const caller = randomBytes(8).toString('hex');
  const { messageId } = await ask(
    'POST',
    '/messages',
    key,
    { to: '+15550001111', connectorId, templateId },
    { traceparent: `00-${traceId}-${caller}-01` },
  );
  for (const until = Date.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const { status } = await ask('GET', `/messages/${messageId}`, token);
    if (status === 'delivered') break;
    if (Date.now() > until) throw new Error(`still ${status}`);
  }
  // Spans that wait are sent at the stop.
  await parley.close();
  const spans = collector.spans.filter((span) => span.traceId === traceId);
  const named = (name: string) => spans.find((span) => span.name === name);
  const request = named('POST /api/v1/messages');
  t.equal(request?.parentSpanId, caller, 'the request hangs below its caller');
  const append = named('append');
  t.equal(append?.parentSpanId, request?.spanId, 'the append below the request');
  t.equal(named('projector DispatchAccepted')?.parentSpanId, append?.spanId, 'the projector below the append');
  t.equal(named('dispatch attempt')?.parentSpanId, append?.spanId, 'and so does the attempt');
});
