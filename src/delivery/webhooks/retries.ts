import type { Queryable } from '../../../projections/projection.ts';
import { dueDeliveries } from '../../../projections/webhooks/queries.ts';
import type { RecordedEvent } from '../../../schemas/index.ts';
import type { Reached } from '../reached.ts';
import type { WebhookDialect } from './dialect.ts';
import type { Delivery, Endpoint } from './endpoint.ts';
import { type Ripe, ripen } from './ripe.ts';

/** What loading needs. */
export interface RetriesOptions {
  readonly read: Queryable;
  readonly reached: Reached;
  readonly dialect: WebhookDialect;
  /** One event of the log, by its stream; null when it is gone. */
  readonly readEvent: (stream: string, revision: number) => Promise<RecordedEvent | null>;
}

/** Deliveries of one load: they wait in memory with their bodies. */
const maxLoaded = 100;

/**
 * Loads deliveries of an endpoint that failed before and are due, as rows tell them, and reads what they tell of from the log
 * again. Answers those that tell of something that is gone. What is here already is left out, and what was recorded so
 * lately that the rows may not show it.
 */
export async function loadRetries(endpoint: Endpoint, nowMs: number, options: RetriesOptions): Promise<Delivery[]> {
  const { read, reached, dialect, readEvent } = options;
  const { workspace, webhook, busy, recordedTo } = endpoint;
  await reached.until(recordedTo);
  for (const [delivery, position] of busy) if (position !== null && position <= recordedTo) busy.delete(delivery);
  const wanted = { workspace, webhook, nowMs, without: [...busy.keys()], limit: maxLoaded };
  const { due, nextDue } = await dueDeliveries(read, wanted);
  const events = await Promise.all(due.map(({ stream, revision }) => readEvent(stream, revision)));
  const told = events.filter((event) => event !== null);
  const ripe = new Map((await ripen(dialect, told, reached)).map((each) => [each.position, each]));
  const gone: Delivery[] = [];
  for (const row of due) {
    const here = ripe.get(row.position);
    const { delivery: id, replay, attempts, used } = row;
    const delivery = { id, replay, attempts, used, ripe: here ?? nothing(workspace, row), first: null };
    busy.set(id, null);
    (here ? endpoint.retries : gone).push(delivery);
  }
  // What is due and was not taken this time is asked for when this has gone.
  endpoint.nextDue = nextDue ?? Number.POSITIVE_INFINITY;
  return gone;
}

/** Stands for an event that is gone. */
function nothing(workspace: number, row: { position: bigint; stream: string; revision: number; event: string }): Ripe {
  const { position, stream, revision, event: name } = row;
  return { workspace, position, stream, revision, id: '', name, room: null, at: 0, head: '' };
}
