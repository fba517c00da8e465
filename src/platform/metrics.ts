/**
 * Metrics, as Prometheus reads them. Rooms are given plain functions: they count through what is made here once, or hand in
 * a function that is asked when the metrics are read; none of them knows the library.
 *
 * Promises: counting on the hot path is a few array writes (labels are resolved when the counter is made); reading never
 * throws: a source that fails keeps its last value. Limits: labels come from code and configuration, never from
 * requests, so that the number of series is bounded.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { CountFamily, DurationFamily } from './metric-families.ts';

type Maybe<T> = T | Promise<T>;

/** What one flush of the log did. */
export interface AppendReport {
  readonly commits: number;
  readonly durationMs: number;
  readonly failed: boolean;
}

/** How far a consumer group is. */
export interface CheckpointReport {
  readonly position: bigint;
  readonly lagEvents: number;
  readonly lagSeconds: number;
}

/** Labels of a route. `dialect` is `-` for the host's own. */
export interface RouteLabels {
  readonly dialect: string;
  readonly route: string;
  readonly method: string;
}

/** Everything that is measured. */
export interface Metrics {
  /** Makes the counter of a dialect's command; it is told of accepted ones, one unless told how many. */
  acceptedCommands(dialect: string, command: string): (count?: number) => void;
  appended(report: AppendReport): void;
  /** Last position of the log, asked when the metrics are read. */
  observeHead(read: () => Maybe<bigint>): void;
  observeCheckpoint(group: string, read: () => Maybe<CheckpointReport>): void;
  /** Makes the counter of one way in which dispatches of a connector type end. */
  dispatchOutcomes(type: string, outcome: string): (count?: number) => void;
  /** Makes the counter of one way in which attempts at webhooks end. */
  webhookOutcomes(outcome: string): (count?: number) => void;
  /** Makes the counter of one way in which rounds of notifications end, by what they left. */
  notificationOutcomes(channel: string, outcome: string): (count?: number) => void;
  /** Makes the counter of what becomes of receipts of a connector type. */
  receiptOutcomes(type: string, outcome: string): (count?: number) => void;
  observeQueue(queue: string, read: () => number): void;
  /** Figures of the gateway by name; `<dialect>_sessions` are its open sockets. Asked when the metrics are read. */
  observeGateway(read: () => Readonly<Record<string, number>>): void;
  /** A figure of a part that a process may not have, asked when the metrics are read. */
  observeGauge(name: string, help: string, read: () => number): void;
  /** A total of such a part, which only rises, asked when the metrics are read. */
  observeCounter(name: string, help: string, read: () => number): void;
  /** Makes the counter of what a partition of the topic lacked, for one consumer group. */
  feedHoles(group: string): () => void;
  /** The age of an event when its row was committed. */
  projected(lagMs: number): void;
  /** Holes met in the log so far: 0 unless something is broken. */
  observeGaps(read: () => number): void;
  /** Makes the counter of a route: told of each answer's status and the milliseconds it took. */
  route(labels: RouteLabels): (status: number, durationMs: number) => void;
  /** The text of all metrics, and its content type. */
  read(): Promise<{ readonly text: string; readonly contentType: string }>;
  /** Lets go of what the library observes. */
  close(): void;
}

/** From a millisecond to the time-outs: what an append or an answer may take. */
const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const commitBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/**
 * Makes the metrics of one process.
 * @param processMetrics `false` leaves out those of the process (CPU, memory, event-loop lag)
 */
export function createMetrics({ processMetrics = true }: { processMetrics?: boolean } = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (processMetrics) collectDefaultMetrics({ register: registry });
  const accepted = new CountFamily('parley_commands_accepted_total', 'Commands that were accepted and are durable.');
  const outcomes = new CountFamily('parley_dispatch_outcomes_total', 'Attempts of dispatches, by how they ended.');
  const notifications = new CountFamily(
    'parley_notification_outcomes_total',
    'Rounds of attempts at notifications, by what they left and how they ended.',
  );
  const webhooks = new CountFamily('parley_webhook_outcomes_total', 'Attempts at webhooks, by how they ended.');
  const receipts = new CountFamily('parley_receipts_total', "Providers' receipts, by what became of them.");
  const requests = new CountFamily('parley_http_requests_total', 'Requests answered.');
  const durations = new DurationFamily(
    'parley_http_request_duration_seconds',
    'Time from a request to the start of its answer.',
    secondsBuckets,
  );
  const batch = new Histogram({
    name: 'parley_append_batch_commits',
    help: 'Commits written to the log in one flush.',
    buckets: commitBuckets,
    registers,
  });
  const appendSeconds = new Histogram({
    name: 'parley_append_duration_seconds',
    help: 'Time of one flush to the log, until it was durable.',
    buckets: secondsBuckets,
    registers,
  });
  const failedAppends = new Counter({
    name: 'parley_append_failures_total',
    help: 'Flushes to the log whose outcome was unknown.',
    registers,
  });
  const rowSeconds = new Histogram({
    name: 'parley_row_latency_seconds',
    help: 'Age of the last event of a batch when its rows were committed.',
    buckets: secondsBuckets,
    registers,
  });
  const holes = new Counter({
    name: 'parley_feed_holes_total',
    help: 'Stretches that a partition of the topic lacked, and that were read from the log.',
    labelNames: ['group'],
    registers,
  });
  const { refresh, ...observers } = observed(registers);
  return {
    ...observers,
    feedHoles: (group) => () => holes.inc({ group }),
    projected: (lagMs) => rowSeconds.observe(Math.max(0, lagMs) / 1_000),
    acceptedCommands: (dialect, command) => accepted.counter({ dialect, command }),
    dispatchOutcomes: (type, outcome) => outcomes.counter({ type, outcome }),
    webhookOutcomes: (outcome) => webhooks.counter({ outcome }),
    notificationOutcomes: (channel, outcome) => notifications.counter({ channel, outcome }),
    receiptOutcomes: (type, outcome) => receipts.counter({ type, outcome }),
    appended({ commits, durationMs, failed }) {
      if (failed) return failedAppends.inc();
      batch.observe(commits);
      appendSeconds.observe(durationMs / 1_000);
    },
    route(labels) {
      const observe = durations.histogram({ ...labels });
      const byStatus: ((count?: number) => void)[] = [];
      return (status, durationMs) => {
        let counter = byStatus[status];
        if (counter === undefined) {
          counter = requests.counter({ ...labels, status: String(status) });
          byStatus[status] = counter;
        }
        counter();
        observe(durationMs);
      };
    },
    async read() {
      await refresh();
      const own = [accepted, outcomes, webhooks, notifications, receipts, requests, durations].map((family) =>
        family.text(),
      );
      return { text: (await registry.metrics()) + own.join(''), contentType: registry.contentType };
    },
    close() {
      registry.clear();
    },
  };
}

/**
 * Gauges whose values are asked for when the metrics are read. `refresh` asks, before the library is read: a library
 * that asks by itself asks for all metrics at once, and could give one group's position with the lag of the last reading.
 */
function observed(registers: Registry[]) {
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name, help, labelNames, registers });
  const head = gauge('parley_log_head', 'Last position of the log.');
  const depth = gauge('parley_queue_depth', 'Entries that wait, by queue.', 'queue');
  const position = gauge('parley_checkpoint_position', 'Position up to which a consumer group is done.', 'group');
  const sockets = gauge('parley_sockets', 'Open sockets and event streams of this process, by dialect.', 'dialect');
  const gatewayState = gauge('parley_gateway', 'What the gateway holds, and has counted so far, by name.', 'name');
  const lagEvents = gauge('parley_checkpoint_lag_events', 'Events that a consumer group has yet to see.', 'group');
  const lagSeconds = gauge(
    'parley_checkpoint_lag_seconds',
    'Age of the oldest event that a consumer group has yet to see.',
    'group',
  );
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const gaps = counter('log_gap_total', 'Holes met in the positions of the log: stays 0.');
  const sources = new Map<string, () => Promise<void>>();
  const observeTotal = (name: string, own: Counter, read: () => number) =>
    sources.set(name, async () => {
      const total = read();
      own.reset();
      own.inc(total);
    });
  return {
    observeHead(read: () => Maybe<bigint>) {
      sources.set('head', async () => head.set(Number(await read())));
    },
    observeGaps(read: () => number) {
      observeTotal('gaps', gaps, read);
    },
    observeCounter(name: string, help: string, read: () => number) {
      observeTotal(`counter ${name}`, counter(name, help), read);
    },
    observeGauge(name: string, help: string, read: () => number) {
      const own = gauge(name, help);
      sources.set(`gauge ${name}`, async () => own.set(read()));
    },
    observeGateway(read: () => Readonly<Record<string, number>>) {
      sources.set('gateway', async () => {
        for (const [name, value] of Object.entries(read())) {
          gatewayState.set({ name }, value);
          const dialect = /^(.+)_sessions$/.exec(name)?.[1];
          if (dialect !== undefined) sockets.set({ dialect }, value);
        }
      });
    },
    observeQueue(queue: string, read: () => number) {
      sources.set(`queue ${queue}`, async () => depth.set({ queue }, read()));
    },
    observeCheckpoint(group: string, read: () => Maybe<CheckpointReport>) {
      sources.set(`checkpoint ${group}`, async () => {
        const report = await read();
        position.set({ group }, Number(report.position));
        lagEvents.set({ group }, report.lagEvents);
        lagSeconds.set({ group }, report.lagSeconds);
      });
    },
    /** A source that fails (storage is away, most likely) keeps its last value and does not take the others with it. */
    refresh: () => Promise.allSettled([...sources.values()].map((ask) => ask())),
  };
}
