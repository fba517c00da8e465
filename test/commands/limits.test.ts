/** Rate limits (MessageJS sheet, section 15): exact in one process, never above the limit with several. */
import t, { type Test } from 'tap';
import { type RateLimit, RateLimiter, type RateTaken } from '../../src/commands/index.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { TestClock, times, type World, world } from './world.ts';

const hour = 3_600_000;
const start = Date.UTC(2024, 0, 15);

function limiter(t: Test, { url }: Pick<World, 'url'>, clock = new TestClock(start)) {
  const pool = openPool({ url, name: 'test-limits', maxConnections: 4 });
  t.teardown(() => pool.end());
  return { limits: new RateLimiter(pool, clock), clock };
}

/** Points given to one request after another. */
async function oneByOne(limits: RateLimiter, limit: RateLimit, n: number): Promise<RateTaken[]> {
  const all: RateTaken[] = [];
  for (let i = 0; i < n; i++) all.push(await limits.take(limit));
  return all;
}

const sum = (all: readonly RateTaken[]) => all.reduce((total, { granted }) => total + granted, 0);

t.test('one process', async (t) => {
  const w = await world(t);
  for (const limit of [1, 5, 100, 1_000]) {
    const { limits, clock } = limiter(t, w);
    const hourly: RateLimit = { scope: `key-${limit}`, limit, windowMs: hour };
    const all = await oneByOne(limits, hourly, limit + 5);
    t.strictSame(
      all.map(({ granted, remaining }) => [granted, remaining]),
      all.map((_, i) => (i < limit ? [1, limit - i - 1] : [0, 0])),
      `${limit}: each point is given once, and told of`,
    );
    t.ok(all.every((taken) => taken.resetAt === start + hour && taken.limit === limit));
    clock.advance(hour - 1);
    t.equal((await limits.take(hourly)).granted, 0, 'the window lasts to its end');
    clock.advance(1);
    t.strictSame(await limits.take(hourly), { granted: 1, limit, remaining: limit - 1, resetAt: start + 2 * hour });
  }
});

t.test('one process, everything at once', async (t) => {
  const w = await world(t);
  for (const limit of [5, 100, 1_000]) {
    const { limits, clock } = limiter(t, w);
    const hourly: RateLimit = { scope: `burst-${limit}`, limit, windowMs: hour };
    for (const window of ['first', 'second']) {
      const all = await times(limit + 50, async () => limits.take(hourly));
      t.equal(sum(all), limit, `${limit}: exactly the limit in the ${window} window`);
      clock.advance(hour);
    }
  }
});

t.test('many points at once', async (t) => {
  const { limits } = limiter(t, await world(t));
  const hourly: RateLimit = { scope: 'batch', limit: 100, windowMs: hour };
  t.equal((await limits.take(hourly, 70)).granted, 70);
  t.equal((await limits.take(hourly, 70)).granted, 30, 'what is left of it');
  t.equal((await limits.take(hourly, 70)).granted, 0);
  const mixed: RateLimit = { ...hourly, scope: 'mixed' };
  const all = await times(60, async (i) => limits.take(mixed, i % 3 === 0 ? 10 : 1));
  t.equal(sum(all), 100);
});

t.test('a limit of 0 is none', async (t) => {
  const { limits } = limiter(t, await world(t));
  t.match(await limits.take({ scope: 'off', limit: 0, windowMs: hour }, 1_000), { granted: 1_000 });
});

t.test('two processes never exceed it together, and scopes are their own', async (t) => {
  const w = await world(t);
  const clock = new TestClock(start);
  const [a, b] = [limiter(t, w, clock).limits, limiter(t, w, clock).limits] as const;
  const hourly: RateLimit = { scope: 'both', limit: 500, windowMs: hour };
  for (let window = 0; window < 2; window++) {
    const all = await times(1_200, async (i) => (i % 2 ? a : b).take(hourly));
    t.ok(sum(all) <= 500, `${sum(all)} of 500`);
    // One block each may lie in a process that is asked no more.
    t.ok(sum(all) > 500 - 2 * 10, `${sum(all)} of 500`);
    clock.advance(hour);
  }
  t.equal((await a.take({ ...hourly, scope: 'other' })).granted, 1);
});

t.test('who goes over the limit is refused for as long as the block says', async (t) => {
  const w = await world(t);
  const { limits, clock } = limiter(t, w);
  const login: RateLimit = { scope: 'login-192.0.2.1', limit: 5, windowMs: 900_000, blockMs: 1_800_000 };
  t.equal(sum(await oneByOne(limits, login, 5)), 5);
  clock.advance(600_000);
  t.match(await limits.take(login), { granted: 0, remaining: 0, resetAt: start + 600_000 + 1_800_000 });
  clock.advance(1_799_999);
  t.match(
    await limiter(t, w, clock).limits.take(login),
    { granted: 0, resetAt: start + 2_400_000 },
    'by every process, and trying again does not make it longer',
  );
  clock.advance(1);
  t.equal((await limits.take(login)).granted, 1);
});

t.test('who stays below the limit is never blocked', async (t) => {
  const { limits, clock } = limiter(t, await world(t));
  const login: RateLimit = { scope: 'quiet', limit: 5, windowMs: 900_000, blockMs: 900_000 };
  for (let window = 0; window < 3; window++) {
    t.equal(sum(await oneByOne(limits, login, 5)), 5);
    clock.advance(900_000);
  }
});

t.test('a window that ends while points are asked for', async (t) => {
  const w = await world(t);
  const { limits, clock } = limiter(t, w);
  const limit: RateLimit = { scope: 'edge', limit: 100, windowMs: hour };
  // Of its block of two points one stays in memory.
  t.equal((await limits.take(limit)).granted, 1);
  clock.advance(hour - 1);
  const [early, late] = [limits.take(limit, 3), limits.take(limit, 3)];
  clock.advance(1);
  t.match([await early, await late], [{ resetAt: start + hour }, { granted: 3, resetAt: start + 2 * hour }]);
  const all = await times(200, async () => limits.take(limit));
  t.equal(sum(all), 97, 'nothing is carried over');
});

t.test('storage that fails lets everybody through', async (t) => {
  const { limits, clock } = limiter(t, { url: 'postgres://nobody@127.0.0.1:1/none' });
  const login: RateLimit = { scope: 'away', limit: 5, windowMs: 900_000, blockMs: 900_000 };
  t.equal(sum(await oneByOne(limits, login, 20)), 20);
  t.equal(sum(await times(20, async () => limits.take(login))), 20);
  t.equal((await limits.take(login, 50)).granted, 50);
  clock.advance(900_000);
  t.equal(sum(await oneByOne(limits, login, 20)), 20, 'in the next window too');
});

t.test('storage that fails for a while', async (t) => {
  const w = await world(t);
  const { limits } = limiter(t, w);
  const hourly: RateLimit = { scope: 'back', limit: 100, windowMs: hour };
  await w.ask('ALTER TABLE work.rate_windows RENAME TO elsewhere');
  t.equal(sum(await oneByOne(limits, hourly, 150)), 150);
  await w.ask('ALTER TABLE work.elsewhere RENAME TO rate_windows');
  const after = sum(await oneByOne(limits, hourly, 150));
  // What was lent while it was away may still be in memory: one block.
  t.ok(after >= 100 && after <= 102, `${after} of 100`);
});
