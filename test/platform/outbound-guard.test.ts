import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { Agent, fetch } from 'undici';
import { outboundGuard } from '../../src/platform/outbound-guard.ts';

const loopback = { allowCidrs: ['127.0.0.0/8'] };

async function listen(t: Test, server: ReturnType<typeof createTcpServer>, host = '127.0.0.1'): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    socket.on('error', () => {});
    sockets.add(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A certificate that nobody vouches for, and its key; of no use outside this file. */
const tlsKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwU2WZmkPF9QbLXpH
UNKbMFWTMxy//FeZ/GR7aYlZ0OmhRANCAATV4snJdt9RI3eWUJfvCXZdAYPUjVoi
/UiRlyGmKqQA+F0a3dqfJ9fK09RIWzctxehwU7sfOJC7ieP0cBJqKqoQ
-----END PRIVATE KEY-----`;
const tlsCert = `-----BEGIN CERTIFICATE-----
MIIBoTCCAUegAwIBAgIUaZ5cKwMjLh+7riWPNWMXVvklxEEwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNcmVjZWl2ZXIudGVzdDAgFw0yNjExMjEwNDIxMzRaGA8yMTI2
MTAyODA0MjEzNFowGDEWMBQGA1UEAwwNcmVjZWl2ZXIudGVzdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABNXiycl231Ejd5ZQl+8Jdl0Bg9SNWiL9SJGXIaYqpAD4
XRrd2p8n18rT1EhbNy3F6HBTux84kLuJ4/RwEmoqqhCjbTBrMB0GA1UdDgQWBBRb
ufVBAapbLK7SinG1KnRwJirxwzAfBgNVHSMEGDAWgBRbufVBAapbLK7SinG1KnRw
JirxwzAPBgNVHRMBAf8EBTADAQH/MBgGA1UdEQQRMA+CDXJlY2VpdmVyLnRlc3Qw
CgYIKoZIzj0EAwIDSAAwRQIhAJDOjb4ntJ9M+Ix8pY5OVmWx5WY6kqZioBIABOZF
5hFpAiA7KGxR4aDzlIUjmrjpKWCnlxYTokcebB/BDAheQZTiLw==
-----END CERTIFICATE-----`;

const forbidden = {
  unspecified: ['0.0.0.0', '0.1.2.3', '::'],
  loopback: ['127.0.0.1', '127.255.255.254', '::1', 'localhost', 'LOCALHOST.', 'a.localhost'],
  private: ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fdff::1'],
  'link-local': ['169.254.169.254', 'fe80::1', 'fe80::1%eth0', 'fec0::1'],
  shared: ['100.64.0.1', '100.127.255.255'],
  multicast: ['224.0.0.1', '239.255.255.255', 'ff02::1'],
  broadcast: ['255.255.255.255', '240.0.0.1'],
  documentation: ['192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '3fff::1'],
  benchmark: ['198.18.0.1', '198.19.255.255', '2001:2::1'],
  protocol: ['192.0.0.1', '192.88.99.1', '2001::1', '100::1', '5f00::1', '64:ff9b:1::1'],
  mapped: ['::ffff:127.0.0.1', '::ffff:8.8.8.8', '::ffff:0:8.8.8.8', '::127.0.0.1'],
  translated: ['64:ff9b::8.8.8.8', '64:ff9b::7f00:1', '2002:7f00:1::', '2002:808:808::1', '2001:0:808:808::1'],
  'odd spellings': [
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '127.1',
    '0x7f.1',
    '127.0.0.1.',
    '[::1]',
    '[::ffff:7f00:1]',
    '%31%32%37.0.0.1',
    '１２７.0.0.1',
    '0',
  ],
  nothing: ['', '.'],
};

for (const [range, hosts] of Object.entries(forbidden)) {
  t.test(`forbidden: ${range}`, async (t) => {
    const guard = outboundGuard({ resolve: async () => [] });
    for (const host of hosts) {
      t.equal(guard.forbids(host), true, host);
      await t.rejects(guard.connect({ host, port: 9 }), { code: /TARGET_NOT_ALLOWED|ENOTFOUND/ }, host);
    }
  });
}

t.test('allowed: global unicast, and names until they are resolved', async (t) => {
  const guard = outboundGuard();
  for (const host of [
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '192.0.3.1',
    '2606:4700::1111',
    '[2a00:1450::1]',
    'example.com',
  ])
    t.equal(guard.forbids(host), false, host);
});

t.test('an allowed range opens itself and no more', async (t) => {
  const guard = outboundGuard({ allowCidrs: ['127.0.0.0/8', 'fd00::/8'] });
  for (const host of ['127.0.0.1', '127.1', 'localhost', 'fd12::1']) t.equal(guard.forbids(host), false, host);
  for (const host of ['::1', '::ffff:127.0.0.1', '10.0.0.1', 'fc00::1']) t.equal(guard.forbids(host), true, host);
  t.throws(() => outboundGuard({ allowCidrs: ['127.0.0.0'] }), TypeError);
  t.throws(() => outboundGuard({ proxy: 'socks://localhost' }), TypeError);
});

t.test('a name is refused when any of its addresses is', async (t) => {
  for (const addresses of [['127.0.0.1'], ['8.8.8.8', '10.0.0.1'], ['2606:4700::1111', '::ffff:10.0.0.1']]) {
    const guard = outboundGuard({ resolve: async () => addresses });
    await t.rejects(guard.connect({ host: 'receiver.test', port: 9 }), { code: 'TARGET_NOT_ALLOWED' }, `${addresses}`);
  }
  const none = outboundGuard({ resolve: async () => [] });
  await t.rejects(none.connect({ host: 'receiver.test', port: 9 }), { code: 'ENOTFOUND' });
});

t.test('rebinding: the address that was checked is the one connected to', async (t) => {
  const server = createTcpServer((socket) => socket.end('checked'));
  const port = await listen(t, server);
  const elsewhere = createTcpServer((socket) => socket.end('rebound'));
  elsewhere.listen(port, '127.0.0.2');
  await once(elsewhere, 'listening');
  t.teardown(() => elsewhere.close());
  let asked = 0;
  // The DNS answers the allowed address once, and another one to whoever asks again.
  const guard = outboundGuard({
    allowCidrs: ['127.0.0.1/32'],
    resolve: async () => [asked++ === 0 ? '127.0.0.1' : '127.0.0.2'],
  });
  const socket = await guard.connect({ host: 'receiver.test', port });
  t.equal(socket.remoteAddress, '127.0.0.1');
  const [said] = await once(socket, 'data');
  t.equal(String(said), 'checked');
  t.equal(asked, 1);
  await t.rejects(guard.connect({ host: 'receiver.test', port }), { code: 'TARGET_NOT_ALLOWED' });
});

t.test('trouble with the network keeps its code', async (t) => {
  const guard = outboundGuard(loopback);
  const server = createTcpServer();
  const port = await listen(t, server);
  server.close();
  await once(server, 'close');
  await t.rejects(guard.connect({ host: '127.0.0.1', port }), { code: 'ECONNREFUSED' });
  const silent = outboundGuard({ ...loopback, resolve: () => new Promise(() => {}) });
  await t.rejects(silent.connect({ host: 'receiver.test', port, timeoutMs: 20 }), { code: 'ETIMEDOUT' });
  const aborted = AbortSignal.abort(new Error('stopped'));
  await t.rejects(silent.connect({ host: 'receiver.test', port, signal: aborted }), /stopped/);
});

t.test('undici over the guard: names, forbidden targets, and no proxy of the environment', async (t) => {
  const server = createServer((request, response) => response.end(request.headers.host));
  const port = await listen(t, server);
  const before = { ...process.env };
  t.teardown(() => {
    process.env = before;
  });
  for (const name of ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY']) process.env[name] = 'http://127.0.0.1:9';
  process.env.NODE_USE_ENV_PROXY = '1';
  const guard = outboundGuard({
    ...loopback,
    resolve: async (name) => [name === 'bad.test' ? '10.0.0.1' : '127.0.0.1'],
  });
  const dispatcher = new Agent({ connect: guard.connector() });
  t.teardown(() => dispatcher.destroy());
  const answer = await fetch(`http://receiver.test:${port}/`, { dispatcher });
  t.equal(await answer.text(), `receiver.test:${port}`);
  await t.rejects(fetch(`http://bad.test:${port}/`, { dispatcher }), { cause: { code: 'TARGET_NOT_ALLOWED' } });
  await t.rejects(fetch(`http://[::1]:${port}/`, { dispatcher }), { cause: { code: 'TARGET_NOT_ALLOWED' } });
});

t.test('over TLS the name is the one that was given, and the certificate is verified', async (t) => {
  const names: (string | false)[] = [];
  const server = createTlsServer({
    key: tlsKey,
    cert: tlsCert,
    SNICallback: (name, done) => {
      names.push(name);
      done(null);
    },
  });
  server.on('tlsClientError', () => {});
  const port = await listen(t, server);
  const guard = outboundGuard({ ...loopback, resolve: async () => ['127.0.0.1'] });
  const dispatcher = new Agent({ connect: guard.connector() });
  t.teardown(() => dispatcher.destroy());
  await t.rejects(fetch(`https://receiver.test:${port}/`, { dispatcher }), {
    cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
  });
  t.same(names, ['receiver.test']);
});

/** A forward proxy that knows CONNECT alone. */
async function proxy(t: Test, answer = '200 OK') {
  const requests: IncomingMessage[] = [];
  const server = createServer();
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    requests.push(request);
    const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(request.url ?? '') ?? [];
    socket.write(`HTTP/1.1 ${answer}\r\n\r\n`);
    if (!answer.startsWith('200')) return socket.end();
    const onward = connect(Number(port), host.replace(/[[\]]/g, ''));
    onward.on('error', () => socket.destroy());
    return socket.pipe(onward).pipe(socket);
  });
  return { port: await listen(t, server), requests };
}

t.test("the operator's proxy is told the address that was checked", async (t) => {
  const server = createServer((request, response) => response.end(request.headers.host));
  const port = await listen(t, server);
  const { port: proxyPort, requests } = await proxy(t);
  const guard = outboundGuard({
    ...loopback,
    proxy: `http://user:p%40ss@127.0.0.1:${proxyPort}`,
    resolve: async (name) => [name === 'bad.test' ? '10.0.0.1' : '127.0.0.1'],
  });
  const dispatcher = new Agent({ connect: guard.connector() });
  t.teardown(() => dispatcher.destroy());
  const answer = await fetch(`http://receiver.test:${port}/`, { dispatcher });
  t.equal(await answer.text(), `receiver.test:${port}`);
  t.equal(requests[0]?.url, `127.0.0.1:${port}`);
  t.equal(requests[0]?.headers['proxy-authorization'], `Basic ${btoa('user:p@ss')}`);
  await t.rejects(guard.connect({ host: 'bad.test', port }), { code: 'TARGET_NOT_ALLOWED' });
  t.equal(requests.length, 1, 'the proxy is not asked for what is forbidden');
});

t.test('a proxy that refuses is trouble with the network', async (t) => {
  const { port } = await proxy(t, '403 Forbidden');
  const guard = outboundGuard({ ...loopback, proxy: `http://127.0.0.1:${port}` });
  await t.rejects(guard.connect({ host: '127.0.0.1', port: 9 }), { code: 'PROXY_REFUSED' });
});
