import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import t, { type Test } from 'tap';
import { ConfigError, loadConfig } from '../../src/platform/config.ts';
import { migrate } from '../../src/platform/migrate.ts';
import {
  checkSecrets,
  loadSecrets,
  type Secrets,
  secretsMigrations,
  WrongSecretsError,
} from '../../src/platform/secrets.ts';
import { testDatabase } from '../support/postgres.ts';

function folder(t: Test): string {
  const made = mkdtempSync(join(tmpdir(), 'parley-secrets-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

const hex = (byte: string) => byte.repeat(32);

t.test('embedded: made once, kept for the owner alone', async (t) => {
  const dataDir = join(folder(t), 'not', 'yet');
  const config = loadConfig({ PARLEY_DATA: dataDir });
  const first = loadSecrets(config);
  const file = join(dataDir, 'secrets.json');
  t.equal(first.file, file);
  t.equal(first.idKey.length, 32);
  t.strictSame(
    first.encryptionKeys.map((key) => key.length),
    [32],
  );
  t.ok(first.jwtSecret.length >= 32);
  t.notSame(first.idKey, first.encryptionKeys[0]);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.strictSame(readdirSync(dataDir), ['secrets.json'], 'nothing beside it');
  t.strictSame(loadSecrets(config), first);
  chmodSync(file, 0o644);
  t.strictSame(loadSecrets(config), first);
  t.equal(statSync(file).mode & 0o777, 0o600, 'opened by a restore, closed again');
  t.notSame(loadSecrets(loadConfig({ PARLEY_DATA: folder(t) })).idKey, first.idKey, 'other data, other secrets');
});

t.test('embedded: the environment wins, the file has the rest', async (t) => {
  const dataDir = folder(t);
  const mixed = loadSecrets(loadConfig({ PARLEY_DATA: dataDir, ENCRYPTION_KEY: `${hex('aa')},${hex('bb')}` }));
  t.strictSame(
    mixed.encryptionKeys.map((key) => key.toString('hex')),
    [hex('aa'), hex('bb')],
  );
  const kept = JSON.parse(readFileSync(join(dataDir, 'secrets.json'), 'utf8'));
  t.strictSame(Object.keys(kept).sort(), ['ID_KEY', 'JWT_SECRET'], 'what the environment gives is not copied');
  const later = loadSecrets(loadConfig({ PARLEY_DATA: dataDir }));
  t.same(later.idKey, mixed.idKey, 'what was there stays when more is made');
  t.equal(later.jwtSecret, mixed.jwtSecret);

  const all = { JWT_SECRET: 'x'.repeat(32), ENCRYPTION_KEY: hex('aa'), ID_KEY: hex('cc') };
  const untouched = join(folder(t), 'none');
  t.match(loadSecrets(loadConfig({ PARLEY_DATA: untouched, ...all })), { file: null, jwtSecret: 'x'.repeat(32) });
  t.throws(() => statSync(untouched), { code: 'ENOENT' });
});

t.test('a file that cannot be used stops the start in one line', async (t) => {
  for (const content of ['', '{', '[]', '{"ID_KEY":"short"}', '{"JWT_SECRET":1}']) {
    const dataDir = folder(t);
    writeFileSync(join(dataDir, 'secrets.json'), content);
    t.throws(() => loadSecrets(loadConfig({ PARLEY_DATA: dataDir })), {
      name: 'ConfigError',
      message: `${dataDir}/secrets.json is damaged: restore it from the backup of the data`,
    });
    t.equal(readFileSync(join(dataDir, 'secrets.json'), 'utf8'), content, 'it is left as it is');
  }
  const dataDir = folder(t);
  mkdirSync(join(dataDir, 'secrets.json'));
  t.throws(() => loadSecrets(loadConfig({ PARLEY_DATA: dataDir })), ConfigError);
});

async function migrated(t: Test): Promise<string> {
  const { url } = await testDatabase(t);
  await migrate(url, secretsMigrations);
  return url;
}

function secrets(idKey: Buffer, ...encryptionKeys: Buffer[]): Secrets {
  return { jwtSecret: 'x'.repeat(32), idKey, encryptionKeys, file: null };
}

async function rowsOf(url: string): Promise<{ secret: string; fingerprint: string }[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query('SELECT secret, fingerprint FROM work.fingerprint ORDER BY since, 1, 2')).rows;
  } finally {
    await client.end();
  }
}

t.test('the database refuses keys that it was not made with', async (t) => {
  const url = await migrated(t);
  const [id, one, two, other] = Array.from({ length: 4 }, () => randomBytes(32)) as [Buffer, Buffer, Buffer, Buffer];
  await checkSecrets(url, secrets(id, one));
  await checkSecrets(url, secrets(id, one));
  const before = await rowsOf(url);
  t.equal(before.length, 2);

  await t.rejects(checkSecrets(url, secrets(other, one)), WrongSecretsError);
  await t.rejects(checkSecrets(url, secrets(other, one)), { message: /^ID_KEY is not the one that this database/ });
  await t.rejects(checkSecrets(url, secrets(id, two)), {
    message: /^ENCRYPTION_KEY lacks a key .*\([0-9a-f]{8}\): put it/,
  });
  t.strictSame(await rowsOf(url), before, 'a refused start leaves nothing behind');

  await checkSecrets(url, secrets(id, two, one));
  t.equal((await rowsOf(url)).length, 3, 'a new key seals from now on');
  await t.rejects(checkSecrets(url, secrets(id, two)), WrongSecretsError, 'the old one is still needed');
  await t.rejects(checkSecrets(url, secrets(id, one)), WrongSecretsError, 'and so is the new one');
  await checkSecrets(url, secrets(id, one, other, two));

  const noted = JSON.stringify(await rowsOf(url));
  for (const key of [id, one, two]) {
    t.notMatch(noted, key.toString('hex').slice(0, 12));
    t.notMatch(noted, key.toString('base64').slice(0, 12));
  }
  await t.rejects(checkSecrets(url, { ...secrets(other, one), file: '/data/secrets.json' }), {
    message: /put the right one back into the environment or \/data\/secrets\.json$/,
  });
});

t.test('of processes that start at once with different id keys only one gets in', async (t) => {
  const url = await migrated(t);
  const key = randomBytes(32);
  const starts = await Promise.allSettled(
    Array.from({ length: 6 }, () => checkSecrets(url, secrets(randomBytes(32), key))),
  );
  t.equal(starts.filter(({ status }) => status === 'fulfilled').length, 1);
  const refused = starts.filter((start) => start.status === 'rejected').map(({ reason }) => reason);
  t.ok(refused.every((reason) => reason instanceof WrongSecretsError));
});
