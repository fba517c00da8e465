/**
 * Commits to write in tests of the log, a load of concurrent writers, and a reader that keeps account of what a tail
 * says. Used in the test's own process and in the child processes of `log-writer.ts`.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DomainEvent, event } from '../../schemas/index.ts';
import {
  type Commit,
  type Log,
  LogUnavailableError,
  NO_STREAM,
  type Outcome,
  type RecordedEvent,
} from '../../src/log/log.ts';

/** An event that carries a text. */
export function profile(displayName: string | null): DomainEvent {
  return event('ProfileChanged', { workspace: 1, account: 1, displayName });
}

/** A commit that creates `stream` with one event, but for what is said otherwise. */
export function commitTo(stream: string, rest: Partial<Commit> = {}): Commit {
  return { commitId: randomUUID(), stream, expected: NO_STREAM, events: [profile(stream)], at: Date.now(), ...rest };
}

/** Appends one commit. */
export async function appendOne(log: Pick<Log, 'append'>, commit: Commit): Promise<Outcome> {
  const [outcome, ...more] = await log.append([commit]);
  if (!outcome || more.length > 0) throw new Error(`one commit got ${more.length + (outcome ? 1 : 0)} outcomes`);
  return outcome;
}

/** An outcome that is an answer. */
export type Settled = Exclude<Outcome, { outcome: 'unknown' }>;

/** Milliseconds between two askings while storage is away. */
const retryDelayMs = 20;
const maxAskings = 1_000;

/** Asks with the same commit until the answer is known. */
export async function settle(log: Pick<Log, 'append'>, commit: Commit): Promise<Settled> {
  let reason = '';
  for (let asking = 0; asking < maxAskings; asking++) {
    const outcome = await appendOne(log, commit);
    if (outcome.outcome !== 'unknown') return outcome;
    reason = outcome.reason;
    await sleep(retryDelayMs);
  }
  throw new Error(`still unknown after ${maxAskings} askings: ${reason}`);
}

/** What one acknowledged commit was answered, and what it should have written. */
export interface Ack {
  readonly commitId: string;
  readonly stream: string;
  readonly position: bigint;
  readonly revision: number;
  readonly events: number;
}

/** A load of writers that each wait for their answer before the next commit. */
export interface Load {
  /** Of stream names and texts, so that two loads do not meet. */
  readonly prefix: string;
  readonly writers: number;
  readonly commitsPerWriter: number;
  /** Every fourth commit goes to this stream, which all writers fight for. */
  readonly contended?: string;
}

/** Runs a load to its end: every commit settled and written. Commits have one to three events. */
export async function runLoad(log: Pick<Log, 'append'>, load: Load, onAck?: (ack: Ack) => void): Promise<Ack[]> {
  const acks: Ack[] = [];
  const write = async (commit: Commit): Promise<void> => {
    let current = commit;
    for (;;) {
      const outcome = await settle(log, current);
      if (outcome.outcome === 'taken') throw new Error(`${outcome.name} is taken, which no commit of the load claims`);
      if (outcome.outcome === 'conflict') {
        if (commit.stream !== load.contended) throw new Error(`conflict at ${outcome.revision} on ${commit.stream}`);
        current = { ...current, expected: outcome.revision };
        continue;
      }
      const { stream, commitId } = commit;
      const ack = {
        commitId,
        stream,
        position: outcome.position,
        revision: outcome.revision,
        events: commit.events.length,
      };
      acks.push(ack);
      onAck?.(ack);
      return;
    }
  };
  const writer = async (number: number): Promise<void> => {
    const own = `${load.prefix}-${number}`;
    let revision = NO_STREAM;
    for (let i = 0; i < load.commitsPerWriter; i++) {
      const events = Array.from({ length: 1 + (i % 3) }, (_, index) => profile(`${own}/${i}/${index}`));
      if (load.contended !== undefined && i % 4 === 3) {
        await write(commitTo(load.contended, { events }));
      } else {
        await write(commitTo(own, { expected: revision, events }));
        revision += events.length;
      }
    }
  };
  await Promise.all(Array.from({ length: load.writers }, (_, number) => writer(number)));
  return acks;
}

/** Follows a tail as a consumer has to: it begins again, at the last position it was given, when storage was away. */
export class Follower {
  readonly events: RecordedEvent[] = [];
  /** What the tail said that it must not say. */
  readonly faults: string[] = [];
  position: bigint;
  batches = 0;
  resumptions = 0;
  readonly #log: Pick<Log, 'tail'>;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  #failure: unknown;
  #wake: (() => void)[] = [];

  constructor(log: Pick<Log, 'tail'>, from: bigint) {
    this.#log = log;
    this.position = from;
    this.#ended = this.#run().catch((error: unknown) => {
      this.#failure = error;
      this.#tell();
    });
  }

  /** Resolves when the tail has said that nothing up to `position` is missing. Rejects when it failed. */
  async reached(position: bigint): Promise<void> {
    while (this.position < position) await this.#next();
  }

  /** Resolves with the next thing the tail says. */
  async said(): Promise<void> {
    const { batches } = this;
    while (this.batches === batches) await this.#next();
  }

  /** Resolves with the next events. */
  async more(): Promise<void> {
    const { length } = this.events;
    while (this.events.length === length) await this.#next();
  }

  /** Ends the tail; resolves when it has returned. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
    if (this.#failure) throw this.#failure;
  }

  #next(): Promise<void> {
    if (this.#failure) throw this.#failure;
    return new Promise((resolve, reject) => {
      this.#wake.push(() => (this.#failure ? reject(this.#failure) : resolve()));
    });
  }

  #tell(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const call of wake) call();
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        for await (const batch of this.#log.tail(this.position, this.#stop.signal)) this.#take(batch);
        if (!this.#stop.signal.aborted) throw new Error('the tail returned without being told to');
      } catch (error) {
        if (!(error instanceof LogUnavailableError)) throw error;
        this.resumptions++;
        await sleep(retryDelayMs);
      }
    }
  }

  #take(batch: { events: readonly RecordedEvent[]; position: bigint }): void {
    let last = this.position;
    for (const event of batch.events) {
      if (event.position <= last) this.faults.push(`position ${event.position} after ${last}`);
      last = event.position;
      this.events.push(event);
    }
    if (batch.position < last) this.faults.push(`batch up to ${batch.position} with or after ${last}`);
    this.position = batch.position;
    this.batches++;
    this.#tell();
  }
}
