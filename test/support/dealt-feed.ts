/**
 * A feed of several partitions without a broker: deals the events of a log by their ordering keys, and hands them over in an
 * order of partitions, and in batches, that a seed repeats. For what must not depend on how partitions interleave.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { Consuming } from '../../src/feed/consuming.ts';
import { type ConsumerLogger, type Feed, type History, partitionOfKey, partOf } from '../../src/feed/feed.ts';

/** How it deals. */
export interface DealtFeedOptions {
  readonly history: Pick<History, 'page'>;
  /** Where the checkpoints are. */
  readonly pool: pg.Pool;
  readonly logger: ConsumerLogger;
  readonly partitions: number;
  /** Those that this process has; all unless told. */
  readonly mine?: readonly number[];
  /** In [0, 1). */
  readonly random: () => number;
}

/** Between two looks at a log that had nothing new. */
const lookMs = 2;

/** Opens it. It holds nothing of its own: ending it is ending its consumers. */
export function dealtFeed(options: DealtFeedOptions): Feed {
  const { history, partitions, random, mine = Array.from({ length: partitions }, (_, i) => i) } = options;
  return {
    partitions,
    async consume(consumer, signal) {
      const consuming = new Consuming({ ...options, consumer, signal });
      await consuming.untilAborted(async () => {
        const at = new Map<number, bigint>();
        for (const partition of mine) at.set(partition, await consumer.start(partition));
        while (!signal.aborted) {
          const partition = mine[Math.floor(random() * mine.length)] ?? 0;
          const from = at.get(partition) ?? 0n;
          const page = await history.page(from, 1 + Math.floor(random() * consumer.maxBatchEvents));
          if (page.position <= from) {
            await sleep(lookMs);
            continue;
          }
          await consumer.gather?.();
          if (signal.aborted) return;
          const isMine = (key: string) => partitionOfKey(key, partitions) === partition;
          const events = page.events.flatMap((event) => partOf(event, isMine) ?? []);
          at.set(partition, await consumer.handle({ partition, partitions, events, from, to: page.position }));
          consuming.progressed();
        }
      });
    },
  };
}
