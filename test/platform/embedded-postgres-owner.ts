/**
 * A process that owns an embedded Postgres, for tests that kill it: `node embedded-postgres-owner.ts <data directory>`.
 * Tells what happens as JSON lines on its standard output; stops at the line `stop` on its standard input. SIGTERM and
 * SIGINT are told, and survived.
 */
import { createInterface } from 'node:readline';
import { startEmbeddedPostgres } from '../../src/platform/embedded-postgres.ts';

const tell = (event: string, fields: object = {}) => console.log(JSON.stringify({ event, ...fields }));
const dataDir = process.argv[2];
if (dataDir === undefined) throw new Error('which data directory?');

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => tell('signal', { signal }));
const quiet = () => {};
try {
  const postgres = await startEmbeddedPostgres({ dataDir, log: { info: quiet, warn: quiet, error: quiet } });
  postgres.onDown(({ reason }) => tell('down', { reason }));
  postgres.onUp(() => tell('up', { pid: postgres.pid }));
  const { url, pid } = postgres;
  tell('ready', { url, pid, dataDir: postgres.dataDir, owner: process.pid });
  for await (const line of createInterface({ input: process.stdin })) if (line === 'stop') break;
  await postgres.stop();
  tell('stopped');
} catch (error) {
  tell('failed', { name: error instanceof Error ? error.name : '', message: String(error) });
}
process.exit();
