/** The ways of a fault run do to connections what their names say. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { quietPort } from '../processes.ts';
import { seededRandom } from '../random.ts';
import { FaultProxy, Front } from './proxy.ts';

const random = seededRandom(process.pid);

/** A server that says back what it hears, after its name. */
async function echo(test: Test, name = ''): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => socket.write(`${name}${chunk}`));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function proxyTo(test: Test, target: number): Promise<FaultProxy> {
  const proxy = new FaultProxy(await quietPort(random), () => target);
  await proxy.back();
  test.teardown(() => proxy.close());
  return proxy;
}

async function dial(test: Test, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  test.teardown(() => socket.destroy());
  await Promise.race([new Promise((resolve) => socket.once('connect', resolve)), closed(socket)]);
  return socket;
}

/** `once` rejects with an error before it: a connection that is reset ends all the same. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** What comes back when something is said; null when the connection ends instead. */
async function said(socket: Socket, text: string): Promise<string | null> {
  socket.write(text);
  const heard = new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(String(chunk))));
  return Promise.race([heard, closed(socket).then(() => null)]);
}

t.test('a slow way keeps the order', async (t) => {
  const proxy = await proxyTo(t, await echo(t));
  const socket = await dial(t, proxy.port);
  proxy.delay(random, [1, 30]);
  let heard = '';
  const whole = new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      heard += chunk;
      if (heard.length === 20) resolve();
    });
  });
  for (const letter of 'abcdefghijklmnopqrst') {
    socket.write(letter);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await whole;
  t.equal(heard, 'abcdefghijklmnopqrst');
});

t.test('what died without a word stays dead, and is not told of; what comes later lives', async (t) => {
  const proxy = await proxyTo(t, await echo(t));
  const old = await dial(t, proxy.port);
  t.equal(await said(old, 'a'), 'a');
  proxy.halfOpen();
  const meanwhile = await dial(t, proxy.port);
  proxy.open();
  const fresh = await dial(t, proxy.port);
  const silent = Promise.race([said(old, 'b'), said(meanwhile, 'c')]);
  t.equal(await Promise.race([silent, said(fresh, 'd')]), 'd');
  t.notOk(old.destroyed);
});

t.test('a way that cuts ends every connection; one that is away refuses them', async (t) => {
  const proxy = await proxyTo(t, await echo(t));
  const socket = await dial(t, proxy.port);
  const ended = closed(socket);
  proxy.cut(random, [1, 20]);
  await ended;
  proxy.open();
  t.equal(await said(await dial(t, proxy.port), 'a'), 'a');
  await proxy.away();
  t.ok((await dial(t, proxy.port)).destroyed);
  await proxy.back();
  t.equal(await said(await dial(t, proxy.port), 'b'), 'b');
});

t.test('the front passes over who refuses', async (t) => {
  const [one, gone, other] = [await echo(t, 'one '), await quietPort(random), await echo(t, 'other ')];
  const front = new Front(await quietPort(random), [one, gone, other]);
  await front.listen();
  t.teardown(() => front.close());
  const answers: (string | null)[] = [];
  for (let i = 0; i < 4; i++) answers.push(await said(await dial(t, front.port), 'x'));
  t.same(answers, ['one x', 'other x', 'one x', 'other x']);
});
