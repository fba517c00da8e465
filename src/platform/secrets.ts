/**
 * The secrets of an installation: what signs tokens, seals credentials and spells ids.
 *
 * Embedded, those that the environment does not give are made once and kept in `secrets.json` in `PARLEY_DATA`, readable by
 * the owner alone: it belongs to the backup of the data. The environment wins where it gives one.
 * The database keeps fingerprints, from which no key can be computed: a start with keys that do not fit its data is refused
 * before anything is written under them.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { z } from 'zod';
import { type Config, ConfigError } from './config.ts';
import { keyOf } from './config-values.ts';
import { keyId } from './crypto.ts';
import type { Migration } from './migrate.ts';

/** All secrets. */
export interface Secrets {
  readonly jwtSecret: string;
  /** The first seals, all open; 32 bytes each. */
  readonly encryptionKeys: readonly Buffer[];
  /** 32 bytes, the same for ever. */
  readonly idKey: Buffer;
  /** The file that holds those which the environment does not give; null when it gives all. */
  readonly file: string | null;
}

const keyText = z.string().refine((text) => keyOf(text) !== undefined);
const secretsFile = z.object({
  JWT_SECRET: z.string().min(32).optional(),
  ENCRYPTION_KEY: keyText.optional(),
  ID_KEY: keyText.optional(),
});
type SecretsFile = z.infer<typeof secretsFile>;

/**
 * The secrets of a configuration; makes the ones that are nowhere yet, durably, before they are used.
 *
 * @throws ConfigError when `secrets.json` cannot be read, written or understood, or a secret is missing with DATABASE_URL
 */
export function loadSecrets(config: Pick<Config, 'secrets' | 'storage'>): Secrets {
  const { jwtSecret, encryptionKeys, idKey } = config.secrets;
  if (jwtSecret !== null && encryptionKeys !== null && idKey !== null)
    return { jwtSecret, encryptionKeys, idKey, file: null };
  if (config.storage.databaseUrl !== null)
    throw new ConfigError('JWT_SECRET, ENCRYPTION_KEY and ID_KEY are required with DATABASE_URL');
  const file = join(config.storage.dataDir, 'secrets.json');
  const kept = completed(file, (found) => ({
    ...(jwtSecret === null && !found.JWT_SECRET && { JWT_SECRET: randomBytes(32).toString('hex') }),
    ...(encryptionKeys === null && !found.ENCRYPTION_KEY && { ENCRYPTION_KEY: randomBytes(32).toString('hex') }),
    ...(idKey === null && !found.ID_KEY && { ID_KEY: randomBytes(32).toString('hex') }),
  }));
  return {
    jwtSecret: jwtSecret ?? (kept.JWT_SECRET as string),
    encryptionKeys: encryptionKeys ?? [keyOf(kept.ENCRYPTION_KEY as string) as Buffer],
    idKey: idKey ?? (keyOf(kept.ID_KEY as string) as Buffer),
    file,
  };
}

/** What the file holds, with what was missing in it. */
function completed(file: string, missing: (found: SecretsFile) => SecretsFile): SecretsFile {
  try {
    const found = readSecrets(file);
    const made = missing(found ?? {});
    if (Object.keys(made).length === 0) return found ?? {};
    if (writeSecrets(file, { ...found, ...made }, found === null)) return { ...found, ...made };
    // Another process was quicker: its secrets count.
    return completed(file, missing);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`${file} cannot be used: ${(error as Error).message}`);
  }
}

function readSecrets(file: string): SecretsFile | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  // Whoever restored it from a backup may have opened it to others.
  if (process.platform !== 'win32') chmodSync(file, 0o600);
  const parsed = secretsFile.safeParse(jsonOf(text));
  if (!parsed.success) throw new ConfigError(`${file} is damaged: restore it from the backup of the data`);
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Writes the file whole and durably.
 * @returns false, and nothing is changed, when it was to be new and is there already
 */
function writeSecrets(file: string, secrets: SecretsFile, isNew: boolean): boolean {
  mkdirSync(dirname(file), { recursive: true });
  const beside = `${file}.${process.pid}.tmp`;
  rmSync(beside, { force: true });
  const handle = openSync(beside, 'wx', 0o600);
  try {
    writeSync(handle, `${JSON.stringify(secrets, null, 2)}\n`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  try {
    if (isNew) linkSync(beside, file);
    else renameSync(beside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(beside, { force: true });
  }
  syncDirectory(dirname(file));
  return true;
}

/** Makes a new name in a directory durable; Windows has no such call. */
function syncDirectory(directory: string): void {
  if (process.platform === 'win32') return;
  const handle = openSync(directory, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** The table of the fingerprints. */
export const secretsMigrations: readonly Migration[] = [
  {
    component: 'secrets',
    number: 1,
    sql: `
CREATE SCHEMA IF NOT EXISTS work;
CREATE TABLE work.fingerprint (
  secret text COLLATE "C", fingerprint text COLLATE "C", since timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (secret, fingerprint)
);
CREATE UNIQUE INDEX one_id_key ON work.fingerprint (secret) WHERE secret = 'id key';
COMMENT ON TABLE work.fingerprint IS
  'Which keys the data was written under: of the id key one, of the encryption keys each that ever sealed. No key can be computed from it.';
`,
  },
];

/** The keys of this start are not those that the database was written under. The message is one line. */
export class WrongSecretsError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WrongSecretsError';
  }
}

/**
 * Compares the keys with the fingerprints in the database, and notes those of a first start or a new sealing key.
 * The database must have been migrated (`secretsMigrations`).
 *
 * @throws WrongSecretsError when the id key is another one, or a key that sealed is not among the encryption keys; nothing
 *   is noted then
 */
export async function checkSecrets(url: string, { idKey, encryptionKeys, file }: Secrets): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'parley-secrets' });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query(
      `INSERT INTO work.fingerprint (secret, fingerprint) VALUES ('id key', $1), ('encryption key', $2) ON CONFLICT DO NOTHING`,
      [idFingerprint(idKey), keyId(encryptionKeys[0] as Buffer)],
    );
    const { rows } = await client.query<{ secret: string; fingerprint: string }>(
      'SELECT secret, fingerprint FROM work.fingerprint ORDER BY since',
    );
    const of = (secret: string) => rows.filter((row) => row.secret === secret).map((row) => row.fingerprint);
    const where = file === null ? 'the environment' : `the environment or ${file}`;
    if (!of('id key').includes(idFingerprint(idKey)))
      throw new WrongSecretsError(
        `ID_KEY is not the one that this database was made with: put the right one back into ${where}`,
      );
    const present = new Set(encryptionKeys.map(keyId));
    const absent = of('encryption key').filter((id) => !present.has(id));
    if (absent.length > 0)
      throw new WrongSecretsError(
        `ENCRYPTION_KEY lacks a key that this database was sealed with (${absent.join(', ')}): ` +
          `put it back into ${where}, behind the current one if that is new`,
      );
    await client.query('COMMIT');
  } finally {
    // Ends an open transaction too.
    await client.end();
  }
}

function idFingerprint(key: Buffer): string {
  return createHash('sha256').update('parley id key').update(key).digest('hex').slice(0, 32);
}
