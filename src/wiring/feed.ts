import { codec } from '../../schemas/index.ts';
import { consumerPool } from '../feed/checkpoint.ts';
import type { ConsumerLogger, Feed } from '../feed/feed.ts';
import { openKafkaFeed, type TopicOptions } from '../feed/kafka.ts';
import { openTailFeed } from '../feed/tail.ts';
import type { Log } from '../log/log.ts';
import type { Config } from '../platform/config.ts';

/** The topic that the configuration names; null: the feed is the log's own tail. */
export function topicOptions({ kafka }: Pick<Config, 'kafka'>): TopicOptions | null {
  const { brokers, topic, partitions, retentionMs } = kafka;
  return brokers.length === 0 ? null : { brokers, topicPrefix: topic, partitions, retentionMs };
}

/** Opens the feed that the configuration names. */
export function openFeed(options: {
  readonly config: Pick<Config, 'kafka'>;
  readonly url: string;
  readonly log: Log;
  readonly logger: ConsumerLogger;
  /** Told when a partition of the topic lacked something, which was read from the log. */
  readonly onHole?: (group: string) => void;
}): { readonly feed: Feed; close(): Promise<unknown> } {
  const { config, url, log, logger, onHole } = options;
  const topic = topicOptions(config);
  const pool = consumerPool(url, { name: 'feed', maxConnections: 4 });
  if (topic === null) return { feed: openTailFeed(log, logger, pool), close: () => pool.end() };
  const feed = openKafkaFeed({
    ...topic,
    pool,
    history: log,
    codec,
    logger,
    ...(onHole && { onHole }),
  });
  return { feed, close: () => pool.end() };
}
