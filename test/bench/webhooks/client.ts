/** A ChatAPI client of the measured server: one webhook, and messages posted as fast as they are taken, or at a rate. */
import { Pool } from 'undici';

const connections = 64;

/** How the client uses the server. */
export interface ChatClient {
  /** Posts messages, as fast as they are answered. */
  post(count: number): Promise<void>;
  /** Posts messages at a rate, whatever the answers take. */
  postAt(perSecond: number, seconds: number): Promise<void>;
  /** Switches the webhook on or off. */
  switch(on: boolean): Promise<void>;
  /** Deliveries that stand in the rows. */
  recorded(): Promise<number>;
  /** A message as the API answers it. */
  sample(): Promise<object>;
  close(): Promise<void>;
}

/** Registers a client on a server, with a room and a webhook for its messages. */
export async function chatClient(baseUrl: string, hook: string): Promise<ChatClient> {
  const pool = new Pool(baseUrl, { connections, pipelining: 1 });
  let key = '';
  const call = async (method: 'GET' | 'POST', path: string, body?: object) => {
    const answer = await pool.request({
      path: `/api/v1${path}`,
      method,
      headers: { ...(key !== '' && { authorization: `Bearer ${key}` }), 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    if (answer.statusCode > 299) throw new Error(`${method} ${path} was answered with ${answer.statusCode}: ${text}`);
    return (JSON.parse(text) as { data: Readonly<Record<string, unknown>> }).data;
  };
  key = String((await call('POST', '/clients', { name: 'bench' })).master_api_key);
  const { id: room } = await call('POST', '/rooms', { name: 'bench' });
  const { id: webhook } = await call('POST', '/webhooks', { url: hook, events: ['message.created'] });
  const say = () => call('POST', '/messages', { room_id: room, content: 'Hello' });
  return {
    async post(count) {
      let left = count;
      const worker = async () => {
        while (left-- > 0) await say();
      };
      await Promise.all(Array.from({ length: connections }, worker));
    },
    async postAt(perSecond, seconds) {
      const began = performance.now();
      const under: Promise<unknown>[] = [];
      for (let i = 0; i < perSecond * seconds; i++) {
        const waitMs = began + (i * 1_000) / perSecond - performance.now();
        if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
        under.push(say());
      }
      await Promise.all(under);
    },
    switch: async (on) => void (await call('POST', `/webhooks/${webhook}/${on ? 'activate' : 'deactivate'}`)),
    recorded: async () => Number((await call('GET', `/webhooks/${webhook}/analytics`)).successful_deliveries),
    sample: say,
    close: () => pool.close(),
  };
}
