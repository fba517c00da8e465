/**
 * The reference, a process of its own: bare `ws` on a bare HTTP server. Each POST is broadcast to the sockets of its room,
 * as the very bytes that the measured server would send, and kept in memory for who resumes; nothing is stored. Forked; says
 * `{port}` when it listens, drains when it is told `drain`.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Wire } from './target.ts';

const { file, data, keep } = JSON.parse(process.argv[2] ?? '{}') as { file: string; data: unknown; keep: boolean };
const { wire: makeWire } = (await import(file)) as { wire(data: unknown): Wire };
const wire = makeWire(data);

interface Room {
  readonly sockets: Set<WebSocket>;
  /** Frames since the start. */
  readonly frames: Buffer[];
  posted: number;
}

const rooms = new Map<number, Room>();

function room(number: number): Room {
  let found = rooms.get(number);
  if (found === undefined) {
    found = { sockets: new Set(), frames: [], posted: 0 };
    rooms.set(number, found);
  }
  return found;
}

const http = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const { room: number, text } = JSON.parse(Buffer.concat(chunks).toString()) as { room: number; text: string };
    const to = room(number);
    to.posted++;
    const frame = Buffer.from(wire.frame(number, to.posted, text));
    if (keep) to.frames.push(frame);
    for (const socket of to.sockets) socket.send(frame, { binary: false });
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end('{"ok":true}');
  });
});
// Longer than a measurement: connections for posts are kept while others are used.
http.keepAliveTimeout = 120_000;
const sockets = new WebSocketServer({ server: http });
sockets.on('connection', (socket, request) => {
  const query = new URL(request.url ?? '', 'http://x').searchParams;
  const at = room(Number(query.get('room')));
  const after = query.get('after');
  socket.send(JSON.stringify({ type: 'welcome', position: String(at.posted) }));
  if (after !== null) for (const frame of at.frames.slice(Number(after))) socket.send(frame, { binary: false });
  at.sockets.add(socket);
  socket.on('close', () => at.sockets.delete(socket));
  socket.on('error', () => {});
});
http.listen({ host: '127.0.0.1', port: 0, backlog: 4_096 }, () => {
  process.send?.({ port: (http.address() as AddressInfo).port });
});
process.on('message', (message) => {
  if (message !== 'drain') return;
  for (const { sockets: all, posted } of rooms.values()) {
    for (const socket of all) {
      const reconnectAfterMs = Math.floor(Math.random() * 3_001);
      socket.send(JSON.stringify({ type: 'shutdown', reconnectAfterMs, position: String(posted) }));
      socket.close(1001);
    }
  }
});
process.on('disconnect', () => process.exit(0));
