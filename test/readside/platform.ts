/** A migrated database with a log, a feed and what else the read side stands on. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Test } from 'tap';
import { codec } from '../../schemas/index.ts';
import type { ConsumerLogger } from '../../src/feed/feed.ts';
import { feedMigrations } from '../../src/feed/migrations.ts';
import { openTailFeed } from '../../src/feed/tail.ts';
import type { Log } from '../../src/log/log.ts';
import { logMigrations } from '../../src/log/migrations.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { migrate } from '../../src/platform/migrate.ts';
import { openPool } from '../../src/platform/postgres.ts';
import {
  type Projector,
  type ProjectorOptions,
  readPool,
  readsideMigrations,
  startProjector,
} from '../../src/readside/index.ts';
import type { Step } from '../projections/history.ts';
import { testDatabase } from '../support/postgres.ts';

/** What a consumer said. */
export class Words implements ConsumerLogger {
  readonly warnings: string[] = [];
  readonly errors: string[] = [];
  info(): void {}
  warn(_: object, message: string): void {
    this.warnings.push(message);
  }
  error(_: object, message: string): void {
    this.errors.push(message);
  }
}

/** The ground that a test of the read side stands on. */
export interface Ground {
  readonly url: string;
  readonly log: Log;
  readonly words: Words;
  readonly reads: pg.Pool;
  readonly pool: pg.Pool;
  project(options?: Partial<ProjectorOptions>): Promise<Projector>;
}

/**
 * A database of the test's own, migrated, with an open log: Postgres's, unless the test brings another. Everything is
 * closed when `t` ends.
 */
export async function ground(t: Test, own?: Log): Promise<Ground> {
  const { url } = await testDatabase(t, {
    template: {
      name: `readside ${JSON.stringify([logMigrations, feedMigrations, readsideMigrations])}`,
      build: (template) => migrate(template, [...logMigrations, ...feedMigrations, ...readsideMigrations]),
    },
  });
  const log = own ?? (await openPostgresLog({ url, codec }));
  t.teardown(() => log.close());
  const reads = readPool(url);
  t.teardown(() => reads.end());
  const pool = openPool({ url, name: 'test', maxConnections: 4 });
  t.teardown(() => pool.end());
  const words = new Words();
  return {
    url,
    log,
    words,
    reads,
    pool,
    async project(options = {}) {
      const feed = openTailFeed(log, words);
      const projector = await startProjector({ url, feed, history: log, logger: words, ...options });
      t.teardown(() => projector.stop());
      return projector;
    },
  };
}

/** Appends the steps of a history, as many in one append as go together. */
export async function appendSteps(log: Log, steps: readonly Step[]): Promise<void> {
  const outcomes = await log.append(steps.map((step) => ({ commitId: randomUUID(), ...step })));
  for (const outcome of outcomes) if (outcome.outcome !== 'written') throw new Error(JSON.stringify(outcome));
}

/** Resolves when the rows have reached the head of the log as it is now. */
export async function caughtUp(log: Log, projector: Projector): Promise<void> {
  const head = await log.head();
  if (projector.reached() >= head) return;
  await new Promise<void>((resolve) => {
    const unwatch = projector.watch(() => {
      if (projector.reached() < head) return;
      unwatch();
      resolve();
    });
  });
}
