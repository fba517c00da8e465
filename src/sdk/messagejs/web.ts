/** `@messagejs/client` on the web platform alone: for bundlers, browser modules and runtimes other than Node. */

import { webUuid } from '../shared/uuid.ts';
import { createClient } from './client.ts';
import { MessageJSError } from './error.ts';

const messagejs = createClient(webUuid);
({ messagejs, MessageJSError }) satisfies typeof import('./public.d.ts');

export { MessageJSError, messagejs };
