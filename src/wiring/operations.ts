/** What the commands beside the server do: each opens what it needs, works through the same doors, and lets go. */
import type pg from 'pg';
import { findAccountByEmail } from '../../projections/accounts/queries.ts';
import { highestId } from '../../projections/ids/queries.ts';
import { codec } from '../../schemas/index.ts';
import {
  ACCOUNTS_WORKSPACE,
  AccountCommands,
  ClientCommands,
  CommandDoor,
  IdAllocator,
  Idempotency,
  MAIN_WORKSPACE,
  SERVICE_ACCOUNT,
  type Tier,
  WorkspaceCommands,
} from '../commands/index.ts';
import { readCheckpoint } from '../feed/checkpoint.ts';
import { openTailFeed } from '../feed/tail.ts';
import type { Log } from '../log/log.ts';
import { sleep, systemClock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import { PasswordHasher, Sealer } from '../platform/crypto.ts';
import { IdSpeller } from '../platform/ids.ts';
import { openPool } from '../platform/postgres.ts';
import { projectorGroup, readPool, rebuildProjection, startProjector } from '../readside/index.ts';
import { openLog } from './log.ts';
import { openCommandStorage, type Storage } from './storage.ts';

/** Nothing of what the libraries say is of use on a command's output, but for trouble. */
const quiet = {
  info() {},
  warn: (_: object, message: string) => console.error(message),
  error: (_: object, message: string) => console.error(message),
};

async function withLog<T>(config: Config, work: (log: Log, storage: Storage) => Promise<T>): Promise<T> {
  const storage = await openCommandStorage(config, quiet);
  try {
    const open = await openLog({ config, url: storage.url });
    try {
      return await work(open.log, storage);
    } finally {
      await open.close();
    }
  } finally {
    await storage.close();
  }
}

/** With Kafka the projectors of the set-up do it: how long they are waited for. */
const maxWaitMs = 10_000;

/** Brings the rows up to the head of the log: beside a running server there is little to do. */
async function caughtUp(config: Config, log: Log, url: string): Promise<void> {
  const head = await log.head();
  if (config.kafka.brokers.length > 0) return waitForRows(url, head);
  const projector = await startProjector({ url, feed: openTailFeed(log, quiet), history: log, logger: quiet });
  try {
    await projector.ready;
    while (projector.reached() < head) await Promise.race([sleep(50), projector.done]);
  } finally {
    await projector.stop();
  }
}

async function waitForRows(url: string, head: bigint): Promise<void> {
  const rows = readPool(url, { maxConnections: 1 });
  const until = performance.now() + maxWaitMs;
  try {
    while ((await readCheckpoint(rows, projectorGroup)) < head) {
      if (performance.now() > until) throw new Error('the projectors are behind the log: is one running?');
      await sleep(50);
    }
  } finally {
    await rows.end();
  }
}

/** Whether events of a type can be in the log at all. */
export function isEventType(type: string): boolean {
  try {
    codec.versionOf(type);
    return true;
  } catch {
    return false;
  }
}

/** Prints events, a JSON line each, from after a position (null: the head) until the signal. */
export async function tail(
  config: Config,
  options: { from: bigint | null; type: string | null; signal: AbortSignal; print: (line: string) => void },
): Promise<void> {
  const { type, signal, print } = options;
  await withLog(config, async (log) => {
    const from = options.from ?? (await log.head());
    for await (const { events } of log.tail(from, signal)) {
      for (const { position, at, ...event } of events) {
        if (type !== null && event.type !== type) continue;
        print(JSON.stringify({ position: String(position), at: new Date(at).toISOString(), ...event }));
      }
    }
  });
}

/** Rebuilds a projection; `onProgress` gets the share done and how far that is. */
export async function rebuild(
  config: Config,
  name: string,
  onProgress: (share: number, text: string) => void,
): Promise<void> {
  await withLog(config, async (log, { url }) => {
    await caughtUp(config, log, url);
    await rebuildProjection(name, {
      url,
      history: log,
      onProgress: (position, head) =>
        onProgress(head === 0n ? 1 : Number(position) / Number(head), `${position} of ${head}`),
    });
    onProgress(1, `${name} rebuilt`);
  });
}

/** A door for the length of a command, and what it takes to name what is new. */
async function withDoor<T>(
  { log, url, secrets }: { readonly log: Log } & Pick<Storage, 'url' | 'secrets'>,
  work: (parts: { door: CommandDoor; ids: IdAllocator; speller: IdSpeller; rows: pg.Pool }) => Promise<T>,
): Promise<T> {
  const rows = readPool(url, { maxConnections: 1 });
  const pool = openPool({ url, name: 'command', maxConnections: 1 });
  const door = new CommandDoor({ log, clock: systemClock });
  await door.start();
  try {
    const ids = new IdAllocator(pool, (workspace, kind) => highestId(rows, workspace, kind));
    return await work({ door, ids, speller: new IdSpeller(secrets.idKey), rows });
  } finally {
    await door.stop();
    await Promise.all([rows.end(), pool.end()]);
  }
}

/** Sets the service level of a MessageJS user. Throws when nobody has the address. */
export async function tier(config: Config, email: string, level: Tier): Promise<void> {
  await withLog(config, async (log, { url, secrets }) => {
    await caughtUp(config, log, url);
    await withDoor({ log, url, secrets }, async ({ door, ids, rows }) => {
      const account = await findAccountByEmail(rows, ACCOUNTS_WORKSPACE, email);
      if (!account) throw new Error(`nobody is registered as ${email}`);
      const accounts = new AccountCommands({
        door,
        ids,
        passwords: new PasswordHasher(),
        nameKey: secrets.idKey,
        refreshLifeMs: config.auth.refreshLifeMs,
      });
      await accounts.changeTier(ACCOUNTS_WORKSPACE, account.account, level);
    });
  });
}

/** Issues a master key of ChatAPI for the workspace of the configuration, whose other dialects it then meets. Answers it. */
export async function issueMasterKey(config: Config): Promise<string> {
  return withLog(config, async (log, { url, secrets }) => {
    await caughtUp(config, log, url);
    return withDoor({ log, url, secrets }, async ({ door, ids, speller }) => {
      const sealer = new Sealer(secrets.encryptionKeys);
      const nameKey = secrets.idKey;
      const idempotency = new Idempotency({ door, nameKey });
      const workspaces = new WorkspaceCommands({ door, ids, idempotency, sealer, speller, nameKey });
      // Where no server ever ran it is not there yet.
      await workspaces.openSystemWorkspaces([{ workspace: MAIN_WORKSPACE, name: 'main' }]);
      const actor = { workspace: MAIN_WORKSPACE, account: SERVICE_ACCOUNT, dialect: 'chatapi' };
      return (await new ClientCommands({ door, ids, speller }).issueMasterKey(actor, 'master')).secret;
    });
  });
}

/** Name and value pairs, in the order they are shown. */
export async function stats(config: Config): Promise<[string, string][]> {
  return withLog(config, async (log, { url }) => {
    // Also makes the tables where no server ever ran.
    await caughtUp(config, log, url);
    const rows = readPool(url, { maxConnections: 1 });
    try {
      const head = await log.head();
      const found: [string, string][] = [['log head', String(head)]];
      const checkpoints = await rows.query<{ group: string; position: string; age: string }>(
        `SELECT "group", position::text, round(extract(epoch FROM now() - at))::text AS age FROM work.checkpoints ORDER BY 1`,
      );
      for (const { group, position, age } of checkpoints.rows) {
        found.push([`checkpoint ${group}`, `${position} (moved ${age} s ago)`]);
      }
      const counts = await rows.query<{ name: string; count: string }>(`
        SELECT 'accounts' AS name, count(*)::text AS count FROM accounts
        UNION ALL SELECT 'projects', count(*)::text FROM workspaces WHERE kind = 'project' AND NOT deleted
        UNION ALL SELECT 'connectors', count(*)::text FROM connectors WHERE NOT deleted
        UNION ALL SELECT 'dispatches pending', coalesce(sum(pending), 0)::text FROM dispatch_days
        UNION ALL SELECT 'dispatches sent', coalesce(sum(sent), 0)::text FROM dispatch_days
        UNION ALL SELECT 'dispatches delivered', coalesce(sum(delivered), 0)::text FROM dispatch_days
        UNION ALL SELECT 'dispatches failed', coalesce(sum(failed), 0)::text FROM dispatch_days
        UNION ALL SELECT 'database size', pg_size_pretty(pg_database_size(current_database()))`);
      for (const { name, count } of counts.rows) found.push([name, count]);
      return found;
    } finally {
      await rows.end();
    }
  });
}
