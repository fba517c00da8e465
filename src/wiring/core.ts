import { monthAccepted } from '../../projections/dispatches/queries.ts';
import { highestId } from '../../projections/ids/queries.ts';
import {
  ACCOUNTS_WORKSPACE,
  AccountCommands,
  ChatAccountCommands,
  ClientCommands,
  CommandDoor,
  DispatchCommands,
  DispatchRecords,
  EmailProviderCommands,
  FileCommands,
  IdAllocator,
  Idempotency,
  MAIN_WORKSPACE,
  MessageCommands,
  NotificationCommands,
  Quota,
  RateLimiter,
  RoomCommands,
  WebhookCommands,
  WorkspaceCommands,
} from '../commands/index.ts';
import { webhookEventNames } from '../dialects/chatapi/index.ts';
import type { Feed } from '../feed/feed.ts';
import type { Log } from '../log/log.ts';
import { sleep, systemClock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import { PasswordHasher, Sealer } from '../platform/crypto.ts';
import { IdSpeller } from '../platform/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import { openPool } from '../platform/postgres.ts';
import { createFreshness, type PositionSource, type Projector, readPool } from '../readside/index.ts';
import type { Closers } from './closers.ts';
import { counterOfPair } from './counters.ts';
import { openGuard } from './outbound.ts';
import type { Storage } from './storage.ts';

/** What stands below the core. */
export interface Ground {
  readonly config: Config;
  readonly storage: Storage;
  readonly log: Log;
  readonly feed: Feed;
  /** The projector of this thread, or what is known of those of others. */
  readonly projected: Projected;
  /** Null where another thread or process projects. */
  readonly projector: Projector | null;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** How far the rows are, whoever writes them. */
export interface Projected extends PositionSource {
  /** Resolves when today's queries can read every projection. */
  readonly ready: Promise<void>;
  /** Rejects when they can get no further; absent where other processes write them. */
  readonly done?: Promise<void>;
}

const sweepIntervalMs = 600_000;
/** A start that waits for the rows says so this often. */
const tellWaitEveryMs = 5_000;

/** What commands and queries need: everything between the log and the dialects. */
export type Core = Awaited<ReturnType<typeof openCore>>;

/**
 * Opens it. Resolves when queries can read every projection; where nobody else accepts anything, when they read everything that
 * was accepted: what limits count is made anew from the rows then, and who is answered first finds the way to the rows open.
 *
 * @param isSecond another one of this process sees to that, and opens the system's workspaces
 * @param signal ends the waiting: it rejects then
 */
export async function openCore(
  ground: Ground,
  closers: Closers,
  { isSecond, signal }: { readonly isSecond: boolean; readonly signal?: AbortSignal },
) {
  const { config, storage, log, projected, metrics } = ground;
  const { url, secrets } = storage;
  const pool = openPool({ url, name: 'work', maxConnections: 8 });
  closers.add(() => pool.end());
  const db = readPool(url);
  closers.add(() => db.end());
  const freshness = createFreshness({ source: projected, head: () => log.head(), clock: systemClock });
  const accepted = counterOfPair((dialect, command) => metrics.acceptedCommands(dialect, command));
  const door = new CommandDoor({
    log,
    clock: systemClock,
    onAcknowledged: (workspace, account, position) =>
      freshness.noteAcknowledged(workspace, { workspace, account }, position),
    // What no dialect asked for counts for `-`.
    onAccepted: (command, count, dialect = '-') => accepted(dialect, command, count),
  });
  await door.start();
  closers.add(() => door.stop());

  // Of its own: it holds connections while things are appended, and limits are not to wait for that.
  const counters = openPool({ url, name: 'ids', maxConnections: 8 });
  closers.add(() => counters.end());
  const ids = new IdAllocator(counters, (workspace, kind) => highestId(db, kind === 'workspace' ? 0 : workspace, kind));
  const speller = new IdSpeller(secrets.idKey);
  const nameKey = secrets.idKey;
  const passwords = new PasswordHasher();
  const accounts = new AccountCommands({
    door,
    ids,
    passwords,
    nameKey,
    refreshLifeMs: config.auth.refreshLifeMs,
  });
  const idempotency = new Idempotency({ door, nameKey });
  const clients = new ClientCommands({ door, ids, speller });
  const people = new ChatAccountCommands({ door, ids, idempotency, passwords, speller, nameKey });
  const files = new FileCommands({ people, pool });
  const rooms = new RoomCommands({ door, ids, idempotency, nameKey });
  const messages = new MessageCommands({ door, ids, rooms, idempotency });
  const sealer = new Sealer(secrets.encryptionKeys);
  const guard = openGuard(config);
  const eventNames = new Set(webhookEventNames);
  const webhooks = new WebhookCommands({ door, ids, idempotency, sealer, guard, eventNames });
  const emailProviders = new EmailProviderCommands({ door, sealer, guard });
  const notifications = new NotificationCommands({ door, rooms, sealer, guard, idKey: nameKey });
  const workspaces = new WorkspaceCommands({ door, ids, idempotency, sealer, speller, nameKey });
  if (!isSecond) {
    await workspaces.openSystemWorkspaces([
      { workspace: ACCOUNTS_WORKSPACE, name: 'accounts' },
      { workspace: MAIN_WORKSPACE, name: 'main' },
    ]);
  }
  await Promise.race([projected.ready, aborted(signal)]);
  const quota = new Quota(pool, systemClock, (workspace, account, month) =>
    monthAccepted(db, { workspace, account }, Date.parse(`${month}-01T00:00:00Z`)),
  );
  if (storage.alone && !isSecond) {
    await reached(projected, await log.head(), ground.logger, signal);
    await quota.settle();
  }
  closers.add(() => quota.close());
  const limiter = new RateLimiter(pool, systemClock);
  const sweep = setInterval(() => void limiter.sweep().catch(() => {}), sweepIntervalMs).unref();
  closers.add(() => clearInterval(sweep));
  const dispatches = new DispatchCommands({
    door,
    quota,
    idKey: secrets.idKey,
    monthlyQuota: config.limits.quotaPerMonth,
    defaultTier: config.limits.defaultTier,
  });
  const dispatchRecords = new DispatchRecords({ door, idKey: secrets.idKey });
  const dashboard = { accounts, workspaces, dispatches, dispatchRecords };
  const chat = { idempotency, clients, people, files, rooms, messages, webhooks, notifications, emailProviders };
  return { pool, db, freshness, door, speller, limiter, guard, ...dashboard, ...chat };
}

/** Rejects once a signal is given; never resolves. */
function aborted(signal: AbortSignal | undefined): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  const end = () => reject(signal?.reason);
  if (signal?.aborted) end();
  else signal?.addEventListener('abort', end, { once: true });
  return promise;
}

async function reached(
  projected: Projected,
  position: bigint,
  logger: Logger,
  signal: AbortSignal | undefined,
): Promise<void> {
  const tell = () =>
    logger.info({ rowsReach: String(projected.reached()), logEnds: String(position) }, 'the rows are catching up');
  const telling = setInterval(tell, tellWaitEveryMs);
  try {
    while (projected.reached() < position)
      await Promise.race([sleep(5, signal), ...(projected.done ? [projected.done] : [])]);
  } finally {
    clearInterval(telling);
  }
}
