/** WebSockets of all dialects: the upgrade is registered once, routes are the dialects' (`wsHandler`). */
import type { Duplex } from 'node:stream';
import websocket from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';

/** Largest message that a peer may send, bytes; beyond it its socket is closed with 1009. */
export const maxMessageBytes = 65_536;

/**
 * Lets routes of this server be upgraded. Messages are not compressed: the gateway shares their bytes between sockets. An
 * upgrade goes through the hooks of its route first, so that what they refuse is answered as a request.
 *
 * To be called before any hook is added: only then a connection is ended whose upgrade a hook refused. What is left when the
 * server closes is cut; the gateway has said goodbye by then.
 */
export async function registerSockets(app: FastifyInstance): Promise<void> {
  const upgraded = new Set<Duplex>();
  let isClosing = false;
  // The server does not know a connection any more that was to be upgraded, and would wait for its end for ever.
  app.server.on('upgrade', (_request, connection: Duplex) => {
    if (isClosing) {
      connection.destroy();
      return;
    }
    upgraded.add(connection);
    connection.once('close', () => upgraded.delete(connection));
  });
  await app.register(websocket, {
    options: { maxPayload: maxMessageBytes, perMessageDeflate: false },
    errorHandler: (_error, socket) => socket.terminate(),
  });
  app.addHook('preClose', async () => {
    isClosing = true;
    for (const connection of upgraded) connection.destroy();
  });
}
