/**
 * The relay: copies the log into a Kafka topic, in order, for the consumers of `kafka.ts`. One process at a time does it,
 * elected by a lease in Postgres; others wait. When it dies another goes on within 5 s.
 *
 * Each record carries its position and that of the record before it in its partition, so that a reader needs no trust in
 * what Kafka or its client did (`records.ts`). One send at a time, each a stretch of the log; the checkpoint is written
 * after its acknowledgement, under the lease's epoch. Of the client: after a failed send nothing it says is relied on. A
 * new producer begins again at the checkpoint and repeats what had arrived. The producer is not an idempotent one, which
 * after a partly failed send loses later records that it acknowledges; repeats cost readers a comparison.
 *
 * Limits: 1,000 events and 512 KiB per partition and send, one send on its way and one being made. While Kafka or the log
 * is away the relay tries again; the log keeps what it has to copy.
 */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Producer } from 'kafkajs';
import { type EventCodec, UnknownEventError } from '../../schemas/index.ts';
import type { Log } from '../log/log.ts';
import { consumerPool } from './checkpoint.ts';
import type { ConsumerLogger } from './feed.ts';
import { type Gathered, Gatherer } from './gatherer.ts';
import { connectKafka, defaultPartitions, ensureTopic, type TopicOptions, topicOf } from './kafka.ts';
import { Lease, LeaseLostError, type RelayState } from './lease.ts';
import { maxSendEvents, type Send, Sends } from './sends.ts';

/** What one send did, for metrics. */
export interface SendReport {
  readonly events: number;
  readonly records: number;
  readonly durationMs: number;
  /** Everything up to here is in the topic. */
  readonly position: bigint;
}

/** How the relay runs. Times in milliseconds. */
export interface RelayOptions extends TopicOptions {
  /** The database of the lease and the checkpoints. */
  readonly url: string;
  readonly log: Pick<Log, 'tail'>;
  readonly codec: EventCodec;
  readonly logger: ConsumerLogger;
  /** How this process is called in the table of leases. Default: its host and number. */
  readonly holder?: string;
  /** Default 3000. */
  readonly leaseMs?: number;
  readonly onSend?: (report: SendReport) => void;
}

/** A process's relay: leading or waiting. */
export interface Relay {
  /** Resolves when it was stopped; rejects with an event that this code cannot read. */
  readonly done: Promise<void>;
  /** Whether this process has the lease, as far as it knows. */
  leading(): boolean;
  /** Everything up to here was acknowledged, as far as this process did it; 0 before it led. */
  position(): bigint;
  /** Ends after the send at hand and lets another process lead. */
  stop(): Promise<void>;
}

/** Starts to wait for the lease, and to relay with it. The database must be migrated. */
export function startRelay(options: RelayOptions): Relay {
  const relay = new RunningRelay(options);
  relay.start();
  return relay;
}

const backoffMs = { first: 100, most: 1_000 } as const;
/** The checkpoint is written at most this often: what lies between is repeated after a failure. */
const saveEveryMs = 100;
const goodbyeMs = 2_000;

class RunningRelay implements Relay {
  readonly #options: RelayOptions;
  readonly #topic: string;
  readonly #partitions: number;
  readonly #pool: ReturnType<typeof consumerPool>;
  readonly #stopping = new AbortController();
  #lease: Lease | null = null;
  #position = 0n;
  #retryInMs: number = backoffMs.first;
  done: Promise<void> = Promise.resolve();

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#topic = topicOf(options);
    this.#partitions = options.partitions ?? defaultPartitions;
    this.#pool = consumerPool(options.url, { name: 'relay', transactionTimeoutMs: 5_000 });
  }

  start(): void {
    this.done = this.#run().finally(() => this.#pool.end());
    this.done.catch(() => {});
  }

  leading(): boolean {
    return this.#lease !== null && !this.#lease.lost.aborted;
  }

  position(): bigint {
    return this.#position;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.done.catch(() => {});
  }

  async #run(): Promise<void> {
    const { logger, holder = `${hostname()}/${process.pid}`, leaseMs } = this.#options;
    const { signal } = this.#stopping;
    const wanted = {
      ...{ pool: this.#pool, topic: this.#topic, holder, partitions: this.#partitions },
      ...(leaseMs !== undefined && { leaseMs }),
    };
    while (!signal.aborted) {
      try {
        this.#lease = await Lease.wait(wanted, signal);
        if (!this.#lease) return;
        logger.info({ topic: this.#topic, epoch: `${this.#lease.epoch}` }, 'relaying the log into Kafka');
        await this.#lead(this.#lease);
      } catch (error) {
        await this.#recover(error);
      } finally {
        await this.#lease?.release().catch(() => {});
        this.#lease = null;
      }
    }
  }

  /** Relays until the lease is lost (rejects) or the relay is stopped. */
  async #lead(lease: Lease): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#session(lease);
      } catch (error) {
        if (error instanceof LeaseLostError || lease.lost.aborted) throw error;
        await this.#recover(error);
      }
    }
  }

  async #recover(error: unknown): Promise<void> {
    const { logger } = this.#options;
    if (error instanceof UnknownEventError) {
      logger.error({ topic: this.#topic }, `the relay stops: ${error.message}`);
      throw error;
    }
    if (this.#stopping.signal.aborted) return;
    const retryInMs = this.#retryInMs;
    logger.warn({ topic: this.#topic, err: error, retryInMs }, 'the relay failed, goes on from its checkpoint');
    this.#retryInMs = Math.min(retryInMs * 2, backoffMs.most);
    await sleep(retryInMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }

  /** Relays with one producer, from the checkpoint on. Rejects when a send fails: then it is not used again. */
  async #session(lease: Lease): Promise<void> {
    const kafka = connectKafka(this.#options.brokers, 'relay', this.#options.logger);
    const admin = kafka.admin();
    const producer = kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
      retry: { retries: 0 },
    });
    try {
      await admin.connect();
      await ensureTopic(admin, this.#pool, this.#options);
      await producer.connect();
      await this.#copy(lease, producer);
    } finally {
      await Promise.race([Promise.allSettled([producer.disconnect(), admin.disconnect()]), sleep(goodbyeMs)]);
    }
  }

  async #copy(lease: Lease, producer: Producer): Promise<void> {
    const stop = AbortSignal.any([this.#stopping.signal, lease.lost]);
    const tail = this.#options.log.tail(lease.state.position, stop);
    const gatherer = new Gatherer(tail, lease.state.position, maxSendEvents * this.#partitions);
    const line = new SendLine(lease, (send) => this.#send(producer, send));
    const sends = new Sends(lease.state, this.#options.codec);
    let next: Promise<Gathered | null> | null = null;
    try {
      for (;;) {
        next ??= gatherer.next({});
        const batch = await line.first(next, sends.markDueInMs);
        if (batch === null) break;
        if (batch === 'time') {
          await line.add(sends.marks());
          continue;
        }
        next = null;
        for (const send of sends.of(batch)) await line.add(send);
      }
      lease.check();
      await line.end();
      if (!stop.aborted) throw new Error('the tail ended by itself');
    } finally {
      next?.catch(() => {});
      gatherer.stop();
      await gatherer.ended;
    }
  }

  async #send(producer: Producer, { messages, events, state }: Send): Promise<void> {
    const begun = performance.now();
    if (messages.length > 0) {
      await producer.send({
        topic: this.#topic,
        acks: -1,
        timeout: 5_000,
        messages: messages as Send['messages'][number][],
      });
    }
    this.#position = state.position;
    this.#retryInMs = backoffMs.first;
    this.#options.onSend?.({
      ...{ events, records: messages.length, position: state.position },
      durationMs: performance.now() - begun,
    });
  }
}

/** Sends one after another; the checkpoint follows them. The first failure ends it. */
class SendLine {
  readonly #lease: Lease;
  readonly #send: (send: Send) => Promise<void>;
  readonly #failed = Promise.withResolvers<never>();
  #sending: Promise<void> = Promise.resolve();
  #saving: Promise<void> = Promise.resolve();
  #unsaved: RelayState | null = null;
  #savedAt = Number.NEGATIVE_INFINITY;

  constructor(lease: Lease, send: (send: Send) => Promise<void>) {
    this.#lease = lease;
    this.#send = send;
    this.#failed.promise.catch(() => {});
  }

  /** What comes first: a batch, or `time` after so many milliseconds. Rejects when a send failed. */
  async first<T>(batch: Promise<T>, ms: number): Promise<T | 'time'> {
    let timer: NodeJS.Timeout | undefined;
    const time = new Promise<'time'>((resolve) => {
      timer = setTimeout(() => resolve('time'), Math.max(0, ms));
    });
    try {
      return await Promise.race([batch, time, this.#failed.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the send before is acknowledged and this one is on its way. Rejects when one failed, or without the lease. */
  async add(send: Send): Promise<void> {
    await this.#sending;
    this.#lease.check();
    this.#sending = this.#do(send);
    this.#sending.catch((error: unknown) => this.#failed.reject(error));
  }

  /** Resolves when everything is acknowledged and the checkpoint tells it. */
  async end(): Promise<void> {
    await this.#sending;
    await this.#saving;
    if (this.#unsaved) await this.#lease.save(this.#unsaved);
  }

  async #do(send: Send): Promise<void> {
    await this.#send(send);
    this.#unsaved = send.state;
    const now = performance.now();
    if (now - this.#savedAt < saveEveryMs) return;
    await this.#saving;
    this.#savedAt = now;
    this.#unsaved = null;
    // Beside the next send: it is only ever behind.
    this.#saving = this.#lease.save(send.state);
    this.#saving.catch((error: unknown) => this.#failed.reject(error));
  }
}
