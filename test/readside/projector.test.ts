import t from 'tap';
import { projections } from '../../projections/index.ts';
import { readCheckpoint } from '../../src/feed/checkpoint.ts';
import {
  compareWithRebuild,
  projectorGroup,
  rebuildProjection,
  UnknownProjectionError,
} from '../../src/readside/index.ts';
import { makeHistory, randomOf } from '../projections/history.ts';
import { cut, seedOf } from '../projections/scratch.ts';
import { appendSteps, caughtUp, ground } from './platform.ts';

const equal = projections.map(({ name }) => ({ projection: name, equal: true, differences: [] }));

t.test('rows equal their rebuild at every point, through erasure', async (t) => {
  const on = await ground(t);
  const seed = seedOf(t);
  const random = randomOf(seed);
  const maker = makeHistory(seed, 300);
  const projector = await on.project({ maxBatchEvents: 30, batchIntervalMs: 0 });
  await projector.ready;
  const waiting = new Set<string>();
  let told = 0;
  for (const steps of cut(random, maker.steps, 80)) {
    await appendSteps(on.log, steps);
    // Streams whose event "erased" stands in the log are blanked some time later, before or after it was projected.
    for (const { stream } of steps) if (stream.startsWith('erased-')) told++;
    for (const stream of maker.erasable.slice(0, told)) waiting.add(stream);
    const closed = new Set(
      maker.steps.slice(maker.steps.indexOf(steps.at(-1) as (typeof steps)[number]) + 1).map((s) => s.stream),
    );
    const blanked = [...waiting].filter((stream) => !closed.has(stream) && random() < 0.5);
    await on.log.erase(blanked);
    for (const stream of blanked) waiting.delete(stream);
    if (random() < 0.7) await caughtUp(on.log, projector);
    t.same(await compareWithRebuild(on.url, on.log), equal);
  }
  await caughtUp(on.log, projector);
  t.same(await compareWithRebuild(on.url, on.log), equal);
  const { rows } = await on.reads.query('SELECT count(*)::int AS n FROM dispatches');
  t.ok(rows[0]?.n > 0);
});

t.test('rows that differ from their rebuild are told', async (t) => {
  const on = await ground(t);
  await appendSteps(on.log, makeHistory(seedOf(t), 60).steps);
  const projector = await on.project();
  await caughtUp(on.log, projector);
  await on.pool.query("UPDATE read.accounts SET kind = 'wrong' WHERE account = 1");
  await on.pool.query('DELETE FROM read.dispatch_days');
  const differing = (await compareWithRebuild(on.url, on.log)).filter((each) => !each.equal);
  t.same(
    differing.map((each) => each.projection),
    ['accounts', 'dispatches'],
  );
  t.match(differing[0]?.differences[0], /accounts: 1 rows .*wrong.* that a rebuild does not give/);
  await rebuildProjection('accounts', { url: on.url, history: on.log });
  await rebuildProjection('dispatches', { url: on.url, history: on.log });
  t.same(await compareWithRebuild(on.url, on.log), equal, 'a rebuild mends them');
});

t.test('a rebuild beside a running projector, with reads going on', async (t) => {
  const on = await ground(t);
  const maker = makeHistory(seedOf(t), 600);
  const projector = await on.project({ maxBatchEvents: 20, batchIntervalMs: 0 });
  const half = Math.floor(maker.steps.length / 2);
  await appendSteps(on.log, maker.steps.slice(0, half));
  await caughtUp(on.log, projector);
  let reading = true;
  const failures: unknown[] = [];
  let reads = 0;
  const reader = async () => {
    while (reading) {
      await on.reads
        .query('SELECT count(*) FROM dispatches JOIN dispatch_days USING (workspace)')
        .catch((error) => failures.push(error));
      reads++;
    }
  };
  const readers = [reader(), reader()];
  const progress: bigint[] = [];
  const options = {
    url: on.url,
    history: on.log,
    pageEvents: 50,
    onProgress: (position: bigint) => progress.push(position),
  };
  const [, steps] = await Promise.all([
    (async () => {
      for (let i = 0; i < 3; i++) await rebuildProjection('dispatches', options);
    })(),
    appendSteps(on.log, maker.steps.slice(half)),
  ]);
  t.equal(steps, undefined);
  await caughtUp(on.log, projector);
  reading = false;
  await Promise.all(readers);
  t.same(failures, [], `${reads} reads, none failed`);
  t.ok(reads > 0);
  t.ok(progress.length >= 3 && progress[0] === 0n, 'progress was told');
  t.same(await compareWithRebuild(on.url, on.log), equal);
  await t.rejects(rebuildProjection('nothing', options), UnknownProjectionError);
});

/** The projections of newer code: accounts have one more column, and there is one projection more. */
function newer(readable: 'readable' | 'unreadable'): typeof projections {
  return projections.map((projection) =>
    projection.name === 'accounts'
      ? {
          ...projection,
          version: projection.version + 1,
          readableFrom: projection.version + (readable === 'readable' ? 0 : 1),
          tables: projection.tables.replace('  tier text,', "  tier text,\n  colour text NOT NULL DEFAULT 'blue',"),
        }
      : projection,
  );
}

t.test('newer code rebuilds what it changed; its old tables serve meanwhile if they can', async (t) => {
  const on = await ground(t);
  const maker = makeHistory(seedOf(t), 100);
  const half = Math.floor(maker.steps.length / 2);
  await appendSteps(on.log, maker.steps.slice(0, half));
  const old = await on.project();
  await caughtUp(on.log, old);
  await old.stop();
  await appendSteps(on.log, maker.steps.slice(half));

  const projector = await on.project({ projections: newer('readable') });
  t.same(projector.outdated(), ['accounts']);
  t.ok(projector.rebuilding(), 'freshness is told');
  await projector.ready;
  await on.reads.query('SELECT kind FROM accounts');
  while (projector.rebuilding()) await on.reads.query('SELECT kind FROM accounts');
  await caughtUp(on.log, projector);
  const { rows } = await on.reads.query('SELECT DISTINCT colour FROM accounts');
  t.same(rows, [{ colour: 'blue' }]);
  t.same(await compareWithRebuild(on.url, on.log, newer('readable')), equal);
  await projector.stop();

  // The older code again, as when a deployment is taken back: it leaves the newer tables alone, and rebuilds its own.
  const back = await on.project();
  await back.ready;
  await caughtUp(on.log, back);
  t.same(await compareWithRebuild(on.url, on.log), equal);
});

t.test('tables that the queries cannot read, and new ones, are there when the projector is ready', async (t) => {
  const on = await ground(t);
  const withoutIds = projections.filter(({ name }) => name !== 'ids');
  await appendSteps(on.log, makeHistory(seedOf(t), 80).steps);
  const old = await on.project({ projections: withoutIds });
  await caughtUp(on.log, old);
  await old.stop();
  const projector = await on.project({ projections: newer('unreadable') });
  await projector.ready;
  await on.reads.query('SELECT colour FROM accounts');
  const { rows } = await on.reads.query("SELECT id FROM highest_ids WHERE workspace = 0 AND kind = 'workspace'");
  t.ok(rows[0]?.id >= 10);
  await caughtUp(on.log, projector);
  t.same(await compareWithRebuild(on.url, on.log, newer('unreadable')), equal);
});

t.test('projectors that are killed and begun again, and two at once, project every event once', async (t) => {
  const on = await ground(t);
  const maker = makeHistory(seedOf(t), 400);
  const [first, second] = [
    await on.project({ maxBatchEvents: 9, batchIntervalMs: 0 }),
    await on.project({ maxBatchEvents: 7, batchIntervalMs: 0 }),
  ];
  for (const steps of cut(randomOf(3), maker.steps, 40)) {
    await appendSteps(on.log, steps);
    // Their connections end in the middle of whatever they do.
    await on.pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parley-projector' AND datname = current_database()",
    );
  }
  await caughtUp(on.log, first);
  await caughtUp(on.log, second);
  t.equal(await readCheckpoint(on.pool, projectorGroup), await on.log.head());
  t.same(await compareWithRebuild(on.url, on.log), equal);
  t.match(await first.lag(), { events: 0, seconds: 0 });
});

t.test('every table is described, and readable by the role for readers', async (t) => {
  const on = await ground(t);
  await on.project();
  const tables = await on.pool.query(`SELECT relname FROM pg_class
    WHERE relnamespace = 'read'::regnamespace AND relkind = 'r' AND obj_description(oid) IS NULL`);
  t.same(tables.rows, []);
  await on.pool.query('SET ROLE parley_reader; SELECT * FROM read.dispatches; RESET ROLE');
  await t.rejects(
    on.pool.query('BEGIN; SET LOCAL ROLE parley_reader; DELETE FROM read.dispatches'),
    /permission denied/,
  );
});
