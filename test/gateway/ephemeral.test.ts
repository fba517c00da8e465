/** What may be lost, between processes. */
import pg from 'pg';
import t, { type Test } from 'tap';
import { EphemeralBus, maxEphemeralBytes } from '../../src/gateway/ephemeral.ts';
import { testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

async function bus(t: Test, url: string, sole = false): Promise<{ bus: EphemeralBus; heard: [number, string][] }> {
  const made = new EphemeralBus({ url, sole, onTrouble: () => {} });
  await made.start();
  t.teardown(() => made.stop());
  const heard: [number, string][] = [];
  made.subscribe('typing', (workspace, payload) => heard.push([workspace, payload]));
  return { bus: made, heard };
}

await t.test('everybody hears it once, the own process at once', async (t) => {
  const { url } = await testDatabase(t);
  const [one, two] = [await bus(t, url), await bus(t, url)];
  one.bus.publish(1, 'typing', 'a');
  t.same(one.heard, [[1, 'a']]);
  one.bus.publish(2, 'presence', 'of another topic');
  for (let i = 0; i < 500; i++) one.bus.publish(3, 'typing', `${i} ${'"'.repeat(100)}`);
  await until(() => two.heard.length === 501);
  t.same(two.heard, one.heard, 'in order');
  t.equal(one.bus.lost, 0);
  two.bus.publish(4, 'typing', 'back');
  await until(() => one.heard.length === 502);
  t.same(one.heard.at(-1), [4, 'back']);
});

await t.test('the largest there is, and one that is larger', async (t) => {
  const { url } = await testDatabase(t);
  const [one, two] = [await bus(t, url), await bus(t, url)];
  const envelope = JSON.stringify([1, 'typing', '']).length;
  const largest = 'ä'.repeat((maxEphemeralBytes - envelope) / 2);
  one.bus.publish(1, 'typing', largest);
  await until(() => two.heard.length === 1);
  t.same(two.heard, [[1, largest]]);
  t.throws(() => one.bus.publish(1, 'typing', `${largest}ä`), RangeError);
});

await t.test('who stops listening hears nothing', async (t) => {
  const { url } = await testDatabase(t);
  const one = await bus(t, url, true);
  const more: string[] = [];
  const stop = one.bus.subscribe('typing', (_, payload) => more.push(payload));
  one.bus.publish(1, 'typing', 'a');
  stop();
  one.bus.publish(1, 'typing', 'b');
  t.same(more, ['a']);
  t.equal(one.heard.length, 2);
});

await t.test('a connection that breaks is made anew; what is said meanwhile is lost, and counted', async (t) => {
  const { url } = await testDatabase(t);
  const [one, two] = [await bus(t, url), await bus(t, url)];
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'parley-ephemeral'`,
  );
  await client.end();
  await until(() => {
    one.bus.publish(1, 'typing', 'x');
    return two.heard.length > 0;
  });
  t.ok(one.bus.lost > 0);
});
