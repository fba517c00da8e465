/**
 * Notifications: what is due leaves by e-mail, to a room, or to URLs (ChatAPI sheet, section 10). A notification is a
 * dispatch: what is due is told by the log through the rows (design promise 6), one process at a time sends it under a lease
 * (`leases.ts`), and what came of it returns as a command.
 *
 * Promises
 * - At least once, across a crash at any instruction; never lost. Each round begins with the stream of the notification, so
 *   what stands there as sent or cancelled is not sent again: one that was cancelled before it was taken up never leaves.
 * - Those that press more go first, of each workspace a bounded number at once, so that none keeps out the others.
 * - A mail has one `Message-ID`, a post one `webhook-id`, on every attempt. A failed mail is tried by one other provider in the
 *   same round. A provider's pace, and its asking to slow down, use up no attempt.
 * - To a room: everybody in it is told by one event of the log, which those who come back are told too. Nobody connected, or
 *   the room gone, and there is a fallback: it leaves by e-mail.
 * - To URLs: those that did not take it are tried again, those that did are left alone. Targets go through the outbound guard.
 *
 * Limits: notifications under way, in all and per workspace; posts under way per notification. A provider's pace is kept per
 * process.
 * Failure: while storage is away nothing new is taken up; an outcome is recorded again until it is stored.
 */
import type pg from 'pg';
import type { Queryable } from '../../../projections/projection.ts';
import type { EmailProvider, NotificationCommands, NotificationSchedule, RoomState } from '../../commands/index.ts';
import type { ConsumerLogger, Feed } from '../../feed/feed.ts';
import type { Clock } from '../../platform/clock.ts';
import type { OutboundGuard } from '../../platform/outbound-guard.ts';
import type { Email } from '../email/index.ts';
import type { Projected } from '../reached.ts';
import type { NotificationDialect } from './dialect.ts';
import { Notifier } from './notifier.ts';

export type { NotificationDialect } from './dialect.ts';

/** How a round ended, for metrics. `retried` is tried again; `throttled` too, and used up no attempt. */
export type NotificationOutcome = 'sent' | 'failed' | 'retried' | 'throttled';

/** By what a notification left, or would have. */
export type NotificationChannel = 'email' | 'websocket' | 'webhook';

/** What the delivery of notifications needs. Times in milliseconds. */
export interface NotificationsOptions {
  readonly feed: Feed;
  /** Where rows of projections are read. */
  readonly read: Queryable;
  /** The database of the schema `work`. */
  readonly work: pg.Pool;
  readonly projected: Projected;
  /** Consumer group of the projector. */
  readonly projectorGroup: string;
  /** The last position of the log. */
  readonly head: () => Promise<bigint>;
  readonly commands: Pick<NotificationCommands, 'stored' | 'start' | 'recordRound' | 'openProvider'>;
  readonly email: Pick<Email, 'send'>;
  /** A workspace's stored e-mail providers, in clear. */
  readonly providersOf: (workspace: number) => Promise<readonly EmailProvider[]>;
  /** A room as it is now. */
  readonly roomOf: (workspace: number, room: number) => Promise<RoomState> | RoomState;
  /** Which of these accounts are connected, in any process. */
  readonly online: (workspace: number, accounts: readonly number[]) => Promise<ReadonlySet<number>>;
  /** The secret of an endpoint of the workspace that has this URL; null without one. */
  readonly secretOf: (workspace: number, url: string) => Promise<string | null>;
  readonly dialect: NotificationDialect;
  readonly guard: Pick<OutboundGuard, 'connector'>;
  readonly clock: Clock;
  readonly logger: ConsumerLogger;
  readonly schedule?: NotificationSchedule;
  /** For one mail or post; 30,000 unless told. */
  readonly attemptTimeoutMs?: number;
  /** Notifications under way at once; 32 unless told. */
  readonly concurrency?: number;
  /** The same of one workspace; a quarter of it unless told. */
  readonly concurrencyPerWorkspace?: number;
  /** How often it is looked for what no wake told of; 1,000 unless told. */
  readonly pollMs?: number;
  /** Life of a lease that is not renewed; 30,000 unless told. */
  readonly leaseMs?: number;
  readonly onOutcome?: (channel: NotificationChannel, outcome: NotificationOutcome) => void;
}

/** The running delivery of notifications. */
export interface Notifications {
  /** Resolves when it has begun. */
  readonly ready: Promise<void>;
  /** Rejects with an event that this code cannot read. */
  readonly done: Promise<void>;
  /** Notifications under way, and settled ones that the rows may not show yet. */
  depths(): { readonly inFlight: number; readonly settled: number };
  /** Ends cleanly: rounds under way are finished and recorded, nothing new begins. The door must still be open. */
  stop(): Promise<void>;
}

/** Starts delivering notifications. */
export function startNotifications(options: NotificationsOptions): Notifications {
  return new Notifier(options);
}
