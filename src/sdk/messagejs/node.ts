/** `@messagejs/client` in Node. Node 18 has no global `crypto`, hence an entry of its own. */
import { randomUUID } from 'node:crypto';
import { createClient } from './client.ts';
import { MessageJSError } from './error.ts';

const messagejs = createClient(randomUUID);
({ messagejs, MessageJSError }) satisfies typeof import('./public.d.ts');

export { MessageJSError, messagejs };
