/** Roles, each in processes of its own, behind one address (issue: the distributed set-up). */
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { startSandbox } from '../../src/sandbox/index.ts';
import { dial } from '../dialects/chatapi/sockets.ts';
import { startFront } from '../support/front.ts';
import { type ParleyProcess, startProcess } from '../support/parley.ts';
import { temporaryDirectory, testDatabase } from '../support/postgres.ts';
import { stackVariables } from '../support/stack.ts';
import { type Stack, stacks } from '../support/stacks.ts';

const credentials = { phoneNumberId: '106540352242922', accessToken: 'EAAG-test-token' };

interface SetUp {
  /** The front. */
  readonly url: string;
  readonly apis: readonly ParleyProcess[];
  readonly projectors: readonly ParleyProcess[];
  readonly gateways: readonly ParleyProcess[];
}

/** Two processes of each role that requests or events are shared by; null where the machine cannot run the stack. */
async function setUp(test: Test, stack: Stack): Promise<SetUp | null> {
  const variables = await stackVariables(test, stack);
  if (variables === null) return null;
  const sandbox = await startSandbox({ log: () => {} });
  test.teardown(() => sandbox.close());
  const { url: databaseUrl } = await testDatabase(test);
  const secret = () => randomBytes(32).toString('hex');
  const env = {
    ...variables,
    DATABASE_URL: databaseUrl,
    JWT_SECRET: secret(),
    ENCRYPTION_KEY: secret(),
    ID_KEY: secret(),
    API_BASE_URL: 'http://127.0.0.1:1',
    LOG_LEVEL: 'warn',
    WHATSAPP_RATE_PER_SECOND: '0',
    WHATSAPP_API_URL: sandbox.whatsappUrl,
    TELEGRAM_API_URL: sandbox.telegramUrl,
    TWILIO_API_URL: sandbox.twilioUrl,
  };
  const start = async (roles: string): Promise<ParleyProcess> => {
    const running = await startProcess({ dataDir: temporaryDirectory(), args: ['start', '--roles', roles], env });
    test.teardown(async () => {
      running.child.kill('SIGKILL');
      await running.ended;
    });
    return running;
  };
  const all = await Promise.all(
    ['api', 'api', 'projector', 'projector', 'relay,gateway', 'gateway', 'delivery'].map(start),
  );
  await Promise.all(all.map((each) => each.ready()));
  const [apis, projectors, gateways] = [all.slice(0, 2), all.slice(2, 4), all.slice(4, 6)] as const;
  const ports = ({ port }: ParleyProcess) => port;
  const url = await startFront(test, { api: apis.map(ports), gateway: gateways.map(ports) });
  sandbox.behave({ callbackBaseUrl: url });
  return { url, apis, projectors, gateways };
}

async function ask(url: string, method: string, path: string, as?: string, body?: unknown, headers = {}) {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: {
      ...(as !== undefined && { authorization: `Bearer ${as}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field
  const json: any = text === '' ? null : JSON.parse(text);
  return { status: response.status, headers: response.headers, json };
}

/** Sockets of ChatAPI that a process has open, by its own word. */
async function socketsOf({ url }: ParleyProcess): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^parley_sockets\{dialect="chatapi"\} (\d+)$/m.exec(metrics)?.[1]);
}

for (const stack of stacks) {
  t.test(`a process per role on ${stack}`, async (t) => {
    const found = await setUp(t, stack);
    if (!found) return;
    const { url, apis, projectors, gateways } = found;
    const [one, two] = apis.map((api) => api.url) as [string, string];
    const person = { email: 'ada@example.com', password: 'correct horse battery' };
    const { token } = (await ask(url, 'POST', '/auth/register', undefined, person)).json;
    const project = (await ask(url, 'POST', '/projects', token, { name: 'First' })).json.id;
    const key = (await ask(url, 'POST', `/projects/${project}/keys`, token, {})).json;
    const connector = (
      await ask(url, 'POST', `/projects/${project}/connectors`, token, { type: 'whatsapp', credentials })
    ).json.id;
    const template = (
      await ask(url, 'POST', `/projects/${project}/templates`, token, {
        name: 'Hello',
        connectorType: 'whatsapp',
        content: 'Hello {{name}}',
      })
    ).json.id;
    const body = { to: '+15550001111', connectorId: connector, templateId: template, variables: { name: 'Ada' } };

    t.test('sockets are in processes of their own, and everybody knows of them', async (t) => {
      const client = (await ask(url, 'POST', '/clients', undefined, { name: 'Chat' })).json.data;
      const person = async (name: string) => {
        const made = { email: `${name}@example.com`, username: name, full_name: name };
        return (await ask(url, 'POST', '/users', client.master_api_key, made)).json.data;
      };
      const [ann, ben] = [await person('ann'), await person('ben')];
      const room = (await ask(url, 'POST', '/rooms', ann.scoped_api_key, { name: 'Room' })).json.data.id;
      await ask(url, 'POST', `/rooms/${room}/join`, ben.scoped_api_key, {});
      // One after the other, with no request between them: the front gives them to different gateways.
      const socket = await dial(t, { url }, `?token=${ben.scoped_api_key}`);
      const other = await dial(t, { url }, `?token=${ann.scoped_api_key}`);
      t.match(await socket.next(), { type: 'connection_status', data: { user_id: ben.id } });
      t.match(await other.next(), { type: 'connection_status', data: { user_id: ann.id } });
      t.strictSame(await Promise.all(gateways.map(socketsOf)), [1, 1], 'each gateway has one of them');
      await ask(one, 'POST', '/messages', ann.scoped_api_key, { room_id: room, content: 'by request' });
      for (const each of [socket, other])
        t.match((await each.upTo('message')).at(-1), { data: { content: 'by request', sender_name: 'ann' } });
      const said = await socket.ask('send_message', { room_id: room, content: 'by socket' });
      t.match((await other.upTo('message')).at(-1), { data: { id: said.data.id, content: 'by socket' } });
      socket.send({ type: 'typing', data: { room_id: room, is_typing: true } });
      t.match((await other.upTo('typing')).at(-1), { data: { user_id: ben.id, is_typing: true } });
      const read = await ask(two, 'GET', `/messages/${said.data.id}`, ann.scoped_api_key, undefined, {
        'x-parley-position': said.position,
      });
      t.match(read.json, { data: { content: 'by socket', sender_id: ben.id } });
      const online = await ask(two, 'GET', `/rooms/${room}/online`, ann.scoped_api_key);
      t.strictSame(online.json.data, { online_users: [ann.id, ben.id], total_online: 2 });
      await ask(one, 'POST', '/users/login', client.master_api_key, { email: ben.email });
      t.equal((await socket.closed).code, 4001, 'a key that was replaced elsewhere');
      t.strictSame(await other.quiet(), [], 'the other stays, and is told nothing of it');
      t.equal((await fetch(`${one}/api/v1/websocket/open`)).status, 404, 'the others serve no sockets');
    });

    t.test('a keyed send through either node takes effect once', async (t) => {
      const headers = { 'idempotency-key': 'the same' };
      const answers = await Promise.all(
        [one, two, one, two].map((node) => ask(node, 'POST', '/messages', key.key, body, headers)),
      );
      t.strictSame(
        answers.map(({ status }) => status),
        [202, 202, 202, 202],
      );
      t.equal(new Set(answers.map(({ json }) => json.messageId)).size, 1);
    });

    t.test('a read on another node sees the write whose position it names', async (t) => {
      for (let i = 0; i < 10; i++) {
        const sent = await ask(one, 'POST', '/messages', key.key, body);
        const position = sent.headers.get('x-parley-position') as string;
        const read = await ask(two, 'GET', `/messages/${sent.json.messageId}`, token, undefined, {
          'x-parley-position': position,
        });
        t.equal(read.status, 200);
      }
    });

    t.test('what was accepted leaves, and its receipts come back, across processes', async (t) => {
      const sent = await ask(url, 'POST', '/messages', key.key, body);
      for (const until = Date.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
        const { json } = await ask(url, 'GET', `/messages/${sent.json.messageId}`, token);
        if (json.status === 'delivered') break;
        if (Date.now() > until) throw new Error(`still ${json.status}`);
      }
      t.pass('delivered');
    });

    t.test('a projector that is killed is replaced by the other', async (t) => {
      projectors[0]?.child.kill('SIGKILL');
      await projectors[0]?.ended;
      const sent = await ask(one, 'POST', '/messages', key.key, body);
      for (const until = Date.now() + 30_000; ; ) {
        const read = await ask(two, 'GET', `/messages/${sent.json.messageId}`, token, undefined, {
          'x-parley-position': sent.headers.get('x-parley-position') as string,
        });
        if (read.status === 200) break;
        t.equal(read.status, 503, 'not yet, and never stale');
        if (Date.now() > until) throw new Error('nobody projects');
      }
      t.pass('projected');
    });

    t.test('a key that one node revoked dies on the other as well', async (t) => {
      t.equal((await ask(two, 'POST', '/messages', key.key, body)).status, 202);
      t.equal((await ask(one, 'DELETE', `/projects/${project}/keys/${key.id}`, token)).status, 204);
      t.equal((await ask(one, 'POST', '/messages', key.key, body)).status, 401);
      for (const until = Date.now() + 30_000; ; ) {
        if ((await ask(two, 'POST', '/messages', key.key, body)).status === 401) break;
        if (Date.now() > until) throw new Error('still alive');
      }
      t.pass('dead');
    });
  });
}

t.test('roles are checked at start', async (t) => {
  const run = async (args: string[], env: Record<string, string> = {}) => {
    const running = await startProcess({ dataDir: temporaryDirectory(), args: ['start', ...args], env });
    return { code: await running.ended, output: running.output() };
  };
  const unknown = await run(['--roles', 'api,cook']);
  t.equal(unknown.code, 2);
  t.match(unknown.output, /--roles takes some of api, gateway, relay, projector, delivery/);
  const alone = await run(['--roles', 'api']);
  t.equal(alone.code, 1);
  t.match(alone.output, /--roles needs DATABASE_URL/);
});
