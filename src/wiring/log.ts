import type { MessagePort } from 'node:worker_threads';
import { codec } from '../../schemas/index.ts';
import { openEventStoreLog } from '../log/eventstoredb.ts';
import { adminOf, startScavenges } from '../log/eventstoredb-scavenge.ts';
import type { Log } from '../log/log.ts';
import { openPostgresLog } from '../log/postgres.ts';
import type { Config } from '../platform/config.ts';
import type { Metrics } from '../platform/metrics.ts';

/** The log that the configuration names, with what is to be seen of it. */
export interface OpenLog {
  readonly log: Log;
  /** Commits that wait to be written. */
  waitingCommits(): number;
  /** Holes met in the positions: 0 unless something is broken. */
  gaps(): number;
  close(): Promise<void>;
}

/** What opening it needs. Without metrics nothing is measured. */
export interface OpenLogOptions {
  readonly config: Pick<Config, 'log' | 'eventStore'>;
  /** Of the database that is up to date. */
  readonly url: string;
  readonly metrics?: Metrics;
  /** This process tells EventStoreDB's nodes to scavenge. */
  readonly scavenges?: boolean;
  readonly warn?: (fields: object, message: string) => void;
  /** The way to the log of another thread: each tells the other what it appended. Only the one in Postgres makes use of it. */
  readonly peer?: MessagePort | undefined;
}

/** Opens EventStoreDB where EVENTSTOREDB_URL names one, else the log in Postgres. Rejects when it cannot be reached. */
export async function openLog(options: OpenLogOptions): Promise<OpenLog> {
  const { url: eventStoreUrl } = options.config.eventStore;
  return eventStoreUrl === null ? openInPostgres(options) : openInEventStore(eventStoreUrl, options);
}

async function openInPostgres({ url, metrics, peer }: OpenLogOptions): Promise<OpenLog> {
  const log = await openPostgresLog({
    url,
    codec,
    ...(metrics && { onFlush: (flush) => metrics.appended(flush) }),
    ...(peer && { peer }),
  });
  return {
    log,
    waitingCommits: () => log.waitingCommits,
    gaps: () => log.gaps,
    close: () => log.close(),
  };
}

async function openInEventStore(
  url: string,
  { config, metrics, warn, scavenges = false }: OpenLogOptions,
): Promise<OpenLog> {
  const log = await openEventStoreLog({
    url,
    codec,
    namespace: config.eventStore.namespace,
    ...(metrics && {
      onAppend: ({ outcome, durationMs }) =>
        metrics.appended({ commits: 1, durationMs, failed: outcome === 'unknown' }),
    }),
  });
  const { scavengeIntervalMs: intervalMs } = config.eventStore;
  const stopScavenges =
    intervalMs === 0 || !scavenges
      ? () => {}
      : startScavenges({
          ...adminOf(url),
          intervalMs,
          onResult: ({ adminUrl, error }) => {
            if (error)
              warn?.({ adminUrl, err: error }, 'a scavenge could not be started: erased content stays on disk');
          },
        });
  return {
    log,
    waitingCommits: () => log.waitingCommits,
    gaps: () => 0,
    async close() {
      stopScavenges();
      await log.close();
    },
  };
}
