/**
 * The packages that the MessageJS SDK is published as: `@messagejs/client`, and `messagejs-client` (the name in the seed's
 * install command), which re-exports it.
 */
import { clientPackage } from '../client-package.ts';
import type { Sdk, SdkPackage } from '../package.ts';

const client = clientPackage({
  name: '@messagejs/client',
  description: 'Sends templated WhatsApp, Telegram and SMS messages by the MessageJS API',
  readme: 'README.client.md',
  exports: ['MessageJSError', 'messagejs'],
  script: 'messagejs.js',
});

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
    types: './index.d.cts',
    exports: {
      '.': {
        import: { types: './index.d.mts', default: './index.mjs' },
        require: { types: './index.d.cts', default: './index.cjs' },
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
