import { randomBytes } from 'node:crypto';
import { type Config, loadConfig } from '../../src/platform/config.ts';

/** Known to tests that forge tokens. */
export const jwtSecret = 'a secret of thirty-two characters or more';

/** The configuration of a product in process, with keys of its own, at a free port, and these variables. */
export function testConfig(databaseUrl: string, variables: Readonly<Record<string, string>>): Config {
  return loadConfig({
    DATABASE_URL: databaseUrl,
    JWT_SECRET: jwtSecret,
    ENCRYPTION_KEY: randomBytes(32).toString('hex'),
    ID_KEY: randomBytes(32).toString('hex'),
    PORT: '0',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'fatal',
    SHUTDOWN_TIMEOUT: '1s',
    ...variables,
  });
}
