/**
 * Webhooks: events of a workspace are posted, signed, to the endpoints that it names (ChatAPI sheet, section 13).
 *
 * What is to be delivered is derived (design promise 6): first attempts from the log itself, per webhook from the position up
 * to which rows show everything as settled (`track.ts`), later attempts from rows of deliveries that failed (`retries.ts`).
 * The live end comes from the feed (`live.ts`), what lies behind from the log (`scanner.ts`). What came of attempts is
 * recorded many at once (`recorder.ts`), by commands like everything else. A webhook is delivered to by one process at a time
 * (`holdings.ts`, by leases), which share all webhooks evenly.
 *
 * Promises
 * - At least once, under a stable id, across a crash at any instruction (promise 5). What stands in the log as delivered is not
 *   sent again, unless a replay asks for it.
 * - First attempts begin in the order of the log, several at once. A failed one is tried again by `schedule.ts`. While a
 *   webhook is switched off, by its owner or for its failures, nothing is lost: deliveries that are open get all attempts anew
 *   when it is made active, and what happened meanwhile follows.
 * - A webhook is sent what its settings ask for when the event is taken up, which after a long absence is later than the event.
 * - An endpoint that is slow or away holds up no other: each has its own bounded share of the attempts under way, those that
 *   do not answer well have half of them together, and after some failures in a row only one attempt is made at a time, with
 *   pauses that double up to 30 s. Targets go through the outbound guard; redirects are not followed.
 * - An endpoint that answers quickly is handed more than may be under way: its connections go on at once (`poster.ts`). With the
 *   first failure what stands in line comes back, as it does when something was erased or the webhook was switched off.
 * - The content of what was erased is not sent from then on: such deliveries end without an attempt.
 * - Outcomes of deliveries fire no webhooks: their events are never rendered.
 *
 * Limits: attempts at once per webhook and in all; bodies in memory per webhook; recent events in memory; deliveries of a
 * webhook that wait for another attempt (then first attempts wait in the log); time and size of answers. A webhook that
 * comes back after long reads the log from where it stood, which takes a second per some ten thousand events of all
 * workspaces, shared by all that are behind.
 * Failure: while storage is away nothing is sent; afterwards it goes on by itself.
 */
import type pg from 'pg';
import type { Queryable } from '../../../projections/projection.ts';
import type { RecordedEvent } from '../../../schemas/index.ts';
import type { WebhookCommands } from '../../commands/index.ts';
import type { ConsumerLogger, Feed, History } from '../../feed/feed.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Projected } from '../reached.ts';
import { Deliverer } from './deliverer.ts';
import type { WebhookDialect } from './dialect.ts';
import type { Poster } from './poster.ts';
import type { WebhookSchedule } from './schedule.ts';

export type { Rendered, WebhookDialect } from './dialect.ts';
export { OwnPoster, type Poster } from './poster.ts';
export { postingThread } from './posting-thread.ts';
export { defaultWebhookSchedule, type WebhookSchedule, webhookSchedule } from './schedule.ts';
export { webhookTests } from './tester.ts';

/** How a delivery's attempt ended, for metrics. `failed` is tried again, `dead` is not. */
export type WebhookOutcome = 'delivered' | 'failed' | 'dead' | 'erased';

/** What the delivery of webhooks needs. Times in milliseconds. */
export interface WebhooksOptions {
  readonly feed: Feed;
  /** The log, for those who are behind. */
  readonly history: History;
  /** One event of the log, by its stream; null when it is gone. */
  readonly readEvent: (stream: string, revision: number) => Promise<RecordedEvent | null>;
  /** Where rows of projections are read. */
  readonly read: Queryable;
  /** The database of the schema `work`. */
  readonly work: pg.Pool;
  readonly projected: Projected;
  readonly commands: WebhookCommands;
  readonly dialect: WebhookDialect;
  /** Makes what posts, given the time that an attempt may take, milliseconds. It is closed at the stop. */
  readonly poster: (attemptTimeoutMs: number) => Poster;
  readonly clock: Clock;
  readonly logger: ConsumerLogger;
  /** No other process delivers webhooks: leases that an earlier one left are over. */
  readonly sole: boolean;
  /** Nothing is sent before this resolves. */
  readonly sendAfter?: Promise<unknown>;
  readonly schedule?: WebhookSchedule;
  /** Attempts at once per webhook; 32 unless told. */
  readonly concurrencyPerWebhook?: number;
  /** Attempts at once in all; 256 unless told. */
  readonly concurrency?: number;
  /** Deliveries of a webhook that may wait for another attempt; 10,000 unless told. */
  readonly maxOpenPerWebhook?: number;
  /** Life of a lease that is not renewed; 30,000 unless told. */
  readonly leaseMs?: number;
  /** How often it is looked which webhooks there are, beside hearing of them; 2,000 unless told. */
  readonly lookMs?: number;
  /** How often it is looked what came due; 250 unless told. */
  readonly tickMs?: number;
  readonly onOutcome?: (outcome: WebhookOutcome) => void;
}

/** How much is under way. */
export interface WebhookDepths {
  /** Webhooks that this process delivers to. */
  readonly webhooks: number;
  /** Deliveries in memory that wait for their attempt. */
  readonly waiting: number;
  readonly inFlight: number;
  /** Ended attempts that are not known to be recorded. */
  readonly recording: number;
}

/** The running delivery of webhooks. */
export interface Webhooks {
  /** Resolves when it has begun. */
  readonly ready: Promise<void>;
  /** Rejects with an event that this code cannot read. */
  readonly done: Promise<void>;
  depths(): WebhookDepths;
  /** Ends cleanly: what is under way is given some seconds and recorded, nothing new begins. The door must still be open. */
  stop(): Promise<void>;
}

/** Starts delivering webhooks. */
export function startWebhooks(options: WebhooksOptions): Webhooks {
  return new Deliverer(options);
}
