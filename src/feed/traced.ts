import type { Tracer } from '../platform/telemetry.ts';
import type { Consumer, Feed, FeedBatch } from './feed.ts';

/** Events of one batch that get a span of their own at most. */
const maxSpans = 100;

/** A feed whose consumers' work is spans: one for each event that is part of a trace, named by group and type. */
export function tracedFeed(feed: Feed, tracer: Tracer): Feed {
  return {
    partitions: feed.partitions,
    consume: (consumer, signal) => feed.consume(traced(consumer, tracer), signal),
  };
}

function traced(consumer: Consumer, tracer: Tracer): Consumer {
  return {
    group: consumer.group,
    maxBatchEvents: consumer.maxBatchEvents,
    start: (partition) => consumer.start(partition),
    ...(consumer.gather && { gather: () => consumer.gather?.() }),
    async handle(batch) {
      const spans = spansOf(consumer.group, batch, tracer);
      try {
        const position = await consumer.handle(batch);
        for (const span of spans) span.end();
        return position;
      } catch (error) {
        for (const span of spans) span.end({ error });
        throw error;
      }
    },
  };
}

function spansOf(group: string, { events, partition }: FeedBatch, tracer: Tracer) {
  const inTrace = events.filter(({ meta }) => meta.trace !== undefined).slice(0, maxSpans);
  return inTrace.map(({ type, meta, position }) =>
    tracer.start(`${group} ${type}`, {
      kind: 'consumer',
      parent: meta.trace,
      attributes: { 'parley.position': String(position), 'parley.partition': partition },
    }),
  );
}
