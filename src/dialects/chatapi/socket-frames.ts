/** Frames of the socket (sheet, section 12): JSON texts `{type, data}`, to clients with `timestamp`, `position`, `room_id`. */
import { z } from 'zod';
import { WireError, wireError } from './errors.ts';
import { iso } from './routes.ts';
import * as wire from './wire.ts';

/** A frame of a client. */
export interface ClientFrame {
  readonly type: string;
  /** An object, whatever came. */
  readonly data: Readonly<Record<string, unknown>>;
  /** What stands beside `type` and `data`: what an auth frame says. */
  readonly top: Readonly<Record<string, unknown>>;
}

/** Types of the frames that we send. */
export type ServerType =
  | 'connection_status'
  | 'message'
  | 'message_updated'
  | 'message_deleted'
  | 'messages_read'
  | 'user_joined'
  | 'user_left'
  | 'typing'
  | 'notification'
  | 'online_users'
  | 'pong'
  | 'error'
  | 'server.shutdown';

const idField = wire.readBodyOf.shape.message_id;

/** What clients say in `data`, by type. `send_message` has the body of the request. */
export const clientData = {
  typing: z.object({
    is_typing: z.boolean({ error: 'Must be true or false' }),
    room_id: idField.optional(),
  }),
  get_online_users: z.object({ room_id: idField.nullish() }),
  join_room: z.object({ room_id: idField }),
  leave_room: z.object({ room_id: idField }),
  mark_messages_read: z.object({ room_id: idField, message_id: idField }),
} as const;

/** Reads a frame; null for what is no JSON object with a type. */
export function readFrame(text: string): ClientFrame | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const { type, data = {}, ...top } = objectOf(value);
  if (typeof type !== 'string' || !isObject(data)) return null;
  return { type, data, top };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectOf(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}

/** Where and when a frame belongs. `at` is milliseconds since the epoch, `position` everything up to which was sent. */
export interface Place {
  readonly at: number;
  readonly position: string;
  /** As the wire spells it. */
  readonly room?: string | undefined;
}

/** Spells a frame for clients. */
export function spellFrame(type: ServerType, data: object, { at, position, room }: Place): string {
  return JSON.stringify({ type, data, timestamp: iso(at), ...(room !== undefined && { room_id: room }), position });
}

/** What clients are told of a refusal, in `data` of an `error` frame. */
export function errorData({ code, message, errors, headers }: WireError, now: number): object {
  const [problem] = errors ?? [];
  const retryAfter = headers['retry-after'];
  return {
    code,
    message: problem === undefined ? message : `${problem.field}: ${problem.message}`,
    timestamp: iso(now),
    ...(retryAfter !== undefined && { retry_after: Number(retryAfter) }),
  };
}

/** Largest position there can be: those of Postgres's bigint. */
const maxPosition = 2n ** 63n - 1n;

/** The position that `after` names; null for what is none. */
export function readPosition(given: unknown): bigint | null {
  const text = typeof given === 'number' ? String(given) : given;
  if (typeof text !== 'string' || !/^\d{1,19}$/.test(text)) return null;
  const position = BigInt(text);
  return position <= maxPosition ? position : null;
}

/** A refusal of a frame that is none, or of a type that there is none of. */
export function badFrame(message: string): WireError {
  return new WireError('BAD_REQUEST', message);
}

/** Whether an error says that storage is away, and nothing else. */
export function isAway(error: unknown): boolean {
  return wireError(error, 0).code === 'SERVICE_UNAVAILABLE';
}
