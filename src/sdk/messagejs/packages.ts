/**
 * The packages that the MessageJS SDK is published as: `@messagejs/client`, and `messagejs-client` (the name in the seed's
 * install command), which re-exports it.
 *
 * In Node, ESM and CJS importers share one instance (`node.mjs` only re-exports `node.cjs`), so that an `init` in one kind of
 * module holds for the other, and `instanceof MessageJSError` is true across both.
 */
import type { Sdk, SdkPackage } from '../package.ts';

const typesMts = './index.d.mts';
const typesCts = './index.d.cts';

const client: SdkPackage = {
  name: '@messagejs/client',
  description: 'Sends templated WhatsApp, Telegram and SMS messages by the MessageJS API',
  readme: 'README.client.md',
  bundles: [
    { entry: 'node.ts', file: 'node.cjs', format: 'cjs', platform: 'node' },
    { entry: 'web.ts', file: 'index.cjs', format: 'cjs', platform: 'neutral' },
    { entry: 'web.ts', file: 'index.mjs', format: 'esm', platform: 'neutral' },
    { entry: 'global.ts', file: 'messagejs.js', format: 'iife', platform: 'browser', minify: true },
  ],
  copies: { 'index.d.mts': 'public.d.ts', 'index.d.cts': 'public.d.ts' },
  texts: { 'node.mjs': "export { MessageJSError, messagejs } from './node.cjs';\n" },
  manifest: {
    sideEffects: ['./messagejs.js'],
    main: './index.cjs',
    module: './index.mjs',
    types: typesCts,
    unpkg: './messagejs.js',
    jsdelivr: './messagejs.js',
    exports: {
      '.': {
        node: {
          import: { types: typesMts, default: './node.mjs' },
          require: { types: typesCts, default: './node.cjs' },
        },
        import: { types: typesMts, default: './index.mjs' },
        require: { types: typesCts, default: './index.cjs' },
      },
      './messagejs.js': './messagejs.js',
      './package.json': './package.json',
    },
  },
};

const reexport = "export * from '@messagejs/client';\n";

const alias: SdkPackage = {
  name: 'messagejs-client',
  description: 'Another name for @messagejs/client',
  readme: 'README.messagejs-client.md',
  bundles: [],
  copies: {},
  texts: {
    'index.mjs': reexport,
    'index.cjs': "module.exports = require('@messagejs/client');\n",
    'index.d.mts': reexport,
    'index.d.cts': reexport,
  },
  dependsOn: [client.name],
  manifest: {
    sideEffects: false,
    main: './index.cjs',
    module: './index.mjs',
    types: typesCts,
    exports: {
      '.': {
        import: { types: typesMts, default: './index.mjs' },
        require: { types: typesCts, default: './index.cjs' },
      },
      './package.json': './package.json',
    },
  },
};

export const messagejs: Sdk = {
  folder: 'messagejs',
  packages: [client, alias],
  browserFile: '@messagejs/client/messagejs.js',
};
