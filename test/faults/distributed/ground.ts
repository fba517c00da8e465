/**
 * What a distributed fault run stands on: a folder of its own, the servers behind their proxies, Parley's processes, and the
 * sandbox in this process. However this process ends, they end with it; the folder stays when the run failed.
 */
import { chmodSync, mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type Sandbox, startSandbox } from '../../../src/sandbox/index.ts';
import { environment, inFlightMs, removeFolder, whatsappSecret } from '../ground.ts';
import { texts } from '../ledger.ts';
import { quietPort } from '../processes.ts';
import type { Random } from '../random.ts';
import type { Arrival } from '../verify.ts';
import { commonEnvironment, Nodes } from './nodes.ts';
import { Front } from './proxy.ts';
import { EventStoreServer, type FaultStack, type FaultyServer, KafkaServer, PostgresServer } from './servers.ts';

/** Everything a run needs, and its end. */
export interface DistributedGround {
  readonly dir: string;
  readonly stack: FaultStack;
  readonly postgres: PostgresServer;
  readonly kafka: KafkaServer;
  /** Null where the log is in Postgres. */
  readonly eventStore: EventStoreServer | null;
  readonly nodes: Nodes;
  /** Of the address before the gateways. */
  readonly socketPort: number;
  readonly sandbox: Sandbox;
  /** Every send that arrived, in order. */
  readonly arrivals: Arrival[];
  /** Calls back when the send of a number arrives; the result ends it. */
  onArrival(listener: (number: number) => void): () => void;
  /** Time between the moment a send sets out and its arrival being noted, at most, as measured so far. */
  inFlightMs(): number;
  close(keep: boolean): Promise<void>;
}

/** First part of the names of the log's streams. */
export const namespace = 'faults';
const topic = 'faults';
const partitions = 4;
/** Limits of ChatAPI that would hold up its posts and its sockets, of which those of a killed gateway count for a while. */
const unlimitedChat = {
  CHATAPI_AUTH_RATE_LIMIT: '0',
  CHATAPI_MESSAGE_RATE_LIMIT: '0',
  CHATAPI_MAX_CONNECTIONS: '0',
  CHATAPI_FRAME_RATE_LIMIT: '0',
};

/** Prepares a ground; Parley's processes are not started yet. Rejects with what is missing on this machine. */
export async function layGround(stack: FaultStack, random: Random): Promise<DistributedGround> {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'parley-faults-')));
  // Open to others to pass through, so that as root Postgres's user can reach its data in here.
  chmodSync(dir, 0o711);
  const port = portsOf(random);
  const servers: FaultyServer[] = [];
  const started = async <T extends FaultyServer>(server: Promise<T>): Promise<T> => {
    const one = await server;
    servers.push(one);
    return one;
  };
  let keepFolder = false;
  let nodes: Nodes | null = null;
  const endNow = (): void => {
    nodes?.killNow();
    for (const server of servers) server.killNow();
    if (!keepFolder) removeFolder(dir, path.join(dir, 'data'));
  };
  process.once('exit', endNow);
  const postgres = await started(PostgresServer.start(dir, await port()));
  const kafka = await started(KafkaServer.start(await port()));
  const eventStore =
    stack === 'eventstoredb+kafka' ? await started(EventStoreServer.start(dir, await port(), await port())) : null;
  const frontPort = await port();
  const socketPort = await port();
  const sandbox = await startSandbox({
    // Providers do not give up either while a slow machine takes longer to come back than it stays up.
    callbackAttempts: 40,
    callbackBaseUrl: `http://127.0.0.1:${frontPort}`,
    whatsappAppSecret: whatsappSecret,
    maxRecords: 1_000,
  });
  sandbox.behave({ latencyMs: 5, callbackDelayMs: 50, retryAfterS: 1 });
  nodes = await Nodes.make(dir, port, {
    ...environment(frontPort, sandbox),
    ...commonEnvironment(),
    ...unlimitedChat,
    DATABASE_URL: postgres.proxiedUrl,
    KAFKA_BROKERS: `127.0.0.1:${kafka.proxy.port}`,
    KAFKA_TOPIC: topic,
    KAFKA_PARTITIONS: String(partitions),
    ...(eventStore && { EVENTSTOREDB_URL: eventStore.proxiedUrl, EVENTSTOREDB_NAMESPACE: namespace }),
  });
  const fronts = [new Front(frontPort, nodes.portsOf('api')), new Front(socketPort, nodes.portsOf('gateway'))];
  for (const front of fronts) await front.listen();
  const arrivals: Arrival[] = [];
  const listeners = new Set<(number: number) => void>();
  sandbox.onReceived(({ text, at, dispatchId, outcome }) => {
    const number = texts.numberOfMessage(text);
    arrivals.push({ number, at, dispatchId, accepted: outcome === 'accepted' });
    if (number !== null) for (const listener of listeners) listener(number);
  });
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  return {
    ...{ dir, stack, postgres, kafka, eventStore, nodes, socketPort, sandbox, arrivals },
    onArrival(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    inFlightMs: () => inFlightMs + Math.ceil(delays.max / 1e6),
    async close(keep) {
      keepFolder = keep;
      delays.disable();
      nodes?.killNow();
      for (const front of fronts) front.close();
      await sandbox.close();
      await Promise.allSettled(servers.map((server) => server.close()));
      process.off('exit', endNow);
      endNow();
    },
  };
}

/** Answers ports on which nobody listens, none twice. */
function portsOf(random: Random): () => Promise<number> {
  const given = new Set<number>();
  return async () => {
    for (;;) {
      const port = await quietPort(random);
      if (given.has(port)) continue;
      given.add(port);
      return port;
    }
  };
}
