/**
 * A database, the sandbox's providers over real HTTP, a receiver of their callbacks, and nodes that deliver: each has a log,
 * a door and a delivery of its own, as a process would have them. The first node projects.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type pg from 'pg';
import type { Test } from 'tap';
import { codec, type EventType, type RecordedEvent } from '../../schemas/index.ts';
import {
  ACCOUNTS_WORKSPACE,
  type Actor,
  type AuthenticatedKey,
  CommandDoor,
  type ConnectorType,
  commandMigrations,
  DispatchCommands,
  DispatchRecords,
  DomainError,
  IdAllocator,
  Idempotency,
  Quota,
  WorkspaceCommands,
} from '../../src/commands/index.ts';
import { CALLBACK_MESSAGE_PARAMETER, providers as connectProviders } from '../../src/delivery/connectors/index.ts';
import {
  type DeliveryOptions,
  type DeliveryWork,
  defaultSchedule,
  deliveryMigrations,
  openReceipts,
  type Receipts,
  startDeliveryWork,
} from '../../src/delivery/index.ts';
import type { Feed } from '../../src/feed/feed.ts';
import { feedMigrations } from '../../src/feed/migrations.ts';
import { openTailFeed } from '../../src/feed/tail.ts';
import { logMigrations } from '../../src/log/migrations.ts';
import { openPostgresLog, type PostgresLog } from '../../src/log/postgres.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { Sealer } from '../../src/platform/crypto.ts';
import { IdSpeller } from '../../src/platform/ids.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { openPool } from '../../src/platform/postgres.ts';
import {
  type Projector,
  type ProjectorOptions,
  projectorGroup,
  readPool,
  readsideMigrations,
  startProjector,
} from '../../src/readside/index.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { testDatabase } from '../support/postgres.ts';

/** The database of a world. */
export const template = {
  name: 'delivery',
  build: (url: string) =>
    migrate(url, [
      ...logMigrations,
      ...feedMigrations,
      ...commandMigrations,
      ...readsideMigrations,
      ...deliveryMigrations,
    ]),
};

export const silent = { info() {}, warn() {}, error() {} };

/** Pacing off. */
export const noPace = {
  perConnector: { whatsapp: 0, telegram: 0, twilio: 0 },
  perTelegramChat: 0,
  overall: 0,
};

/** The sheet's schedule, a hundred times faster. */
export const fastSchedule = { ...defaultSchedule, retryOffsetsMs: [0, 50, 150] };

export const owner: Actor = { workspace: ACCOUNTS_WORKSPACE, account: 1 };

const credentials: Readonly<Record<ConnectorType, Record<string, string>>> = {
  whatsapp: { phoneNumberId: '106540352242922', accessToken: 'EAAGsecret-token' },
  telegram: { botToken: '123456:AAsecret_token' },
  twilio: { accountSid: 'AC0123456789', authToken: 'secret-auth-token', fromNumber: '+15550100000' },
};

/** Every event of the log as it comes, and waiting for some. */
export class Journal {
  readonly events: RecordedEvent[] = [];
  readonly #log: PostgresLog;
  #position = 0n;
  #waiting: { wanted: (events: readonly RecordedEvent[]) => boolean; resolve: () => void }[] = [];

  constructor(t: Test, log: PostgresLog) {
    const abort = new AbortController();
    this.#log = log;
    const running = this.#follow(abort.signal);
    t.teardown(async () => {
      abort.abort();
      await running.catch(() => {});
    });
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for await (const { events, position } of this.#log.tail(0n, signal)) {
      this.events.push(...events);
      this.#position = position;
      this.#waiting = this.#waiting.filter(({ wanted, resolve }) => {
        if (!wanted(this.events)) return true;
        resolve();
        return false;
      });
    }
  }

  /** Resolves when what came so far is as wanted. */
  async until(wanted: (events: readonly RecordedEvent[]) => boolean): Promise<void> {
    if (wanted(this.events)) return;
    await new Promise<void>((resolve) => this.#waiting.push({ wanted, resolve }));
  }

  /** Resolves when everything that the log holds now has come. */
  async caughtUp(): Promise<void> {
    const head = await this.#log.head();
    await this.until(() => this.#position >= head);
  }

  /** Resolves when that many events of a type have come. */
  untilCount(type: EventType, count: number): Promise<void> {
    return this.until((events) => events.filter((event) => event.type === type).length >= count);
  }

  /** Types of the events of one dispatch, in order. */
  of(dispatch: string): string[] {
    return this.events.filter((event) => event.stream === `dispatch-${dispatch}`).map(({ type }) => type);
  }

  /** Resolves when a dispatch has an event of a type. */
  untilOf(dispatch: string, type: EventType): Promise<void> {
    return this.until((events) => events.some((e) => e.type === type && e.stream === `dispatch-${dispatch}`));
  }
}

/** What one process delivers with, callbacks included. */
export interface Delivery extends DeliveryWork {
  readonly receipts: Receipts;
}

/** What one process has. */
export interface Node {
  readonly log: PostgresLog;
  readonly door: CommandDoor;
  readonly workspaces: WorkspaceCommands;
  readonly sends: DispatchCommands;
  readonly commands: DispatchRecords;
  readonly options: DeliveryOptions;
  deliver(more?: Partial<DeliveryOptions>): Delivery;
}

export interface World {
  readonly url: string;
  readonly sandbox: Sandbox;
  readonly journal: Journal;
  readonly projector: Projector;
  readonly read: pg.Pool;
  /** The first node. */
  readonly node: Node;
  /** Whoever takes callbacks; none until a test says. */
  callbacks: Pick<Delivery, 'receipts'> | null;
  openNode(clock?: Clock): Promise<Node>;
  /** The log. */
  readonly log: PostgresLog;
  /** One more projector, as another process has one. */
  project(options: Partial<ProjectorOptions>): Promise<Projector>;
  /** Resolves when the rows show everything that the log holds now. */
  projected(): Promise<void>;
  ask<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
}

/** A project that can send through a connector. */
export interface Project {
  readonly workspace: number;
  readonly connector: number;
  readonly template: number;
  readonly keyId: number;
  readonly key: AuthenticatedKey;
  /** Accepts a message for each recipient; answers their dispatches. */
  send(...to: string[]): Promise<string[]>;
}

/** Keys that every node has. */
export const secret = (filler: number) => Buffer.alloc(32, filler);

/** Commands on workspaces, as every node has them. */
export function workspaceCommands(door: CommandDoor, ids: IdAllocator): WorkspaceCommands {
  const nameKey = secret(1);
  const idempotency = new Idempotency({ door, nameKey });
  const sealer = new Sealer([secret(3)]);
  return new WorkspaceCommands({ door, ids, idempotency, sealer, speller: new IdSpeller(secret(2)), nameKey });
}

/** Makes the feed of the first node, which projects, and of all others that do not bring their own. */
export type FeedMaker = (log: PostgresLog, pool: pg.Pool) => Feed;

/** Makes a world that ends with `t`. */
export async function deliveryWorld(
  t: Test,
  sandboxOptions: Parameters<typeof startSandbox>[0] = {},
  feedOf: FeedMaker = (log) => openTailFeed(log, silent),
): Promise<World> {
  const { url } = await testDatabase(t, { template });
  const own = openPool({ url, name: 'test', maxConnections: 4 });
  t.teardown(() => own.end());
  const sandbox = await startSandbox({ callbackBackoffMs: 20, ...sandboxOptions });
  t.teardown(() => sandbox.close());
  const log = await openPostgresLog({ url, codec });
  t.teardown(() => log.close());
  const project = async (options: Partial<ProjectorOptions>) => {
    const running = await startProjector({ url, feed: feedOf(log, own), history: log, logger: silent, ...options });
    t.teardown(() => running.stop());
    await running.ready;
    return running;
  };
  const projector = await project({});
  const read = readPool(url);
  t.teardown(() => read.end());
  const parts = { t, url, read, projector, sandbox, feedOf, callbackUrl: '' };
  const node = await openNode(parts, systemClock);
  const world: World = {
    url,
    sandbox,
    projector,
    read,
    node,
    log,
    project,
    journal: new Journal(t, log),
    callbacks: null,
    openNode: (clock = systemClock) => openNode(parts, clock),
    async projected() {
      const head = await log.head();
      while (projector.reached() < head) {
        await new Promise<void>((resolve) => {
          const unwatch = projector.watch(() => {
            unwatch();
            resolve();
          });
        });
      }
    },
    ask: async (text, values = []) => (await own.query(text, values)).rows,
  };
  parts.callbackUrl = await receiveCallbacks(t, world);
  sandbox.behave({ callbackBaseUrl: parts.callbackUrl });
  return world;
}

interface NodeParts {
  readonly t: Test;
  readonly url: string;
  readonly read: pg.Pool;
  readonly projector: Projector;
  readonly sandbox: Sandbox;
  readonly feedOf: FeedMaker;
  callbackUrl: string;
}

async function openNode(parts: NodeParts, clock: Clock): Promise<Node> {
  const { t, url, read, projector, sandbox, feedOf } = parts;
  const log = await openPostgresLog({ url, codec });
  const pool = openPool({ url, name: 'test-node', maxConnections: 8 });
  const door = new CommandDoor({ log, clock });
  await door.start();
  const all = connectProviders({
    whatsapp: { baseUrl: sandbox.whatsappUrl, connections: 64 },
    telegram: { baseUrl: sandbox.telegramUrl, connections: 64 },
    twilio: { baseUrl: sandbox.twilioUrl, connections: 64 },
  });
  const running: Delivery[] = [];
  t.teardown(async () => {
    await Promise.all(running.map((delivery) => delivery.stop()));
    await door.stop();
    await log.close();
    await pool.end();
    await Promise.all(Object.values(all).map((provider) => provider.close()));
  });
  const ids = new IdAllocator(pool, async (_, kind) => (kind === 'workspace' ? 2 : 0));
  const quota = new Quota(pool, clock, async () => 0);
  const workspaces = workspaceCommands(door, ids);
  const monthlyQuota = { free: 0, pro: 0, enterprise: 0 };
  const sends = new DispatchCommands({ door, quota, idKey: secret(4), monthlyQuota, defaultTier: 'free' });
  const commands = new DispatchRecords({ door, idKey: secret(4) });
  const options: DeliveryOptions = {
    feed: feedOf(log, pool),
    read,
    work: pool,
    projected: projector,
    projectorGroup,
    head: () => log.head(),
    erase: (streams) => log.erase(streams),
    commands,
    workspaces,
    door,
    url,
    providers: all,
    statusCallback: (dispatch, workspace, connector) =>
      `${parts.callbackUrl}/twilio?${CALLBACK_MESSAGE_PARAMETER}=${dispatch}&workspace=${workspace}&connector=${connector}`,
    clock,
    logger: silent,
    sole: true,
    schedule: fastSchedule,
    pace: noPace,
    graceMs: 0,
  };
  return {
    log,
    door,
    workspaces,
    sends,
    commands,
    options,
    deliver(more = {}) {
      const own = { ...options, ...more };
      const [work, receipts] = [startDeliveryWork(own), openReceipts(own)];
      const stop = () => {
        receipts.stop();
        return work.stop();
      };
      const delivery = { ...work, receipts, stop };
      running.push(delivery);
      return delivery;
    },
  };
}

/** Hands the sandbox's callbacks to `world.callbacks`, as a dialect does. Answers the address. */
async function receiveCallbacks(t: Test, world: World): Promise<string> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', async () => {
      const url = new URL(request.url ?? '/', 'http://test');
      const type: ConnectorType = url.pathname.includes('twilio') ? 'twilio' : 'whatsapp';
      const incoming = { rawBody: Buffer.concat(chunks), headers: request.headers, url: url.href };
      const { searchParams } = url;
      const connector = searchParams.has('connector')
        ? { workspace: Number(searchParams.get('workspace')), connector: Number(searchParams.get('connector')) }
        : undefined;
      try {
        if (!world.callbacks) throw new DomainError('unavailable');
        const { providers } = world.node.options;
        const provider = providers[type] as unknown as ReturnType<typeof connectProviders>[ConnectorType];
        await world.callbacks.receipts.receive(type, provider.parseReceipt(incoming), connector);
        response.writeHead(200).end();
      } catch {
        response.writeHead(503).end();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Makes a project with a key, a connector and a template that says `text`. */
export async function makeProject(
  { workspaces, sends }: Node,
  connectorType: ConnectorType = 'whatsapp',
  { text = 'Hello', phoneNumberId }: { text?: string; phoneNumberId?: string } = {},
): Promise<Project> {
  const { workspace } = await workspaces.openProject(owner, { name: 'Shop', description: null });
  const issued = await workspaces.issueKey(owner, workspace, { name: 'Key', rateLimit: 1_000, expiresAt: null });
  const { connector } = await workspaces.createConnector(owner, workspace, {
    connectorType,
    name: 'Connector',
    credentials: { ...credentials[connectorType], ...(phoneNumberId !== undefined && { phoneNumberId }) },
  });
  const content = { name: 'Template', connectorType, content: text, variables: [] };
  const { template: id } = await workspaces.createTemplate(owner, workspace, content);
  const key = await workspaces.authenticate(issued.secret);
  return {
    workspace,
    connector,
    template: id,
    keyId: issued.key,
    key,
    async send(...to) {
      const requests = to.map((recipient) => ({ to: recipient, connector, template: id, variables: {} }));
      const results = await sends.sendAll(key, requests);
      return results.map((result) => {
        if ('refused' in result) throw result.refused;
        return result.dispatch;
      });
    },
  };
}

/** `count` recipients that nothing befalls. */
export function recipients(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `15551${String((from + i) * 100_00 + 5555).padStart(9, '0')}`);
}

/** How often each dispatch was taken by the sandbox, by dispatch id. */
export function takenCounts(sandbox: Sandbox): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { dispatchId, outcome } of sandbox.received({ since: 0, limit: 10_000 }).received) {
    if (dispatchId !== null && outcome === 'accepted') counts.set(dispatchId, (counts.get(dispatchId) ?? 0) + 1);
  }
  return counts;
}
