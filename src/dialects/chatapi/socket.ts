import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Context } from './context.ts';
import { presentedKey } from './credentials.ts';
import { WireError } from './errors.ts';
import { queryOf } from './reading.ts';
import { addRoute } from './routes.ts';
import type { Opening } from './socket-opening.ts';
import { SocketPeer } from './socket-peer.ts';

const description = `An upgrade to a WebSocket. Frames are JSON texts \`{"type","data"}\`; those of the server carry \`timestamp\`, \`position\`
and, where there is one, \`room_id\`. The key comes with the upgrade (header or \`token\`) or in the first frame,
\`{"type":"auth","token"}\`, within 10 s; what stands in the query may stand there. Then \`connection_status\`, whose
\`online_users\` names 100 at most, and what happens in the user's rooms: \`message\`, \`message_updated\`, \`message_deleted\`,
\`messages_read\`, \`user_joined\`, \`user_left\`, \`typing\`, \`notification\`. Clients send \`send_message\`,
\`typing\`, \`mark_messages_read\`, \`join_room\`, \`leave_room\`, \`get_online_users\`, \`ping\`.
Closed with 4001 (no valid key, or it has ended), 4002 (room not found), 4003 (no access to the room), 4004 (too many connections),
4008 (too slow), 1001 (going away); after the last two, come back with \`after\`, the last position.`;

/** The route of the socket (sheet, section 12). */
export function socketRoute(app: FastifyInstance, context: Context, opening: Opening): void {
  addRoute(app, context, {
    method: 'GET',
    path: '/websocket/open',
    summary: 'Open a WebSocket',
    description,
    tags: ['WebSocket'],
    access: null,
    query: z.object({
      token: z.string().optional().describe('The key, for clients that can set no header'),
      room_id: z.string().optional().describe('Only this room; else all that the user is a member of'),
      user_id: z.string().optional().describe('With a master key: whom the socket is for; else the client itself'),
      user_name: z.string().optional().describe('With a master key: the name that is shown'),
      after: z.string().optional().describe('The position to go on from'),
    }),
    answers: { 101: z.null().meta({ description: 'The socket is open' }) },
    refusals: [426],
    handler: () => {
      throw new WireError('BAD_REQUEST', 'An upgrade to a WebSocket is needed', {
        status: 426,
        headers: { upgrade: 'websocket', connection: 'upgrade' },
      });
    },
    wsHandler: (ws, request) => {
      const token = presentedKey(request.headers) ?? queryOf(request).token;
      new SocketPeer({ ws, connection: request.raw.socket }, opening, { ...queryOf(request), token });
    },
  });
}
