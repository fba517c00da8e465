/** `@chatapi/sdk` on the web platform alone: for bundlers, browser modules and runtimes other than Node. */
import { webUuid } from '../shared/uuid.ts';
import { chatApiClass } from './client.ts';
import { ChatAPIError } from './error.ts';

const ChatAPI = chatApiClass(webUuid);
({ ChatAPI, ChatAPIError }) satisfies typeof import('./public.d.ts');

export { ChatAPI, ChatAPIError };
