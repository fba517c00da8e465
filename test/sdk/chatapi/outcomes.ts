/** What calls end with, and what sockets tell. */
import { ChatAPIError } from '../../../src/sdk/chatapi/node.ts';
import type { ChatSocket, SocketEvents } from '../../../src/sdk/chatapi/public.d.ts';

/** The error that a call ends with; the test fails when it does not. */
export async function errorOf(call: PromiseLike<unknown>): Promise<ChatAPIError> {
  const outcome = await Promise.resolve(call).then(
    () => 'no error',
    (error: unknown) => error,
  );
  if (outcome instanceof ChatAPIError) return outcome;
  throw new Error(`expected a ChatAPIError, got ${String(outcome)}`);
}

/** What the next event of a type tells. */
export function next<Type extends keyof SocketEvents>(socket: ChatSocket, type: Type): Promise<SocketEvents[Type]> {
  return new Promise((resolve) => {
    const end = socket.on(type, (data) => {
      end();
      resolve(data);
    });
  });
}
