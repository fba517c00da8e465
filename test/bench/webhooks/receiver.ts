/**
 * The receiver of both sides, a process of its own: answers 200 to every request, on raw sockets, so that it is not the limit.
 * Forked; says `{port}` when it listens. Told `{reset: n}` it forgets what it counted and, when the n-th request from then has
 * come, says `{done: {ms, connections, cpuMs, latenciesMs}}`: the time from the first to the last, and how old each event was.
 */
import { type AddressInfo, createServer } from 'node:net';

const answer = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
const headEnd = Buffer.from('\r\n\r\n');

let wanted = Number.POSITIVE_INFINITY;
let count = 0;
let firstAt = 0;
let cpu = process.cpuUsage();
let looks = false;
let latenciesMs: number[] = [];
const connections = new Set<object>();

function came(body: Buffer, socket: object): void {
  if (count === 0) {
    firstAt = performance.now();
    cpu = process.cpuUsage();
  }
  count++;
  connections.add(socket);
  if (looks) {
    const { created_at: createdAt } = JSON.parse(body.toString()) as { created_at: string };
    latenciesMs.push(Date.now() - Date.parse(createdAt));
  }
  if (count !== wanted) return;
  const { user, system } = process.cpuUsage(cpu);
  const done = {
    ms: performance.now() - firstAt,
    connections: connections.size,
    cpuMs: (user + system) / 1_000,
    latenciesMs,
  };
  process.send?.({ done });
}

const server = createServer((socket) => {
  socket.setNoDelay(true);
  let rest: Buffer = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const head = rest.indexOf(headEnd);
      if (head < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(rest.toString('latin1', 0, head))?.[1] ?? 0);
      const end = head + headEnd.length + length;
      if (rest.length < end) return;
      came(rest.subarray(head + headEnd.length, end), socket);
      socket.write(answer);
      rest = rest.subarray(end);
    }
  });
});

process.on('message', (told: { reset: number; looks?: boolean }) => {
  wanted = told.reset;
  count = 0;
  looks = told.looks === true;
  latenciesMs = [];
  connections.clear();
  process.send?.({ reset: true });
});
process.on('disconnect', () => process.exit(0));
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
