/** The throwaway Postgres of a test run. Knows nothing of tap, so that the runner can use it. */
import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { type PostgresLog, startEmbeddedPostgres } from '../../src/platform/embedded-postgres.ts';

/** The environment variable by which a runner names its server; its user must be allowed to create databases. */
export const TEST_DATABASE_URL = 'PARLEY_TEST_DATABASE_URL';

/** Plenty of connections for many test files at once. */
const MAX_CONNECTIONS = '300';

/** A Postgres that leaves nothing behind. */
export interface TestPostgres {
  readonly url: string;
  /** Stops it and removes its data. */
  stop(): Promise<void>;
}

/** For servers whose words nobody reads; what goes wrong is thrown. */
export const silentLog: PostgresLog = { info() {}, warn() {}, error() {} };

/**
 * Starts a throwaway Postgres with an empty data directory under the system's temporary one.
 *
 * @param fsync `false` gives up durability for speed; for tests that do not ask what survives a crash.
 */
export async function startTestPostgres({ fsync = true }: { fsync?: boolean } = {}): Promise<TestPostgres> {
  const dir = temporaryDirectory();
  const settings = { max_connections: MAX_CONNECTIONS, ...(fsync ? {} : { fsync: 'off', synchronous_commit: 'off' }) };
  try {
    const postgres = await startEmbeddedPostgres({ dataDir: join(dir, 'data'), settings, log: silentLog });
    return {
      url: postgres.url,
      async stop() {
        await postgres.stop();
        removeData(dir, postgres.dataDir);
      },
    };
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}

/** A new directory that others can enter, so that as root a data directory in it need not leave it. */
export function temporaryDirectory(): string {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'parley-test-')));
  chmodSync(dir, 0o711);
  return dir;
}

/** Removes a data directory's parent `dir`, and its cluster if that had to stand elsewhere. */
export function removeData(dir: string, cluster: string): void {
  rmSync(dir, { recursive: true, force: true });
  if (relative(dir, cluster).startsWith('..')) rmSync(dirname(cluster), { recursive: true, force: true });
}
