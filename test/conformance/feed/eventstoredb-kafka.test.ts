/** The feed through Kafka, of EventStoreDB's log (a real server's, or the stand-in's): the port's conformance suite. */
import t from 'tap';
import { kafkaForFile } from '../../support/kafka/kafka-test.ts';
import { eventStoreServer } from '../log/eventstoredb-store.ts';
import { feedConformance } from './feed-suite.ts';
import { kafkaAdapter } from './kafka-adapter.ts';

const brokers = await kafkaForFile();
if (brokers) {
  const server = await eventStoreServer(t);
  const adapter = kafkaAdapter(`${server.name}, with Kafka, 3 partitions`, brokers, async (t) => {
    const store = await server.fresh(t);
    return { partitions: 3, open: store.open };
  });
  await feedConformance(t, adapter);
}
