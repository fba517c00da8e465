/** The build for script tags: sets the globals `ChatAPI` and `ChatAPIError`. */
import { ChatAPI, ChatAPIError } from './web.ts';

Object.assign(globalThis, { ChatAPI, ChatAPIError });
