import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { installPacked, resolutions, typeCheck } from '../packed.ts';
import { accepted, startServer } from '../server.ts';

const { folder, contents, runScript } = await installPacked(t, ['@messagejs/client', 'messagejs-client']);

/** Sends twice with whatever `messagejs` is: a success after a retry, and a refusal. Prints what came back. */
const main = `
  const [baseUrl] = process.argv.slice(2);
  const params = { to: '+1234567890', connectorId: 'conn_1', templateId: 'tpl_1', variables: { name: 'John' } };
  async function main(messagejs, MessageJSError) {
    const before = await messagejs.sendMessage(params).catch((error) => error.message);
    messagejs.init({ apiKey: 'pk_live_1', baseUrl, retries: 1 });
    const result = await messagejs.sendMessage(params);
    const error = await messagejs.sendMessage(params).catch((error) => error);
    const { name, message, code, status } = error;
    console.log(JSON.stringify({ before, result, error: { name, message, code, status }, ours: error instanceof MessageJSError }));
  }
`;

const kinds = {
  'main.mjs': (name: string) =>
    `import { messagejs, MessageJSError } from '${name}'; ${main} await main(messagejs, MessageJSError);`,
  'main.cjs': (name: string) =>
    `const { messagejs, MessageJSError } = require('${name}'); ${main} main(messagejs, MessageJSError);`,
  // Node 18 has no global crypto.
  'without-crypto.cjs': (name: string) =>
    `delete globalThis.crypto; const { messagejs, MessageJSError } = require('${name}'); ${main} main(messagejs, MessageJSError);`,
};

const clientFolder = './node_modules/@messagejs/client';
const cases: [file: keyof typeof kinds, name: string][] = [
  ['main.mjs', '@messagejs/client'],
  ['main.cjs', '@messagejs/client'],
  ['without-crypto.cjs', '@messagejs/client'],
  ['main.mjs', 'messagejs-client'],
  ['main.cjs', 'messagejs-client'],
  // The two that bundlers take, which Node's own resolution never picks.
  ['main.mjs', `${clientFolder}/index.mjs`],
  ['main.cjs', `${clientFolder}/index.cjs`],
];

for (const [file, name] of cases) {
  t.test(`${file} with ${name}`, async (t) => {
    const refused = { status: 404, body: { error: 'No such template', code: 'TEMPLATE_NOT_FOUND' } };
    const { origin, requests } = await startServer(t, [{ status: 503 }, accepted, refused]);
    const printed = await runScript(file, kinds[file](name), [`${origin}/api/v1`]);
    t.match(printed, {
      before: /not initialized/,
      result: accepted.body,
      error: { name: 'MessageJSError', message: 'No such template', code: 'TEMPLATE_NOT_FOUND', status: 404 },
      ours: true,
    });
    const keys = requests.map(({ headers }) => headers['idempotency-key']);
    t.match(keys[0], /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    t.equal(keys[1], keys[0], 'the retry has the same key');
    t.not(keys[2], keys[0]);
  });
}

t.test('ESM and CJS, and both package names, are one instance in Node', async (t) => {
  const printed = await runScript(
    'one.mjs',
    `import { createRequire } from 'node:module';
     import * as esm from '@messagejs/client';
     import * as alias from 'messagejs-client';
     const require = createRequire(import.meta.url);
     const all = [esm, alias, require('@messagejs/client'), require('messagejs-client')];
     console.log(JSON.stringify({
       names: all.map((one) => Object.keys(one).filter((name) => name !== 'default').sort()),
       objects: new Set(all.map(({ messagejs }) => messagejs)).size,
       classes: new Set(all.map(({ MessageJSError }) => MessageJSError)).size,
     }));`,
  );
  t.same(printed, { names: Array(4).fill(['MessageJSError', 'messagejs']), objects: 1, classes: 1 });
});

t.test('the tarballs hold what package.json names, and nothing is needed beside them', async (t) => {
  t.same(contents, {
    '@messagejs/client': [
      'LICENSE',
      'README.md',
      'index.cjs',
      'index.d.cts',
      'index.d.mts',
      'index.mjs',
      'messagejs.js',
      'node.cjs',
      'node.mjs',
      'package.json',
    ],
    'messagejs-client': [
      'LICENSE',
      'README.md',
      'index.cjs',
      'index.d.cts',
      'index.d.mts',
      'index.mjs',
      'package.json',
    ],
  });
  const manifestOf = async (name: string) =>
    JSON.parse(await readFile(join(folder, 'node_modules', name, 'package.json'), 'utf8')) as Record<string, unknown>;
  const client = await manifestOf('@messagejs/client');
  t.match(client, { license: 'MIT', engines: { node: '>=18' }, sideEffects: ['./messagejs.js'] });
  t.notOk(client.dependencies);
  const alias = await manifestOf('messagejs-client');
  t.match(alias, { license: 'MIT', sideEffects: false, dependencies: { '@messagejs/client': client.version } });
});

const consumer = `
  import { messagejs, MessageJSError } from 'PACKAGE';
  import type { MessageJSConfig, SendParams, SendResult } from 'PACKAGE';

  const config: MessageJSConfig = { apiKey: 'pk_live_1', baseUrl: 'https://example.org/api/v1', retries: 2 };
  messagejs.init(config);
  messagejs.init('pk_live_1');
  messagejs.init({ retries: 3 });
  // @ts-expect-error a config has a key
  const keyless: MessageJSConfig = { retries: 1 };
  // @ts-expect-error retries is a number
  messagejs.init({ apiKey: 'pk_live_1', retries: 'two' });
  // @ts-expect-error there are no projects in the SDK
  messagejs.init({ apiKey: 'pk_live_1', projectId: 'proj_1' });

  const params: SendParams = { to: '+1234567890', connectorId: 'conn_1', templateId: 'tpl_1', variables: { name: 'John' } };
  export async function send(): Promise<string> {
    try {
      const result: SendResult = await messagejs.sendMessage(params);
      // @ts-expect-error no such field
      result.id;
      return result.messageId + result.status;
    } catch (error) {
      if (!(error instanceof MessageJSError)) throw error;
      const code: string | undefined = error.code;
      const status: number | undefined = error.status;
      const details: Record<string, unknown> | undefined = error.details;
      return JSON.stringify([error.message, code, status, details, keyless]);
    }
  }
  // @ts-expect-error a recipient is needed
  messagejs.sendMessage({ connectorId: 'conn_1', templateId: 'tpl_1', variables: {} });
  export const error: Error = new MessageJSError('text', 'CODE', 400, {}, { cause: 1 });
`;

for (const resolution of resolutions) {
  t.test(`the types hold under ${resolution.moduleResolution} resolution`, async (t) => {
    const consumers = ['@messagejs/client', 'messagejs-client'].map((name) => ({
      name: name.replaceAll(/\W/g, '_'),
      text: consumer.replaceAll('PACKAGE', name),
    }));
    t.equal(await typeCheck(folder, resolution, consumers), '');
  });
}
