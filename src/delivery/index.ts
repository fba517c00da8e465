/**
 * Delivery: what leaves. A consumer of the feed that acts through commands (design section 2); there is no queue beside the
 * log, only leases (promise 6).
 *
 * - `dispatcher.ts` sends dispatches through connectors. What is due is read from the rows, per connector (`lane.ts`, `fill.ts`);
 *   an attempt (`attempt.ts`) ends as a record in the log (`settling.ts`, `recorder.ts`), and when it is made again
 *   is told by `schedule.ts`. Pace per connector (`pacing.ts`), slots per provider (`slots.ts`).
 * - `receipts.ts` applies what providers report, `held-receipts.ts` what they reported too early.
 * - `webhooks/` posts what happened to those who asked, `notifications/` sends notifications over their channels, `email/` has
 *   one file per mail provider, `connectors/` one per provider of dispatches.
 * - `chores/` erases what was deleted, and marks rooms that nobody writes in any more.
 *
 * Promises
 * - At least once, with a stable id, across a crash at any instruction (promise 5). An attempt cut off by a crash is repeated
 *   and not counted.
 * - What stands in the log as sent is not sent again, although rows are behind the log: a dispatch is held (`held.ts`), in
 *   memory and by a lease, until the rows show for good what became of it; and one that another attempt may have been made at
 *   (it was deferred, its lease ran out, or it was accepted before this start) has its stream read right before it is sent.
 * - A connector or provider that is slow, throttling or away holds up no other: each has its own lane; a lane whose attempts
 *   do not end well gets fewer at once, and all such lanes together half of their provider's slots.
 * - A dispatch that cannot be recorded is recorded again until it can, and nothing more is sent meanwhile.
 * - Dispatches of a deleted workspace are not sent: they are erased. Those of a deleted or deactivated connector fail.
 *
 * Limits: attempts per connector and per provider, dispatches held at once, records per append, pages per look. A connector's
 * pace is kept per process. Some 2,000 dispatches that other processes have, or to a Telegram chat that is not to be written to
 * yet, are looked past.
 * Failure: while storage is away nothing new is sent; afterwards it goes on by itself.
 */
import type pg from 'pg';
import { type CommandDoor, type DispatchRecords, ErasureCommands, type WorkspaceCommands } from '../commands/index.ts';
import { consumerPool } from '../feed/checkpoint.ts';
import type { Tracer } from '../platform/telemetry.ts';
import type { TraceAttempt } from './attempt.ts';
import { type ChoresOptions, startChores } from './chores/index.ts';
import { type DispatcherDepths, type DispatcherOptions, startDispatcher } from './dispatcher.ts';
import { startHeldReceipts } from './held-receipts.ts';
import { type OnReceipt, Receipts, type ReceiptsOptions } from './receipts.ts';

export type { DispatcherDepths, DispatcherOptions } from './dispatcher.ts';
export { endLeases } from './leases.ts';
export { deliveryMigrations } from './migrations.ts';
export {
  type NotificationChannel,
  type NotificationOutcome,
  type Notifications,
  type NotificationsOptions,
  startNotifications,
} from './notifications/index.ts';
export { defaultPace, type Pace } from './pacing.ts';
export type { Projected } from './reached.ts';
export type { OnReceipt, ReceiptOutcome, Receipts, ReceiptsOptions } from './receipts.ts';
export { defaultSchedule, type Schedule } from './schedule.ts';
export type { DispatchOutcome } from './settling.ts';
export {
  defaultWebhookSchedule,
  OwnPoster,
  postingThread,
  startWebhooks,
  type WebhookDepths,
  type WebhookDialect,
  type WebhookOutcome,
  type WebhookSchedule,
  type Webhooks,
  type WebhooksOptions,
  webhookSchedule,
  webhookTests,
} from './webhooks/index.ts';

/** What delivery needs. */
export interface DeliveryOptions extends Omit<DispatcherOptions, 'commands' | 'workspaces' | 'trace'> {
  readonly commands: DispatchRecords;
  readonly workspaces: WorkspaceCommands;
  readonly door: CommandDoor;
  /** Address of the database, for consumers' connections. */
  readonly url: string;
  /** Erases one stream in the log. Idempotent. */
  readonly erase: (streams: readonly string[]) => Promise<void>;
  readonly tracer?: Tracer;
  /** The trace that a dispatch was accepted in; asked before each attempt while traces are on. */
  readonly traceOf?: (dispatch: string) => Promise<string | undefined>;
  readonly onReceipt?: OnReceipt;
  /** See `ChoresOptions`. */
  readonly graceMs?: number;
  readonly rooms?: NonNullable<ChoresOptions['rooms']>;
}

/** Running delivery, but for taking receipts. */
export interface DeliveryWork {
  /** Resolves when the first dispatches may leave. */
  readonly ready: Promise<void>;
  /** Rejects with an event that this code cannot read. */
  readonly done: Promise<void>;
  depths(): DispatcherDepths;
  /** Attempts under way are finished and recorded first: the door must still be open. */
  stop(): Promise<void>;
}

/**
 * Makes what takes providers' receipts, and nothing that sends: for a process that answers their callbacks while others
 * deliver. To be stopped when nobody calls it any more.
 */
export function openReceipts(options: ReceiptsOptions): Receipts {
  return new Receipts(options);
}

/** Starts what needs no callbacks: sending, applying held receipts, and the chores. Any number of processes share it. */
export function startDeliveryWork(options: DeliveryOptions): DeliveryWork {
  const { tracer, commands, workspaces, onReceipt } = options;
  const pool: pg.Pool = consumerPool(options.url, { name: 'delivery', maxConnections: 4 });
  const dispatcher = startDispatcher({
    ...options,
    ...(tracer?.enabled && { trace: attemptSpans(tracer, options.traceOf) }),
  });
  const { feed, read, projected, clock } = options;
  const held = startHeldReceipts({
    feed,
    pool,
    read,
    projected,
    clock,
    commands,
    workspaces,
    ...(onReceipt && { onReceipt }),
  });
  const chores = startChores({ ...options, pool, erasures: new ErasureCommands(options) });
  const done = Promise.all([dispatcher.done, held.done, chores.done]).then(() => {});
  done.catch(() => {});
  let stopped: Promise<void> | null = null;
  const stop = async () => {
    await Promise.all([dispatcher.stop(), held.stop(), chores.stop()]);
    await pool.end();
  };
  return {
    ready: dispatcher.ready,
    done,
    depths: () => dispatcher.depths(),
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** A span around each attempt, in the trace that the dispatch was accepted in. */
function attemptSpans(tracer: Tracer, traceOf: DeliveryOptions['traceOf'] = async () => undefined): TraceAttempt {
  return async (row, attempt) => {
    const span = tracer.start('dispatch attempt', {
      kind: 'client',
      // Where the log cannot be asked the attempt is a trace of its own.
      parent: await traceOf(row.dispatch).catch(() => undefined),
      attributes: {
        'parley.dispatch': row.dispatch,
        'parley.connector_type': row.connectorType,
        'parley.attempts': row.attempts,
      },
    });
    try {
      const ended = await attempt();
      span.end();
      return ended;
    } catch (error) {
      span.end({ error });
      throw error;
    }
  };
}
