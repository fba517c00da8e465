/** The feed through Kafka: the port's conformance suite, on one partition and on several. */
import t from 'tap';
import { codec } from '../../../schemas/index.ts';
import { openPostgresLog } from '../../../src/log/postgres.ts';
import { kafkaGround } from '../../feed/ground.ts';
import { kafkaForFile } from '../../support/kafka/kafka-test.ts';
import { feedConformance } from './feed-suite.ts';

const brokers = await kafkaForFile();
if (brokers) {
  for (const partitions of [5, 1]) {
    await feedConformance(t, {
      name: `Kafka, ${partitions} ${partitions === 1 ? 'partition' : 'partitions'}`,
      async fresh(t, { copier = codec } = {}) {
        const on = await kafkaGround(t, brokers, { partitions });
        const log = await openPostgresLog({ url: on.url, codec: copier });
        t.teardown(() => log.close());
        on.relay({ log, codec: copier });
        return { ...on, feed: () => on.feed() };
      },
    });
  }
}
