/** The servers that Parley's processes use, each behind a proxy: killed, away, and reached by bad ways. */
import path from 'node:path';
import pg from 'pg';
import { sleep } from '../../../src/platform/clock.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/platform/embedded-postgres.ts';
import { type StandIn, startStandIn } from '../../support/eventstoredb/index.ts';
import { startKafka, type TestKafka } from '../../support/kafka/kafka.ts';
import { silentLog } from '../../support/postgres-server.ts';
import { PostgresProcesses } from '../processes.ts';
import { FaultProxy } from './proxy.ts';

/** Log and feed. */
export type FaultStack = 'postgres+kafka' | 'eventstoredb+kafka';

/** A server that can be killed. */
export interface FaultyServer {
  readonly name: string;
  /** The way that Parley's processes take to it. */
  readonly proxy: FaultProxy;
  /** kill -9; away for so long; then started on the same data. Resolves when it answers again. */
  killFor(ms: number): Promise<void>;
  /** Ends it. */
  close(): Promise<void>;
  /** For the very end of this process: no waiting. */
  killNow(): void;
}

const startWithinMs = 60_000;
/**
 * Of Kafka. A broker that its controller does not hear of for a second, as tests have it, is fenced while a busy machine
 * does other things; with groups that it then lost sight of it has been seen to refuse members until its next restart.
 */
const settings = { 'broker.session.timeout.ms': 5_000, 'broker.heartbeat.interval.ms': 500 } as const;

/** Postgres, which its supervisor restarts by itself: while it is to be away, the way to it is closed. */
export class PostgresServer implements FaultyServer {
  readonly name = 'postgres';
  readonly proxy: FaultProxy;
  /** Past the proxy. */
  readonly url: string;
  readonly #postgres: EmbeddedPostgres;
  readonly #processes: PostgresProcesses;

  private constructor(postgres: EmbeddedPostgres, dataDir: string, port: number) {
    this.#postgres = postgres;
    this.#processes = new PostgresProcesses(dataDir);
    this.url = postgres.url;
    const target = Number(new URL(postgres.url).port);
    this.proxy = new FaultProxy(port, () => target);
  }

  /** Starts one that remembers when transactions were committed: that is what resends are judged by. */
  static async start(dir: string, port: number): Promise<PostgresServer> {
    const dataDir = path.join(dir, 'data');
    const settings = { max_connections: '500', track_commit_timestamp: 'on' };
    const postgres = await startEmbeddedPostgres({ dataDir, settings, log: silentLog });
    const server = new PostgresServer(postgres, dataDir, port);
    await server.proxy.back();
    return server;
  }

  /** Through the proxy. */
  get proxiedUrl(): string {
    return Object.assign(new URL(this.url), { port: String(this.proxy.port) }).href;
  }

  async killFor(ms: number): Promise<void> {
    const { pid } = this.#postgres;
    this.#processes.killPostmaster();
    await this.proxy.away();
    await sleep(ms);
    for (const until = Date.now() + startWithinMs; ; await sleep(50)) {
      if (this.#postgres.pid !== pid && (await this.#answers())) break;
      if (Date.now() > until) throw new Error(`Postgres did not come back within ${startWithinMs} ms`);
    }
    await this.proxy.back();
  }

  async #answers(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.url, connectionTimeoutMillis: 2_000 });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query('SELECT 1');
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => {});
    }
  }

  async close(): Promise<void> {
    await this.proxy.close();
    await this.#postgres.stop();
  }

  killNow(): void {
    this.#processes.killNow();
  }
}

/** Kafka, whose second listener tells its clients to come by way of the proxy. */
export class KafkaServer implements FaultyServer {
  readonly name = 'kafka';
  readonly proxy: FaultProxy;
  readonly #kafka: TestKafka;

  private constructor(kafka: TestKafka, proxy: FaultProxy) {
    this.#kafka = kafka;
    this.proxy = proxy;
  }

  static async start(port: number): Promise<KafkaServer> {
    const target = { port: 0 };
    const proxy = new FaultProxy(port, () => target.port);
    const kafka = await startKafka({ advertised: { host: '127.0.0.1', port }, settings });
    target.port = kafka.proxied?.port ?? 0;
    await proxy.back();
    return new KafkaServer(kafka, proxy);
  }

  async killFor(ms: number): Promise<void> {
    const gone = this.#kafka.kill();
    await this.proxy.away();
    await gone;
    // It takes some seconds to start, in which it is away already.
    await Promise.all([this.#kafka.restart(), sleep(ms)]);
    await this.proxy.back();
  }

  async close(): Promise<void> {
    await this.proxy.close();
    await this.#kafka.stop();
  }

  killNow(): void {
    void this.#kafka.kill();
  }
}

/** The stand-in of EventStoreDB: what it shows is what Parley does, not what the real server keeps. */
export class EventStoreServer implements FaultyServer {
  readonly name = 'eventstoredb';
  readonly proxy: FaultProxy;
  readonly #standIn: StandIn;

  private constructor(standIn: StandIn, port: number) {
    this.#standIn = standIn;
    this.proxy = new FaultProxy(port, () => standIn.port);
  }

  static async start(dir: string, port: number, ownPort: number): Promise<EventStoreServer> {
    const standIn = await startStandIn({ file: path.join(dir, 'eventstore'), port: ownPort, fsync: true });
    const server = new EventStoreServer(standIn, port);
    await server.proxy.back();
    return server;
  }

  /** Past the proxy. */
  get url(): string {
    return this.#standIn.url;
  }

  /** Through the proxy. */
  get proxiedUrl(): string {
    return `esdb://127.0.0.1:${this.proxy.port}?tls=false`;
  }

  async killFor(ms: number): Promise<void> {
    const gone = this.#standIn.kill();
    await this.proxy.away();
    await gone;
    await sleep(ms);
    await this.#standIn.start();
    await this.proxy.back();
  }

  async close(): Promise<void> {
    await this.proxy.close();
    await this.#standIn.stop();
  }

  /** It dies with this process by itself. */
  killNow(): void {}
}
