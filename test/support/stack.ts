/**
 * The set-ups that end-to-end tests run on: which log, which feed. `PARLEY_TEST_STACK` names the one of a run
 * (`npm run test:e2e -- --stack=NAME`); without it the embedded default.
 */
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { startStandIn } from './eventstoredb/index.ts';
import { kafkaForFile } from './kafka/kafka-test.ts';

/** Log and feed, as the configuration knows them. */
export const stacks = ['postgres+tail', 'postgres+kafka', 'eventstoredb+kafka'] as const;

export type Stack = (typeof stacks)[number];

/** Names the stack of a run. */
export const PARLEY_TEST_STACK = 'PARLEY_TEST_STACK';

/** The stack of this run. Throws for a name that there is none of. */
export function stackOfRun(): Stack {
  const name = process.env[PARLEY_TEST_STACK] || 'postgres+tail';
  const found = stacks.find((stack) => stack === name);
  if (!found) throw new Error(`${PARLEY_TEST_STACK} is one of ${stacks.join(', ')}, not ${name}`);
  return found;
}

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
