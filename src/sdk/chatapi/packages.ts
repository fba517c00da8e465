/**
 * The package that the ChatAPI SDK is published as. In Node, ESM and CJS importers share one instance (`node.mjs` only
 * re-exports `node.cjs`), so that `instanceof ChatAPIError` is true across both.
 */
import type { Sdk, SdkPackage } from '../package.ts';

const typesMts = './index.d.mts';
const typesCts = './index.d.cts';

const sdk: SdkPackage = {
  name: '@chatapi/sdk',
  description: 'Rooms, messages, notifications and webhooks by the ChatAPI API, and its socket',
  readme: 'README.md',
  bundles: [
    { entry: 'node.ts', file: 'node.cjs', format: 'cjs', platform: 'node' },
    { entry: 'web.ts', file: 'index.cjs', format: 'cjs', platform: 'neutral' },
    { entry: 'web.ts', file: 'index.mjs', format: 'esm', platform: 'neutral' },
    { entry: 'global.ts', file: 'chatapi.js', format: 'iife', platform: 'browser', minify: true },
  ],
  copies: {
    'index.d.mts': 'public.d.ts',
    'index.d.cts': 'public.d.ts',
    'shapes.d.ts': 'shapes.d.ts',
    'socket.d.ts': 'socket.d.ts',
  },
  texts: { 'node.mjs': "export { ChatAPI, ChatAPIError } from './node.cjs';\n" },
  manifest: {
    sideEffects: ['./chatapi.js'],
    main: './index.cjs',
    module: './index.mjs',
    types: typesCts,
    unpkg: './chatapi.js',
    jsdelivr: './chatapi.js',
    exports: {
      '.': {
        node: {
          import: { types: typesMts, default: './node.mjs' },
          require: { types: typesCts, default: './node.cjs' },
        },
        import: { types: typesMts, default: './index.mjs' },
        require: { types: typesCts, default: './index.cjs' },
      },
      './chatapi.js': './chatapi.js',
      './package.json': './package.json',
    },
  },
};

export const chatapi: Sdk = { folder: 'chatapi', packages: [sdk], browserFile: '@chatapi/sdk/chatapi.js' };
