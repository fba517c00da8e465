import type { MessagePort } from 'node:worker_threads';
import { codec } from '../../schemas/index.ts';
import { startRelay } from '../feed/relay.ts';
import { tracedFeed } from '../feed/traced.ts';
import { tracedLog } from '../log/traced.ts';
import type { Config } from '../platform/config.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Telemetry } from '../platform/telemetry.ts';
import { readPool, startProjector, watchCheckpoint } from '../readside/index.ts';
import type { Closers } from './closers.ts';
import type { Ground, Projected } from './core.ts';
import { openFeed, topicOptions } from './feed.ts';
import { type OpenLog, openLog } from './log.ts';
import type { Role } from './roles.ts';
import type { Storage } from './storage.ts';

/** What a process, or a thread of it, has before anything of the product runs. */
export interface Base {
  readonly config: Config;
  readonly storage: Storage;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly telemetry: Telemetry;
}

/** The ground, and what of it may fail by itself. */
export interface OpenGround {
  readonly ground: Ground;
  readonly open: OpenLog;
  /** Each rejects when its part cannot go on. */
  readonly parts: Promise<void>[];
}

/** What opening it may be told. */
export interface GroundOptions {
  readonly roles: ReadonlySet<Role>;
  /** The projector of another thread; without one, and without the role, those of other processes are watched. */
  readonly elsewhere?: Projected | null;
  /** The way to the log of that thread. */
  readonly peer?: MessagePort | undefined;
  /** Told after every batch of the projector. */
  readonly onProjected?: () => void;
}

/** Opens what stands below the core: the log, the feed, and of the roles relay and projector. */
export async function openGround(
  base: Base,
  { roles, elsewhere = null, peer, onProjected = () => {} }: GroundOptions,
  closers: Closers,
): Promise<OpenGround> {
  const { config, storage, logger, metrics, telemetry } = base;
  const { url } = storage;
  const warn = (fields: object, message: string) => logger.warn(fields, message);
  const open = await openLog({ config, url, metrics, warn, scavenges: roles.has('delivery'), peer });
  closers.add(() => open.close());
  const { tracer } = telemetry;
  const log = tracer.enabled ? tracedLog(open.log, tracer) : open.log;
  const onHole = (group: string) => metrics.feedHoles(group)();
  const { feed: plainFeed, close: closeFeed } = openFeed({ config, url, log, logger, onHole });
  closers.add(closeFeed);
  const feed = tracer.enabled ? tracedFeed(plainFeed, tracer) : plainFeed;
  const parts: Promise<void>[] = [];
  const topic = topicOptions(config);
  if (topic && roles.has('relay')) {
    const relay = startRelay({ ...topic, url, log, codec, logger });
    closers.add(() => relay.stop());
    parts.push(relay.done);
    metrics.observeGauge('parley_relay_leading', 'Whether this process copies the log into the topic.', () =>
      Number(relay.leading()),
    );
    metrics.observeGauge('parley_relay_position', 'Position up to which this process has copied the log.', () =>
      Number(relay.position()),
    );
  }
  const projector = roles.has('projector')
    ? await startProjector({
        url,
        feed,
        history: log,
        logger,
        // Where one process has the database for itself nobody else is to be told.
        shared: !storage.alone,
        onBatch: ({ lagMs }) => {
          if (lagMs !== null) metrics.projected(lagMs);
          onProjected();
        },
      })
    : null;
  if (projector) {
    closers.add(() => projector.stop());
    parts.push(projector.done);
  }
  const projected = projector ?? elsewhere ?? (await watchProjectors(url, closers));
  return { ground: { config, storage, log, feed, projected, projector, logger, metrics }, open, parts };
}

/** How far the projectors of other processes are. Resolves when they have made what today's queries can read. */
async function watchProjectors(url: string, closers: Closers): Promise<Projected> {
  const pool = readPool(url, { maxConnections: 1 });
  closers.add(() => pool.end());
  const watch = watchCheckpoint(pool);
  closers.add(() => watch.stop());
  await watch.ready;
  return watch;
}
