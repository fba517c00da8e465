import type { z } from 'zod';
import { DomainError, type Keyed, type PostedMessage } from '../../commands/index.ts';
import { type Context, known, orNotFound } from './context.ts';
import type { Caller } from './credentials.ts';
import { notFound } from './errors.ts';
import { bodyOf } from './rendering.ts';

/**
 * Sends a message (sheet, section 9), for requests and sockets alike. Only a master key sends in another's name. Throws the
 * dialect's refusals and those of the rules.
 */
export async function sendMessage(
  { spelling, options }: Context,
  { actor, workspace, isMaster }: Pick<Caller, 'actor' | 'workspace' | 'isMaster'>,
  body: z.output<Context['messageBodies']['send']>,
  keyed?: Keyed,
): Promise<PostedMessage> {
  const { messages, config } = options;
  const { reply_to_id: answered, sender_id: sender, sender_name: senderName, meta = null } = body;
  const input = {
    room: known(spelling.readRoom(workspace, body.room_id), 'Room'),
    body: bodyOf(body),
    meta,
    maxTextCharacters: config.maxContentCharacters,
    ...(answered != null && { replyTo: known(spelling.readMessage(workspace, answered), 'Message') }),
    ...(isMaster && sender != null && { sender: known(spelling.readSender(workspace, sender), 'User') }),
    ...(isMaster && senderName != null && { senderName }),
  };
  return orNotFound('Room', messages.post(actor, input, keyed).catch(senderNotFound));
}

/** A sender that does not exist is no room that does not. */
function senderNotFound(error: unknown): never {
  const isSender = error instanceof DomainError && error.code === 'not-found' && error.details?.field === 'sender';
  throw isSender ? notFound('User') : error;
}
