/** `@messagejs/client` on the web platform alone: for bundlers, browser modules and runtimes other than Node. */
import { createClient } from './client.ts';
import { MessageJSError } from './error.ts';
import { webUuid } from './uuid.ts';

const messagejs = createClient(webUuid);
({ messagejs, MessageJSError }) satisfies typeof import('./public.d.ts');

export { MessageJSError, messagejs };
