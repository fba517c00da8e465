/** The build for script tags: sets the global `messagejs`, which carries the error class as well. */
import { MessageJSError, messagejs } from './web.ts';

Object.assign(globalThis, { messagejs: { ...messagejs, MessageJSError } });
