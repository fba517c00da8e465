/**
 * A real Kafka for tests: one node in KRaft mode, run from its published Maven artifacts (`pom.xml`), or the one that
 * `KAFKA_BROKERS` names. Knows nothing of tap, so that runners can use it; tests use `kafka-test.ts`.
 *
 * Limits: Java 17 and Maven; the artifacts (43 MB) are kept in `node_modules/.cache/kafka` between runs.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import { silenceNegativeTimeouts } from '../../../src/feed/kafka-log.ts';
import { temporaryDirectory } from '../postgres-server.ts';

/** The environment variable that names brokers to use in place of our own. */
export const KAFKA_BROKERS = 'KAFKA_BROKERS';

const run = promisify(execFile);
const here = import.meta.dirname;
const cache = path.resolve(here, '../../../node_modules/.cache/kafka');
const startWithinMs = 60_000;
const stopWithinMs = 15_000;

/** A running Kafka. */
export interface TestKafka {
  /** `host:port`, comma-separated. */
  readonly brokers: string;
  readonly port: number;
  /** The second listener, which tells clients to come by way of `advertised`; null without it. */
  readonly proxied: { readonly host: string; readonly port: number } | null;
  /** SIGKILL; what was acknowledged is in its files. Resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  freeze(): void;
  thaw(): void;
  /** Starts it again, on the same port and the same files. */
  restart(): Promise<void>;
  /** Ends it and removes its files. */
  stop(): Promise<void>;
}

/** How it is started. */
export interface TestKafkaOptions {
  /** A second listener stands on a port of its own and is advertised under this address: that of a proxy in front of it. */
  readonly advertised?: { readonly host: string; readonly port: number };
  readonly settings?: Readonly<Record<string, string | number>>;
  /** Below which its files stand; default: a temporary directory. */
  readonly dir?: string;
}

/** Why there can be no Kafka of our own here; null when there can. */
export async function whyNoKafka(): Promise<string | null> {
  const missing: string[] = [];
  for (const [tool, flag] of [
    ['java', '-version'],
    ['mvn', '-version'],
  ] as const) {
    if (tool === 'mvn' && existsSync(path.join(libDirectory(), 'complete'))) continue;
    await run(tool, [flag]).catch(() => missing.push(tool));
  }
  return missing.length === 0 ? null : `no ${missing.join(', no ')}, and ${KAFKA_BROKERS} is not set`;
}

/** The brokers that `KAFKA_BROKERS` names, or null. */
export function givenBrokers(): string | null {
  const given = process.env[KAFKA_BROKERS];
  return given === undefined || given === '' ? null : given;
}

/** Starts a Kafka of our own. Rejects when it does not answer within a minute. */
export async function startKafka(options: TestKafkaOptions = {}): Promise<TestKafka> {
  const lib = await artifacts();
  const dir = options.dir === undefined ? temporaryDirectory() : mkdtempSync(path.join(options.dir, 'kafka-'));
  const ports = await freePorts(options.advertised ? 3 : 2);
  const server = new KafkaServer(dir, lib, ports, options);
  try {
    await server.format();
    await server.restart();
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

class KafkaServer implements TestKafka {
  readonly brokers: string;
  readonly port: number;
  readonly proxied: { host: string; port: number } | null;
  readonly #dir: string;
  readonly #classPath: string;
  readonly #properties: string;
  #child: ChildProcess | null = null;

  constructor(dir: string, lib: string, ports: readonly number[], { advertised, settings }: TestKafkaOptions) {
    const [port = 0, controllerPort = 0, proxiedPort = 0] = ports;
    this.port = port;
    this.brokers = `127.0.0.1:${port}`;
    this.proxied = advertised ? { host: '127.0.0.1', port: proxiedPort } : null;
    this.#dir = dir;
    this.#classPath = path.join(lib, '*');
    this.#properties = path.join(dir, 'server.properties');
    const all = {
      'process.roles': 'broker,controller',
      'node.id': 1,
      'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'PLAIN',
      listeners: `PLAIN://${this.brokers},CONTROLLER://127.0.0.1:${controllerPort}${advertised ? `,PROXIED://127.0.0.1:${proxiedPort}` : ''}`,
      'advertised.listeners': `PLAIN://${this.brokers}${advertised ? `,PROXIED://${advertised.host}:${advertised.port}` : ''}`,
      'listener.security.protocol.map': 'PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT',
      'log.dirs': path.join(dir, 'data'),
      'auto.create.topics.enable': 'false',
      'offsets.topic.replication.factor': 1,
      'offsets.topic.num.partitions': 4,
      'transaction.state.log.replication.factor': 1,
      'transaction.state.log.min.isr': 1,
      'group.initial.rebalance.delay.ms': 0,
      'log.initial.task.delay.ms': 100,
      'log.retention.check.interval.ms': 1_000,
      'log.segment.delete.delay.ms': 0,
      'broker.heartbeat.interval.ms': 200,
      'broker.session.timeout.ms': 1_000,
      'controller.quorum.election.timeout.ms': 200,
      'controller.quorum.election.backoff.max.ms': 200,
      'num.network.threads': 2,
      'num.io.threads': 4,
      ...settings,
    };
    writeFileSync(
      this.#properties,
      Object.entries(all)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    );
    writeFileSync(path.join(dir, 'log4j2.properties'), loggingProperties);
  }

  /** Gives the empty data directory its cluster. */
  async format(): Promise<void> {
    const id = randomBytes(16).toString('base64url').replace(/^-/, 'a');
    const tool = ['kafka.tools.StorageTool', 'format', '-t', id, '-c', this.#properties];
    await run('java', [...this.#javaOptions('-Xmx128m'), ...tool]);
  }

  async restart(): Promise<void> {
    if (this.#child) throw new Error('it runs already');
    const out = openSync(path.join(this.#dir, 'out.log'), 'a');
    const child = spawn('java', [...this.#javaOptions('-Xmx512m'), 'kafka.Kafka', this.#properties], {
      stdio: ['ignore', out, out],
    });
    closeSync(out);
    this.#child = child;
    child.on('exit', () => {
      if (this.#child === child) this.#child = null;
    });
    child.on('error', () => {});
    await this.#answers();
  }

  #javaOptions(memory: string): string[] {
    const logging = `-Dlog4j2.configurationFile=${path.join(this.#dir, 'log4j2.properties')}`;
    return [memory, '-XX:+UseSerialGC', logging, '-cp', this.#classPath];
  }

  async #answers(): Promise<void> {
    const deadline = performance.now() + startWithinMs;
    while (!(await accepts(this.port))) {
      if (!this.#child || performance.now() > deadline) throw new Error(`Kafka did not start:\n${this.#lastWords()}`);
      await sleep(50);
    }
    silenceNegativeTimeouts();
    const admin = new Kafka({ brokers: [this.brokers], logLevel: logLevel.NOTHING, retry: { retries: 0 } }).admin();
    for (;;) {
      try {
        await admin.connect();
        await admin.describeCluster();
        await admin.disconnect();
        return;
      } catch (error) {
        if (!this.#child || performance.now() > deadline) throw error;
        await sleep(50);
      }
    }
  }

  #lastWords(): string {
    try {
      return readFileSync(path.join(this.#dir, 'out.log'), 'utf8').slice(-2_000);
    } catch {
      return '';
    }
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  async stop(): Promise<void> {
    this.thaw();
    await this.#end('SIGTERM');
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), stopWithinMs);
    await gone;
    clearTimeout(timer);
  }
}

const loggingProperties = `rootLogger.level = WARN
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c %m%n
`;

/** Of this version of `pom.xml`. */
function libDirectory(): string {
  const version = /kafka_2\.13<\/artifactId>\s*<version>([^<]+)</.exec(
    readFileSync(path.join(here, 'pom.xml'), 'utf8'),
  );
  return path.join(cache, version?.[1] ?? 'unknown');
}

/** The directory of the jars; fetched at the first use, and put in place when all are there. */
async function artifacts(): Promise<string> {
  const lib = libDirectory();
  if (existsSync(path.join(lib, 'complete'))) return lib;
  mkdirSync(cache, { recursive: true });
  const fetched = `${lib}.${process.pid}-${randomBytes(4).toString('hex')}`;
  const goal = ['-q', '-B', '-f', path.join(here, 'pom.xml'), 'dependency:copy-dependencies'];
  await run('mvn', [...goal, `-DoutputDirectory=${fetched}`, '-DincludeScope=runtime']);
  writeFileSync(path.join(fetched, 'complete'), '');
  try {
    renameSync(fetched, lib);
  } catch (error) {
    // Another test file was faster.
    rmSync(fetched, { recursive: true, force: true });
    if (!existsSync(path.join(lib, 'complete'))) throw error;
  }
  return lib;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
