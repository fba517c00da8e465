/** The load of ingest: jobs for the generator. */
import type { Window } from '../load-control.ts';
import { keyMark, type LoadJob, type LoadResult } from '../load-job.ts';
import { caughtUp, readPlace } from '../metrics.ts';
import { batchBody, type Sender, singleBody } from './account.ts';
import type { Stage } from './stage.ts';

/** What a batch holds at most. */
export const itemsPerBatch = 1_000;
/** Two are with the server while two are under way; more only wait longer. */
export const batchConnections = 4;
const catchUpTimeoutMs = 120_000;

/** Single sends, to a server or to the bare route. */
export function singleJob(sender: Sender, port: number, connections: number, end: LoadJob['end']): LoadJob {
  return {
    port,
    target: 'POST /api/v1/messages',
    headers: {
      Authorization: `Bearer ${sender.apiKey}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': keyMark,
    },
    bodies: Array.from({ length: connections }, (_, number) => singleBody(sender, number)),
    connections,
    end,
  };
}

/** Batches of `itemsPerBatch` sends. */
export function batchJob(sender: Sender, port: number, messages: number): LoadJob {
  return {
    port,
    target: 'POST /api/v1/messages/batch',
    headers: { Authorization: `Bearer ${sender.apiKey}`, 'Content-Type': 'application/json' },
    bodies: Array.from({ length: batchConnections }, (_, number) =>
      batchBody(sender, number * itemsPerBatch, itemsPerBatch),
    ),
    connections: batchConnections,
    itemsPerRequest: itemsPerBatch,
    end: { requests: Math.ceil(messages / itemsPerBatch) },
  };
}

/** Runs a job against the server and counts what it accepted. */
export async function sendTo(stage: Stage, job: LoadJob, window?: Window): Promise<LoadResult> {
  const result = await stage.load.run(job, window);
  stage.accepted += result.answered * (job.itemsPerRequest ?? 1);
  return result;
}

/** Waits until the projector has all that was sent. Answers how long that took, milliseconds. */
export function projected(stage: Stage): Promise<number> {
  return caughtUp(stage.server.url, catchUpTimeoutMs);
}

/** Requests of the warm-up, to each side. */
const warmUpRequests = 40_000;

/**
 * Single sends up to some events in the log, then their replays: the code is warm before the first window, and the log is
 * as small as it is to be.
 */
export async function warmUp(stage: Stage, events: number): Promise<void> {
  const { head } = await readPlace(stage.server.url);
  const { server, sender, bare, load } = stage;
  const fresh = events - head;
  if (fresh > 0) {
    const job = singleJob(sender, server.port, 256, { requests: warmUpRequests });
    await load.run({ ...job, repeatKeysAfter: fresh });
    stage.accepted += fresh;
  }
  await load.run(singleJob(sender, bare.port, 256, { requests: warmUpRequests }));
  await projected(stage);
}

/** Batches until the log has some events. */
export async function fillUp(stage: Stage, events: number): Promise<void> {
  for (;;) {
    const { head } = await readPlace(stage.server.url);
    if (head >= events) return void (await projected(stage));
    const messages = Math.min(events - head, 100_000);
    await sendTo(stage, batchJob(stage.sender, stage.server.port, messages));
    await projected(stage);
  }
}
