/** What a set-up needs to be run on, for one test. */
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { startStandIn } from './eventstoredb/index.ts';
import { kafkaForFile } from './kafka/kafka-test.ts';
import type { Stack } from './stacks.ts';

/**
 * The configuration variables of a stack for one test, and what they name: a topic and a log of the test's own. Null where
 * the machine cannot run it (no Kafka): the test is skipped then, which is a failure with `CI=true`.
 */
export async function stackVariables(test: Test, stack: Stack): Promise<Readonly<Record<string, string>> | null> {
  const variables: Record<string, string> = {};
  if (stack.endsWith('+kafka')) {
    const brokers = await kafkaForFile();
    if (brokers === null) return null;
    variables.KAFKA_BROKERS = brokers.join(',');
    variables.KAFKA_TOPIC = `t-${randomBytes(6).toString('hex')}`;
    variables.KAFKA_PARTITIONS = '3';
  }
  if (stack.startsWith('eventstoredb+')) {
    variables.EVENTSTOREDB_URL = process.env.EVENTSTOREDB_URL || (await standInFor(test));
    variables.EVENTSTOREDB_NAMESPACE = `t_${randomBytes(6).toString('hex')}`;
  }
  return variables;
}

async function standInFor(test: Test): Promise<string> {
  const standIn = await startStandIn();
  test.teardown(() => standIn.stop());
  return standIn.url;
}
