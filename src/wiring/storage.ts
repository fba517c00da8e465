/** Postgres as the server and the other commands find it: ours or the operator's, migrated. */
import { commandMigrations } from '../commands/index.ts';
import { deliveryMigrations } from '../delivery/index.ts';
import { feedMigrations } from '../feed/migrations.ts';
import { gatewayMigrations } from '../gateway/index.ts';
import { logMigrations } from '../log/migrations.ts';
import { type Config, ConfigError } from '../platform/config.ts';
import {
  openPostgres,
  type PostgresLog as PostgresLogger,
  startEmbeddedPostgres,
} from '../platform/embedded-postgres.ts';
import { migrate } from '../platform/migrate.ts';
import { isConnectionTrouble } from '../platform/postgres.ts';
import { checkSecrets, loadSecrets, type Secrets, secretsMigrations } from '../platform/secrets.ts';
import { readsideMigrations } from '../readside/index.ts';

/** A database that is up to date, and the secrets that go with it. */
export interface Storage {
  readonly url: string;
  /** Where the embedded Postgres keeps its files; null with DATABASE_URL. */
  readonly clusterDir: string | null;
  /** True when this process is the only one that works on the database. */
  readonly alone: boolean;
  readonly secrets: Secrets;
  close(): Promise<void>;
}

const migrations = [
  ...logMigrations,
  ...feedMigrations,
  ...readsideMigrations,
  ...commandMigrations,
  ...deliveryMigrations,
  ...gatewayMigrations,
  ...secretsMigrations,
];

/** For the server: starts the embedded Postgres, or uses DATABASE_URL. Throws what is wrong in one line for people. */
export async function openServerStorage(config: Config, logger: PostgresLogger): Promise<Storage> {
  const { databaseUrl, dataDir } = config.storage;
  if (databaseUrl !== null) return operators(config, databaseUrl);
  const postgres = await startEmbeddedPostgres({ dataDir, log: logger });
  return prepared(config, {
    url: postgres.url,
    clusterDir: postgres.dataDir,
    alone: true,
    close: () => postgres.stop(),
  });
}

/** For the other commands: the running server's Postgres, or one for their own duration. */
export async function openCommandStorage(config: Config, logger: PostgresLogger): Promise<Storage> {
  const { databaseUrl, dataDir } = config.storage;
  if (databaseUrl !== null) return operators(config, databaseUrl);
  const { url, borrowed, close } = await openPostgres({ dataDir, log: logger });
  return prepared(config, { url, clusterDir: null, alone: !borrowed, close });
}

async function operators(config: Config, url: string): Promise<Storage> {
  try {
    return await prepared(config, { url, clusterDir: null, alone: false, close: async () => {} });
  } catch (error) {
    if (!isConnectionTrouble(error) || !(error instanceof Error)) throw error;
    throw new ConfigError(`DATABASE_URL leads to no Postgres that answers: ${error.message}`);
  }
}

async function prepared(config: Config, storage: Omit<Storage, 'secrets'>): Promise<Storage> {
  try {
    const secrets = loadSecrets(config);
    await migrate(storage.url, migrations);
    await checkSecrets(storage.url, secrets);
    return { ...storage, secrets };
  } catch (error) {
    await storage.close();
    throw error;
  }
}
