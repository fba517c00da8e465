/** Starts `chat-server.ts` on a Postgres of its own. */
import { startTestPostgres } from '../../support/postgres-server.ts';
import { forkTarget } from './fork.ts';
import type { Target } from './target.ts';

export async function startTarget(): Promise<Target> {
  const postgres = await startTestPostgres();
  const child = await forkTarget('./chat-server.ts', [postgres.url]);
  return {
    name: 'the hub, with the dialect of its tests',
    pid: child.pid,
    port: child.port,
    postgresPid: null,
    async prepare(population) {
      const answer = await fetch(`http://127.0.0.1:${child.port}/prepare`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(population),
      });
      return { file: new URL('./chat-wire.ts', import.meta.url).href, data: await answer.json() };
    },
    drain: () => child.tell('drain'),
    async stop() {
      await child.stop();
      await postgres.stop();
    },
  };
}
