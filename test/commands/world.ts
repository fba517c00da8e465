/** A database and nodes on it: each has a log, a door, counters and limits of its own, as a process would have them. */
import type pg from 'pg';
import type { Test } from 'tap';
import { codec } from '../../schemas/index.ts';
import {
  ACCOUNTS_WORKSPACE,
  AccountCommands,
  type Actor,
  type AuthenticatedKey,
  ChatAccountCommands,
  ClientCommands,
  CommandDoor,
  commandMigrations,
  DispatchCommands,
  DispatchRecords,
  DomainError,
  type ErrorCode,
  IdAllocator,
  Idempotency,
  type IdKind,
  MessageCommands,
  Quota,
  RoomCommands,
  type SendRequest,
  WorkspaceCommands,
} from '../../src/commands/index.ts';
import type { Log, RecordedEvent, TailBatch } from '../../src/log/log.ts';
import { logMigrations } from '../../src/log/migrations.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { PasswordHasher, Sealer } from '../../src/platform/crypto.ts';
import { IdSpeller } from '../../src/platform/ids.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { testDatabase } from '../support/postgres.ts';

const template = { name: 'commands', build: (url: string) => migrate(url, [...logMigrations, ...commandMigrations]) };

/** A clock that goes with the machine's, or stands, and can be moved on. */
export class TestClock implements Clock {
  #ahead = 0;
  readonly #stands: number | null;

  /** @param stands the time at which it stands, milliseconds since the epoch; it goes when there is none. */
  constructor(stands: number | null = null) {
    this.#stands = stands;
  }

  now(): number {
    return (this.#stands ?? Date.now()) + this.#ahead;
  }

  monotonicMs(): number {
    return (this.#stands === null ? performance.now() : 0) + this.#ahead;
  }

  advance(ms: number): void {
    this.#ahead += ms;
  }
}

/** A log of which single calls can be held up, counted and waited for. What passes is the real one's. */
export class WatchedLog implements Log {
  readonly #log: Log;
  reads = 0;
  /** Called with what a read found, before it is answered. */
  beforeRead: (stream: string) => Promise<unknown> = async () => {};
  beforeHead: () => Promise<unknown> = async () => {};
  /** Called before a batch is given to whoever tails. */
  beforeBatch: (batch: TailBatch) => Promise<unknown> = async () => {};
  afterAppend: (outcomes: readonly { outcome: string }[]) => void = () => {};
  #taken = 0n;
  #waiters: { position: bigint; resolve: () => void }[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  async append(commits: Parameters<Log['append']>[0]) {
    const outcomes = await this.#log.append(commits);
    this.afterAppend(outcomes);
    return outcomes;
  }

  async read(stream: string, from?: number) {
    this.reads++;
    const found = await this.#log.read(stream, from);
    await this.beforeRead(stream);
    return found;
  }

  holder(name: string, at: number) {
    return this.#log.holder(name, at);
  }

  count(from: bigint, to: bigint, most: number) {
    return this.#log.count(from, to, most);
  }

  async *tail(from: bigint, signal: AbortSignal): AsyncGenerator<TailBatch> {
    for await (const batch of this.#log.tail(from, signal)) {
      await this.beforeBatch(batch);
      yield batch;
      // Whoever asks for the next batch has done with this one.
      this.#taken = batch.position;
      this.#waiters = this.#waiters.filter(({ position, resolve }) => {
        if (position > this.#taken) return true;
        resolve();
        return false;
      });
    }
  }

  /** When the one that tails has taken everything up to a position. */
  taken(position: bigint): Promise<void> {
    if (this.#taken >= position) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ position, resolve }));
  }

  page(from: bigint, maxEvents: number) {
    return this.#log.page(from, maxEvents);
  }

  async head() {
    await this.beforeHead();
    return this.#log.head();
  }

  erase(streams: readonly string[]) {
    return this.#log.erase(streams);
  }

  close() {
    return this.#log.close();
  }
}

/** Something to wait for, and the way to let it happen. */
export function gate(): { readonly opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

/** One database. */
export interface World {
  readonly url: string;
  /** Asks the database, beside everything. */
  ask<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Every event of the log, in order. */
  events(): Promise<RecordedEvent[]>;
  node(options?: NodeOptions): Promise<Node>;
}

/** How a node is opened. */
export interface NodeOptions {
  readonly clock?: Clock;
  /** Where the log's and the pool's connections go, when not straight to the database. */
  readonly url?: string;
  readonly flushTimeoutMs?: number;
  /** Messages a month of every tier but `enterprise`; none is no limit. */
  readonly monthlyQuota?: number;
  /** Of the transaction that holds a counter. */
  readonly transactionTimeoutMs?: number;
}

/** What one process has. */
export interface Node {
  readonly log: WatchedLog;
  readonly clock: Clock;
  readonly pool: pg.Pool;
  readonly door: CommandDoor;
  readonly ids: IdAllocator;
  readonly accounts: AccountCommands;
  readonly workspaces: WorkspaceCommands;
  readonly dispatches: DispatchCommands;
  readonly dispatchRecords: DispatchRecords;
  readonly quota: Quota;
  readonly clients: ClientCommands;
  readonly people: ChatAccountCommands;
  readonly rooms: RoomCommands;
  readonly messages: MessageCommands;
  /** Acknowledged writes, as freshness is told of them. */
  readonly acknowledged: { workspace: number; account: number; position: bigint }[];
}

const secret = (filler: number) => Buffer.alloc(32, filler);

/** Makes a world that ends with `t`. */
export async function world(t: Test): Promise<World> {
  const { url } = await testDatabase(t, { template });
  const own = openPool({ url, name: 'test', maxConnections: 4 });
  t.teardown(() => own.end());
  const ask = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []) =>
    (await own.query<Row>(text, values)).rows;
  const log = await openPostgresLog({ url, codec });
  t.teardown(() => log.close());
  return {
    url,
    ask,
    async events() {
      return [...(await log.page(0n, 100_000)).events];
    },
    node: (options = {}) => openNode(t, url, ask, options),
  };
}

/** Where an id stands in the names of streams of its kind. */
const streamsOf: Record<IdKind, (workspace: number) => string> = {
  workspace: () => 'workspace-',
  account: (workspace) => `account-${workspace}-`,
  key: (workspace) => `key-${workspace}-`,
  connector: (workspace) => `connector-${workspace}-`,
  template: (workspace) => `template-${workspace}-`,
  device: (workspace) => `device-${workspace}-`,
  room: (workspace) => `room-${workspace}-`,
  message: (workspace) => `message-${workspace}-`,
  webhook: (workspace) => `webhook-${workspace}-`,
};

async function openNode(t: Test, databaseUrl: string, ask: World['ask'], options: NodeOptions): Promise<Node> {
  const { clock = new TestClock(), url = databaseUrl, monthlyQuota = 0, flushTimeoutMs = 5_000 } = options;
  const log = new WatchedLog(await openPostgresLog({ url, codec, flushTimeoutMs }));
  const pool = openPool({ url, name: 'test-node', maxConnections: 10 });
  const acknowledged: Node['acknowledged'] = [];
  const door = new CommandDoor({
    log,
    clock,
    onAcknowledged: (workspace, account, position) => acknowledged.push({ workspace, account, position }),
  });
  await door.start();
  t.teardown(async () => {
    await door.stop();
    await log.close();
    await pool.end();
  });
  const ids = new IdAllocator(
    pool,
    async (workspace, kind) => {
      const prefix = streamsOf[kind](workspace);
      const rows = await ask<{ highest: number | null }>(
        'SELECT max(substr(stream, length($1) + 1)::int) AS highest FROM log.events WHERE starts_with(stream, $1)',
        [prefix],
      );
      // Workspaces 1 and 2 are those of the configuration.
      return Math.max(rows[0]?.highest ?? 0, kind === 'workspace' ? 2 : 0);
    },
    options.transactionTimeoutMs === undefined ? {} : { transactionTimeoutMs: options.transactionTimeoutMs },
  );
  const quota = new Quota(pool, clock, async (workspace, account, month) => {
    const rows = await ask<{ n: string }>(
      `SELECT count(*) AS n FROM log.events
        WHERE type = 'DispatchAccepted' AND data::json -> 'owner' ->> 'workspace' = $1::text
          AND data::json -> 'owner' ->> 'account' = $2::text
          AND to_char(to_timestamp(at / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM') = $3`,
      [String(workspace), String(account), month],
    );
    return Number(rows[0]?.n);
  });
  const nameKey = secret(1);
  const speller = new IdSpeller(secret(2));
  const passwords = new PasswordHasher(2);
  const idempotency = new Idempotency({ door, nameKey });
  const rooms = new RoomCommands({ door, ids, idempotency, nameKey });
  const tiers = { free: monthlyQuota, pro: monthlyQuota, enterprise: 0 };
  return {
    log,
    clock,
    pool,
    door,
    ids,
    quota,
    acknowledged,
    clients: new ClientCommands({ door, ids, speller }),
    people: new ChatAccountCommands({ door, ids, idempotency, passwords, speller, nameKey }),
    rooms,
    messages: new MessageCommands({ door, ids, rooms, idempotency }),
    accounts: new AccountCommands({
      door,
      ids,
      passwords,
      nameKey,
      refreshLifeMs: 30 * 86_400_000,
    }),
    workspaces: new WorkspaceCommands({ door, ids, idempotency, sealer: new Sealer([secret(3)]), speller, nameKey }),
    dispatches: new DispatchCommands({ door, quota, idKey: secret(4), monthlyQuota: tiers, defaultTier: 'free' }),
    dispatchRecords: new DispatchRecords({ door, idKey: secret(4) }),
  };
}

/** An account's opening, without the cost of a password. */
export const owner: Actor = { workspace: ACCOUNTS_WORKSPACE, account: 1 };

/** A project that can send. */
export interface Project {
  readonly workspace: number;
  readonly key: AuthenticatedKey;
  readonly secret: string;
  readonly connector: number;
  readonly template: number;
  /** A request that is in order, but for what is said otherwise. */
  request(rest?: Partial<SendRequest>): SendRequest;
}

/** Makes a project with a key, a connector and a template. */
export async function makeProject(
  node: Node,
  { actor = owner, connectorType = 'whatsapp' as const } = {},
): Promise<Project> {
  const { workspaces } = node;
  const { workspace } = await workspaces.openProject(actor, { name: 'Shop', description: null });
  const issued = await workspaces.issueKey(actor, workspace, { name: 'Key', rateLimit: 1_000, expiresAt: null });
  const credentials = { phoneNumberId: '1', accessToken: 'token' };
  const { connector } = await workspaces.createConnector(actor, workspace, { connectorType, name: 'C', credentials });
  const content = { name: 'Welcome', connectorType, content: 'Hi {{name}}', variables: ['name'] };
  const { template } = await workspaces.createTemplate(actor, workspace, content);
  return {
    workspace,
    key: await workspaces.authenticate(issued.secret),
    secret: issued.secret,
    connector,
    template,
    request: (rest = {}) => ({ to: '+491701234567', connector, template, variables: { name: 'Ada' }, ...rest }),
  };
}

/** The code with which something was refused; throws when it was not, and what is no refusal. */
export async function refusal(work: () => unknown): Promise<ErrorCode> {
  try {
    await work();
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
  throw new Error('it was not refused');
}

/** n times, at once. */
export function times<T>(n: number, work: (i: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: n }, (_, i) => work(i)));
}
