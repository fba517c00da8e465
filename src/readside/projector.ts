import { projections as allProjections, type Projection } from '../../projections/index.ts';
import { UnknownEventError } from '../../schemas/index.ts';
import { consumerPool, readGroup, withCheckpoint } from '../feed/checkpoint.ts';
import type { ConsumerLogger, CountedHistory, Feed, FeedBatch } from '../feed/feed.ts';
import { sleep } from '../platform/clock.ts';
import { type GroupLag, groupLag } from './lag.ts';
import { PositionExchange } from './position-exchange.ts';
import type { PositionSource } from './position-source.ts';
import { GroupPositions } from './positions.ts';
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
  /** The log, to rebuild projections of another version, and to tell how far these are. */
  readonly history: CountedHistory;
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
  /**
   * Other processes project too, or read these rows: they are told how far this one is, and it hears when somebody there
   * waits. Costs a connection and a NOTIFY after a batch. Default: when the feed has several partitions.
   */
  readonly shared?: boolean;
}

/** The running projector. */
export interface Projector extends PositionSource {
  /**
   * Resolves when today's queries can read every projection. Rejects when a rebuild that has to come first meets an event
   * that this code cannot read, or the projector is stopped; other failures are tried again.
   */
  readonly ready: Promise<void>;
  /** Resolves when the projector has stopped; rejects with an event that this code cannot read. */
  readonly done: Promise<void>;
  /** Names of the projections whose tables are not of this code's version. */
  outdated(): string[];
  /** How far the rows are behind the log, whatever process writes them: in events, counted up to 10,000, and in seconds. */
  lag(): Promise<GroupLag>;
  /** Ends after the batch at hand. */
  stop(): Promise<void>;
}

/** Makes missing tables, begins to rebuild outdated ones, and projects until it is stopped. The database must be migrated. */
export async function startProjector(options: ProjectorOptions): Promise<Projector> {
  const running = new RunningProjector(options);
  await running.start();
  return running;
}

/** Waits of a rebuild that failed, doubled with every failure in a row. */
const rebuildAgainMs = { first: 1_000, most: 60_000 } as const;
/** For so long after somebody in another process waited batches begin at once: it says so again in the meantime. */
const hurryMs = 150;

/**
 * A transaction of a projector does nothing but write: one that says nothing for so long is a frozen process's, or one whose
 * connection died, and is ended by the server before whoever takes over has waited long for its row.
 */
const idleTransactionMs = 5_000;

class RunningProjector implements Projector {
  readonly #options: ProjectorOptions;
  readonly #projections: readonly Projection[];
  readonly #pool: ReturnType<typeof consumerPool>;
  readonly #abort = new AbortController();
  readonly #outdated = new Set<string>();
  readonly #positions = new GroupPositions();
  readonly #exchange: PositionExchange | null;
  #batchAt = Number.NEGATIVE_INFINITY;
  #hurriedUntil = Number.NEGATIVE_INFINITY;
  #hurry: (() => void) | null = null;
  #rebuilds: Promise<void> = Promise.resolve();
  #lag: Promise<GroupLag> | null = null;
  #stopped: Promise<void> | null = null;
  ready: Promise<void> = Promise.resolve();
  done: Promise<void> = Promise.resolve();

  constructor(options: ProjectorOptions) {
    const { url, feed, projections = allProjections, shared = feed.partitions > 1 } = options;
    this.#options = options;
    this.#projections = projections;
    const settings = { search_path: 'read', ...applySettings, idle_in_transaction_session_timeout: idleTransactionMs };
    this.#pool = consumerPool(url, { name: 'projector', maxConnections: shared ? 3 : 2, settings });
    const [pool, positions] = [this.#pool, this.#positions];
    const onHurry = () => {
      this.#hurriedUntil = performance.now() + hurryMs;
      this.#hurry?.();
    };
    this.#exchange = shared ? new PositionExchange({ pool, group: projectorGroup, positions, onHurry }) : null;
  }

  async start(): Promise<void> {
    const toRebuild = await this.#open().catch(async (error: unknown) => {
      await this.#exchange?.stop();
      await this.#pool.end();
      throw error;
    });
    for (const { projection } of toRebuild) this.#outdated.add(projection.name);
    // What cannot be read has to come first.
    this.ready = this.#rebuildAll(toRebuild.filter(({ readable }) => !readable));
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

  async #open(): Promise<ToRebuild[]> {
    const toRebuild = await ensureTables(this.#pool, this.#projections, this.#options.feed.partitions);
    this.#positions.set((await readGroup(this.#pool, projectorGroup)).positions);
    await this.#exchange?.start();
    return toRebuild;
  }

  async #rebuildAll(toRebuild: readonly ToRebuild[]): Promise<void> {
    for (const { projection } of toRebuild) await this.#rebuild(projection);
  }

  /** Rebuilds one projection, again after every failure but those that would come again. */
  async #rebuild(projection: Projection): Promise<void> {
    const { url, history, logger } = this.#options;
    const { signal } = this.#abort;
    const { name, version } = projection;
    for (let againInMs: number = rebuildAgainMs.first; ; againInMs = Math.min(againInMs * 2, rebuildAgainMs.most)) {
      logger.info({ projection: name, version }, 'rebuilding a projection');
      try {
        await rebuildProjection(projection, { url, history, onlyIfOutdated: true, signal });
        break;
      } catch (error) {
        signal.throwIfAborted();
        const isFinal = error instanceof UnknownEventError;
        const fields = { projection: name, err: error, ...(!isFinal && { againInMs }) };
        logger.error(fields, 'the rebuild of a projection failed');
        if (isFinal) throw error;
      }
      await sleep(againInMs, signal);
    }
    this.#outdated.delete(name);
    logger.info({ projection: name, version }, 'rebuilt a projection');
  }

  async #start(partition: number): Promise<bigint> {
    const group = await readGroup(this.#pool, projectorGroup);
    this.#positions.set(group.positions);
    return group.positions[partition] ?? group.smallest;
  }

  async #handle(batch: FeedBatch): Promise<bigint> {
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
    this.#positions.reach(batch.partition, position);
    this.#exchange?.announce(batch.partition, position);
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
    const now = performance.now();
    const restMs = (this.#options.batchIntervalMs ?? 50) - (now - this.#batchAt);
    if (restMs <= 0 || this.#positions.watched || now < this.#hurriedUntil) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, restMs);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  reached(): bigint {
    return this.#positions.smallest;
  }

  rebuilding(): boolean {
    return this.#outdated.size > 0;
  }

  outdated(): string[] {
    return [...this.#outdated];
  }

  watch(onReached: () => void): () => void {
    const unwatch = this.#positions.watch(onReached);
    this.#hurry?.();
    // What is missing may be another process's to do.
    this.#exchange?.hurry();
    return unwatch;
  }

  lag(): Promise<GroupLag> {
    this.#lag ??= groupLag(this.#pool, this.#options.history, projectorGroup).finally(() => {
      this.#lag = null;
    });
    return this.#lag;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#abort.abort(new Error('stopped'));
    this.#hurry?.();
    await this.done.catch(() => {});
    await this.#rebuilds;
    await this.#exchange?.stop();
    await this.#lag?.catch(() => {});
    await this.#pool.end();
  }
}
