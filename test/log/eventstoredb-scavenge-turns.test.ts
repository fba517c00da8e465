/** When scavenges are started, and by whom: a stand-in is one node, a server of the test's own another. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { adminOf } from '../../src/log/eventstoredb-scavenge.ts';
import { type ScavengesOptions, startScavenges } from '../../src/log/eventstoredb-scavenge-turns.ts';
import { logMigrations } from '../../src/log/migrations.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { startStandIn } from '../support/eventstoredb/index.ts';
import { testDatabase } from '../support/postgres.ts';

const hourMs = 3_600_000;

async function cluster(t: Test) {
  const standIn = await startStandIn();
  t.teardown(() => standIn.stop());
  const { url } = await testDatabase(t, {
    template: {
      name: `scavenges ${JSON.stringify(logMigrations)}`,
      build: (template) => migrate(template, logMigrations),
    },
  });
  const pool = openPool({ url, name: 'test', maxConnections: 1 });
  t.teardown(() => pool.end());
  const node = { status: 200, asked: 0 };
  const server = createServer((_, response) => {
    node.asked++;
    response.writeHead(node.status).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const nodeUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [standInUrl = ''] = adminOf(standIn.url).adminUrls;
  /** Ends of starts, as all handles were told. */
  const told: string[] = [];
  let onTold = () => {};
  const start = (options: Partial<ScavengesOptions> = {}) => {
    const scavenges = startScavenges({
      adminUrls: [standInUrl, nodeUrl],
      url,
      intervalMs: 24 * hourMs,
      onResult: ({ adminUrl, error }) => {
        told.push(`${adminUrl === nodeUrl ? 'node' : 'stand-in'} ${error ? 'failed' : 'started'}`);
        onTold();
      },
      onTrouble: (error) => t.fail('Postgres could not be asked', { error }),
      ...options,
    });
    t.teardown(() => scavenges.stop());
    return scavenges;
  };
  return {
    node,
    told,
    start,
    /** What Postgres knows was so much longer ago. */
    pass: (hours: number) =>
      pool.query(
        `UPDATE log.scavenges SET tried_at = tried_at - $1 * interval '1 hour', started_at = started_at - $1 * interval '1 hour'`,
        [hours],
      ),
    /** Resolves when an end was told so many times. */
    async untilTold(end: string, times: number): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      onTold = () => {
        if (told.filter((each) => each === end).length >= times) resolve();
      };
      onTold();
      await promise;
    },
    async lastOfStandIn(): Promise<unknown> {
      const { scavengeId } = (await (await fetch(`${standInUrl}/admin/scavenge/last`)).json()) as {
        scavengeId?: string;
      };
      return scavengeId;
    },
  };
}

t.test('of several processes one starts it, whenever they look', async (t) => {
  const { node, told, start, lastOfStandIn } = await cluster(t);
  const before = Date.now() / 1_000;
  const running = Array.from({ length: 3 }, () => start());
  await Promise.all(running.map(({ ready }) => ready));
  t.same(told.sort(), ['node started', 'stand-in started']);
  t.equal(node.asked, 1);
  const last = await lastOfStandIn();
  t.ok(last);
  const late = start();
  await late.ready;
  t.equal(node.asked, 1);
  t.equal(await lastOfStandIn(), last);
  // The database runs on this machine.
  t.ok(
    late.startedSeconds() >= before - 1 && late.startedSeconds() <= Date.now() / 1_000 + 1,
    'it knows of the others',
  );
  t.ok(running.some((each) => each.startedSeconds() === late.startedSeconds()));
});

t.test('a restart within the interval starts none, one after it does', async (t) => {
  const { node, start, pass } = await cluster(t);
  for (const [hours, asked] of [
    [0, 1],
    [0, 1],
    [23, 1],
    [2, 2],
    [23, 2],
  ] as const) {
    await pass(hours);
    const process = start();
    await process.ready;
    t.equal(node.asked, asked, `${hours} hours later`);
    await process.stop();
  }
});

t.test('who runs on starts the next, too', async (t) => {
  const { node, start, pass, untilTold } = await cluster(t);
  const running = start({ lookMs: 20, timeoutMs: 1_000 });
  await running.ready;
  t.equal(node.asked, 1);
  await pass(25);
  await untilTold('node started', 2);
  t.equal(node.asked, 2);
});

t.test('a node that does not start is asked again soon, and the others are not', async (t) => {
  const { node, told, start, untilTold } = await cluster(t);
  node.status = 503;
  const running = start({ lookMs: 20, timeoutMs: 400 });
  await running.ready;
  t.same(told.sort(), ['node failed', 'stand-in started']);
  t.equal(running.startedSeconds(), 0, 'not every node was told');
  node.status = 200;
  await untilTold('node started', 1);
  await running.stop();
  const after = start();
  await after.ready;
  t.equal(told.filter((each) => each === 'node started').length, 1, 'once it started, no more');
  t.equal(told.filter((each) => each.startsWith('stand-in')).length, 1);
  t.ok(after.startedSeconds() > 0);
});

t.test('Postgres is away: it is told, and looked again', async (t) => {
  const { node, start } = await cluster(t);
  const { promise: again, resolve } = Promise.withResolvers<void>();
  let troubles = 0;
  const onTrouble = () => {
    if (++troubles === 2) resolve();
  };
  const running = start({ url: 'postgres://127.0.0.1:1/nowhere', lookMs: 10, onTrouble });
  await again;
  await running.stop();
  t.equal(running.startedSeconds(), 0);
  t.equal(node.asked, 0);
});
