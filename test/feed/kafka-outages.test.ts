/** The feed while its Kafka is away: killed, frozen, behind connections that break. */
import t from 'tap';
import { startProxy } from '../conformance/log/proxy.ts';
import { ownKafka } from '../support/kafka/kafka-test.ts';
import { runLoad } from '../support/log-load.ts';
import { until } from '../support/until.ts';
import { consume, kafkaGround, writeMany } from './ground.ts';
import { checkTally, openTally, reached } from './tally.ts';

await t.test('Kafka killed and begun again, and frozen for longer than clients wait', async (t) => {
  const kafka = await ownKafka(t);
  if (!kafka) return;
  const on = await kafkaGround(t, [kafka.brokers], { partitions: 3 });
  const relay = on.relay();
  const tally = openTally(t, on.url, { group: 'g', maxBatchEvents: 40 });
  consume(t, on.feed(), tally.consumer());
  await reached(on.pool, 'g', await writeMany(on.log, 'before', 50));

  await kafka.kill();
  const whileDead = runLoad(on.log, { prefix: 'dead', writers: 4, commitsPerWriter: 60 });
  await until(() => on.words.warnings.some((line) => /relay failed/.test(line)));
  await whileDead;
  await kafka.restart();
  await reached(on.pool, 'g', await on.log.head());

  const { length } = on.words.warnings;
  kafka.freeze();
  await writeMany(on.log, 'frozen', 50);
  await until(() => on.words.warnings.slice(length).some((line) => /relay failed/.test(line)));
  kafka.thaw();
  await reached(on.pool, 'g', await writeMany(on.log, 'after', 50));
  await checkTally(t, on.pool, on.log, 'g');
  t.ok(relay.leading());
  t.same(on.words.errors, []);
});

await t.test('connections that break in the middle of sends', async (t) => {
  // Kafka tells clients the proxy's address, in front of a listener that is known when Kafka runs.
  const target = { host: '127.0.0.1', port: 0 };
  const proxy = await startProxy(t, target);
  const kafka = await ownKafka(t, { advertised: proxy.address });
  if (!kafka?.proxied) return;
  target.port = kafka.proxied.port;
  const on = await kafkaGround(t, [`${proxy.address.host}:${proxy.address.port}`], { partitions: 3 });
  let sends = 0;
  on.relay({ onSend: () => sends++ });
  const tally = openTally(t, on.url, { group: 'g', maxBatchEvents: 40 });
  consume(t, on.feed(), tally.consumer());
  await reached(on.pool, 'g', await writeMany(on.log, 'before', 50));
  let writing = true;
  const writer = (async () => {
    for (let n = 0; writing; n++) await writeMany(on.log, `load-${n}`, 40);
  })();
  for (let cuts = 0; cuts < 3; cuts++) {
    const from = sends;
    await until(() => sends > from + 3);
    proxy.cut();
    await until(() => on.words.warnings.filter((line) => /relay failed/.test(line)).length > cuts);
    proxy.restore();
  }
  writing = false;
  await writer;
  await reached(on.pool, 'g', await on.log.head());
  await checkTally(t, on.pool, on.log, 'g');
  t.same(on.words.errors, []);
});
