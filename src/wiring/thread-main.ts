/** What the thread of `thread.ts` runs. */
import { parentPort, workerData } from 'node:worker_threads';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { startTelemetry } from '../platform/telemetry.ts';
import { Closers } from './closers.ts';
import { openCore } from './core.ts';
import { openDelivery, openProviders } from './delivery.ts';
import { openGround } from './ground.ts';
import { observeWork } from './observe.ts';
import type { FromThread, ThreadData, ThreadStart, ToThread } from './thread.ts';

/** What no batch tells of, such as the end of a rebuild, is told so often. */
const reportEveryMs = 100;

const port = parentPort;
if (!port) throw new Error('this module is for a thread');
const tell = (message: FromThread) => port.postMessage(message);

const { peer, ...data } = workerData as ThreadStart;
const { config, storage, roles, sandbox, env } = withBuffers<ThreadData>(data);
const closers = new Closers();
const address = { baseUrl: '' };
const listening = Promise.withResolvers<void>();

const logger = createLogger({ level: config.log.level });
const metrics = createMetrics({ processMetrics: false });
closers.add(() => metrics.close());
let stopping: Promise<void> | null = null;
let unwatch: (() => void) | null = null;
let watch = () => () => {};
port.on('message', (message: ToThread) => {
  if ('listening' in message) {
    address.baseUrl = message.listening;
    listening.resolve();
  } else if ('watched' in message) {
    unwatch?.();
    unwatch = message.watched ? watch() : null;
  } else if ('figures' in message) {
    void metrics.read().then(({ text }) => tell({ figures: message.figures, text }));
  } else void stop();
});

try {
  await start();
} catch (error) {
  tell({ failed: error });
  await stop();
}

async function start(): Promise<void> {
  const telemetry = await startTelemetry(env, (line) => logger.warn(line));
  closers.add(() => telemetry.stop());
  const base = { config, storage: { ...storage, close: async () => {} }, logger, metrics, telemetry };
  const opened = await openGround(base, { roles, peer, onProjected: () => report() }, closers);
  const { ground, open, parts } = opened;
  const { projected } = ground;
  let told = '';
  const report = () => {
    const [reached, rebuilding] = [projected.reached(), projected.rebuilding()];
    const news = `${reached} ${rebuilding}`;
    if (news !== told) tell({ reached, rebuilding });
    told = news;
  };
  const reporting = setInterval(report, reportEveryMs).unref();
  closers.add(() => clearInterval(reporting));
  watch = () => projected.watch(() => {});
  const core = await openCore(ground, closers, { isSecond: true });
  const leaving = {
    telemetry,
    providers: openProviders(config, sandbox, closers),
    sandbox,
    baseUrl: () => address.baseUrl,
    listening: listening.promise,
  };
  const delivery = roles.has('delivery') ? await openDelivery(opened, core, leaving, closers) : null;
  observeWork(ground, open, core, delivery);
  for (const part of parts) part.catch((failed: unknown) => tell({ failed }));
  report();
  tell({ ready: true });
}

/** Once, however often it is asked for. */
function stop(): Promise<void> {
  stopping ??= closers.close().then(() => tell({ stopped: true }));
  return stopping;
}

/** What came as bytes is given back as what it was: a copy between threads knows no Buffer. */
function withBuffers<T>(value: T): T {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength) as T & Buffer;
  if (Array.isArray(value)) return value.map(withBuffers) as T;
  if (typeof value !== 'object' || value === null || value instanceof Set || value instanceof Map) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withBuffers(each)])) as T;
}
