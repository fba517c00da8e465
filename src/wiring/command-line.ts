/**
 * The command line. `parley start` runs the server; the other commands work beside a running one, through its Postgres,
 * or on a Postgres that runs for their own duration.
 * Exit status: 0 done, 1 failed, 2 wrong use.
 */
import { setMaxListeners } from 'node:events';
import { flushCompileCache } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ConfigError, loadConfig } from '../platform/config.ts';
import { DataInUseError } from '../platform/embedded-postgres.ts';
import { SchemaTooNewError } from '../platform/migrate.ts';
import { progressLine } from '../platform/progress.ts';
import { type SandboxAddress, sandboxAddresses, startSandbox, usualSmtpPort } from '../sandbox/index.ts';
import { type Parley, startParley } from './index.ts';
import { isEventType, issueMasterKey, rebuild, stats, tail, tier } from './operations.ts';
import { type Role, readRoles, roles } from './roles.ts';

/** The command was called in a way it does not have. */
class UsageError extends Error {}

interface Command {
  readonly usage: string;
  readonly meaning: string;
  readonly options?: NonNullable<Parameters<typeof parseArgs>[0]>['options'];
  /** Takes words beside its options, which it reads itself. */
  readonly takesWords?: true;
  run(values: Readonly<Record<string, string | boolean | undefined>>, words: readonly string[]): Promise<void>;
}

const commands: Readonly<Record<string, Command>> = {
  start: {
    usage: 'start [--sandbox] [--roles R,...]',
    meaning:
      'runs the server; --sandbox: with emulations of the providers behind it; --roles: does only some of\n' +
      `      ${roles.join(', ')} (all), beside other processes (DATABASE_URL). SIGUSR2 sends its\n` +
      '      sockets away, which come back spread over some seconds, to this process or another',
    options: { sandbox: { type: 'boolean' }, roles: { type: 'string' } },
    run: ({ sandbox, roles: some }) => start(sandbox === true, typeof some === 'string' ? rolesOf(some) : null),
  },
  sandbox: {
    usage: 'sandbox [--port N] [--smtp-port N] [--callback-url URL]',
    meaning:
      'runs the emulations of the providers alone (port 8010), and an SMTP server that catches mail (port\n' +
      `      ${usualSmtpPort}, or any free one where that cannot be had); callbacks go to URL (http://localhost:8000)`,
    options: { port: { type: 'string' }, 'smtp-port': { type: 'string' }, 'callback-url': { type: 'string' } },
    run: ({ port, 'smtp-port': smtpPort, 'callback-url': callbackUrl }) =>
      runSandbox({
        port: whole('--port', port, 8010, maxPort),
        smtpPort: whole('--smtp-port', smtpPort, usualSmtpPort, maxPort),
        callbackBaseUrl:
          typeof callbackUrl === 'string' ? httpUrl('--callback-url', callbackUrl) : 'http://localhost:8000',
      }),
  },
  tail: {
    usage: 'tail [--from P] [--type T]',
    meaning: 'prints events as JSON lines, from after position P (the head), and goes on until it is stopped',
    options: { from: { type: 'string' }, type: { type: 'string' } },
    run: ({ from, type }) => {
      if (typeof type === 'string' && !isEventType(type)) throw new UsageError(`there are no events of type ${type}`);
      return tail(loadConfig(process.env), {
        from: from === undefined ? null : BigInt(whole('--from', from, 0)),
        type: typeof type === 'string' ? type : null,
        signal: untilStopped({ orReaderGone: true }),
        print: (line) => process.stdout.write(`${line}\n`),
      });
    },
  },
  rebuild: {
    usage: 'rebuild <projection>',
    meaning: 'builds a projection anew beside the old one, and swaps them',
    takesWords: true,
    run: (_, [name, ...more]) => {
      if (!name || more.length > 0) throw new UsageError('rebuild takes the name of one projection');
      const bar = progressLine(process.stdout);
      return rebuild(loadConfig(process.env), name, (share, text) => bar.show(share, text)).finally(() => bar.end());
    },
  },
  tier: {
    usage: 'tier <email> free|pro|enterprise',
    meaning: "sets a user's service level",
    takesWords: true,
    run: async (_, [email, level, ...more]) => {
      if (!email || (level !== 'free' && level !== 'pro' && level !== 'enterprise') || more.length > 0) {
        throw new UsageError('tier takes an e-mail address and one of free, pro, enterprise');
      }
      await tier(loadConfig(process.env), email, level);
      console.log(`${email} is ${level} now`);
    },
  },
  keys: {
    usage: 'keys issue --workspace main --dialect chatapi',
    meaning: "prints a master key of ChatAPI for Company's workspace, this once: both APIs then share its rooms",
    options: { workspace: { type: 'string' }, dialect: { type: 'string' } },
    takesWords: true,
    run: async ({ workspace, dialect }, [verb, ...more]) => {
      if (verb !== 'issue' || more.length > 0 || workspace !== 'main' || dialect !== 'chatapi') {
        throw new UsageError('keys takes: issue --workspace main --dialect chatapi');
      }
      console.log(await issueMasterKey(loadConfig(process.env)));
    },
  },
  stats: {
    usage: 'stats',
    meaning: 'what the log and the read models hold',
    run: async () => {
      for (const [name, value] of await stats(loadConfig(process.env))) console.log(`${name.padEnd(34)}${value}`);
    },
  },
};

function help(): string {
  const lines = Object.values(commands).map(({ usage, meaning }) => `  parley ${usage}\n      ${meaning}`);
  return ['parley <command>', '', ...lines, '', 'The configuration is environment variables: see README.md.'].join(
    '\n',
  );
}

function whole(
  option: string,
  value: string | boolean | undefined,
  fallback: number,
  most = Number.MAX_SAFE_INTEGER,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'string' || !/^\d{1,15}$/.test(value)) throw new UsageError(`${option} takes a whole number`);
  if (Number(value) > most) throw new UsageError(`${option} takes a number up to ${most}`);
  return Number(value);
}

function httpUrl(option: string, value: string): string {
  const protocol = URL.canParse(value) ? new URL(value).protocol : '';
  if (protocol !== 'http:' && protocol !== 'https:') throw new UsageError(`${option} takes an http or https URL`);
  return value;
}

const maxPort = 65_535;
/** A signal that comes this long after the first ends the process without waiting. */
const insistAfterMs = 1_000;
/** How often it is looked whether npm's shell still lives. */
const parentCheckMs = 200;

/**
 * Aborts at the first SIGINT, SIGTERM or SIGHUP (the terminal is gone). Under npm a shell stands between npm and us, and
 * takes the signal with it when it ends: that our parent has gone is such a signal too.
 */
function untilStopped({ orReaderGone = false } = {}): AbortSignal {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  // `parley tail | head`: nobody reads on.
  if (orReaderGone) process.stdout.on('error', () => stop.abort());
  let firstAt = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // npm and the terminal may both send it; who asks again a while later does not want to wait.
      if (firstAt > 0 && performance.now() - firstAt > insistAfterMs) process.exit(130);
      firstAt ||= performance.now();
      stop.abort();
    });
  }
  if (process.env.npm_lifecycle_event !== undefined) {
    const parent = process.ppid;
    const timer = setInterval(() => {
      if (process.ppid !== parent) stop.abort();
    }, parentCheckMs);
    timer.unref();
    stop.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }
  return stop.signal;
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function rolesOf(text: string): ReadonlySet<Role> {
  try {
    return readRoles(text);
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

async function start(sandbox: boolean, some: ReadonlySet<Role> | null): Promise<void> {
  // First of all, so that a signal during the start ends it in order.
  const signal = untilStopped();
  const config = loadConfig(process.env);
  const options = { sandbox, env: process.env, signal, ...(some && { roles: some }) };
  const parley = await startParley(config, options).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  // What had been started is stopped again.
  if (parley === undefined) process.exit();
  announce(parley, config.storage.dataDir);
  // Not at the end alone: a process that is killed has none.
  flushCompileCache();
  if (process.platform !== 'win32') process.on('SIGUSR2', () => void parley.drainSockets());
  const reason = await Promise.race([stopped(signal), parley.failed]);
  if (!signal.aborted) {
    console.error(`parley: a part of the server cannot go on: ${messageOf(reason)}`);
    process.exitCode = 1;
  }
  console.log('stopping ...');
  await parley.close();
  console.log('stopped');
  // Drivers can hold sockets that died without a word: nothing of ours is waited for any more.
  process.exit();
}

function announce(parley: Parley, dataDir: string): void {
  console.log(`Parley is ready at        ${parley.url}`);
  if (parley.roles.has('api')) console.log(`API documentation         ${parley.url}/docs and ${parley.url}/redoc`);
  if (parley.roles.size < roles.length) console.log(`Roles                     ${[...parley.roles].join(', ')}`);
  if (parley.clusterDir) {
    console.log(`Data (PARLEY_DATA)        ${path.resolve(dataDir)}`);
    console.log(`PostgreSQL's files        ${parley.clusterDir}`);
  } else console.log('PostgreSQL                DATABASE_URL');
  if (parley.secretsFile) console.log(`Back up with both         ${path.resolve(parley.secretsFile)}`);
  if (parley.sandboxUrl) console.log(`Sandbox, caught mail      ${parley.sandboxUrl}`);
  for (const address of parley.sandboxAddresses) {
    console.log(`${`  ${address.name}`.padEnd(26)}${address.url}${elsewhere(address, usualSmtpPort)}`);
  }
}

/** That the mail catcher could not have the port that was asked for; nothing for all else. */
function elsewhere({ url }: SandboxAddress, smtpPort: number): string {
  const { protocol, port } = new URL(url);
  return protocol !== 'smtp:' || smtpPort === 0 || Number(port) === smtpPort ? '' : ` (${smtpPort} could not be had)`;
}

interface SandboxPlaces {
  readonly port: number;
  readonly smtpPort: number;
  readonly callbackBaseUrl: string;
}

async function runSandbox(places: SandboxPlaces): Promise<void> {
  const signal = untilStopped();
  const sandbox = await startSandbox({ ...places, orAnySmtpPort: true, log: (text) => console.error(text) });
  const addresses = sandboxAddresses(sandbox);
  const notes = addresses.map((address) => elsewhere(address, places.smtpPort)).join('');
  console.log(`The sandbox is ready at ${sandbox.url}; point the server at it with`);
  console.log(addresses.map(({ variable, url }) => `${variable}=${url}`).join(' '));
  console.log(
    `Mail is caught at ${sandbox.smtpUrl}${notes}; it is shown, like all else that arrives, at ${sandbox.url}`,
  );
  await stopped(signal);
  await sandbox.close();
}

async function run(args: readonly string[]): Promise<void> {
  const [name = '', ...rest] = args;
  if (['', 'help', '--help', '-h'].includes(name)) return console.log(help());
  const command = commands[name];
  if (!command) throw new UsageError(`there is no command ${JSON.stringify(name)}`);
  if (rest.includes('--help') || rest.includes('-h'))
    return console.log(`parley ${command.usage}\n    ${command.meaning}`);
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({
      args: rest,
      allowPositionals: true,
      strict: true,
      ...(command.options && { options: command.options }),
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const [word] = parsed.positionals;
  if (word !== undefined && !command.takesWords)
    throw new UsageError(`${name} takes options alone, and was given ${JSON.stringify(word)}`);
  await command.run(parsed.values as Record<string, string | boolean | undefined>, parsed.positionals);
}

/** Runs a command, by the words behind `parley`, to its end; tells what goes wrong and sets the exit status. */
export async function main(args: readonly string[]): Promise<void> {
  try {
    await run(args);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`parley: ${error.message}\n\n${help()}`);
      process.exitCode = 2;
      return;
    }
    const plain = error instanceof ConfigError || error instanceof DataInUseError || error instanceof SchemaTooNewError;
    console.error(plain || !(error instanceof Error) || !process.env.DEBUG ? `parley: ${messageOf(error)}` : error);
    process.exitCode = 1;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
