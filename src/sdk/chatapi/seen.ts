import type { SocketFrame } from './public.d.ts';

/** Frames remembered: a resume repeats what came after the last position, and the API may queue 1,000 things. */
const maxSeen = 4_096;

/** Knows which frames came before: after a loss some come twice. */
export class Seen {
  readonly #names = new Set<string>();

  /** True the first time. */
  isNew(frame: SocketFrame): boolean {
    const name = nameOf(frame);
    if (name === null) return true;
    if (this.#names.has(name)) return false;
    this.#names.add(name);
    if (this.#names.size > maxSeen) for (const oldest of this.#names) return this.#names.delete(oldest);
    return true;
  }
}

/** What makes a frame the same as another; null for what is of its moment alone. */
function nameOf({ type, room_id: room, data }: SocketFrame): string | null {
  const { id, user_id: user, message_id: message, edited_at, joined_at, left_at } = data as Record<string, unknown>;
  switch (type) {
    case 'message':
    case 'message_updated':
    case 'message_deleted':
    case 'notification':
      return [type, room, id, edited_at].join('/');
    case 'messages_read':
    case 'user_joined':
    case 'user_left':
      return [type, room, user, message, joined_at, left_at].join('/');
    default:
      return null;
  }
}
