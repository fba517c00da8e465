/**
 * Rows equal their rebuild whatever has become of what was erased (promise 3): before its streams are closed, between the
 * tombstones and a scavenge, and after it, by whatever process, and one that was built by then. Erased content is on
 * nobody's page.
 */
import { EventStoreDBClient } from '@eventstore/db-client';
import t, { type Test } from 'tap';
import { projections } from '../../../projections/index.ts';
import { adminOf, scavenge } from '../../../src/log/eventstoredb-scavenge.ts';
import { compareWithRebuild, rebuildProjection } from '../../../src/readside/index.ts';
import { makeHistory } from '../../projections/history.ts';
import { allRows, seedOf } from '../../projections/scratch.ts';
import { appendSteps, caughtUp, type Ground, ground } from '../../readside/platform.ts';
import { type EventStore, eventStoreServer } from './eventstoredb-store.ts';

const server = await eventStoreServer(t);
const equal = projections.map(({ name }) => ({ projection: name, equal: true, differences: [] }));

await t.test('a rebuild before erasure, between tombstones and scavenge, and after it', async (t) => {
  const store = await server.fresh(t);
  const maker = makeHistory(seedOf(t), 300);
  maker.eraseEverything();
  const on = await ground(t, await store.open());
  const projector = await on.project();
  const projected = async (): Promise<void> => caughtUp(on.log, projector);
  await appendSteps(on.log, maker.steps);
  await projected();
  const rows = await rowsOf(on);
  t.ok((rows.dispatches?.length ?? 0) > 0 && (rows.accounts?.length ?? 0) > 0);
  await checkEverywhere(t, store, on, rows);
  t.comment(`${maker.steps.length} commits, ${maker.erasable.length} streams to erase`);

  await on.log.erase(maker.erasable);
  await projected();
  t.same(await rowsOf(on), rows, 'erasing changes no row');
  await checkEverywhere(t, store, on, rows);
  t.ok((await recordsOf(store, maker.erasable)) > 0, 'what was erased still stands on the disk');

  const [result] = await scavenge({ ...adminOf(server.url), timeoutMs: 60_000 });
  t.equal(result?.error, null);
  if (server.standIn) t.equal(await recordsOf(store, maker.erasable), 0, 'the scavenge took it');
  else t.comment('a real server keeps its newest chunk: nothing is said of what the scavenge took');
  await checkEverywhere(t, store, on, rows);
  for (const { name } of projections) await rebuildProjection(name, { url: on.url, history: on.log });
  await projected();
  t.same(await rowsOf(on), rows, 'rebuilt in place');
});

/** Compares with a rebuild by the process that erased, by one that was there, and by one that comes late. */
async function checkEverywhere(t: Test, store: EventStore, on: Ground, rows: Rows): Promise<void> {
  const late = await store.open();
  try {
    t.same(await compareWithRebuild(on.url, on.log), equal);
    t.same(await compareWithRebuild(on.url, late), equal);
    const other = await ground(t, late);
    const projector = await other.project();
    await caughtUp(late, projector);
    t.same(await rowsOf(other), rows, 'a projection that begins now');
    await projector.stop();
  } finally {
    await late.close();
  }
}

type Rows = Record<string, string[]>;

async function rowsOf(on: Ground): Promise<Rows> {
  const client = await on.pool.connect();
  try {
    await client.query('SET search_path = read');
    return await allRows(client as unknown as Parameters<typeof allRows>[0]);
  } finally {
    await client.query('RESET search_path');
    client.release();
  }
}

/** Records of these streams, but for their tombstones, that the server still has. */
async function recordsOf(store: EventStore, streams: readonly string[]): Promise<number> {
  const names = new Set(streams.map((stream) => `${store.namespace}.${stream}`));
  const client = EventStoreDBClient.connectionString(store.url);
  let records = 0;
  const fromPosition = { commit: store.origin, prepare: store.origin };
  for await (const { event } of client.readAll(store.origin === 0n ? {} : { fromPosition })) {
    if (event && names.has(event.streamId) && !event.type.startsWith('$')) records++;
  }
  await client.dispose();
  return records;
}
