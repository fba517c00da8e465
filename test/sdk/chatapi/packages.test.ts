/** The package as an integrator gets it: from its tarball, in modules of either kind, with its types. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { installPacked, resolutions, typeCheck } from '../packed.ts';
import { startServer } from '../server.ts';
import { startSocketServer } from './socket-server.ts';

const { folder, contents, runScript } = await installPacked(t, ['@chatapi/sdk']);
const installed = join(folder, 'node_modules', '@chatapi', 'sdk');

/** Sends, fails, and opens a socket with whatever the classes are. Prints what came of it. */
const main = `
  const [baseUrl, socketBaseUrl] = process.argv.slice(2);
  async function main(ChatAPI, ChatAPIError) {
    const chat = new ChatAPI('sk_user_1', { baseUrl, retries: 1 });
    const { id } = await chat.messages.send({ room_id: 'r', content: 'Hello' });
    const error = await chat.messages.get(id).catch((error) => error);
    const socket = new ChatAPI('sk_user_1', { baseUrl: socketBaseUrl }).connect({ after: '5' });
    const { user_id } = await socket.opened();
    socket.close();
    const { name, message, code, status } = error;
    console.log(JSON.stringify({ id, user_id, error: { name, message, code, status }, ours: error instanceof ChatAPIError }));
  }
`;

const kinds = {
  'main.mjs': (name: string) =>
    `import { ChatAPI, ChatAPIError } from '${name}'; ${main} await main(ChatAPI, ChatAPIError);`,
  'main.cjs': (name: string) =>
    `const { ChatAPI, ChatAPIError } = require('${name}'); ${main} main(ChatAPI, ChatAPIError);`,
};
const cases: [file: keyof typeof kinds, name: string][] = [
  ['main.mjs', '@chatapi/sdk'],
  ['main.cjs', '@chatapi/sdk'],
  // The two that bundlers take, which Node's own resolution never picks.
  ['main.mjs', './node_modules/@chatapi/sdk/index.mjs'],
  ['main.cjs', './node_modules/@chatapi/sdk/index.cjs'],
];

for (const [file, name] of cases) {
  t.test(`${file} with ${name}`, async (t) => {
    const stored = { status: 201, body: { data: { id: 'm1' }, status: 'success' } };
    const refused = { status: 404, body: { detail: 'Message not found', error_code: 'RESOURCE_NOT_FOUND' } };
    const { origin, requests } = await startServer(t, [{ status: 503 }, stored, refused]);
    const sockets = await startSocketServer(t);
    const welcomed = sockets.peer(0).then((peer) => peer.welcome('5'));
    const socketBaseUrl = sockets.url.replace('ws:', 'http:').replace('/websocket/open', '/');
    t.same(await runScript(file, kinds[file](name), [`${origin}/api/v1`, socketBaseUrl]), {
      id: 'm1',
      user_id: 'me',
      error: { name: 'ChatAPIError', message: 'Message not found', code: 'RESOURCE_NOT_FOUND', status: 404 },
      ours: true,
    });
    t.match(await welcomed, { type: 'auth', token: 'sk_user_1', after: '5' });
    const keys = requests.map(({ headers }) => headers['idempotency-key']);
    t.match(keys, [/^[0-9a-f-]{36}$/, keys[0], undefined]);
  });
}

t.test('an older Node: no crypto, and no WebSocket but one that is given', async (t) => {
  const { origin } = await startServer(t, [{ body: { data: { id: 'm1' } } }]);
  const script = `
    delete globalThis.crypto;
    delete globalThis.WebSocket;
    const { ChatAPI } = require('@chatapi/sdk');
    const [baseUrl] = process.argv.slice(2);
    const chat = new ChatAPI('sk_user_1', { baseUrl });
    let code;
    try { chat.connect(); } catch (error) { code = error.code; }
    const asked = [];
    class WebSocket { constructor(url) { asked.push(url); } addEventListener() {} close() {} }
    new ChatAPI('sk_user_1', { baseUrl, WebSocket }).connect().close();
    chat.messages.send({ room_id: 'r' }).then(({ id }) => console.log(JSON.stringify({ code, asked, id })));`;
  t.same(await runScript('older.cjs', script, [`${origin}/api/v1`]), {
    code: 'NO_WEBSOCKET',
    asked: [`${origin.replace('http', 'ws')}/api/v1/websocket/open`],
    id: 'm1',
  });
});

t.test('ESM and CJS are one instance in Node', async (t) => {
  const script = `
    import { createRequire } from 'node:module';
    import * as esm from '@chatapi/sdk';
    const cjs = createRequire(import.meta.url)('@chatapi/sdk');
    const names = Object.keys(esm).filter((name) => !/^(default|module.exports)$/.test(name)).sort();
    console.log(JSON.stringify({ names, one: names.every((name) => esm[name] === cjs[name]) }));`;
  t.same(await runScript('one.mjs', script), { names: ['ChatAPI', 'ChatAPIError'], one: true });
});

t.test('the tarball holds what package.json names, needs nothing beside it, and is small', async (t) => {
  const builds = ['chatapi.js', 'index.cjs', 'index.mjs', 'node.cjs'];
  const types = ['index.d.cts', 'index.d.mts', 'public-outgoing.d.ts', 'public-shapes.d.ts', 'public-socket.d.ts'];
  const rest = ['LICENSE', 'README.md', 'node.mjs', 'package.json'];
  t.same(contents, { '@chatapi/sdk': [...builds, ...types, ...rest].sort() });
  const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as object;
  t.match(manifest, { license: 'MIT', engines: { node: '>=18' }, sideEffects: ['./chatapi.js'] });
  t.notHas(manifest, 'dependencies');
  for (const build of builds) {
    const { length } = gzipSync(await readFile(join(installed, build)));
    t.ok(length > 0 && length < 20_000, `${build}: ${length} bytes`);
  }
  t.notMatch(await readFile(join(installed, 'chatapi.js'), 'utf8'), /^\s*(import|export)\b|\brequire\(/m);
});

const consumer = `
  import { ChatAPI, ChatAPIError } from '@chatapi/sdk';
  import type { ChatSocket, Message, NewNotification, Page, Room, SocketFrame, WebSocketLike } from '@chatapi/sdk';

  const chat: ChatAPI = new ChatAPI('ck_live_1', { baseUrl: 'https://example.org/api/v1', retries: 2 });
  // @ts-expect-error a key is needed, or null
  new ChatAPI();
  // @ts-expect-error retries is a number
  new ChatAPI('k', { retries: 'two' });

  export async function use(): Promise<string> {
    const room: Room = await chat.rooms.create({ name: 'Tea', room_type: 'group' });
    // @ts-expect-error no such kind
    await chat.rooms.create({ room_type: 'lobby' });
    const message: Message = await chat.messages.send({ room_id: room.id, content: 'x' }, { idempotencyKey: 'mine' });
    // @ts-expect-error a room is needed
    await chat.messages.send({ content: 'x' });
    const page: Page<Message> = await chat.messages.list({ size: 5, order: 'asc' });
    // @ts-expect-error users are not sorted by that
    await chat.users.list({ sort: 'age' });
    for await (const { email } of chat.users.list()) email.toLowerCase();
    // @ts-expect-error content may be gone
    message.content.length;
    const notification: NewNotification = { type: 'email', content: 'x', to_email: ['a@example.com'] };
    // @ts-expect-error a notification has a type
    await chat.notifications.create({ content: 'x' });
    await chat.webhooks.replay('w', { since: '2026-01-01T00:00:00Z' });
    // @ts-expect-error from somewhere
    await chat.webhooks.replay('w', {});
    await chat.emailProviders.set({ provider_config: { provider_type: 'postmark', server_token: 't' }, default_from_email: 'a@b.c' });
    // @ts-expect-error each provider has its own fields
    await chat.emailProviders.set({ provider_config: { provider_type: 'postmark', api_key: 't' }, default_from_email: 'a@b.c' });
    return page.pagination.total + notification.content;
  }

  export function listen(socket: ChatSocket): () => void {
    socket.on('message', ({ sender_name, content }, frame: SocketFrame<'message'>) => [sender_name, content, frame.room_id]);
    socket.on('state', ({ state, end }) => state === 'closed' && end?.code);
    // @ts-expect-error no such event
    socket.on('gone', () => {});
    // @ts-expect-error typing has no content
    return socket.on('typing', ({ content }) => content);
  }

  export function told(error: unknown): string | undefined {
    if (!(error instanceof ChatAPIError)) throw error;
    const status: number | undefined = error.status;
    return [error.code, status, ...(error.errors ?? []).map(({ field, message }) => field + message)].join();
  }
  export const error: Error = new ChatAPIError('text', 'CODE', 400, [], { cause: 1 });
  export const given = (WebSocket: new (url: string) => WebSocketLike) => new ChatAPI('k', { WebSocket }).connect();
`;

for (const resolution of resolutions) {
  t.test(`the types hold under ${resolution.moduleResolution} resolution`, async (t) => {
    t.equal(await typeCheck(folder, resolution, [{ name: 'consumer', text: consumer }]), '');
  });
}
