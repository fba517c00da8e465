import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { Dialect } from '../../src/dialects/index.ts';
import { allWell, alpha, beta, testHost } from './host.ts';

/** Sends bytes as they are; answers everything that came back until the other side ended. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes);
  return text(socket);
}

t.test('what no route answers is answered in the shape of the dialect whose path it is', async (t) => {
  const { url } = await testHost(t, { dialects: [alpha(), beta()] });
  for (const [path, body] of [
    ['/api/v1/nothing', { error: 'There is no GET /api/v1/nothing', code: 'UNKNOWN-ROUTE' }],
    ['/api/v1', { error: 'There is no GET /api/v1', code: 'UNKNOWN-ROUTE' }],
    ['/api/v1?x=/api/v1/deep', { error: 'There is no GET /api/v1', code: 'UNKNOWN-ROUTE' }],
    ['/api/v1/deep/er?secret=1', { detail: 'There is no GET /api/v1/deep/er' }],
    ['/api/v12', { error: 'There is no GET /api/v12', code: 'NOT_FOUND' }],
    ['/', { error: 'There is no GET /', code: 'NOT_FOUND' }],
  ] as const) {
    const answer = await fetch(url + path);
    t.equal(answer.status, 404, path);
    t.match(answer.headers.get('content-type'), /^application\/json/);
    t.strictSame(await answer.json(), body, path);
  }
});

t.test('a trailing slash is the same route, another method is not', async (t) => {
  const { url } = await testHost(t, { dialects: [alpha()] });
  t.strictSame(await (await fetch(`${url}/api/v1/things/7/`)).json(), { id: '7', size: null });
  t.equal((await fetch(`${url}/api/v1/things/7`, { method: 'PATCH' })).status, 404);
});

t.test('malformed URLs are 400 in the shape of the dialect', async (t) => {
  const { url, port } = await testHost(t, { dialects: [alpha(), beta()] });
  const bad = await raw(port, 'GET /api/v1/things/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  t.match(bad, /^HTTP\/1\.1 400 /);
  t.match(bad, /"code":"MALFORMED-URL"/);
  t.match(await raw(port, 'GET /other/%E0%A4%A HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /"detail"/);
  t.match(await raw(port, 'GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /"code":"BAD_REQUEST"/);
  const id = 'x'.repeat(8_000);
  t.match(await (await fetch(`${url}/api/v1/things/${id}`)).json(), { id }, 'a long one is none of these');
});

t.test('what is no HTTP is 400, headers without end are 431', async (t) => {
  const { port } = await testHost(t, { dialects: [alpha()] });
  for (const bytes of ['nonsense\r\n\r\n', 'GET / HTTP/1.1\r\n: x\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n']) {
    const answer = await raw(port, bytes);
    t.match(answer, /^HTTP\/1\.1 400 /, JSON.stringify(bytes));
  }
  t.match(await raw(port, 'x\r\n\r\n'), /\{"error":"Bad Request","code":"BAD_REQUEST"\}$/);
  t.match(await raw(port, `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
});

t.test('bodies: malformed, of the wrong shape, too large', async (t) => {
  const { url } = await testHost(t, { dialects: [alpha()], env: { BODY_LIMIT_BYTES: '2048' } });
  const post = (body: string) =>
    fetch(`${url}/api/v1/things`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const made = await post('{}');
  t.equal(made.status, 201);
  t.match(await made.json(), { id: 'a1', size: 1 });
  for (const [body, status] of [
    ['{', 400],
    ['{"size":"x"}', 400],
    ['{"__proto__":{}}', 400],
    [`{"size":1,"x":"${'x'.repeat(3_000)}"}`, 413],
  ] as const) {
    const answer = await post(body);
    t.equal(answer.status, status, body.slice(0, 20));
    t.match(await answer.json(), { code: 'ALPHA' });
  }
});

t.test('a client that never ends its request is cut off', async (t) => {
  const { port } = await testHost(t, { dialects: [alpha()], env: { REQUEST_TIMEOUT: '1s' } });
  const socket = connect(port, '127.0.0.1');
  socket.write(
    'POST /api/v1/things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{',
  );
  t.match(await text(socket), /^HTTP\/1\.1 408 /);
});

t.test('the address of the client comes from trusted proxies alone', async (t) => {
  const seen = async (url: string) => {
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': '203.0.113.9, 10.1.1.1' };
    const answer = await fetch(`${url}/api/v1/things`, { method: 'POST', headers, body: '{}' });
    return ((await answer.json()) as { seenFrom: string }).seenFrom;
  };
  t.equal(await seen((await testHost(t, { dialects: [alpha()] })).url), '127.0.0.1');
  const nearest = await testHost(t, { dialects: [alpha()], env: { TRUSTED_PROXIES: 'loopback' } });
  t.equal(await seen(nearest.url), '10.1.1.1');
  const both = await testHost(t, { dialects: [alpha()], env: { TRUSTED_PROXIES: '127.0.0.0/8, 10.0.0.0/8' } });
  t.equal(await seen(both.url), '203.0.113.9');
});

const page = 'https://page.example';

t.test('preflights, by the rules of the dialect', async (t) => {
  const { url } = await testHost(t, {
    dialects: [alpha({ allowed: ['https://mine.example'] }), beta()],
  });
  const ask = async (path: string, origin: string, method: string) => {
    const headers = { origin, 'access-control-request-method': method };
    const answer = await fetch(url + path, { method: 'OPTIONS', headers });
    const of = (name: string) => answer.headers.get(`access-control-${name}`);
    return { status: answer.status, origin: of('allow-origin'), credentials: of('allow-credentials'), answer };
  };
  const mine = await ask('/api/v1/things/1', 'https://mine.example', 'DELETE');
  t.match(mine, { status: 204, origin: 'https://mine.example', credentials: 'true' });
  t.equal(mine.answer.headers.get('access-control-allow-methods'), 'GET, POST, PUT, DELETE, OPTIONS');
  t.match(mine.answer.headers.get('access-control-allow-headers'), /Idempotency-Key/);
  t.match(mine.answer.headers.get('vary'), /Origin/);
  t.match(await ask('/api/v1/things/1', page, 'DELETE'), { status: 204, origin: null, credentials: null });
  t.match(await ask('/api/v1/things', page, 'POST'), { status: 204, origin: '*', credentials: null });
  t.match(await ask('/api/v1/things/', page, 'POST'), { origin: '*' }, 'a trailing slash is the same path');
  t.match(await ask('/api/v1/things', page, 'GET'), { origin: null });
  t.match(await ask('/api/v1/things', 'https://mine.example', 'POST'), { credentials: 'true' });
  t.match(await ask('/other/things', page, 'PUT'), { status: 200, origin: '*' }, 'another dialect, other rules');
  t.match(await ask('/docs', page, 'GET'), { status: 404, origin: null }, 'no dialect, no rule');
});

t.test('answers to pages carry what the page may read, errors too', async (t) => {
  const { url } = await testHost(t, { dialects: [alpha()] });
  const answer = await fetch(`${url}/api/v1/things/1`, { headers: { origin: page } });
  t.equal(answer.headers.get('access-control-allow-origin'), page, 'outside production an empty list allows all');
  t.equal(answer.headers.get('access-control-expose-headers'), 'Retry-After, X-Parley-Position');
  const missing = await fetch(`${url}/api/v1/nothing`, { headers: { origin: page } });
  t.equal(missing.headers.get('access-control-allow-origin'), page);
  const without = await fetch(`${url}/api/v1/things/1`);
  t.equal(without.headers.get('access-control-allow-origin'), null);

  const production = await testHost(t, { dialects: [alpha({ production: true })] });
  const refused = await fetch(`${production.url}/api/v1/things/1`, { headers: { origin: page } });
  t.equal(refused.status, 200, 'the browser withholds it, not we');
  t.equal(refused.headers.get('access-control-allow-origin'), null);
  const star = await testHost(t, { dialects: [alpha({ allowed: ['*'], production: true })] });
  const open = await fetch(`${star.url}/api/v1/things/1`, { headers: { origin: page } });
  t.equal(open.headers.get('access-control-allow-origin'), '*');
  t.equal(open.headers.get('access-control-allow-credentials'), null, 'never with credentials for everybody');
});

t.test('draining: what is under way is finished, what comes is 503, connections end', async (t) => {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const slow: Dialect = {
    ...alpha(),
    register(app) {
      app.get('/api/v1/slow', async () => {
        reached.resolve();
        await released.promise;
        return { done: true };
      });
    },
  };
  const host = await testHost(t, { dialects: [slow] });
  const agent = new Agent({ keepAlive: true });
  t.teardown(() => agent.destroy());
  const get = (path: string) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest(host.url + path, { agent }, resolve)
        .on('error', reject)
        .end();
    });
  const underWay = get('/api/v1/slow');
  await reached.promise;
  host.drain();

  const refused = await get('/api/v1/things/1');
  t.equal(refused.statusCode, 503);
  t.equal(refused.headers['retry-after'], '1');
  t.equal(refused.headers.connection, 'close');
  t.match(JSON.parse(await text(refused)), { code: 'DRAINING' });
  t.equal((await fetch(`${host.url}/health/live`)).status, 200);
  const ready = await fetch(`${host.url}/health/ready`);
  t.equal(ready.status, 503);
  t.match(await ready.json(), { status: 'draining' });
  const metrics = await fetch(`${host.url}/metrics`);
  t.equal(metrics.status, 200);
  // Read: a client may fail over a connection that ends while a body waits in it.
  await metrics.text();

  const closed = host.close();
  released.resolve();
  const finished = await underWay;
  t.equal(finished.statusCode, 200);
  t.equal(finished.headers.connection, 'close');
  t.strictSame(JSON.parse(await text(finished)), { done: true });
  await closed;
  await t.rejects(fetch(`${host.url}/health/live`), 'it does not listen any more');
});

t.test('a request that does not end in time is cut at the stop', async (t) => {
  const reached = Promise.withResolvers<void>();
  const stuck: Dialect = {
    ...alpha(),
    register(app) {
      app.get('/api/v1/stuck', (_request, reply) => {
        reached.resolve();
        return reply.hijack();
      });
    },
  };
  const host = await testHost(t, { dialects: [stuck], env: { SHUTDOWN_TIMEOUT: '100ms' } });
  const answer = fetch(`${host.url}/api/v1/stuck`);
  answer.catch(() => {});
  await reached.promise;
  await host.close();
  await t.rejects(answer);
});

t.test('health tells how the parts are', async (t) => {
  const well = await testHost(t, { health: async () => ({ ...allWell, sandboxUrl: 'http://127.0.0.1:9' }) });
  const ready = await fetch(`${well.url}/health/ready`);
  t.equal(ready.status, 200);
  t.strictSame(await ready.json(), {
    status: 'ok',
    database: 'ok',
    log: 'ok',
    projector: { lagEvents: 0, lagSeconds: 0 },
    sandbox: true,
    sandboxUrl: 'http://127.0.0.1:9',
  });
  const ill = await testHost(t, { health: async () => ({ ...allWell, log: false }) });
  const unready = await fetch(`${ill.url}/health/ready`);
  t.equal(unready.status, 503);
  t.match(await unready.json(), { status: 'unavailable', database: 'ok', log: 'error', sandbox: false });
  const failing = await testHost(t, { health: async () => Promise.reject(new Error('away')) });
  t.match(await (await fetch(`${failing.url}/health/ready`)).json(), { status: 'unavailable', database: 'error' });
  const silent = await testHost(t, { health: () => new Promise(() => {}) });
  t.equal((await fetch(`${silent.url}/health/ready`)).status, 503, 'no answer is no health');
});

t.test('requests are counted by dialect, route and status, never by their paths', async (t) => {
  const { url } = await testHost(t, { dialects: [alpha(), beta()] });
  await fetch(`${url}/api/v1/things/1`);
  await fetch(`${url}/api/v1/things/2`);
  await fetch(`${url}/api/v1/unknown-3`);
  await fetch(`${url}/api/v1/things`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '[' });
  await fetch(`${url}/api/v1/broken`);
  const answer = await fetch(`${url}/metrics`);
  t.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  const lines = (await answer.text()).split('\n').filter((line) => line.startsWith('parley_http_requests_total{'));
  const expected = [
    '{dialect="alpha",route="/api/v1/things/:id",method="GET",status="200"} 2',
    '{dialect="alpha",route="-",method="GET",status="404"} 1',
    '{dialect="alpha",route="/api/v1/things",method="POST",status="400"} 1',
    '{dialect="alpha",route="/api/v1/broken",method="GET",status="500"} 1',
  ];
  for (const line of expected) t.ok(lines.includes(`parley_http_requests_total${line}`), line);
  t.notMatch(lines.join('\n'), /unknown-3/);
});

t.test('log lines: one for a failure, with its stack and without secrets; none for what went well', async (t) => {
  const host = await testHost(t, { dialects: [alpha()] });
  await fetch(`${host.url}/api/v1/things/1?token=s3cret`);
  await fetch(`${host.url}/api/v1/broken?token=s3cret`);
  t.equal(host.lines.length, 1);
  t.match(host.lines[0], {
    level: 'error',
    method: 'GET',
    route: '/api/v1/broken',
    status: 500,
    err: { stack: /host\.ts/ },
  });
  t.notMatch(JSON.stringify(host.lines), /s3cret/);
  for (let i = 0; i < 5; i++) await fetch(`${host.url}/api/v1/away`);
  t.equal(host.lines.filter(({ level }) => level === 'warn').length, 1, 'storage that is away does not flood the log');

  const verbose = await testHost(t, { dialects: [alpha()], env: { LOG_LEVEL: 'debug' } });
  await fetch(`${verbose.url}/api/v1/things/1`);
  t.match(verbose.lines, [{ level: 'debug', route: '/api/v1/things/:id', status: 200 }]);
});

t.test('the SDK for pages', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-sdk-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const sdkFile = join(folder, 'messagejs.js');
  const other = join(folder, 'chatapi.js');
  const sdkFiles = { 'messagejs.js': sdkFile, 'chatapi.js': other };
  writeFileSync(sdkFile, 'globalThis.messagejs = {};');
  writeFileSync(other, 'globalThis.ChatAPI = {};');
  const { url, port } = await testHost(t, { dialects: [alpha({ production: true })], sdkFiles });
  const answer = await fetch(`${url}/v1/messagejs.js`, { headers: { origin: page } });
  t.equal(await answer.text(), 'globalThis.messagejs = {};');
  t.equal(await (await fetch(`${url}/v1/chatapi.js`)).text(), 'globalThis.ChatAPI = {};');
  t.match(answer.headers.get('content-type'), /^text\/javascript/);
  t.match(answer.headers.get('cache-control'), /max-age=3600/);
  t.equal(answer.headers.get('access-control-allow-origin'), '*');
  const etag = answer.headers.get('etag');
  const again = await raw(
    port,
    `GET /v1/messagejs.js HTTP/1.1\r\nHost: x\r\nIf-None-Match: ${etag}\r\nConnection: close\r\n\r\n`,
  );
  t.match(again, /^HTTP\/1\.1 304 /);
});

t.test('a port that is taken rejects', async (t) => {
  const first = await testHost(t);
  await t.rejects(testHost(t, { env: { PORT: String(first.port) } }), { code: 'EADDRINUSE' });
});

t.test('many requests on one connection', async (t) => {
  const { port } = await testHost(t, { dialects: [alpha()] });
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const request = 'GET /api/v1/things/1 HTTP/1.1\r\nHost: x\r\n\r\n';
  socket.write(request.repeat(50) + request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
  t.equal((await text(socket)).split('HTTP/1.1 200 OK').length - 1, 51);
});
