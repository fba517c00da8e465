/**
 * The log on Postgres as the two threads of one process have it: logs are opened in pairs, each of which tells the other what
 * it appended. The port's conformance suite holds for them as for any other.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import pg from 'pg';
import t from 'tap';
import { codec } from '../../../schemas/index.ts';
import { logMigrations } from '../../../src/log/migrations.ts';
import { openPostgresLog } from '../../../src/log/postgres.ts';
import { migrate } from '../../../src/platform/migrate.ts';
import { testDatabase } from '../../support/postgres.ts';
import type { LogAdapter } from './adapter.ts';
import { logConformance } from './log-suite.ts';

const template = { name: 'log', build: (url: string) => migrate(url, logMigrations) };

/** Ends of channels: every second log is opened at the other end of the one before. */
function pairs(): () => MessagePort {
  let spare: MessagePort | null = null;
  return () => {
    if (spare) {
      const port = spare;
      spare = null;
      return port;
    }
    const { port1, port2 } = new MessageChannel();
    spare = port2;
    return port1;
  };
}

const paired: LogAdapter = {
  name: 'Postgres, in pairs',
  async fresh(test) {
    const { url } = await testDatabase(test, { template });
    const port = pairs();
    const address = { host: new URL(url).hostname, port: Number(new URL(url).port) };
    return {
      target: { adapter: 'postgres', url },
      address,
      // Threads of one process know the same events.
      open: (own) => openPostgresLog({ url, codec: own ?? codec, ...(own ? {} : { peer: port() }) }),
      openThrough({ host, port: through }) {
        const way = new URL(url);
        way.host = `${host}:${through}`;
        return openPostgresLog({ url: way.href, codec, flushTimeoutMs: 500, peer: port() });
      },
      async breakConnections() {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        await client.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
        );
        await client.end();
      },
    };
  },
};

await logConformance(t, paired);
