/**
 * A process that relays or consumes. Forked by tests (`startFeedProcess`), so that it can be killed or frozen. A consumer
 * writes tallies, as `tally.ts` does.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { codec } from '../../schemas/index.ts';
import { consumerPool } from '../../src/feed/checkpoint.ts';
import type { ConsumerLogger } from '../../src/feed/feed.ts';
import { openKafkaFeed, type TopicOptions } from '../../src/feed/kafka.ts';
import { startRelay } from '../../src/feed/relay.ts';
import { openTailFeed } from '../../src/feed/tail.ts';
import { openPostgresLog } from '../../src/log/postgres.ts';
import { forkModule } from '../support/forked.ts';
import { Tally } from './tally.ts';

const variable = 'PARLEY_TEST_FEED';

/** What a process does. */
export interface FeedProcessOptions {
  readonly url: string;
  readonly topic: TopicOptions;
  readonly role: 'relay' | 'consumer' | 'tail';
  /** Of a consumer. */
  readonly group?: string;
  readonly name?: string;
  readonly maxBatchEvents?: number;
  /** A batch takes this long at least. */
  readonly slowMs?: number;
}

/** A process, seen from the test. */
export class FeedProcess {
  readonly #child: ChildProcess;
  /** What it said of trouble. */
  readonly words: string[] = [];

  constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (message) => {
      if (typeof message === 'string' && message !== 'ready') this.words.push(message);
    });
    child.on('error', () => {});
  }

  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}

/** Starts a process; it is killed when `t` ends. Resolves when it is at work. */
export async function startFeedProcess(t: Test, options: FeedProcessOptions): Promise<FeedProcess> {
  const env = { PATH: process.env.PATH, [variable]: JSON.stringify(options) };
  const child = forkModule(import.meta.url, { env, execArgv: [] });
  const seen = new FeedProcess(child);
  t.teardown(() => seen.kill());
  const [first] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
  if (first !== 'ready') throw new Error(`the feed process ended with ${first}`);
  return seen;
}

/** A frozen consumer holds its row no longer than this. */
const transactionTimeoutMs = 1_500;

async function main(options: FeedProcessOptions): Promise<void> {
  const { url, topic, role, group = 'g', slowMs = 0 } = options;
  const say = (fields: object, message: string) => {
    const { err } = fields as { err?: unknown };
    process.send?.(err === undefined ? message : `${message}: ${err}`);
  };
  const logger: ConsumerLogger = { info() {}, warn: say, error: (fields, message) => say(fields, `ERROR ${message}`) };
  const log = await openPostgresLog({ url, codec });
  if (role === 'relay') startRelay({ ...topic, url, log, codec, logger });
  else {
    const pool = consumerPool(url, { name: 'tally', maxConnections: 4, transactionTimeoutMs });
    const { name, maxBatchEvents } = options;
    const during = async () => {
      if (slowMs > 0) await sleep(slowMs);
    };
    const tally = new Tally(pool, { group, during, ...(name && { name }), ...(maxBatchEvents && { maxBatchEvents }) });
    const feed =
      role === 'tail'
        ? openTailFeed(log, logger, pool)
        : openKafkaFeed({ ...topic, pool, history: log, codec, logger });
    feed.consume(tally.consumer(), new AbortController().signal).catch((error: unknown) => say({}, String(error)));
  }
  // The test is gone: so is the reason to live.
  process.on('disconnect', () => process.exit());
  process.send?.('ready');
}

const options = process.env[variable];
if (options !== undefined && process.send) await main(JSON.parse(options) as FeedProcessOptions);
