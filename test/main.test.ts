/** The two commands of a newcomer, and every way the server ends or is ended. Real processes, real signals. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cleanEnv, freePort, type ParleyProcess, root, startProcess } from './support/parley.ts';
import { removeData } from './support/postgres.ts';

function dataDir(t: Test): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'parley-main-'));
  chmodSync(dir, 0o755);
  const data = path.join(dir, 'data');
  t.teardown(() => {
    const cluster = path.join(data, 'postgres');
    removeData(dir, existsSync(cluster) ? realpathSync(cluster) : data);
  });
  return data;
}

function kill(t: Test, parley: ParleyProcess): void {
  t.teardown(async () => {
    if (parley.child.exitCode === null && parley.child.signalCode === null && parley.child.pid) {
      try {
        process.kill(-parley.child.pid, 'SIGKILL');
      } catch {
        // Gone.
      }
      await parley.ended;
    }
  });
}

/** Pids of the Postgres processes that work in a data directory. */
function postgresOf(data: string): number[] {
  const file = path.join(data, 'postgres', 'postmaster.pid');
  if (!existsSync(file)) return [];
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  try {
    process.kill(pid, 0);
    return [pid];
  } catch {
    return [];
  }
}

async function register(url: string, email: string): Promise<Response> {
  return fetch(`${url}/api/v1/auth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: 'correct horse' }),
  });
}

for (const [what, target] of [
  ['npm', 'npm'],
  ['node', 'node'],
  ['the whole process group', 'group'],
] as const) {
  t.test(`SIGTERM to ${what} stops everything cleanly`, async (t) => {
    const data = dataDir(t);
    const parley = await startProcess({ dataDir: data, by: target === 'node' ? 'node' : 'npm' });
    kill(t, parley);
    await parley.ready();
    t.equal((await register(parley.url, 'a@example.com')).status, 201);
    t.equal(postgresOf(data).length, 1, 'Postgres runs');
    const pid = parley.child.pid as number;
    process.kill(target === 'group' ? -pid : pid, 'SIGTERM');
    await parley.ended;
    await gone(data);
    t.equal(postgresOf(data).length, 0, 'Postgres has stopped');
    t.notOk(existsSync(path.join(data, 'postgres', 'postmaster.pid')), 'and cleanly');
    t.match(parley.output(), /stopped\n/);
  });
}

t.test('a terminal that is gone stops everything cleanly', async (t) => {
  const data = dataDir(t);
  const parley = await startProcess({ dataDir: data });
  kill(t, parley);
  await parley.ready();
  process.kill(-(parley.child.pid as number), 'SIGHUP');
  t.equal(await parley.ended, 0);
  t.equal(postgresOf(data).length, 0);
});

t.test('a start that waits for its rows is stopped like any other', async (t) => {
  const data = dataDir(t);
  // Nobody is there: what the start itself writes never reaches the rows.
  const parley = await startProcess({ dataDir: data, env: { KAFKA_BROKERS: '127.0.0.1:1', LOG_LEVEL: 'info' } });
  kill(t, parley);
  await waitFor(() => /the rows are catching up/.test(parley.output()));
  parley.child.kill('SIGTERM');
  t.equal(await parley.ended, 0);
  t.equal(postgresOf(data).length, 0);
});

t.test('Ctrl-C stops everything cleanly, and what was stored is there at the next start', async (t) => {
  const data = dataDir(t);
  const first = await startProcess({ dataDir: data });
  kill(t, first);
  await first.ready();
  t.equal((await register(first.url, 'a@example.com')).status, 201);
  process.kill(-(first.child.pid as number), 'SIGINT');
  t.equal(await first.ended, 0);
  t.equal(postgresOf(data).length, 0);

  const second = await startProcess({ dataDir: data });
  kill(t, second);
  await second.ready();
  t.equal((await register(second.url, 'A@example.com')).status, 409, 'the account is still there');
  second.child.kill('SIGTERM');
  t.equal(await second.ended, 0);
});

t.test('a second start on the same data is refused in one line, by whatever path', async (t) => {
  const data = dataDir(t);
  const first = await startProcess({ dataDir: data });
  kill(t, first);
  await first.ready();
  const link = `${data}-link`;
  symlinkSync(data, link);
  for (const dir of [data, link]) {
    const second = await startProcess({ dataDir: dir });
    kill(t, second);
    t.equal(await second.ended, 1);
    const lines = second.output().trim().split('\n');
    t.equal(lines.length, 1, lines.join('\n'));
    t.match(lines[0], String(first.child.pid));
  }
  t.equal((await fetch(`${first.url}/health/ready`)).status, 200, 'the first goes on');
  first.child.kill('SIGTERM');
  await first.ended;
});

t.test('kill -9 of the server: the next start needs no hand', async (t) => {
  const data = dataDir(t);
  const first = await startProcess({ dataDir: data });
  kill(t, first);
  await first.ready();
  t.equal((await register(first.url, 'a@example.com')).status, 201);
  first.child.kill('SIGKILL');
  await first.ended;
  t.equal(postgresOf(data).length, 1, 'an orphaned Postgres is left');
  const second = await startProcess({ dataDir: data });
  kill(t, second);
  await second.ready();
  t.equal((await register(second.url, 'a@example.com')).status, 409);
  second.child.kill('SIGTERM');
  t.equal(await second.ended, 0);
});

t.test('kill -9 of Postgres: the living server answers 503, heals, and goes on', async (t) => {
  const data = dataDir(t);
  const parley = await startProcess({ dataDir: data, env: { AUTH_RATE_LIMIT_POINTS: '0' } });
  kill(t, parley);
  await parley.ready();
  t.equal((await register(parley.url, 'a@example.com')).status, 201);
  process.kill(postgresOf(data)[0] as number, 'SIGKILL');
  const statuses = new Set<number>();
  let healed = 0;
  for (let i = 0; healed === 0; i++) {
    const { status } = await register(parley.url, `b${i}@example.com`);
    statuses.add(status);
    if (status === 201) healed = status;
  }
  t.same(
    [...statuses].filter((status) => status !== 201 && status !== 503),
    [],
    'nothing but 503 meanwhile',
  );
  t.equal((await register(parley.url, 'a@example.com')).status, 409);
  parley.child.kill('SIGTERM');
  t.equal(await parley.ended, 0);
});

t.test(
  'as root, data under a directory that others cannot enter',
  { skip: process.getuid?.() !== 0 && 'not root' },
  async (t) => {
    const closed = mkdtempSync(path.join(tmpdir(), 'parley-closed-'));
    t.equal(statSync(closed).mode & 0o777, 0o700);
    const data = path.join(closed, 'data');
    t.teardown(() => removeData(closed, realpathSync(path.join(data, 'postgres'))));
    const parley = await startProcess({ dataDir: data });
    kill(t, parley);
    await parley.ready();
    t.equal((await register(parley.url, 'a@example.com')).status, 201);
    t.equal(statSync(closed).mode & 0o777, 0o700, 'no mode was changed');
    const [, place = ''] = /PostgreSQL's files +(\S+)/.exec(parley.output()) ?? [];
    t.ok(existsSync(place), `the real place is printed: ${place}`);
    t.notOk(place.startsWith(closed), 'which lies elsewhere');
    parley.child.kill('SIGTERM');
    t.equal(await parley.ended, 0);
  },
);

t.test('wrong configuration and wrong use are told in one line', async (t) => {
  const run = (args: string[], env: Record<string, string>) =>
    spawnSync(process.execPath, [path.join(root, 'src/main.ts'), ...args], {
      env: { ...cleanEnv(), ...env },
      encoding: 'utf8',
    });
  const wrongPort = run(['start'], { PORT: 'many' });
  t.equal(wrongPort.status, 1);
  t.match(wrongPort.stderr, /^parley: PORT is "many": .*\n$/);
  const noSecrets = run(['start'], { DATABASE_URL: 'postgres://127.0.0.1:1/x' });
  t.equal(noSecrets.status, 1);
  t.match(noSecrets.stderr, /JWT_SECRET, ENCRYPTION_KEY, ID_KEY are not set/);
  t.equal(noSecrets.stderr.trim().split('\n').length, 1);
  const secrets = { JWT_SECRET: 'a'.repeat(64), ENCRYPTION_KEY: 'b'.repeat(64), ID_KEY: 'c'.repeat(64) };
  const nobody = run(['start'], { ...secrets, DATABASE_URL: 'postgres://u:s3cret@127.0.0.1:1/x' });
  t.equal(nobody.status, 1);
  t.match(nobody.stderr, /^parley: DATABASE_URL leads to no Postgres that answers: .*ECONNREFUSED.*\n$/);
  t.notMatch(nobody.stderr, /s3cret/);
  const unknown = run(['dance'], {});
  t.equal(unknown.status, 2);
  t.match(unknown.stderr, /there is no command "dance"/);
  t.equal(run(['tier', 'a@example.com', 'gold'], {}).status, 2);
  const wrong: [string[], RegExp][] = [
    [['start', 'sandbox'], /start takes options alone, and was given "sandbox"/],
    [['stats', 'please'], /stats takes options alone/],
    [['tail', '--type', 'Nothing'], /there are no events of type Nothing/],
    [['sandbox', '--port', '99999'], /--port takes a number up to 65535/],
    [['sandbox', '--callback-url', 'ftp://x'], /--callback-url takes an http or https URL/],
  ];
  for (const [args, words] of wrong) {
    const { status, stderr } = run(args, {});
    t.equal(status, 2, args.join(' '));
    t.match(stderr.split('\n')[0], words);
  }
  t.equal(run(['keys', 'issue', '--workspace', 'other', '--dialect', 'chatapi'], {}).status, 2);
  t.match(run(['--help'], {}).stdout, /parley start/);
  t.match(run(['tail', '--help'], {}).stdout, /--from/);
});

t.test('with --sandbox it says so; mail is caught; what is counted is in the metrics', async (t) => {
  const parley = await startProcess({ dataDir: dataDir(t), args: ['start', '--sandbox'] });
  kill(t, parley);
  await parley.ready();
  const ready = (await (await fetch(`${parley.url}/health/ready`)).json()) as { sandbox: boolean; sandboxUrl: string };
  t.equal(ready.sandbox, true);
  t.equal((await fetch(`${ready.sandboxUrl}/sandbox/counts`)).status, 200);
  t.equal((await register(parley.url, 'a@example.com')).status, 201);
  const metrics = await (await fetch(`${parley.url}/metrics`)).text();
  t.match(metrics, /parley_commands_accepted_total\{dialect="messagejs",command="OpenAccount"\} 1\n/);
  t.match(metrics, /log_gap_total 0\n/);

  await waitFor(() => / mail catcher .*\n/.test(parley.output()));
  const told = (name: string) => new RegExp(`^ *${name} +(\\S+)`, 'm').exec(parley.output())?.[1] ?? '';
  t.equal(told('Sandbox, caught mail'), ready.sandboxUrl);
  for (const name of ['WhatsApp', 'Telegram', 'Twilio', 'Mailgun', 'SendGrid', 'Postmark', 'Amazon SES']) {
    t.ok(told(name).startsWith(`${ready.sandboxUrl}/`), name);
  }
  const catcher = new URL(told('mail catcher'));
  t.equal(catcher.port === '2525', !parley.output().includes('(2525 could not be had)'));
  const user = { name: 'John', subname: 'Doe', email: 'john@mail.com', job: 'CEO' };
  const json = { 'content-type': 'application/json' };
  const made = await fetch(`${parley.url}/api/users`, {
    method: 'POST',
    headers: json,
    body: JSON.stringify({ user }),
  });
  t.equal(made.status, 201);
  const { password } = (await made.json()) as { password: string };
  const page = async (path: string) => (await fetch(`${told('Sandbox, caught mail')}${path}`)).text();
  await waitFor(async () => (await page('/')).includes('<a href="/mails/1">Generated password</a>'));
  const shown = await page('/mails/1');
  t.match(shown, 'john@mail.com');
  t.ok(password && shown.includes(password), 'the generated password is on the page');
  parley.child.kill('SIGTERM');
  t.equal(await parley.ended, 0);
});

t.test('the demo plays to its end', async (t) => {
  const env = { ...cleanEnv(), PORT: String(await freePort()) };
  const demo = spawnSync(process.execPath, [path.join(root, 'src/sandbox/demo.ts')], {
    env,
    encoding: 'utf8',
    timeout: 200_000,
  });
  t.equal(demo.status, 0, demo.stderr);
  t.match(demo.stdout, /300 of 300 messages accepted/);
  t.match(demo.stdout, /\nall +300 +296 +4\n/);
});

t.test('the sandbox alone', async (t) => {
  const smtpPort = String(await freePort());
  const run = async () => {
    const args = ['sandbox', '--port', String(await freePort()), '--smtp-port', smtpPort];
    const sandbox = await startProcess({ dataDir: dataDir(t), args });
    kill(t, sandbox);
    await waitFor(() => /Mail is caught at .*\n/.test(sandbox.output()));
    const [, url = ''] = /ready at (\S+);/.exec(sandbox.output()) ?? [];
    t.equal((await fetch(`${url}/sandbox/counts`)).status, 200);
    for (const name of ['WHATSAPP', 'TELEGRAM', 'TWILIO', 'MAILGUN', 'SENDGRID', 'POSTMARK', 'SES']) {
      t.match(sandbox.output(), `${name}_API_URL=${url}/`);
    }
    const [, smtp] = /Mail is caught at (\S+?)[;\s]/.exec(sandbox.output()) ?? [];
    t.match(sandbox.output(), ` COMPANY_SMTP_URL=${smtp}\n`);
    return { sandbox, smtp };
  };
  const first = await run();
  t.equal(first.smtp, `smtp://127.0.0.1:${smtpPort}`);
  const second = await run();
  t.not(second.smtp, first.smtp, 'a port that is taken keeps nothing from starting');
  t.match(second.sandbox.output(), `(${smtpPort} could not be had)`);
  for (const { sandbox } of [first, second]) {
    sandbox.child.kill('SIGTERM');
    t.equal(await sandbox.ended, 0);
  }
});

t.test('the other commands, beside a running server and alone', async (t) => {
  const data = dataDir(t);
  const parley = await startProcess({ dataDir: data });
  kill(t, parley);
  await parley.ready();
  t.equal((await register(parley.url, 'Ada@example.com')).status, 201);
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [path.join(root, 'src/main.ts'), ...args], {
      env: { ...cleanEnv(), PARLEY_DATA: data },
      encoding: 'utf8',
      timeout: 60_000,
    });
  const tier = run('tier', 'ada@example.com', 'pro');
  t.equal(tier.status, 0, tier.stderr);
  t.equal(run('tier', 'nobody@example.com', 'pro').status, 1);
  t.match(run('stats').stdout, /log head +\d+/);
  const issued = run('keys', 'issue', '--workspace', 'main', '--dialect', 'chatapi');
  t.equal(issued.status, 0, issued.stderr);
  t.match(issued.stdout, /^ck_live_\S{67}\n$/);
  const client = await fetch(`${parley.url}/api/v1/clients/me`, {
    headers: { authorization: `Bearer ${issued.stdout.trim()}` },
  });
  t.match(await client.json(), { data: { name: 'main' } });
  const rebuilt = run('rebuild', 'accounts');
  t.equal(rebuilt.status, 0, rebuilt.stderr);
  t.match(rebuilt.stdout, /100 %/);
  t.equal(run('rebuild', 'nothing').status, 1);

  const tail = await startProcess({ dataDir: data, args: ['tail', '--from', '0', '--type', 'TierChanged'] });
  kill(t, tail);
  await waitFor(() => tail.output().includes('TierChanged'));
  t.match(JSON.parse(tail.output().trim().split('\n')[0] as string), { type: 'TierChanged', data: { tier: 'pro' } });
  tail.child.kill('SIGINT');
  t.equal(await tail.ended, 0);

  parley.child.kill('SIGTERM');
  t.equal(await parley.ended, 0);
  const alone = run('tier', 'ada@example.com', 'enterprise');
  t.equal(alone.status, 0, alone.stderr);
  t.equal(postgresOf(data).length, 0, 'Postgres ran for its duration');
});

t.test('the checkout itself under a closed directory', { skip: process.getuid?.() !== 0 && 'not root' }, async (t) => {
  const closed = mkdtempSync(path.join(tmpdir(), 'parley-closed-'));
  const checkout = path.join(closed, 'parley');
  mkdirSync(checkout);
  const data = path.join(checkout, '.parley');
  t.teardown(() => removeData(closed, realpathSync(path.join(data, 'postgres'))));
  for (const name of ['src', 'schemas', 'projections', 'package.json']) {
    execFileSync('cp', ['-r', path.join(root, name), path.join(checkout, name)]);
  }
  // Hard links where the file system allows it: the files themselves then lie under the closed directory.
  const copy = spawnSync('cp', ['-al', path.join(root, 'node_modules'), path.join(checkout, 'node_modules')]);
  if (copy.status !== 0)
    execFileSync('cp', ['-r', path.join(root, 'node_modules'), path.join(checkout, 'node_modules')]);
  const parley = await startProcess({ dataDir: data, checkout });
  kill(t, parley);
  await parley.ready();
  t.equal((await register(parley.url, 'a@example.com')).status, 201);
  parley.child.kill('SIGTERM');
  t.equal(await parley.ended, 0);
});

async function gone(data: string): Promise<void> {
  await waitFor(() => postgresOf(data).length === 0);
}

async function waitFor(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const until = Date.now() + 30_000; Date.now() < until; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('it did not come to pass within 30 s');
}
