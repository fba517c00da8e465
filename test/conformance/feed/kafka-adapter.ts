/** The feed through Kafka under the conformance suite, of whatever log. */
import type { Test } from 'tap';
import { codec } from '../../../schemas/index.ts';
import { kafkaGround } from '../../feed/ground.ts';
import type { FeedAdapter } from './adapter.ts';

/** The adapter; `options` are those of each test's ground: its partitions, and its log where that is not Postgres's. */
export function kafkaAdapter(
  name: string,
  brokers: readonly string[],
  options: (t: Test) => Promise<NonNullable<Parameters<typeof kafkaGround>[2]>>,
): FeedAdapter {
  return {
    name,
    async fresh(t, { copier = codec } = {}) {
      const on = await kafkaGround(t, brokers, await options(t));
      on.relay({ log: await on.openLog(copier), codec: copier });
      return { ...on, feed: () => on.feed() };
    },
  };
}
