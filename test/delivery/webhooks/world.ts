/** A database, a log with its projector, and nodes that deliver webhooks: each has a log, a door and leases of its own. */
import type pg from 'pg';
import type { Test } from 'tap';
import { codec } from '../../../schemas/index.ts';
import {
  type Actor,
  CommandDoor,
  IdAllocator,
  Idempotency,
  WebhookCommands,
  type WebhookInput,
  WorkspaceCommands,
} from '../../../src/commands/index.ts';
import {
  defaultWebhookSchedule,
  OwnPoster,
  startWebhooks,
  type Webhooks,
  type WebhooksOptions,
} from '../../../src/delivery/index.ts';
import { openTailFeed } from '../../../src/feed/tail.ts';
import { openPostgresLog, type PostgresLog } from '../../../src/log/postgres.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import { Sealer } from '../../../src/platform/crypto.ts';
import { IdSpeller } from '../../../src/platform/ids.ts';
import { type OutboundGuard, outboundGuard } from '../../../src/platform/outbound-guard.ts';
import { openPool } from '../../../src/platform/postgres.ts';
import { type Projector, readPool, startProjector } from '../../../src/readside/index.ts';
import { testDatabase } from '../../support/postgres.ts';
import { Journal, silent, template } from '../world.ts';
import { postMessages, testDialect } from './events.ts';

/** The sheet's schedule; between failures in a row no pause, so that tests say when time passes. */
export const testSchedule = { ...defaultWebhookSchedule, attemptTimeoutMs: 5_000, pauseMs: { first: 1, most: 1 } };

export { testDialect };

export const eventNames: ReadonlySet<string> = new Set(['message.created', 'message.deleted', 'room.created']);

/** A clock that a test moves on. */
export class MovedClock implements Clock {
  #movedMs = 0;
  now(): number {
    return Date.now() + this.#movedMs;
  }
  monotonicMs(): number {
    return performance.now() + this.#movedMs;
  }
  move(ms: number): void {
    this.#movedMs += ms;
  }
}

export interface Node {
  readonly log: PostgresLog;
  readonly door: CommandDoor;
  readonly commands: WebhookCommands;
  readonly workspaces: WorkspaceCommands;
  readonly options: WebhooksOptions;
  /** Starts delivering; stopped when the test ends. */
  deliver(more?: Partial<WebhooksOptions>): Webhooks;
}

export interface World {
  readonly url: string;
  readonly journal: Journal;
  readonly projector: Projector;
  readonly read: pg.Pool;
  readonly clock: MovedClock;
  readonly node: Node;
  openNode(clock?: Clock): Promise<Node>;
  projected(): Promise<void>;
  ask<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Makes a webhook for all messages of a workspace (7 unless told), answers its number and secret. */
  hook(
    url: string,
    more?: Partial<WebhookInput> & { workspace?: number },
  ): Promise<{ webhook: number; secret: string }>;
  /** Posts messages to a room; answers their numbers. */
  post(count: number, more?: { workspace?: number; room?: number; text?: string }): Promise<number[]>;
}

export const actor: Actor = { workspace: 7, account: 0 };

export const secretKey = (filler: number) => Buffer.alloc(32, filler);

export async function webhookWorld(t: Test, guard: OutboundGuard = localGuard): Promise<World> {
  const { url } = await testDatabase(t, { template });
  const own = openPool({ url, name: 'test', maxConnections: 4 });
  t.teardown(() => own.end());
  const log = await openPostgresLog({ url, codec });
  t.teardown(() => log.close());
  const projector = await startProjector({ url, feed: openTailFeed(log, silent), history: log, logger: silent });
  t.teardown(() => projector.stop());
  await projector.ready;
  const read = readPool(url);
  t.teardown(() => read.end());
  const clock = new MovedClock();
  const parts = { t, url, read, projector, guard };
  const node = await openNode(parts, clock);
  let message = 0;
  return {
    url,
    projector,
    read,
    clock,
    node,
    journal: new Journal(t, log),
    openNode: (other = clock) => openNode(parts, other),
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
    async hook(target, { workspace = 7, ...more } = {}) {
      const input = {
        url: target,
        events: ['message.created'],
        secret: null,
        customHeaders: {},
        roomFilters: [],
        meta: null,
      };
      return node.commands.createWebhook({ ...actor, workspace }, workspace, { ...input, ...more });
    },
    async post(count, { workspace = 7, room = 1, text = 'Hello' } = {}) {
      const numbers = Array.from({ length: count }, () => ++message);
      await postMessages(node.door, numbers, { workspace, room, text });
      return numbers;
    },
  };
}

/** Loopback alone is open beside the world. */
export const localGuard = outboundGuard({ allowCidrs: ['127.0.0.0/8'] });

interface NodeParts {
  readonly t: Test;
  readonly url: string;
  readonly read: pg.Pool;
  readonly projector: Projector;
  readonly guard: OutboundGuard;
}

async function openNode({ t, url, read, projector, guard }: NodeParts, clock: Clock): Promise<Node> {
  const log = await openPostgresLog({ url, codec });
  const pool = openPool({ url, name: 'test-node', maxConnections: 8 });
  const door = new CommandDoor({ log, clock: systemClock });
  await door.start();
  const running: Webhooks[] = [];
  t.teardown(async () => {
    await Promise.all(running.map((webhooks) => webhooks.stop()));
    await door.stop();
    await log.close();
    await pool.end();
  });
  const ids = new IdAllocator(pool, async (_, kind) => (kind === 'workspace' ? 6 : 0));
  const sealer = new Sealer([secretKey(3)]);
  const idempotency = new Idempotency({ door, nameKey: secretKey(1) });
  const commands = new WebhookCommands({ door, ids, idempotency, sealer, guard, eventNames });
  const speller = new IdSpeller(secretKey(2));
  const workspaces = new WorkspaceCommands({ door, ids, idempotency, sealer, speller, nameKey: secretKey(1) });
  const options: WebhooksOptions = {
    feed: openTailFeed(log, silent),
    history: log,
    readEvent: async (stream, revision) => (await log.read(stream, revision)).events[0] ?? null,
    read,
    work: pool,
    projected: projector,
    commands,
    dialect: testDialect,
    poster: (attemptTimeoutMs) => new OwnPoster({ guard, attemptTimeoutMs }),
    clock,
    logger: silent,
    sole: true,
    schedule: testSchedule,
    lookMs: 100,
    tickMs: 20,
  };
  return {
    log,
    door,
    commands,
    workspaces,
    options,
    deliver(more = {}) {
      const webhooks = startWebhooks({ ...options, ...more });
      running.push(webhooks);
      return webhooks;
    },
  };
}

/** Resolves when all messages of the log stand there as settled. */
export function allSettled(world: World): Promise<void> {
  return world.journal.until((events) => {
    const head = events.findLast(({ type }) => type === 'MessagePosted')?.position ?? 0n;
    return events.some(
      (e) => e.type === 'WebhookAttemptsRecorded' && e.data.settled.some(({ upTo }) => BigInt(upTo) >= head),
    );
  });
}
