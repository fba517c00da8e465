import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { forkListening } from './children.ts';
import { LoadGenerator } from './load-control.ts';
import { keyMark, type LoadJob } from './load-job.ts';

interface Seen {
  readonly key: string;
  readonly body: string;
}

type Answer = (response: ServerResponse, seen: readonly Seen[]) => void;

async function serve(t: Test, answer: Answer): Promise<{ port: number; seen: Seen[]; server: Server }> {
  const seen: Seen[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    seen.push({ key: String(request.headers['idempotency-key']), body: Buffer.concat(chunks).toString() });
    answer(response, seen);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, seen, server };
}

function reply(response: ServerResponse, status: number, body = ''): void {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).end(body);
}

function job(port: number, rest: Partial<LoadJob> = {}): LoadJob {
  return {
    port,
    target: 'POST /somewhere',
    headers: { 'Idempotency-Key': keyMark },
    bodies: ['{"n":1}', '{"n":2}'],
    connections: 4,
    end: { requests: 200 },
    ...rest,
  };
}

t.test('the load generator', async (t) => {
  const load = new LoadGenerator();
  t.teardown(() => load.close());

  await t.test('sends as many requests as asked, each with a key of its own', async (t) => {
    const { port, seen } = await serve(t, (response) => reply(response, 202, '{}'));
    const result = await load.run(job(port));
    t.equal(result.requests, 200);
    t.equal(result.answered, 200);
    t.equal(seen.length, 200);
    t.equal(new Set(seen.map(({ key }) => key)).size, 200);
    t.ok(seen.every(({ key }) => key !== keyMark && key.length === keyMark.length));
    t.same(new Set(seen.map(({ body }) => body)), new Set(['{"n":1}', '{"n":2}']));
    t.ok(result.p50Ms > 0 && result.p99Ms >= result.p50Ms && result.maxMs >= result.p99Ms);

    await load.run(job(port));
    t.equal(new Set(seen.map(({ key }) => key)).size, 400, 'no key of another run comes again');
  });

  await t.test('patches every key of a batch, and reads long answers in pieces', async (t) => {
    const items = 3;
    const padding = 'x'.repeat(300_000);
    const { port, seen } = await serve(t, (response) => {
      const text = JSON.stringify(Array.from({ length: items }, () => ({ status: 202, padding })));
      response.writeHead(200, { 'content-length': text.length });
      response.write(text.slice(0, 100_000));
      setImmediate(() => response.end(text.slice(100_000)));
    });
    const body = JSON.stringify(Array.from({ length: items }, () => ({ idempotencyKey: keyMark })));
    await load.run(job(port, { bodies: [body], itemsPerRequest: items, end: { requests: 10 } }));
    const keys = seen.flatMap((each) =>
      (JSON.parse(each.body) as { idempotencyKey: string }[]).map((i) => i.idempotencyKey),
    );
    t.equal(new Set(keys).size, 10 * items);
  });

  await t.test('measures for a time, and tells when', async (t) => {
    const { port, seen } = await serve(t, (response) => reply(response, 202));
    const told: string[] = [];
    const result = await load.run(job(port, { end: { warmupMs: 20, durationMs: 100 } }), {
      begins: () => told.push('begins'),
      ends: () => told.push('ends'),
    });
    t.same(told, ['begins', 'ends']);
    t.ok(result.requests > 0 && result.requests <= result.answered);
    t.equal(result.answered, seen.length, 'what was under way at the end is waited for');
  });

  await t.test('fails with a sample of an answer that is not 2xx', async (t) => {
    const { port } = await serve(t, (response, seen) => reply(response, seen.length < 20 ? 202 : 503, 'no more'));
    await t.rejects(load.run(job(port)), /503[\s\S]*no more/);
  });

  await t.test('fails when an item of a batch was refused', async (t) => {
    const answer = [{ status: 202 }, { status: 429, code: 'QUOTA_EXCEEDED' }];
    const { port } = await serve(t, (response) => reply(response, 200, JSON.stringify(answer)));
    await t.rejects(load.run(job(port, { itemsPerRequest: 2 })), /QUOTA_EXCEEDED/);
  });

  await t.test('fails when a connection is cut', async (t) => {
    const { port } = await serve(t, (response, seen) => {
      if (seen.length < 20) reply(response, 202);
      else response.destroy();
    });
    await t.rejects(load.run(job(port)), /closed a connection|ECONNRESET/);
  });
});

t.test('the bare route refuses what a server would refuse by its shape', async (t) => {
  const bare = await forkListening('./bare.ts');
  t.teardown(() => bare.stop());
  const body = { to: '+49151234567', connectorId: 'conn_x', templateId: 'tpl_x', variables: {} };
  const good = {
    authorization: `Bearer pk_live_${'0'.repeat(32)}_sk_${'0'.repeat(64)}`,
    'idempotency-key': 'k',
    'content-type': 'application/json',
  };
  const ask = async (headers: Record<string, string>, what: unknown): Promise<number> => {
    const url = `http://127.0.0.1:${bare.port}/api/v1/messages`;
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(what) });
    const { messageId, status } = (await answer.json()) as { messageId?: string; status?: string };
    if (answer.status === 202) t.match({ messageId, status }, { messageId: /^msg_[0-9a-z]{24}$/, status: 'queued' });
    return answer.status;
  };
  t.equal(await ask(good, body), 202);
  t.equal(await ask({ ...good, authorization: 'Bearer nothing' }, body), 400);
  t.equal(await ask({ ...good, 'idempotency-key': '' }, body), 400);
  t.equal(await ask(good, { ...body, to: undefined }), 400);
  t.equal(await ask(good, { ...body, variables: 'none' }), 400);
});
