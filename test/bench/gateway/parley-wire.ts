/** How to talk to the real server, as ChatAPI. */
import { readFileSync } from 'node:fs';
import type { Wire } from './target.ts';

/** Whom and what a population has: its rooms, and of each socket the scoped key of its user. */
export interface ParleyPlace {
  /** Keys by the number of the socket. */
  readonly keys: readonly string[];
  /** Rooms in order; the first is room 1. */
  readonly rooms: readonly { readonly id: string; readonly poster: { readonly id: string; readonly key: string } }[];
}

const path = '/api/v1/websocket/open';
const some = '00000000-0000-8000-8000-000000000000';

/** @param data the file that a `ParleyPlace` stands in: keys of thousands do not fit an argument */
export function wire(data: unknown): Wire {
  const { keys, rooms } = JSON.parse(readFileSync(data as string, 'utf8')) as ParleyPlace;
  const roomOf = (room: number) => rooms[room - 1] as ParleyPlace['rooms'][number];
  return {
    upgrade: () => ({ path, headers: {} }),
    greeting: ({ number }, after) =>
      JSON.stringify({ type: 'auth', token: keys[number], ...(after !== null && { after }) }),
    isWelcome: (text) => text.startsWith('{"type":"connection_status"'),
    post: (room, content) => ({
      path: '/api/v1/messages',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${roomOf(room).poster.key}` },
      body: JSON.stringify({ room_id: roomOf(room).id, content }),
    }),
    frame(room, nth, content) {
      const { id, poster } = roomOf(room);
      const at = new Date().toISOString();
      const sender = { sender_id: poster.id, sender_name: 'The first of the room' };
      return JSON.stringify({
        type: 'message',
        data: { id: some, ...sender, content, message_type: 'text', meta: null, created_at: at },
        timestamp: at,
        room_id: id,
        position: String(10_000 + nth),
      });
    },
    position: (text) => /"position":"(\d+)"/.exec(text)?.[1] ?? null,
    shutdown(text) {
      if (!text.startsWith('{"type":"server.shutdown"')) return null;
      const { data: told } = JSON.parse(text) as { data: { reconnect_after_ms: number; position: string } };
      return { reconnectAfterMs: told.reconnect_after_ms, position: told.position };
    },
  };
}
