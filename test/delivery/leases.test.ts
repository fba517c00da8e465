import t, { type Test } from 'tap';
import { endLeases, Leases } from '../../src/delivery/leases.ts';
import { deliveryMigrations } from '../../src/delivery/migrations.ts';
import { feedMigrations } from '../../src/feed/migrations.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { openPool } from '../../src/platform/postgres.ts';
import { testDatabase } from '../support/postgres.ts';

async function leasesWorld(t: Test) {
  const { url } = await testDatabase(t);
  await migrate(url, [...feedMigrations, ...deliveryMigrations]);
  const pool = openPool({ url, name: 'test', maxConnections: 2 });
  t.teardown(() => pool.end());
  const open = (lifeMs = 60_000) => new Leases({ pool, lifeMs, projectorGroup: 'projector' });
  const projected = (position: bigint) =>
    pool.query(
      `INSERT INTO work.checkpoints VALUES ('projector', 0, $1, now())
        ON CONFLICT ("group", partition) DO UPDATE SET position = excluded.position`,
      [position],
    );
  const rows = async () =>
    (await pool.query<{ dispatch: string }>('SELECT dispatch FROM work.dispatch_leases ORDER BY 1')).rows.map(
      ({ dispatch }) => dispatch,
    );
  return { pool, open, projected, rows };
}

t.test('one holder at a time; who ran out is taken over, and told apart', async (t) => {
  const { open } = await leasesWorld(t);
  const [a, b, gone] = [open(), open(), open(-1)];
  t.same(await a.claim(['1', '2']), ['claimed', 'claimed']);
  t.same(await b.claim(['2', '3']), ['refused', 'claimed']);
  t.same(await gone.claim(['4']), ['claimed']);
  t.same(await a.claim(['4']), ['taken-over']);
  t.same(await a.claim(['1']), ['taken-over'], 'its own too: it may have been sent under it');
  t.same(await gone.renew(['4']), ['4'], 'the one that was late is told that it lost it');
  t.same(await a.renew(['1', '4']), []);
});

t.test('a lease goes when the checkpoint in the database is far enough, and not before', async (t) => {
  const { open, projected, rows } = await leasesWorld(t);
  const leases = open();
  await leases.claim(['1', '2', '3']);
  t.equal(await leases.release('1', 5n), false, 'there is no checkpoint yet');
  await projected(5n);
  t.same(await Promise.all([leases.release('1', 5n), leases.release('2', 6n), leases.release('3', 0n)]), [
    true,
    false,
    true,
  ]);
  t.same(await rows(), ['2']);
  t.equal(await open().release('2', 0n), true);
  t.same(await rows(), ['2'], "another's lease stays");
});

t.test('the only process there is takes over from all before it', async (t) => {
  const { open, pool } = await leasesWorld(t);
  await open().claim(['1']);
  await endLeases(pool);
  t.same(await open().claim(['1', '2']), ['taken-over', 'claimed']);
});
