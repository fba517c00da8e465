/**
 * The feed straight off the log: one partition, in the order of the log. At most one batch is with the handler; what the
 * tail says meanwhile is gathered, up to one more batch, then the tail waits.
 */
import type pg from 'pg';
import type { Log } from '../log/log.ts';
import { Consuming } from './consuming.ts';
import type { Consumer, ConsumerLogger, Feed } from './feed.ts';
import { Gatherer } from './gatherer.ts';

/**
 * Opens the feed. It holds nothing: ending it is ending its consumers.
 *
 * @param pool where the checkpoints are: groups that came from a feed of several partitions are taken over with it, and
 * without it they are refused
 */
export function openTailFeed(log: Pick<Log, 'tail'>, logger: ConsumerLogger, pool?: pg.Pool): Feed {
  return {
    partitions: 1,
    consume: (consumer, signal) => consume(log, new Consuming({ consumer, logger, partitions: 1, signal, pool })),
  };
}

async function consume(log: Pick<Log, 'tail'>, consuming: Consuming): Promise<void> {
  const { consumer, signal } = consuming;
  await consuming.untilAborted(async () => {
    let from = await consumer.start(0);
    while (!signal.aborted) from = await follow(log, consumer, from, signal, () => consuming.progressed());
  });
}

/** Hands over batches from `from` on. Answers where to go on: after the abort, or when the checkpoint was moved by others. */
async function follow(
  log: Pick<Log, 'tail'>,
  consumer: Consumer,
  from: bigint,
  signal: AbortSignal,
  onDone: () => void,
): Promise<bigint> {
  const ended = new AbortController();
  const end = () => ended.abort();
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  const gatherer = new Gatherer(log.tail(from, ended.signal), from, consumer.maxBatchEvents);
  try {
    for (;;) {
      const batch = signal.aborted ? null : await gatherer.next(consumer);
      if (!batch) {
        if (signal.aborted) return gatherer.from;
        throw new Error('the tail ended by itself');
      }
      const position = await consumer.handle({ partition: 0, ...batch });
      if (position !== batch.to) return position;
      onDone();
    }
  } finally {
    signal.removeEventListener('abort', end);
    ended.abort();
    gatherer.stop();
    await gatherer.ended;
  }
}
