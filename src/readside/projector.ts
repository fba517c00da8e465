import { projections as allProjections, type Projection } from '../../projections/index.ts';
import { consumerPool, readCheckpoint, withCheckpoint } from '../feed/checkpoint.ts';
import type { ConsumerLogger, Feed, History } from '../feed/feed.ts';
import type { PositionSource } from './position-source.ts';
import { rebuildProjection } from './rebuild.ts';
import { applySettings, ensureTables, projectorGroup, type ToRebuild, tableVersions } from './tables.ts';

export { projectorGroup } from './tables.ts';

/** What one batch did, for metrics. */
export interface ProjectorBatch {
  readonly position: bigint;
  readonly events: number;
  readonly durationMs: number;
  /** Age of the batch's last event when its rows were committed; null when it had none. */
  readonly lagMs: number | null;
}

/** How the projector runs. */
export interface ProjectorOptions {
  readonly url: string;
  readonly feed: Feed;
  /** The log, to rebuild projections of another version. */
  readonly history: History;
  readonly logger: ConsumerLogger;
  /** Default: every projection there is. */
  readonly projections?: readonly Projection[];
  readonly onBatch?: (batch: ProjectorBatch) => void;
  /** Events of one batch at most. Default 2000. */
  readonly maxBatchEvents?: number;
  /**
   * A batch begins this long after the one before at the earliest, unless it is full or somebody waits for it: the
   * statements of a batch cost about as much as the rows of a hundred sends. Default 50.
   */
  readonly batchIntervalMs?: number;
}

/** The running projector. */
export interface Projector extends PositionSource {
  /** Resolves when today's queries can read every projection. Rejects when a rebuild that has to come first fails. */
  readonly ready: Promise<void>;
  /** Resolves when the projector has stopped; rejects with an event that this code cannot read. */
  readonly done: Promise<void>;
  /** Names of the projections whose tables are not of this code's version. */
  outdated(): string[];
  /** How far the rows are behind the log, in events and in seconds of the oldest one that is missing or about so. */
  lag(): Promise<{ events: number; seconds: number }>;
  /** Ends after the batch at hand. */
  stop(): Promise<void>;
}

/** Makes missing tables, begins to rebuild outdated ones, and projects until it is stopped. The database must be migrated. */
export async function startProjector(options: ProjectorOptions): Promise<Projector> {
  const running = new RunningProjector(options);
  await running.start();
  return running;
}

class RunningProjector implements Projector {
  readonly #options: ProjectorOptions;
  readonly #projections: readonly Projection[];
  readonly #pool: ReturnType<typeof consumerPool>;
  readonly #abort = new AbortController();
  readonly #watchers = new Set<() => void>();
  readonly #outdated = new Set<string>();
  #position = 0n;
  #batchAt = Number.NEGATIVE_INFINITY;
  #hurry: (() => void) | null = null;
  #rebuilds: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | null = null;
  ready: Promise<void> = Promise.resolve();
  done: Promise<void> = Promise.resolve();

  constructor(options: ProjectorOptions) {
    this.#options = options;
    this.#projections = options.projections ?? allProjections;
    this.#pool = consumerPool(options.url, { name: 'projector', settings: { search_path: 'read', ...applySettings } });
  }

  async start(): Promise<void> {
    const toRebuild = await ensureTables(this.#pool, this.#projections).catch(async (error: unknown) => {
      await this.#pool.end();
      throw error;
    });
    for (const { projection } of toRebuild) this.#outdated.add(projection.name);
    this.#position = await readCheckpoint(this.#pool, projectorGroup);
    // What cannot be read has to come first.
    const unreadable = toRebuild.filter(({ readable }) => !readable);
    this.ready = this.#rebuildAll(unreadable);
    this.ready.catch(() => {});
    this.#rebuilds = this.ready
      .then(() => this.#rebuildAll(toRebuild.filter(({ readable }) => readable)))
      .catch(() => {});
    this.done = this.#options.feed.consume(
      {
        group: projectorGroup,
        maxBatchEvents: this.#options.maxBatchEvents ?? 2_000,
        start: (partition) => this.#start(partition),
        handle: (batch) => this.#handle(batch),
        gather: () => this.#gather(),
      },
      this.#abort.signal,
    );
    this.done.catch(() => {});
  }

  async #rebuildAll(toRebuild: readonly ToRebuild[]): Promise<void> {
    const { url, history, logger } = this.#options;
    for (const { projection } of toRebuild) {
      const { name, version } = projection;
      logger.info({ projection: name, version }, 'rebuilding a projection');
      try {
        await rebuildProjection(projection, { url, history, onlyIfOutdated: true, signal: this.#abort.signal });
      } catch (error) {
        if (!this.#abort.signal.aborted)
          logger.error({ projection: name, err: error }, 'the rebuild of a projection failed');
        throw error;
      }
      this.#outdated.delete(name);
      logger.info({ projection: name, version }, 'rebuilt a projection');
    }
  }

  async #start(partition: number): Promise<bigint> {
    const position = await readCheckpoint(this.#pool, projectorGroup, partition);
    this.#reach(position);
    return position;
  }

  async #handle(batch: Parameters<typeof withCheckpoint>[2]): Promise<bigint> {
    this.#batchAt = performance.now();
    const position = await withCheckpoint(
      this.#pool,
      projectorGroup,
      batch,
      async (client, events) => {
        // Under the checkpoint's lock: a rebuild swaps tables in under the same one.
        const versions = await tableVersions(client);
        for (const projection of this.#projections) {
          if (versions.get(projection.name) === projection.version) {
            await projection.apply(client, events);
            this.#outdated.delete(projection.name);
          } else this.#outdated.add(projection.name);
        }
      },
      { durable: false },
    );
    this.#reach(position);
    const last = batch.events.at(-1);
    this.#options.onBatch?.({
      position,
      events: batch.events.length,
      durationMs: performance.now() - this.#batchAt,
      lagMs: last ? Date.now() - last.at : null,
    });
    return position;
  }

  /** Until the interval since the last batch is over; not at all while somebody waits for the rows. */
  #gather(): Promise<void> | undefined {
    const restMs = (this.#options.batchIntervalMs ?? 50) - (performance.now() - this.#batchAt);
    if (restMs <= 0 || this.#watchers.size > 0) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, restMs);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #reach(position: bigint): void {
    if (position <= this.#position) return;
    this.#position = position;
    for (const watcher of [...this.#watchers]) watcher();
  }

  reached(): bigint {
    return this.#position;
  }

  rebuilding(): boolean {
    return this.#outdated.size > 0;
  }

  outdated(): string[] {
    return [...this.#outdated];
  }

  watch(onReached: () => void): () => void {
    this.#watchers.add(onReached);
    this.#hurry?.();
    return () => this.#watchers.delete(onReached);
  }

  async lag(): Promise<{ events: number; seconds: number }> {
    const head = await this.#options.history.head();
    if (head <= this.#position) return { events: 0, seconds: 0 };
    // The age of the first event that is missing.
    const { events } = await this.#options.history.page(this.#position, 1);
    const seconds = events[0] ? Math.max(0, (Date.now() - events[0].at) / 1000) : 0;
    return { events: Number(head - this.#position), seconds };
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#abort.abort();
    this.#hurry?.();
    await this.done.catch(() => {});
    await this.#rebuilds;
    await this.#pool.end();
  }
}
