/** A role of the distributed set-up, a process of its own: forked by `latency.ts`. A projector says when rows were committed. */
import { codec } from '../../../schemas/index.ts';
import { consumerPool } from '../../../src/feed/checkpoint.ts';
import type { Consumer, Feed } from '../../../src/feed/feed.ts';
import { openKafkaFeed, type TopicOptions } from '../../../src/feed/kafka.ts';
import { startRelay } from '../../../src/feed/relay.ts';
import { startProjector } from '../../../src/readside/index.ts';
import { type LogPlace, openLog } from './log.ts';

/** What it is told, by its first message. */
export interface NodeOptions {
  readonly role: 'relay' | 'projector';
  readonly place: LogPlace;
  readonly topic: TopicOptions;
}

/** Positions and when their rows were committed, milliseconds since the epoch. */
export type Committed = readonly { readonly positions: readonly string[]; readonly at: number }[];

const say = (fields: object, message: string) => console.error(message, 'err' in fields ? fields.err : '');
const logger = { info() {}, warn: say, error: say };

async function main({ role, place, topic }: NodeOptions): Promise<void> {
  const { url } = place;
  const log = await openLog(place);
  if (role === 'relay') {
    startRelay({ ...topic, url, log, codec, logger });
    process.send?.('ready');
    return;
  }
  const pool = consumerPool(url, { name: 'bench-feed', maxConnections: 4 });
  let committed: { positions: string[]; at: number }[] = [];
  setInterval(() => {
    if (committed.length > 0) process.send?.(committed);
    committed = [];
  }, 100);
  const told = (consumer: Consumer): Consumer => ({
    ...consumer,
    async handle(batch) {
      const position = await consumer.handle(batch);
      const at = performance.timeOrigin + performance.now();
      if (batch.events.length > 0) committed.push({ positions: batch.events.map((e) => `${e.position}`), at });
      return position;
    },
  });
  const kafka = openKafkaFeed({ ...topic, pool, history: log, codec, logger });
  const feed: Feed = { ...kafka, consume: (consumer, signal) => kafka.consume(told(consumer), signal) };
  const projector = await startProjector({ url, feed, history: log, logger });
  await projector.ready;
  process.send?.('ready');
}

process.on('disconnect', () => process.exit());
process.once('message', (options) => void main(options as NodeOptions));
