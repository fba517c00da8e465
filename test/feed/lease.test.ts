import { once } from 'node:events';
import t, { type Test } from 'tap';
import { takeOverGroup, withCheckpoint } from '../../src/feed/checkpoint.ts';
import { Lease, LeaseLostError } from '../../src/feed/lease.ts';
import { ground } from '../readside/platform.ts';
import { until } from '../support/until.ts';

async function leases(t: Test) {
  const { pool } = await ground(t);
  const taken: Lease[] = [];
  t.teardown(async () => {
    for (const lease of taken) await lease.release().catch(() => {});
  });
  const of = (holder: string, more = {}) => ({ pool, topic: 'topic-2', holder, partitions: 2, ...more });
  return {
    pool,
    of,
    async take(holder: string, more = {}) {
      const lease = await Lease.take(of(holder, more));
      if (lease) taken.push(lease);
      return lease;
    },
  };
}

t.test('one holder at a time, each with an epoch of its own', async (t) => {
  const { take } = await leases(t);
  const lease = await take('a');
  t.equal(lease?.epoch, 1n);
  t.same(lease?.state, { position: 0n, latest: [0n, 0n] });
  t.equal(await take('b'), null);
  t.equal(await take('a'), null, 'not even itself');
  await lease?.save({ position: 7n, latest: [7n, 5n] });
  await lease?.release();
  t.throws(() => lease?.check(), LeaseLostError);
  const next = await take('b');
  t.equal(next?.epoch, 2n);
  t.same(next?.state, { position: 7n, latest: [7n, 5n] }, 'it goes on where the other was');
  next?.check();
});

t.test('a lease that is not renewed ends; its late holder writes nothing down', async (t) => {
  const { take, pool } = await leases(t);
  const lease = await take('frozen', { leaseMs: 50, renewEveryMs: 60_000 });
  if (!lease) throw new Error('nobody else has it');
  await lease.save({ position: 5n, latest: [5n, 5n] });
  let next: Lease | null = null;
  await until(async () => {
    next ??= await take('next');
    return next !== null;
  });
  t.throws(() => lease.check(), LeaseLostError, 'by its own clock it ended before');
  t.ok(lease.lost.aborted);
  await t.rejects(lease.save({ position: 99n, latest: [99n, 99n] }), LeaseLostError);
  const { rows } = await pool.query('SELECT holder, position FROM work.relays');
  t.same(rows, [{ holder: 'next', position: '5' }]);
  await lease.release();
  t.equal(await take('third'), null, 'nor does it let go what is not its own');
});

t.test('a renewed lease holds; one that another took over, or that is lost with the database, is told', async (t) => {
  const { take, pool } = await leases(t);
  const lease = await take('a', { leaseMs: 300, renewEveryMs: 20 });
  if (!lease) throw new Error('nobody else has it');
  const first = await pool.query<{ until: Date }>('SELECT until FROM work.relays');
  await until(async () => {
    const { rows } = await pool.query<{ until: Date }>('SELECT until FROM work.relays');
    return (rows[0]?.until ?? 0) > (first.rows[0]?.until ?? 0);
  });
  lease.check();
  const lost = once(lease.lost, 'abort');
  await pool.query("UPDATE work.relays SET epoch = 5, holder = 'somebody'");
  await lost;
  t.throws(() => lease.check(), LeaseLostError);
});

t.test('who waits gets it when it is let go', async (t) => {
  const { take, of } = await leases(t);
  const lease = await take('a');
  const abort = new AbortController();
  const waiting = Lease.wait(of('b', { renewEveryMs: 20 }), abort.signal);
  await lease?.release();
  const next = await waiting;
  t.equal(next?.epoch, 2n);
  const vain = Lease.wait(of('c', { renewEveryMs: 20 }), abort.signal);
  abort.abort();
  t.equal(await vain, null);
  await next?.release();
});

t.test('a topic that is new begins where the furthest group stands', async (t) => {
  const { take, pool } = await leases(t);
  await takeOverGroup(pool, 'behind', 1);
  await withCheckpoint(pool, 'ahead', { partition: 0, events: [], from: 0n, to: 40n }, async () => {});
  t.same((await take('a'))?.state, { position: 40n, latest: [40n, 40n] });
});
