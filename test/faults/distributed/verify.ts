/** What a distributed run must have left: the log of either kind, judged by the verifier of all fault runs. */
import { EventStoreDBClient } from '@eventstore/db-client';
import pg from 'pg';
import { codec } from '../../../schemas/index.ts';
import { openEventStoreLog } from '../../../src/log/eventstoredb.ts';
import { openPostgresLog } from '../../../src/log/postgres.ts';
import { type Evidence, recordedInPostgres, type Verdict, Verifier, verifyLog } from '../verify.ts';
import { type DistributedGround, namespace } from './ground.ts';

/** The log as an outsider opens it, past all proxies, for the time of some work. */
export async function withLog<T>(
  { postgres, eventStore }: DistributedGround,
  work: (log: Awaited<ReturnType<typeof openPostgresLog | typeof openEventStoreLog>>) => Promise<T>,
): Promise<T> {
  const log = eventStore
    ? await openEventStoreLog({ url: eventStore.url, namespace, codec })
    : await openPostgresLog({ url: postgres.url, codec });
  try {
    return await work(log);
  } finally {
    await log.close();
  }
}

/** Verifies what stopped processes have left. */
export async function verifyGround(ground: DistributedGround, evidence: Evidence): Promise<Verdict> {
  const { postgres, eventStore } = ground;
  const recordedAt = await (eventStore ? recordedInEventStore(eventStore.url) : recordedInPostgres(postgres.url));
  // Keys are revoked and erased in this run, and no reader is given what was erased: rows tell that none is missing.
  const verifier = new Verifier({ consecutive: false });
  if (!eventStore) for (const gap of await gapsInPostgres(postgres.url)) verifier.breach('gap', gap);
  return withLog(ground, (log) => verifyLog({ url: postgres.url, log, verifier, recordedAt }, evidence));
}

/** Positions between which the table of the log has none, in words. */
async function gapsInPostgres(url: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ before: string; position: string }>(
      `SELECT before, position FROM (SELECT position, coalesce(lag(position) OVER (ORDER BY position), 0) AS before
        FROM log.events) AS e WHERE position <> before + 1 ORDER BY position LIMIT 20`,
    );
    return rows.map(({ before, position }) => `position ${position} follows ${before}`);
  } finally {
    await client.end();
  }
}

/** When the end of each dispatch was stored, by the server's clock, milliseconds since the epoch. */
async function recordedInEventStore(url: string): Promise<Map<string, number>> {
  const client = EventStoreDBClient.connectionString(url);
  const found = new Map<string, number>();
  const prefix = `${namespace}.dispatch-`;
  try {
    for await (const { event } of client.readAll()) {
      if (!event?.streamId.startsWith(prefix)) continue;
      if (!['DispatchSent', 'DispatchDelivered', 'DispatchFailed'].includes(event.type)) continue;
      const dispatch = event.streamId.slice(prefix.length);
      if (!found.has(dispatch)) found.set(dispatch, event.created.getTime());
    }
  } finally {
    await client.dispose();
  }
  return found;
}
