/** Kafka for test files: one for the whole file, or one of a test's own where the test does it harm. */
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { givenBrokers, startKafka, type TestKafka, type TestKafkaOptions, whyNoKafka } from './kafka.ts';

/**
 * The brokers that a file's tests share: those of `KAFKA_BROKERS`, or a Kafka that ends with the file. Null where there
 * can be none: the file's tests are skipped, with one line; with `CI=true` that is a failure.
 */
export async function kafkaForFile(): Promise<readonly string[] | null> {
  const given = givenBrokers();
  if (given !== null) return given.split(',');
  if (await cannot()) return null;
  shared ??= startKafka().then((kafka) => {
    t.teardown(() => kafka.stop());
    return kafka.brokers.split(',');
  });
  return shared;
}

let shared: Promise<readonly string[]> | null = null;

/** A Kafka of a test's own, which may be killed and frozen; null where there can be none (see `kafkaForFile`). */
export async function ownKafka(test: Test, options: TestKafkaOptions = {}): Promise<TestKafka | null> {
  if (await cannot()) return null;
  const kafka = await startKafka(options);
  test.teardown(() => kafka.stop());
  return kafka;
}

let told: Promise<boolean> | null = null;

function cannot(): Promise<boolean> {
  told ??= whyNoKafka().then((why) => {
    if (why === null) return false;
    if (process.env.CI === 'true') t.fail(`Kafka is asked for in CI: ${why}`);
    else t.pass(`Kafka tests are skipped: ${why}`, { skip: why });
    return true;
  });
  return told;
}

/** Prefix of a topic's name that no other test has. */
export function topicPrefix(): string {
  return `t-${randomBytes(6).toString('hex')}`;
}
