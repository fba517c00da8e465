/** A web site of its own origin, for pages that load an SDK. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

/** Serves a page with this head, and a script at `/sdk.js` where one is given. Answers the port. */
export async function startSite(t: Test, head: string, sdk?: Uint8Array): Promise<number> {
  const server = createServer((request, response) => {
    const isSdk = sdk !== undefined && request.url === '/sdk.js';
    response.writeHead(200, { 'Content-Type': isSdk ? 'text/javascript' : 'text/html; charset=utf-8' });
    response.end(isSdk ? sdk : `<!doctype html><title>Site</title>${head}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
