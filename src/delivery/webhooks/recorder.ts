import { type AttemptsRecord, DomainError, type WebhookCommands } from '../../commands/index.ts';
import { sleep } from '../../platform/clock.ts';
import { Persisting } from '../persisting.ts';
import type { Delivery, Endpoint } from './endpoint.ts';

/** What came of a delivery. */
export type Outcome =
  | { readonly end: 'delivered' }
  /** What it told of is gone: it was not sent. */
  | { readonly end: 'erased' }
  | {
      readonly end: 'failed';
      readonly status: number | null;
      readonly error: string;
      /** Milliseconds since the epoch; null for a dead letter. */
      readonly retryAt: number | null;
    };

/** One delivery's end. `at` is milliseconds since the epoch. */
export interface Ended {
  readonly endpoint: Endpoint;
  readonly delivery: Delivery;
  readonly outcome: Outcome;
  readonly at: number;
}

/** What the recorder needs. */
export interface WebhookRecorderOptions {
  readonly commands: Pick<WebhookCommands, 'recordAttempts' | 'newCommitId'>;
  /** What ended stands in the log, up to that position. */
  readonly onRecorded: (ended: readonly Ended[], position: bigint) => void;
  /** Told of every failure to record. */
  readonly onTrouble: (error: unknown) => void;
}

/** Ends of one append at most, and failures in one record: as many fit one event. */
const maxEnds = 2_000;
const maxFailures = 400;
/**
 * How long what ended waits for more. Nobody waits for the record, and a larger one costs less: a backlog of one receiver
 * (20,000 deliveries a second) makes appends of a thousand.
 */
const lingerMs = 50;

/** Records what came of deliveries, many in one append, until it is stored. */
export class WebhookRecorder {
  readonly #options: WebhookRecorderOptions;
  readonly #log: Persisting;
  #waiting: Ended[] = [];
  #depth = 0;
  #running: Promise<void> | null = null;

  constructor(options: WebhookRecorderOptions) {
    this.#options = options;
    this.#log = new Persisting(options.onTrouble);
  }

  /** Ends that are not known to be recorded. */
  get depth(): number {
    return this.#depth;
  }

  /** The last append failed: nothing more should be sent until one succeeds. */
  get troubled(): boolean {
    return this.#log.troubled;
  }

  record(ended: Ended): void {
    this.#waiting.push(ended);
    this.#depth++;
    this.#running ??= this.#run();
  }

  /** Resolves when everything is recorded, or was given up. */
  async settled(): Promise<void> {
    while (this.#running) await this.#running;
  }

  /** Gives up on what is not stored: it is delivered again by whoever comes next. */
  abandon(): void {
    this.#log.abandon(new Error('stopped'));
  }

  async #run(): Promise<void> {
    const { signal } = this.#log;
    // What is given up goes this way too: each append is refused then.
    while (this.#waiting.length > 0) {
      if (this.#waiting.length < maxEnds) await sleep(lingerMs);
      const ended = this.#waiting.splice(0, maxEnds);
      try {
        await this.#append(ended);
      } catch (error) {
        if (!signal.aborted) this.#options.onTrouble(error);
      }
      this.#depth -= ended.length;
    }
    // In the same turn: what ends right after this look would wait for the next end.
    this.#running = null;
  }

  async #append(ended: readonly Ended[]): Promise<void> {
    const { commands, onRecorded } = this.#options;
    const byEndpoint = Map.groupBy(ended, ({ endpoint }) => endpoint);
    const records: AttemptsRecord[] = [];
    for (const [endpoint, ends] of byEndpoint)
      for (const part of parts(ends))
        records.push({ commitId: commands.newCommitId(), data: recordOf(endpoint, part) });
    // Refused for what it is, it would be refused for ever: a defect, after which these are delivered again one day.
    const isRefused = (error: unknown) => !(error instanceof DomainError && error.retryable);
    try {
      onRecorded(ended, await this.#log.append(() => commands.recordAttempts(records), isRefused));
    } catch (error) {
      if (!this.#log.signal.aborted) onRecorded(ended, 0n);
      throw error;
    }
  }
}

/** What ended, in pieces of which each fits one event. */
function* parts(ends: readonly Ended[]): Generator<readonly Ended[]> {
  let from = 0;
  let failures = 0;
  for (const [i, { outcome }] of ends.entries()) {
    if (outcome.end !== 'failed' || ++failures <= maxFailures) continue;
    yield ends.slice(from, i);
    from = i;
    failures = 1;
  }
  yield ends.slice(from);
}

/** The record of what ended at one endpoint; marks it as settled there. */
function recordOf(endpoint: Endpoint, ends: readonly Ended[]): AttemptsRecord['data'] {
  const failed: AttemptsRecord['data']['failed'] = [];
  const ended: AttemptsRecord['data']['ended'] = [];
  let delivered = 0;
  let lastAt = 0;
  for (const { delivery, outcome, at } of ends) {
    const { first, ripe } = delivery;
    first?.track.settle(first.item);
    lastAt = Math.max(lastAt, at);
    if (outcome.end === 'failed') {
      failed.push({
        delivery: delivery.id,
        replay: delivery.replay,
        position: String(ripe.position),
        stream: ripe.stream,
        revision: ripe.revision,
        event: ripe.name,
        attempt: delivery.attempts + 1,
        used: delivery.used + 1,
        at,
        status: outcome.status,
        error: outcome.error,
        retryAt: outcome.retryAt,
      });
      continue;
    }
    if (outcome.end === 'delivered') delivered++;
    if (!first) ended.push({ delivery: delivery.id, outcome: outcome.end });
  }
  const { workspace, webhook, activation, failures } = endpoint;
  return {
    workspace,
    webhook,
    activation,
    settled: endpoint.tracks.flatMap((track) => track.mark() ?? []),
    failed,
    ended,
    delivered,
    lastAt,
    failureCount: failures.count,
    failureAt: failures.at,
  };
}
