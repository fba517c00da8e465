/**
 * `npm run test:e2e -- --stack=postgres+kafka [files]`: the end-to-end tests of every dialect on one of the set-ups. One
 * Kafka serves the whole run; EventStoreDB is the stand-in, or the server of `EVENTSTOREDB_URL`. `--save` is tap's.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { givenBrokers, KAFKA_BROKERS, startKafka, whyNoKafka } from './kafka/kafka.ts';
import { PARLEY_TEST_STACK, stacks } from './stacks.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { stack: { type: 'string' }, save: { type: 'string' } },
});
const stack = stacks.find((each) => each === values.stack);
if (!stack) {
  console.error(`--stack takes one of ${stacks.join(', ')}`);
  process.exit(2);
}
const why = stack.endsWith('+kafka') ? await whyNoKafka() : null;
if (why !== null) {
  console.log(`end-to-end tests on ${stack} are skipped: ${why}`);
  process.exit(process.env.CI === 'true' ? 1 : 0);
}
const kafka = stack.endsWith('+kafka') && givenBrokers() === null ? await startKafka() : null;
const log = !stack.startsWith('eventstoredb')
  ? 'the log in Postgres'
  : process.env.EVENTSTOREDB_URL
    ? 'the EventStoreDB of EVENTSTOREDB_URL'
    : 'a stand-in of EventStoreDB, which shows neither durability nor speed';
console.log(`end-to-end tests on ${stack}: ${log}`);
const files = positionals.length > 0 ? positionals : ['test/dialects/**/*.test.ts'];
const options = values.save === undefined ? [] : [`--save=${values.save}`];
const child = spawn(process.execPath, ['test/support/run.ts', ...options, ...files], {
  stdio: 'inherit',
  env: { ...process.env, [PARLEY_TEST_STACK]: stack, ...(kafka && { [KAFKA_BROKERS]: kafka.brokers }) },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
process.exitCode = await new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? 1)));
await kafka?.stop();
