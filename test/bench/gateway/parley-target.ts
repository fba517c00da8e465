/** Starts `parley start`, a process of its own on the embedded Postgres, and asks it through ChatAPI. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { startServer } from '../server.ts';
import type { ParleyPlace } from './parley-wire.ts';
import { type Population, roomOf, type Target } from './target.ts';

/** Limits that would be measured in place of the server. */
const raised = {
  CHATAPI_AUTH_RATE_LIMIT: '0',
  CHATAPI_MESSAGE_RATE_LIMIT: '0',
  CHATAPI_MAX_MEMBERS: '0',
  CHATAPI_MAX_CONNECTIONS: '0',
  CHATAPI_FRAME_RATE_LIMIT: '0',
};
/** Requests under way at one time while a population is made. */
const atATime = 32;

export async function startTarget({ dir }: { readonly dir: string }): Promise<Target> {
  const server = await startServer({ dataDir: join(dir, 'data'), env: raised });
  console.log(`Limits that are off: ${Object.keys(raised).join(', ')}`);
  const agent = new Agent({ connections: atATime });
  const made = async (path: string, body: object, key?: string): Promise<Record<string, string>> => {
    const answer = await request(`${server.url}/api/v1${path}`, {
      method: 'POST',
      dispatcher: agent,
      headers: { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) },
      body: JSON.stringify(body),
    });
    const { data } = (await answer.body.json()) as { data?: Record<string, string> };
    if (data === undefined) throw new Error(`POST ${path} was answered with ${answer.statusCode}`);
    return data;
  };
  let populations = 0;
  return {
    name: 'parley start, through ChatAPI',
    pid: server.pid,
    port: server.port,
    postgresPid: server.postgresPid,
    async prepare(population) {
      const place = await populate(made, population, ++populations);
      const file = join(dir, `population-${populations}.json`);
      writeFileSync(file, JSON.stringify(place));
      return { file: new URL('./parley-wire.ts', import.meta.url).href, data: file };
    },
    async drain() {
      process.kill(server.pid, 'SIGUSR2');
    },
    async stop() {
      await agent.close();
      await server.stop();
    },
  };
}

/** A client with users, each a member of its room; a room's first user posts. */
async function populate(
  made: (path: string, body: object, key?: string) => Promise<Record<string, string>>,
  { sockets, perRoom }: Population,
  nth: number,
): Promise<ParleyPlace> {
  const master = (await made('/clients', { name: `Population ${nth}` })).master_api_key as string;
  const users = await each(sockets, async (number) => {
    const isFirst = number % perRoom === 0;
    const name = { email: `u${number}@example.com`, username: `u${number}` };
    const { id = '', scoped_api_key: key = '' } = await made(
      '/users',
      { ...name, full_name: isFirst ? 'The first of the room' : `User ${number}` },
      master,
    );
    return { id, key };
  });
  const rooms = await each(roomOf(sockets - 1, perRoom), async (index) => {
    const poster = users[index * perRoom] as { id: string; key: string };
    return { id: (await made('/rooms', { name: `Room ${index}` }, poster.key)).id ?? '', poster };
  });
  await each(sockets, async (number) => {
    if (number % perRoom === 0) return;
    const { id = '' } = rooms[roomOf(number, perRoom) - 1] ?? {};
    await made(`/rooms/${id}/join`, {}, users[number]?.key);
  });
  return { keys: users.map(({ key }) => key), rooms };
}

/** Does something so many times, several at one time. */
async function each<T>(times: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < times; index = next++) results[index] = await work(index);
  };
  await Promise.all(Array.from({ length: Math.min(atATime, times) }, worker));
  return results;
}
