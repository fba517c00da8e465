/** `@chatapi/sdk` in Node. Node 18 has no global `crypto`, hence an entry of its own. */
import { randomUUID } from 'node:crypto';
import { chatApiClass } from './client.ts';
import { ChatAPIError } from './error.ts';

const ChatAPI = chatApiClass(randomUUID);
({ ChatAPI, ChatAPIError }) satisfies typeof import('./public.d.ts');

export { ChatAPI, ChatAPIError };
