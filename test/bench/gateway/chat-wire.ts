/** How to talk to `chat-server.ts`. */
import { parseShutdown } from './bare-wire.ts';
import type { Wire } from './target.ts';

/** Accounts and rooms of one population begin after these. */
export interface ChatPlace {
  readonly accounts: number;
  readonly rooms: number;
}

export function wire(data: unknown): Wire {
  const { accounts, rooms } = data as ChatPlace;
  return {
    upgrade: ({ number }, after) => ({
      path: `/open?ask=${encodeURIComponent(
        JSON.stringify({ account: accounts + number + 1, name: `${number}`, ...(after !== null && { after }) }),
      )}`,
      headers: {},
    }),
    greeting: () => null,
    isWelcome: (text) => text.startsWith('{"type":"welcome"'),
    post: (room, text) => ({
      path: '/post',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ room: rooms + room, text }),
    }),
    frame: (room, nth, text) =>
      JSON.stringify({
        type: 'message',
        room: rooms + room,
        message: nth,
        text,
        own: false,
        position: String(10_000 + nth),
      }),
    position: (text) => /"position":"(\d+)"/.exec(text)?.[1] ?? null,
    shutdown: parseShutdown,
  };
}
