/** How to talk to `bare-ws.ts`: rooms and places in them stand in the URL. */
import type { Wire } from './target.ts';

export function wire(): Wire {
  return {
    upgrade: ({ room }, after) => ({
      path: `/open?room=${room}${after === null ? '' : `&after=${after}`}`,
      headers: {},
    }),
    greeting: () => null,
    isWelcome: (text) => text.startsWith('{"type":"welcome"'),
    post: (room, text) => ({
      path: '/post',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ room, text }),
    }),
    frame: () => {
      throw new Error('the bare process sends frames of the other server');
    },
    // A frame says which of its room it is only by its text: sockets count.
    position: () => null,
    shutdown: parseShutdown,
  };
}

/** Reads `{type: 'shutdown', reconnectAfterMs, position}`. */
export function parseShutdown(text: string): { reconnectAfterMs: number; position: string } | null {
  if (!text.startsWith('{"type":"shutdown"')) return null;
  return JSON.parse(text) as { reconnectAfterMs: number; position: string };
}
