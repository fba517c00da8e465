import type { MessagePort } from 'node:worker_threads';
import { codec } from '../../schemas/index.ts';
import { type EventStoreLog, openEventStoreLog } from '../log/eventstoredb.ts';
import { adminOf } from '../log/eventstoredb-scavenge.ts';
import { type Scavenges, startScavenges } from '../log/eventstoredb-scavenge-turns.ts';
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
  /** This process tells EventStoreDB's nodes to scavenge, when no other did. */
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

async function openInEventStore(url: string, options: OpenLogOptions): Promise<OpenLog> {
  const { config, metrics } = options;
  const log = await openEventStoreLog({
    url,
    codec,
    namespace: config.eventStore.namespace,
    ...(metrics && {
      onAppend: ({ outcome, durationMs }) =>
        metrics.appended({ commits: 1, durationMs, failed: outcome === 'unknown' }),
    }),
  });
  const scavenges = scavengesOf(url, options);
  if (metrics) observeEventStore(metrics, log, scavenges);
  return {
    log,
    waitingCommits: () => log.waitingCommits,
    gaps: () => 0,
    async close() {
      await scavenges?.stop();
      await log.close();
    },
  };
}

function scavengesOf(
  eventStoreUrl: string,
  { config, url, warn, scavenges = false }: OpenLogOptions,
): Scavenges | null {
  const { scavengeIntervalMs: intervalMs } = config.eventStore;
  if (intervalMs === 0 || !scavenges) return null;
  return startScavenges({
    ...adminOf(eventStoreUrl),
    url,
    intervalMs,
    onResult: ({ adminUrl, error }) => {
      if (error) warn?.({ adminUrl, err: error }, 'a scavenge could not be started: erased content stays on disk');
    },
    onTrouble: (err) => warn?.({ err }, 'it is not known whether a scavenge is due'),
  });
}

function observeEventStore(metrics: Metrics, log: EventStoreLog, scavenges: Scavenges | null): void {
  metrics.observeQueue('append_in_flight', () => log.inFlightCommits);
  metrics.observeGauge(
    'parley_log_in_flight_bytes',
    'Bytes of the commits sent to EventStoreDB and not answered.',
    () => log.inFlightBytes,
  );
  metrics.observeGauge(
    'parley_log_erased_streams',
    'Names of erased streams that this process keeps in memory, of about 100 bytes each.',
    () => log.erasedStreams,
  );
  metrics.observeCounter(
    'parley_log_renewals_total',
    'Clients of EventStoreDB that were thrown away because the server kept silent.',
    () => log.renewals,
  );
  metrics.observeCounter('parley_log_fences_total', 'Undecided commits that were fenced.', () => log.fences);
  if (scavenges)
    metrics.observeGauge(
      'parley_scavenge_started_seconds',
      'When every node of EventStoreDB had been told to scavenge, by whichever process: time since the epoch, 0 = never.',
      () => scavenges.startedSeconds(),
    );
}
