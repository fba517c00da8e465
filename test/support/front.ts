/**
 * One address before several processes, as a set-up has it: requests to upgrade and for event streams go to the gateways,
 * the rest to the APIs, each kind in turn. Where a process refuses the connection the answer is 502.
 */
import { type ClientRequest, createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Test } from 'tap';

/** Ports of loopback. */
export interface FrontTargets {
  readonly api: readonly number[];
  readonly gateway: readonly number[];
}

/** Listens until the test ends; answers its address. */
export async function startFront(test: Test, targets: FrontTargets): Promise<string> {
  const turns = { api: 0, gateway: 0 };
  const open = (from: IncomingMessage, kind: keyof FrontTargets, onOpen: (to: ClientRequest) => void): void => {
    const ports = targets[kind];
    const port = ports[turns[kind]++ % ports.length] as number;
    const { method, url: path, headers } = from;
    onOpen(request({ host: '127.0.0.1', port, method, path, headers }));
  };
  const server = createServer((from, answer) => {
    const isStream = from.headers.accept?.includes('text/event-stream') ?? false;
    open(from, isStream ? 'gateway' : 'api', (to) => {
      to.on('response', (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
      });
      to.on('error', () => answer.headersSent || answer.writeHead(502).end());
      answer.on('close', () => to.destroy());
      from.pipe(to);
    });
  });
  server.on('upgrade', (from: IncomingMessage, socket: Socket, head: Buffer) => {
    open(from, 'gateway', (to) => {
      to.on('upgrade', (got, behind, first) => {
        const lines = [`HTTP/1.1 101 ${got.statusMessage}`];
        for (let i = 0; i < got.rawHeaders.length; i += 2) lines.push(`${got.rawHeaders[i]}: ${got.rawHeaders[i + 1]}`);
        socket.write(`${lines.join('\r\n')}\r\n\r\n`);
        socket.write(first);
        behind.write(head);
        behind.pipe(socket).pipe(behind);
        for (const end of [socket, behind]) end.on('error', () => [socket, behind].map((each) => each.destroy()));
      });
      to.on('response', () => socket.destroy());
      to.on('error', () => socket.destroy());
      to.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
