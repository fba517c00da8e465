import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { apiBaseUrl, ConfigError, configTable, loadConfig } from '../../src/platform/config.ts';

const hex = '0123456789abcdef'.repeat(4);
const base64 = Buffer.from(hex, 'hex').toString('base64');

/** The message of the ConfigError that an environment leads to. */
function refusal(env: Record<string, string>): string {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

t.test('an empty environment gives the defaults', async (t) => {
  const config = loadConfig({});
  t.match(config, {
    production: false,
    http: { port: 8000, host: '0.0.0.0', apiBaseUrl: null, bodyLimitBytes: 262_144, batchLimitItems: 1_000 },
    storage: { dataDir: './.parley', databaseUrl: null },
    secrets: { jwtSecret: null, encryptionKeys: null, idKey: null },
    auth: { tokenLifeMs: 7 * 86_400_000, refreshLifeMs: 30 * 86_400_000, cookieName: 'authToken' },
    limits: {
      defaultTier: 'free',
      defaultKeyPerHour: 1_000,
      keyPerHour: { free: 1_000, pro: 10_000, enterprise: 0 },
      dashboardPerMinute: { free: 100, pro: 500, enterprise: 500 },
      auth: { points: 5, windowMs: 900_000, blockMs: 900_000 },
      quotaPerMonth: { free: 1_000, pro: 10_000, enterprise: 0 },
    },
    dispatch: { retryScheduleMs: [0, 5_000, 15_000], attemptTimeoutMs: 10_000, maxAgeMs: 86_400_000, ratePerSecond: 0 },
    webhooks: {
      retryDelaysMs: [30_000, 120_000, 480_000, 1_920_000],
      attemptTimeoutMs: 30_000,
      concurrency: 256,
      concurrencyPerWebhook: 32,
    },
    notifications: { retryDelaysMs: [30_000, 120_000, 300_000] },
    outbound: { allowCidrs: [], proxy: null },
    email: { smtpPorts: [25, 465, 587, 2525], mailgunUrl: null, sesUrl: null },
    log: { level: 'info' },
  });
  t.strictSame(config.http.allowedOrigins, []);
  t.strictSame(config.warnings, []);
  t.equal(apiBaseUrl(config), 'http://localhost:8000');
  t.equal(apiBaseUrl(config, 4711), 'http://localhost:4711');
  t.strictSame(loadConfig({ PORT: '', JWT_SECRET: ' ', ALLOWED_ORIGINS: '' }), config, 'an empty value is none');
});

t.test('addresses of the log and the feed', async (t) => {
  const url = 'esdb+discover://u:p@a:2113,b:2113/?tls=false&NodePreference=leader';
  t.equal(loadConfig({ EVENTSTOREDB_URL: url }).eventStore.url, url);
  t.equal(loadConfig({ EVENTSTOREDB_URL: 'esdb://127.0.0.1:2113' }).eventStore.url, 'esdb://127.0.0.1:2113');
  const mistyped = refusal({ EVENTSTOREDB_URL: 'esdb://u:s3cret@127.0.0.1:2113?tsl=false' });
  t.match(mistyped, /^EVENTSTOREDB_URL is wrong/);
  t.notMatch(mistyped, /s3cret/);
  t.match(refusal({ KAFKA_BROKERS: 'a:9092,b:99999' }), /^KAFKA_BROKERS/);
  t.match(loadConfig({ NODE_ENV: 'prod' }).warnings, [/^NODE_ENV is prod, /]);
});

t.test('waits and ports', async (t) => {
  const { webhooks, email } = loadConfig({ WEBHOOK_RETRY_SCHEDULE: '250ms, 2m,1', SMTP_ALLOWED_PORTS: '587, 1025' });
  t.strictSame(webhooks.retryDelaysMs, [250, 120_000, 1_000], 'one after another, not from the first on');
  t.strictSame(email.smtpPorts, [587, 1_025]);
  for (const value of ['0', 'soon', '1s,', '8d', Array(21).fill('1s').join(',')])
    t.match(refusal({ WEBHOOK_RETRY_SCHEDULE: value }), /^WEBHOOK_RETRY_SCHEDULE is .*expected a comma list/, value);
  for (const value of ['0', '70000', '25,,465', 'smtp'])
    t.match(refusal({ SMTP_ALLOWED_PORTS: value }), /^SMTP_ALLOWED_PORTS is .*expected a comma list/, value);
  t.match(refusal({ OUTBOUND_PROXY: 'socks5://user:pw@proxy' }), /^OUTBOUND_PROXY is wrong: expected [^@]*$/);
});

t.test('values of every kind', async (t) => {
  const config = loadConfig({
    NODE_ENV: 'production',
    PORT: ' 0 ',
    API_BASE_URL: 'https://api.example.com/base/',
    ALLOWED_ORIGINS: 'https://A.example, http://b.example:8080,https://c.example:443/',
    TRUSTED_PROXIES: 'loopback, 10.0.0.0/8,::1',
    JWT_EXPIRES_IN: '90m',
    REFRESH_EXPIRES_IN: '2w',
    AUTH_RATE_LIMIT_DURATION: '60',
    DISPATCH_RETRY_SCHEDULE: '0, 500ms, 2m',
    TELEGRAM_CHAT_RATE_PER_SECOND: '0.33',
    DEFAULT_TIER: 'PRO',
    ENCRYPTION_KEY: `${base64},${'f'.repeat(64)}`,
    ID_KEY: base64.replace('=', ''),
    JWT_SECRET: 'x'.repeat(32),
    DATABASE_URL: 'postgres://u:p@h:5432/d?sslmode=require',
  });
  t.match(config, {
    production: true,
    http: { port: 0, apiBaseUrl: 'https://api.example.com/base', trustedProxies: ['loopback', '10.0.0.0/8', '::1'] },
    auth: { tokenLifeMs: 5_400_000, refreshLifeMs: 1_209_600_000 },
    limits: { defaultTier: 'pro', auth: { windowMs: 60_000 } },
    dispatch: { retryScheduleMs: [0, 500, 120_000] },
    providers: { telegram: { chatRatePerSecond: 0.33 } },
    storage: { databaseUrl: 'postgres://u:p@h:5432/d?sslmode=require' },
  });
  t.strictSame(
    config.http.allowedOrigins,
    ['https://a.example', 'http://b.example:8080', 'https://c.example'],
    'as browsers spell them',
  );
  t.strictSame(
    config.secrets.encryptionKeys?.map((key) => key.toString('hex')),
    [hex, 'f'.repeat(64)],
  );
  t.equal(config.secrets.idKey?.toString('hex'), hex);
});

t.test('a wrong value is one line that names variable, value and what is expected', async (t) => {
  for (const [env, message] of [
    [{ PORT: '80a' }, 'PORT is "80a": expected a whole number from 0 to 65535'],
    [{ PORT: '65536' }, /^PORT is "65536": expected/],
    [{ PORT: '1e3' }, /^PORT/],
    [{ HOST: 'a b' }, 'HOST is "a b": expected a host name or an IP address'],
    [{ QUOTA_FREE: '-1' }, 'QUOTA_FREE is "-1": expected a whole number, 0 or more'],
    [
      { JWT_EXPIRES_IN: 'soon' },
      /^JWT_EXPIRES_IN is "soon": expected seconds or a duration such as 10s, 15m, 24h or 7d/,
    ],
    [{ REQUEST_TIMEOUT: '0' }, /^REQUEST_TIMEOUT is "0": .*, 1s to 1h$/],
    [{ DISPATCH_RETRY_SCHEDULE: '5,0' }, /^DISPATCH_RETRY_SCHEDULE is "5,0": expected a comma list/],
    [{ DEFAULT_TIER: 'gold' }, 'DEFAULT_TIER is "gold": expected one of free, pro, enterprise'],
    [
      { API_BASE_URL: 'ftp://x' },
      /^API_BASE_URL is "ftp:\/\/x": expected an address that begins with http:\/\/ or https:\/\/$/,
    ],
    [{ TWILIO_API_URL: 'https://user:secret@x' }, /^TWILIO_API_URL/],
    [{ ALLOWED_ORIGINS: 'example.com' }, /^ALLOWED_ORIGINS is "example.com": expected a comma list of origins/],
    [{ ALLOWED_ORIGINS: 'https://a.example/path' }, /^ALLOWED_ORIGINS/],
    [{ TRUSTED_PROXIES: '10.0.0.0/33' }, /^TRUSTED_PROXIES/],
    [{ OUTBOUND_ALLOW_CIDRS: 'loopback' }, /^OUTBOUND_ALLOW_CIDRS/],
    [{ LOG_LEVEL: 'loud' }, /^LOG_LEVEL/],
    [{ AUTH_COOKIE_NAME: 'a;b' }, /^AUTH_COOKIE_NAME/],
    [{ PORT: 'x', HOST: '?' }, /^PORT is "x": [^;]+; HOST is "\?": [^;]+$/],
    [{ HOST: 'y\nz'.repeat(100) }, /^HOST is "y\\nz.{80,110}\.\.\.": expected/],
  ] as const) {
    const found = refusal(env);
    if (typeof message === 'string') t.equal(found, message);
    else t.match(found, message);
    t.notMatch(found, /\n/, 'one line');
  }
});

t.test('no part of a secret is in a message', async (t) => {
  const secret = 'hunter2';
  for (const [name, value] of [
    ['JWT_SECRET', secret],
    ['ENCRYPTION_KEY', `${hex},${secret}`],
    ['ID_KEY', secret],
    ['DATABASE_URL', `mysql://u:${secret}@h/d`],
  ] as const) {
    const message = refusal({ [name]: value });
    t.match(message, new RegExp(`^${name} is wrong: expected`));
    t.notMatch(message, /hunter2|0123456789/);
  }
});

t.test('with DATABASE_URL the secrets are required', async (t) => {
  const env = { DATABASE_URL: 'postgresql://h/d' };
  t.match(refusal(env), /^JWT_SECRET, ENCRYPTION_KEY, ID_KEY are not set: with DATABASE_URL each is required/);
  t.match(refusal({ ...env, JWT_SECRET: hex, ENCRYPTION_KEY: hex }), /^ID_KEY is not set/);
  t.equal(refusal({ ...env, JWT_SECRET: hex, ENCRYPTION_KEY: hex, ID_KEY: hex }), 'accepted');
});

t.test('variables that look like ours and are not are told', async (t) => {
  const { warnings } = loadConfig({ PARLEY_PORT: '1', PARLEY_DATA: '/x', PARLEY_TEST_DATABASE_URL: 'y', OTHER: 'z' });
  t.strictSame(warnings, ["PARLEY_PORT is not a variable of Parley's and has no effect"]);
});

t.test('any text is accepted or refused in one line', async (t) => {
  const names = [...configTable().matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name = '']) => name);
  t.ok(names.length > 50);
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.string({ unit: 'grapheme', maxLength: 60 }), (name, value) => {
      const message = refusal({ [name]: value });
      return message === 'accepted' || (message.includes(name) && !message.includes('\n'));
    }),
    { numRuns: 2_000 },
  );
});

t.test('the table: each variable with its default and meaning, one that can be read back', async (t) => {
  const rows = configTable()
    .split('\n')
    .slice(2)
    .map((row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim()));
  for (const [, name = '', fallback = '', , meaning] of rows) {
    t.ok(meaning, name);
    const variable = name.replaceAll('`', '');
    const value = fallback.replaceAll('`', '');
    if (['', 'made once', 'http://localhost:<PORT>'].includes(value)) continue;
    t.strictSame(loadConfig({ [variable]: value }), loadConfig({}), `${variable}=${value} is the default`);
  }
});

t.test('config-table.ts checks and writes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-config-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'README.md');
  const command = join(import.meta.dirname, '../../src/platform/config-table.ts');
  const run = (...args: string[]) => spawnSync(process.execPath, [command, ...args], { encoding: 'utf8' });
  writeFileSync(file, 'before\n<!-- config:begin -->\nold\n<!-- config:end -->\nafter\n');
  t.equal(run('--check', file).status, 1);
  t.equal(run('--write', file).status, 0);
  t.equal(readFileSync(file, 'utf8'), `before\n<!-- config:begin -->\n${configTable()}\n<!-- config:end -->\nafter\n`);
  t.equal(run('--check', file).status, 0);
  t.equal(run('--nonsense').status, 2);
  t.equal(run().stdout, `${configTable()}\n`);
  writeFileSync(file, 'no markers');
  t.equal(run('--check', file).status, 1);
});
