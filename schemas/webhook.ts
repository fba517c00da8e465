import { z } from 'zod';
import { id, millis, openMeta } from './common.ts';
import { defineEvent } from './event.ts';

const webhookRef = z.object({ workspace: id, webhook: id });

/** A position of the log, spelled. */
const position = z.string().regex(/^\d{1,20}$/);

/** Settings of an endpoint. `sealed...` hold secrets (AES-256-GCM, design promise 10). */
const settings = {
  url: z.string(),
  /** Names of events as the dialect that made it spells them. */
  events: z.array(z.string()),
  sealedSecret: z.string(),
  /** Names of the headers that are sent along, in order; `sealedHeaders` holds their values, as a JSON object. */
  headerNames: z.array(z.string()),
  sealedHeaders: z.string().nullable(),
  /** Only events of these rooms, and those without a room; empty: of all. */
  roomFilters: z.array(id),
  meta: openMeta.nullable(),
};

/** One attempt at a delivery that failed. */
const failedAttempt = z.object({
  delivery: z.string(),
  /** The replay it belongs to, 0 for the endpoint's own deliveries. */
  replay: id,
  /** Where the event stands, by which it is read again. */
  position,
  stream: z.string(),
  revision: z.int().min(0),
  event: z.string(),
  /** Attempts made so far, in all. */
  attempt: z.int().min(1),
  /** Of these, the ones since the endpoint was made active or the delivery was given another try. */
  used: z.int().min(1),
  at: millis,
  /** HTTP status, null without an answer. */
  status: z.int().nullable(),
  /** A code: what kind of failure. */
  error: z.string(),
  /** When it is tried again; null: never, it is a dead letter. */
  retryAt: millis.nullable(),
});

/**
 * Streams: one per webhook; outcomes of deliveries stand in a stream per append that nobody loads. What is still to be
 * delivered follows from these and from the log itself: there is no queue.
 */
export const webhookEvents = {
  WebhookCreated: defineEvent(webhookRef.extend(settings)),
  /** Only the fields given change. */
  WebhookChanged: defineEvent(webhookRef.extend(z.object(settings).partial().shape)),
  /** Deliveries that are open get all their attempts anew, and what happened meanwhile follows. */
  WebhookActivated: defineEvent(webhookRef),
  /** Nothing is sent from here on, and nothing is lost. `failing`: it failed too often in a row. */
  WebhookDeactivated: defineEvent(webhookRef.extend({ reason: z.enum(['requested', 'failing']) })),
  WebhookDeleted: defineEvent(webhookRef),
  /** Everything after position `from`, or since a time, up to where this event stands, is delivered once more. */
  WebhookReplayRequested: defineEvent(
    webhookRef.extend({
      replay: id,
      from: position.nullable(),
      since: millis.nullable(),
      until: millis.nullable(),
    }),
  ),
  /** It is through: what failed of it stands as deliveries of its own. */
  WebhookReplayFinished: defineEvent(webhookRef.extend({ replay: id })),
  /** A dead letter is tried again. */
  WebhookDeliveryRedriven: defineEvent(webhookRef.extend({ delivery: z.string() })),
  /** What came of attempts at one webhook, many at once. */
  WebhookAttemptsRecorded: defineEvent(
    webhookRef.extend({
      /** How often the webhook had been made active when they began: what is said of failures in a row counts for that time. */
      activation: z.int().min(0),
      /** First attempts: of each replay (0: the endpoint's own), what is settled without a gap, and what was delivered beyond. */
      settled: z.array(z.object({ replay: id, upTo: position, beyond: z.array(position) })),
      failed: z.array(failedAttempt),
      /** Deliveries that had failed before and are over: `erased` ones were not sent, what they told of is gone. */
      ended: z.array(z.object({ delivery: z.string(), outcome: z.enum(['delivered', 'erased']) })),
      /** Attempts that a 2xx answered. */
      delivered: z.int().min(0),
      /** When the last attempt ended. */
      lastAt: millis,
      failureCount: z.int().min(0),
      /** When it rose last. */
      failureAt: millis.nullable(),
    }),
  ),
};
