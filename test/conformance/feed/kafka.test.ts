/** The feed through Kafka, of Postgres's log: the port's conformance suite, on one partition and on several. */
import t from 'tap';
import { kafkaForFile } from '../../support/kafka/kafka-test.ts';
import { feedConformance } from './feed-suite.ts';
import { kafkaAdapter } from './kafka-adapter.ts';

const brokers = await kafkaForFile();
if (brokers) {
  for (const partitions of [5, 1]) {
    const name = `Kafka, ${partitions} ${partitions === 1 ? 'partition' : 'partitions'}`;
    await feedConformance(
      t,
      kafkaAdapter(name, brokers, async () => ({ partitions })),
    );
  }
}
