/** What the distributed set-up is measured on: a Postgres with its data on a disk, a Kafka, and a log that is filled here. */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { event } from '../../../schemas/index.ts';
import type { TopicOptions } from '../../../src/feed/kafka.ts';
import { feedMigrations } from '../../../src/feed/migrations.ts';
import { type Commit, type Log, NO_STREAM } from '../../../src/log/log.ts';
import { logMigrations } from '../../../src/log/migrations.ts';
import { startEmbeddedPostgres } from '../../../src/platform/embedded-postgres.ts';
import { migrate } from '../../../src/platform/migrate.ts';
import { readsideMigrations } from '../../../src/readside/index.ts';
import { givenBrokers, startKafka } from '../../support/kafka/kafka.ts';
import { silentLog } from '../../support/postgres-server.ts';
import { Closing, workDirectory } from '../run.ts';
import { type LogPlace, openLog } from './log.ts';

/** How much is measured. */
export interface Effort {
  readonly alternations: number;
  /** Dispatches in the log, of three events each, while throughput is measured. */
  readonly dispatches: number;
  /** Milliseconds of a latency measurement, and before it. */
  readonly latency: { readonly warmupMs: number; readonly durationMs: number };
}

export const fullEffort: Effort = {
  alternations: 5,
  dispatches: 60_000,
  latency: { warmupMs: 4_000, durationMs: 20_000 },
};

export const quickEffort: Effort = {
  alternations: 3,
  dispatches: 20_000,
  latency: { warmupMs: 3_000, durationMs: 6_000 },
};

/** Everything that stands while it is measured. */
export interface Stage {
  readonly effort: Effort;
  readonly url: string;
  readonly place: LogPlace;
  readonly brokers: readonly string[];
  readonly log: Log;
  /** Events that were appended so far. */
  appended: number;
  readonly database: pg.Client;
  /** A topic that nobody has used. */
  newTopic(): TopicOptions & { readonly partitions: number };
  close(): Promise<void>;
}

const partitions = 8;

/** Sets everything up. What was started is stopped again when something fails, or at a signal. */
export async function setStage(effort: Effort, below = tmpdir()): Promise<Stage> {
  const dir = workDirectory(below);
  const closing = new Closing();
  closing.push(() => rmSync(dir, { recursive: true, force: true }));
  try {
    const postgres = await startEmbeddedPostgres({ dataDir: join(dir, 'data'), log: silentLog });
    closing.push(() => postgres.stop());
    const given = givenBrokers();
    const kafka = given === null ? await startKafka({ dir }) : null;
    if (kafka) closing.push(() => kafka.stop());
    await migrate(postgres.url, [...logMigrations, ...feedMigrations, ...readsideMigrations]);
    const { EVENTSTOREDB_URL: eventStoreUrl } = process.env;
    const namespace = `bench_${randomUUID().slice(0, 8)}`;
    const place = { url: postgres.url, eventStore: eventStoreUrl ? { url: eventStoreUrl, namespace } : null };
    const log = await openLog(place);
    closing.push(() => log.close());
    const database = new pg.Client({ connectionString: postgres.url, application_name: 'parley-bench' });
    database.on('error', () => {});
    await database.connect();
    closing.push(() => database.end());
    return {
      effort,
      url: postgres.url,
      place,
      appended: 0,
      brokers: (given ?? kafka?.brokers ?? '').split(','),
      log,
      database,
      newTopic: () => ({
        brokers: (given ?? kafka?.brokers ?? '').split(','),
        topicPrefix: `bench-${randomUUID().slice(0, 8)}`,
        partitions,
      }),
      close: () => closing.close(),
    };
  } catch (error) {
    await closing.close();
    throw error;
  }
}

const text = 'Hello Ada, your order 4711 has left our warehouse and will be with you on Thursday between 9 and 12.';

/** The commit that accepts a dispatch, about as large as the main job's. */
export function acceptance(): Commit {
  const dispatch = randomUUID();
  const accepted = event('DispatchAccepted', {
    ...{ workspace: 3, dispatch, owner: { workspace: 1, account: 1 }, key: 1, connector: 1, connectorType: 'whatsapp' },
    ...{ template: 1, to: '+4915112345678', text },
  });
  return commit(`dispatch-${dispatch}`, NO_STREAM, [accepted]);
}

function commit(stream: string, expected: number, events: Commit['events']): Commit {
  return { commitId: randomUUID(), stream, expected, events, at: Date.now(), meta: { actor: [3, 0] } };
}

/** Fills the log with dispatches that were accepted, sent and delivered, in the order of a busy server. */
export async function fillLog(stage: Stage, dispatches: number): Promise<void> {
  const { log } = stage;
  const perAppend = 500;
  for (let done = 0; done < dispatches; done += perAppend) {
    const accepted = Array.from({ length: Math.min(perAppend, dispatches - done) }, acceptance);
    await append(log, accepted);
    const later = accepted.map(({ stream }) => {
      const ref = { workspace: 3, dispatch: stream.slice('dispatch-'.length) };
      return commit(stream, 0, [
        event('DispatchSent', {
          ...ref,
          connector: 1,
          externalId: `wamid.${randomUUID()}`,
          attempt: 1,
          sentAt: Date.now(),
        }),
        event('DispatchDelivered', { ...ref, deliveredAt: Date.now() }),
      ]);
    });
    await append(log, later);
  }
  stage.appended += 3 * dispatches;
}

async function append(log: Log, commits: readonly Commit[]): Promise<void> {
  const outcomes = await log.append(commits);
  const other = outcomes.find(({ outcome }) => outcome !== 'written');
  if (other) throw new Error(`the log was not filled: ${JSON.stringify(other, (_, value) => String(value))}`);
}
