/** Connections of all processes: limits, who is online, where an account's last socket ended. */
import { once } from 'node:events';
import pg from 'pg';
import t, { type Test } from 'tap';
import { Connections } from '../../src/gateway/connections.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { until } from '../support/until.ts';
import { Chat, connect, gatewayDatabase, startNode } from './world.ts';

async function connections(t: Test, url: string, options: Partial<ConstructorParameters<typeof Connections>[0]> = {}) {
  const pool = openPool({ url, name: 'test', maxConnections: 2 });
  const made = new Connections({ pool, onTrouble: () => {}, renewIntervalMs: 3_600_000, ...options });
  await made.start();
  t.teardown(async () => {
    await made.stop();
    await pool.end();
  });
  return made;
}

const request = (account: number, position = 0n, scope = 'all', max = 0) => ({
  workspace: 1,
  account,
  credential: 'key-1',
  limit: { scope, max },
  position,
});

await t.test('a limit holds over all processes, however many ask at once', async (t) => {
  const url = await gatewayDatabase(t);
  const processes = await Promise.all([connections(t, url), connections(t, url), connections(t, url)]);
  const claims = await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      (processes[i % 3] as Connections).claim(request(i, 0n, i % 2 ? 'odd' : 'even', 10)).then((claim) => ({
        ...claim,
        process: processes[i % 3] as Connections,
        odd: i % 2 === 1,
      })),
    ),
  );
  const held = claims.filter(({ claimed }) => claimed);
  t.equal(held.length, 20);
  t.equal(held.filter(({ odd }) => odd).length, 10);
  await Promise.all(held.slice(0, 3).map(({ process, number }) => process.end(number, 0n)));
  const free = held.slice(0, 3).filter(({ odd }) => odd).length;
  const again = await Promise.all(
    Array.from({ length: 10 }, (_, i) => (processes[i % 3] as Connections).claim(request(i, 0n, 'odd', 10))),
  );
  t.equal(again.filter(({ claimed }) => claimed).length, free, 'what has ended is free again');
});

await t.test('who is online, first and last', async (t) => {
  const url = await gatewayDatabase(t);
  const [one, two] = [await connections(t, url), await connections(t, url)];
  const first = await one.claim(request(1));
  const second = await two.claim(request(1));
  await two.claim(request(2));
  t.match([first, second], [{ first: true }, { first: false }]);
  t.same([...(await one.online(1, [1, 2, 3]))].sort(), [1, 2]);
  const [ours, theirs, none] = await Promise.all([one.online(1, [2]), one.online(2, [1, 2]), one.online(1, [])]);
  t.same([[...ours], [...theirs], [...none]], [[2], [], []], 'questions that are asked together get their own answers');
  t.same(await one.onlineIn(1, 10), [1, 2]);
  t.same(await one.onlineIn(1, 1), [1]);
  t.equal(await one.end(first.number, 5n), false, 'another is open');
  t.equal(await two.end(second.number, 6n), true);
  t.same([...(await one.online(1, [1, 2]))], [2]);
});

await t.test('where the last connection of an account ended', async (t) => {
  const url = await gatewayDatabase(t);
  const [one, two] = [await connections(t, url), await connections(t, url)];
  t.equal((await one.claim(request(1, 10n))).lastPosition, null, 'there was none');
  const other = await two.claim(request(1, 20n));
  t.equal(other.lastPosition, null, 'another is open');
  await two.end(other.number, 30n);
  await one.end(1, 40n);
  const back = await two.claim(request(1, 99n));
  t.equal(back.lastPosition, 40n, 'the last');
  t.ok(back.first);
});

await t.test('a process that died: its connections end where their peers were known to be', async (t) => {
  const url = await gatewayDatabase(t);
  const dead = await connections(t, url, { lifeMs: 300, renewIntervalMs: 50 });
  const { number } = await dead.claim(request(1, 10n, 'scope', 1));
  dead.confirm(number, 25n);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.teardown(() => client.end());
  await until(async () => {
    const { rows } = await client.query('SELECT FROM work.connections WHERE position = 25');
    return rows.length === 1;
  });
  const heir = await connections(t, url);
  t.match(await heir.claim(request(2, 0n, 'scope', 1)), { claimed: false }, 'it is alive');
  // Its renewals are kept from it, as from one that is frozen.
  await client.query('BEGIN');
  await client.query('SELECT FROM work.gateways WHERE process = $1 FOR UPDATE', [dead.process]);
  await until(async () => (await heir.online(1, [1])).size === 0);
  const claim = await heir.claim(request(1, 99n, 'scope', 1));
  t.match(claim, { claimed: true, first: true, lastPosition: 25n });
  await client.query('DELETE FROM work.gateways WHERE process = $1', [dead.process]);
  await client.query('DELETE FROM work.connections WHERE process = $1', [dead.process]);
  await client.query('COMMIT');
  await until(async () => {
    const { rows } = await client.query('SELECT FROM work.connections WHERE process = $1', [dead.process]);
    return rows.length === 1;
  });
  t.equal(dead.held, 1, 'it wakes, and holds what it held');
  t.match(await dead.claim(request(3)), { claimed: true });
});

await t.test('a process that was given up claims anew', async (t) => {
  const url = await gatewayDatabase(t);
  const frozen = await connections(t, url);
  await frozen.claim(request(1));
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`UPDATE work.gateways SET until = '-infinity'`);
  await client.query('SELECT work.bury_gateways()');
  await client.end();
  t.equal((await frozen.online(1, [1])).size, 0);
  t.match(await frozen.claim(request(2)), { claimed: true });
  t.same([...(await frozen.online(1, [1, 2]))].sort(), [1, 2], 'with all that it held');
});

await t.test('the only process there is: whoever came before is dead', async (t) => {
  const url = await gatewayDatabase(t);
  const before = await connections(t, url);
  await before.claim(request(1, 7n, 'scope', 1));
  const after = await connections(t, url, { sole: true });
  t.match(await after.claim(request(1, 9n, 'scope', 1)), { claimed: true, lastPosition: 7n });
});

await t.test('the database goes away: who comes is refused, and nothing stays behind', async (t) => {
  const url = await gatewayDatabase(t);
  const made = await connections(t, url);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.teardown(() => client.end());
  await client.query('ALTER FUNCTION work.claim_connections RENAME TO away');
  await t.rejects(made.claim(request(1)));
  await client.query('ALTER FUNCTION work.away RENAME TO claim_connections');
  t.match(await made.claim(request(1)), { claimed: true, first: true });
  t.equal(made.held, 1);
});

await t.test('sockets of two processes: the limit, presence and the last position', async (t) => {
  const url = await gatewayDatabase(t);
  const [one, two] = [await startNode(t, url), await startNode(t, url)];
  const chat = new Chat(one.log);
  const joined = await chat.join(1, 1, 2, 3);
  const a = await connect(t, one, { account: 1, limit: 2, name: 'a' });
  const b = await connect(t, two, { account: 2, limit: 2, name: 'b' });
  const refused = await connect(t, one, { account: 3, limit: 2, name: 'c' });
  t.match(await refused.closed, { code: 4004 });
  t.match([one.sockets.gauges().sessions, two.sockets.gauges().sessions], [1, 1]);
  t.same([...(await two.gateway.online(1, [1, 2, 3]))].sort(), [1, 2]);
  await Promise.all([a.reached(joined), b.reached(joined)]);
  const closing = once(b.ws, 'close');
  b.ws.close(1000);
  await closing;
  await until(() => two.ended.length === 1);
  t.same(two.ended, [{ name: 'b', last: true }]);
  await chat.post(1, 1, 'missed by b');
  const back = await connect(t, one, { account: 2, limit: 2, after: 'last', name: 'b' });
  const { position } = await chat.post(1, 1, 'live');
  await back.reached(position);
  t.same(back.texts, ['missed by b', 'live'], 'on the other node');
});
