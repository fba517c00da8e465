/** What is to be seen of the log that the configuration names. */
import t from 'tap';
import { logMigrations } from '../../src/log/migrations.ts';
import { loadConfig } from '../../src/platform/config.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { openLog } from '../../src/wiring/log.ts';
import { startStandIn } from '../support/eventstoredb/index.ts';
import { appendOne, commitTo } from '../support/log-load.ts';
import { testDatabase } from '../support/postgres.ts';

t.test('figures of the log in EventStoreDB', async (t) => {
  const server = await startStandIn();
  t.teardown(() => server.stop());
  const { url } = await testDatabase(t);
  await migrate(url, logMigrations);
  const metrics = createMetrics({ processMetrics: false });
  t.teardown(() => metrics.close());
  const config = loadConfig({ EVENTSTOREDB_URL: server.url });
  const { log, close } = await openLog({ config, url, metrics, scavenges: true });
  t.teardown(close);
  await appendOne(log, commitTo('a'));
  await appendOne(log, commitTo('b'));
  await log.erase(['a']);
  const { text } = await metrics.read();
  const value = (series: string) => new RegExp(`^${series} (\\S+)$`, 'm').exec(text)?.[1];
  t.equal(value('parley_queue_depth\\{queue="append_in_flight"\\}'), '0');
  t.equal(value('parley_log_in_flight_bytes'), '0');
  t.equal(value('parley_log_erased_streams'), '1');
  t.equal(value('parley_log_renewals_total'), '0');
  t.equal(value('parley_log_fences_total'), '0');
  t.match(value('parley_scavenge_started_seconds'), /^\d+/);
  t.match(text, /^# TYPE parley_log_renewals_total counter$/m);
});

t.test('a process that does not scavenge says nothing of scavenges', async (t) => {
  const server = await startStandIn();
  t.teardown(() => server.stop());
  const { url } = await testDatabase(t);
  const metrics = createMetrics({ processMetrics: false });
  t.teardown(() => metrics.close());
  const { close } = await openLog({ config: loadConfig({ EVENTSTOREDB_URL: server.url }), url, metrics });
  t.teardown(close);
  const { text } = await metrics.read();
  t.match(text, 'parley_log_erased_streams 0');
  t.notMatch(text, 'parley_scavenge_started_seconds');
});
