/**
 * The reference, a process of its own: posts bodies that are signed already, over 32 connections, and stores nothing. Forked;
 * told `{port, bodies, data}` it prepares and says `{ready}`; told `{go}` it posts them all and says `{done: {cpuMs}}`.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { Pool } from 'undici';
import { proofHeaders, signer } from '../../../src/delivery/webhooks/signature.ts';

const connections = 32;

let requests: { headers: Record<string, string>; body: Buffer }[] = [];
let pool: Pool | null = null;

/** The bodies that the other side posts, with ids of their own. */
function prepare(count: number, data: object): void {
  const sign = signer(`whsec_${randomBytes(32).toString('base64')}`);
  requests = Array.from({ length: count }, (_, i) => {
    const id = `evt_${randomBytes(16).toString('hex')}`;
    const body = JSON.stringify({
      id,
      event: 'message.created',
      created_at: new Date().toISOString(),
      data,
      meta: {
        client_id: randomUUID(),
        webhook_id: randomUUID(),
        delivery_id: `del_${randomBytes(16).toString('hex')}`,
        attempt: 1,
        position: String(i),
      },
    });
    const headers = {
      'user-agent': 'bare',
      'content-type': 'application/json',
      ...proofHeaders(sign.sign(id, Date.now(), body)),
    };
    return { headers, body: Buffer.from(body, 'utf8') };
  });
}

async function post(): Promise<void> {
  const to = pool as Pool;
  let next = 0;
  const worker = async () => {
    for (let request = requests[next++]; request; request = requests[next++]) {
      const { body } = await to.request({ path: '/hook', method: 'POST', ...request });
      await body.dump();
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
}

process.on('message', async (told: { port?: number; bodies?: number; data?: object; go?: boolean }) => {
  if (told.port !== undefined && told.bodies !== undefined && told.data) {
    pool ??= new Pool(`http://127.0.0.1:${told.port}`, { connections, pipelining: 1 });
    prepare(told.bodies, told.data);
    process.send?.({ ready: true });
  }
  if (told.go) {
    const before = process.cpuUsage();
    await post();
    const { user, system } = process.cpuUsage(before);
    process.send?.({ done: { cpuMs: (user + system) / 1_000 } });
  }
});
process.on('disconnect', () => process.exit(0));
