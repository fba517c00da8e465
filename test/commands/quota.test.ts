/** The monthly quota (MessageJS sheet, section 15): never more than it says, from however many processes. */
import t from 'tap';
import { Quota } from '../../src/commands/index.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { makeProject, type Node, TestClock, times, type World, world } from './world.ts';

const midMonth = Date.UTC(2024, 0, 15);
const monthEnd = Date.UTC(2024, 1, 1);

async function acceptedIn(w: World): Promise<number> {
  return (await w.events()).filter(({ type }) => type === 'DispatchAccepted').length;
}

async function granted(w: World): Promise<number[]> {
  const rows = await w.ask<{ granted: string }>('SELECT granted FROM work.quotas ORDER BY workspace, account, month');
  return rows.map((row) => Number(row.granted));
}

/** Takes one after another; how many were given. */
async function oneByOne(quota: Quota, limit: number, n: number): Promise<number> {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += await quota.take(1, 1, limit);
  return sum;
}

t.test('one process gives exactly what there is', async (t) => {
  const w = await world(t);
  const { quota } = await w.node({ clock: new TestClock(midMonth) });
  for (const limit of [1, 7, 120]) {
    const { quota } = await w.node({ clock: new TestClock(Date.UTC(2024, limit % 12)) });
    t.equal(await oneByOne(quota, limit, limit + 10), limit, `${limit}, one after another`);
  }
  const given = await times(300, async () => quota.take(1, 2, 200));
  t.equal(
    given.reduce((a, b) => a + b),
    200,
    'at once',
  );
  t.strictSame(
    [await quota.take(1, 3, 50, 30), await quota.take(1, 3, 50, 30), await quota.take(1, 3, 50, 30)],
    [30, 20, 0],
  );
  t.equal(await quota.take(1, 3, 0, 1_000_000), 1_000_000, 'a limit of 0 is none');
  t.equal(await quota.take(1, 3, 60, 30), 10, 'a limit that was raised');
  t.equal(quota.monthEndsAt(), monthEnd);
});

t.test('two processes at once never give more', async (t) => {
  const w = await world(t);
  const clock = new TestClock(midMonth);
  const nodes = [await w.node({ clock }), await w.node({ clock })] as const;
  const given = await times(400, async (i) => (nodes[i % 2] as Node).quota.take(1, 1, 250, 1 + (i % 3)));
  const sum = given.reduce((a, b) => a + b);
  t.ok(sum <= 250, `${sum} of 250`);
  for (const { quota } of nodes) await quota.close();
  t.strictSame(await granted(w), [sum], 'what was leased and not used is given back');
  const { quota } = await w.node({ clock });
  t.equal(await oneByOne(quota, 250, 10), 250 - sum);
});

t.test('messages from two doors', async (t) => {
  const w = await world(t);
  const clock = new TestClock(midMonth);
  const nodes = [await w.node({ monthlyQuota: 60, clock }), await w.node({ monthlyQuota: 60, clock })] as const;
  const project = await makeProject(nodes[0]);
  const results = await times(30, (i) =>
    (nodes[i % 2] as Node).dispatches.sendAll(project.key, [
      project.request(),
      project.request({ to: 'nonsense' }),
      project.request({ idempotencyKey: `${i % 10}` }),
      project.request(),
    ]),
  );
  t.equal(results.length, 30);
  const n = await acceptedIn(w);
  t.ok(n <= 60, `${n} of 60`);
  // What lies in the other process is out of reach until it gives it back: here all of it is asked for by one.
  await nodes[1].quota.close();
  await times(60, () => nodes[0].dispatches.sendAll(project.key, [project.request()]));
  t.equal(await acceptedIn(w), 60);
});

t.test('a crash loses no message and gives no more: settling begins at what the log has', async (t) => {
  const w = await world(t);
  const clock = new TestClock(midMonth);
  const crashed = await w.node({ monthlyQuota: 100, clock });
  const project = await makeProject(crashed);
  for (let i = 0; i < 3; i++) await crashed.dispatches.send(project.key, project.request());
  t.strictSame(await granted(w), [4], 'leased in blocks of two');
  const next = await w.node({ monthlyQuota: 100, clock });
  await next.quota.settle();
  t.strictSame(await granted(w), []);
  const results = await next.dispatches.sendAll(
    project.key,
    Array.from({ length: 120 }, () => project.request()),
  );
  t.equal(results.filter((result) => 'dispatch' in result).length, 97);
  t.equal(await acceptedIn(w), 100);
});

t.test('each month has its own', async (t) => {
  const w = await world(t);
  const clock = new TestClock(monthEnd - 1);
  const { quota } = await w.node({ clock });
  t.equal(await oneByOne(quota, 10, 15), 10);
  clock.advance(1);
  t.equal(quota.monthEndsAt(), Date.UTC(2024, 2, 1));
  t.equal(await oneByOne(quota, 10, 15), 10);
  t.strictSame(await granted(w), [10, 10]);
});

t.test('what is given back belongs to the month it was taken in', async (t) => {
  const w = await world(t);
  const clock = new TestClock(monthEnd - 1);
  const { quota } = await w.node({ clock });
  const month = quota.month();
  t.equal(month, '2024-01');
  t.equal(await quota.take(1, 1, 10, 10), 10);
  quota.giveBack(1, 1, 10, 4, month);
  t.equal(await quota.take(1, 1, 10, 10), 4, 'within the month it can be taken again');
  clock.advance(1);
  quota.giveBack(1, 1, 10, 4, month);
  t.equal(await oneByOne(quota, 10, 20), 10, 'the next month does not get it');
});

t.test('who finds none left waits for what may come back', async (t) => {
  const w = await world(t);
  const { quota } = await w.node({ clock: new TestClock(midMonth) });
  const month = quota.month();
  const tentative = { tentative: true };
  t.equal(await quota.take(1, 1, 10, 9, tentative), 9);
  t.equal(await quota.take(1, 1, 10, 1, tentative), 1);
  const waiting = Promise.all([quota.take(1, 1, 10, 2), quota.take(1, 1, 10)]);
  quota.through(1, 1, 10, month);
  quota.giveBack(1, 1, 10, 2, month);
  quota.through(1, 1, 10, month);
  t.strictSame(await waiting, [2, 0], 'no more than came back');
  t.equal(await quota.take(1, 1, 10), 0, 'and nobody to wait for');
});

t.test('who waits does not wait beyond the month', async (t) => {
  const w = await world(t);
  const clock = new TestClock(monthEnd - 1);
  const { quota } = await w.node({ clock });
  const month = quota.month();
  t.equal(await quota.take(1, 1, 10, 10, { tentative: true }), 10);
  const waiting = quota.take(1, 1, 10);
  t.equal(await quota.take(1, 2, 10), 1, 'which takes its time');
  clock.advance(1);
  quota.through(1, 1, 10, month);
  t.equal(await waiting, 0);
  t.equal(await quota.take(1, 1, 10), 1);
});

t.test('sends beside replays, which take points and give them back', async (t) => {
  const w = await world(t);
  const { dispatches, ...node } = await w.node({ monthlyQuota: 200, clock: new TestClock(midMonth) });
  const project = await makeProject({ dispatches, ...node });
  const keyed = Array.from({ length: 100 }, (_, i) => project.request({ idempotencyKey: `${i}` }));
  await dispatches.sendAll(project.key, keyed);
  for (let round = 0; round < 5; round++) {
    const wrong = Array.from({ length: 150 }, () => project.request({ to: 'nonsense' }));
    const [, , ...sent] = await Promise.all([
      dispatches.sendAll(project.key, keyed),
      dispatches.sendAll(project.key, wrong),
      ...Array.from({ length: 10 }, () => dispatches.send(project.key, project.request())),
    ]);
    t.equal(sent.length, 10);
  }
  t.equal(await acceptedIn(w), 150);
});

t.test('accounts do not share', async (t) => {
  const w = await world(t);
  const { quota } = await w.node({ clock: new TestClock(midMonth) });
  t.equal(await quota.take(1, 1, 5, 9), 5);
  t.equal(await quota.take(1, 2, 5, 9), 5);
  t.equal(await quota.take(2, 1, 5, 9), 5);
});

t.test('storage that is away is told, and asked again', async (t) => {
  const w = await world(t);
  const nobody = openPool({ url: 'postgres://nobody@127.0.0.1:1/none', name: 'test', maxConnections: 1 });
  t.teardown(() => nobody.end());
  const away = new Quota(nobody, new TestClock(midMonth), async () => 0);
  await t.rejects(Promise.resolve(away.take(1, 1, 10)), { code: 'unavailable' });
  await t.rejects(Promise.all([1, 2, 3].map(() => away.take(1, 1, 10))), { code: 'unavailable' });
  await away.close();
  const { quota } = await w.node({ clock: new TestClock(midMonth) });
  await w.ask('ALTER TABLE work.quotas RENAME TO elsewhere');
  await t.rejects(
    Promise.resolve(quota.take(1, 1, 10)),
    { code: '42P01' },
    'what is no trouble with the connection is a defect',
  );
  await w.ask('ALTER TABLE work.elsewhere RENAME TO quotas');
  t.equal(await quota.take(1, 1, 10), 1);
});
