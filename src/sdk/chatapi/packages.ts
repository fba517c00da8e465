/** The package that the ChatAPI SDK is published as. */
import { clientPackage } from '../client-package.ts';
import type { Sdk } from '../package.ts';

const sdk = clientPackage({
  name: '@chatapi/sdk',
  description: 'Rooms, messages, notifications and webhooks by the ChatAPI API, and its socket',
  readme: 'README.md',
  exports: ['ChatAPI', 'ChatAPIError'],
  script: 'chatapi.js',
  declarations: ['public-shapes.d.ts', 'public-outgoing.d.ts', 'public-socket.d.ts'],
});

export const chatapi: Sdk = { folder: 'chatapi', packages: [sdk], browserFile: '@chatapi/sdk/chatapi.js' };
