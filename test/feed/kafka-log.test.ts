import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { kafkaLog } from '../../src/feed/kafka-log.ts';
import { Words } from '../readside/platform.ts';
import { kafkaForFile } from '../support/kafka/kafka-test.ts';

const line = (message: string, label = 'ERROR') => ({ namespace: 'Connection', label, log: { message } });

t.test('nothing that kafkajs retries is an error of ours, and what repeats is said once', async (t) => {
  const words = new Words();
  const say = kafkaLog(words);
  for (let n = 0; n < 50; n++) say(line(`connect ECONNREFUSED 127.0.0.1:${9000 + n}`));
  say(line('something else', 'WARN'));
  say(line('a detail', 'INFO'));
  for (const usual of [
    "The coordinator is loading and hence can't process requests for this group",
    'The group is rebalancing, so a rejoin is needed',
    'The coordinator is not aware of this member, re-joining the group',
    'The requested offset is not within the range of offsets maintained by the server',
  ]) {
    say(line(usual));
  }
  t.same(words.warnings, ['kafka: connect ECONNREFUSED 127.0.0.1:9000', 'kafka: something else']);
  t.same(words.errors, []);
});

const brokers = await kafkaForFile();

if (brokers) {
  await t.test('a process with a client prints no warning, but those that are not about it', async (t) => {
    const program = `
      import { connectKafka } from ${JSON.stringify(import.meta.resolve('../../src/feed/kafka.ts'))};
      const logger = { info() {}, warn(_, text) { console.error(text); }, error(_, text) { console.error(text); } };
      const admin = connectKafka(${JSON.stringify(brokers)}, 'test', logger).admin();
      await admin.connect();
      await admin.listTopics();
      await admin.disconnect();
      process.emitWarning('another');
    `;
    const env = { PATH: process.env.PATH };
    const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { env });
    t.match(stderr, /^\(node:\d+\) Warning: another\n[^\n]*\n$/);
  });
}
