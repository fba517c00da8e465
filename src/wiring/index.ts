/**
 * The wiring: which room gets what. With the commands beside the server, the one place that knows every room.
 *
 * `startParley` starts everything in one process, in the order that the rooms need each other, and stops it in the
 * reverse one: no new requests, those under way answered, deliveries under way recorded, then the log, Postgres last.
 */
import { monthAccepted } from '../projections/dispatches/queries.ts';
import { highestId } from '../projections/ids/queries.ts';
import { codec } from '../schemas/index.ts';
import {
  ACCOUNTS_WORKSPACE,
  AccountCommands,
  CommandDoor,
  DispatchCommands,
  IdAllocator,
  MAIN_WORKSPACE,
  Quota,
  RateLimiter,
  WorkspaceCommands,
} from './commands/index.ts';
import { providers as connectProviders } from './delivery/connectors/index.ts';
import { type Delivery, startDelivery } from './delivery/index.ts';
import { createHttpHost } from './dialects/index.ts';
import { messagejsDialect, twilioCallback } from './dialects/messagejs/index.ts';
import { openTailFeed } from './feed/tail.ts';
import { openPostgresLog, type PostgresLog } from './log/postgres.ts';
import { systemClock } from './platform/clock.ts';
import { apiBaseUrl, type Config } from './platform/config.ts';
import { PasswordHasher, Sealer } from './platform/crypto.ts';
import { IdSpeller } from './platform/ids.ts';
import { createLogger, type Logger } from './platform/logger.ts';
import { createMetrics, type Metrics } from './platform/metrics.ts';
import { openPool } from './platform/postgres.ts';
import { startTelemetry, type Telemetry } from './platform/telemetry.ts';
import { createFreshness, type Projector, projectorGroup, readPool, startProjector } from './readside/index.ts';
import { type Sandbox, startSandbox } from './sandbox/index.ts';
import { buildSdk } from './sdk/build.ts';
import { openServerStorage, type Storage } from './storage.ts';

/** How `startParley` runs. */
export interface StartOptions {
  /** Runs the emulations of the providers in this process and sends through them. */
  readonly sandbox: boolean;
  /** For the standard `OTEL_*` variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A running Parley. */
export interface Parley {
  readonly url: string;
  readonly port: number;
  /** Where the embedded Postgres keeps its files; null with DATABASE_URL. */
  readonly clusterDir: string | null;
  /** The file of the secrets that were made at the first start; null when the environment gives all of them. */
  readonly secretsFile: string | null;
  readonly sandboxUrl: string | null;
  /** Resolves with what went wrong when a part of it cannot go on. */
  readonly failed: Promise<unknown>;
  close(): Promise<void>;
}

const sweepIntervalMs = 600_000;

/** Starts Parley. Rejects with what is wrong, in one line for people; nothing is left running then. */
export async function startParley(config: Config, options: StartOptions): Promise<Parley> {
  const closers = new Closers();
  try {
    return await wire(config, options, closers);
  } catch (error) {
    await closers.close();
    throw error;
  }
}

async function wire(config: Config, options: StartOptions, closers: Closers): Promise<Parley> {
  const logger = createLogger({ level: config.log.level });
  for (const warning of config.warnings) logger.warn(warning);
  const telemetry = await startTelemetry(options.env, (line) => logger.warn(line));
  closers.add(() => telemetry.stop());
  const metrics = createMetrics();
  closers.add(() => metrics.close());

  const storage = await openServerStorage(config, logger);
  closers.add(() => storage.close());
  const log = await openPostgresLog({ url: storage.url, codec, onFlush: (flush) => metrics.appended(flush) });
  closers.add(() => log.close());
  const core = await openCore(config, { storage, log, logger, metrics }, closers);
  const { door, projector } = core;

  // Our own address is only known when we listen, and what listens hands out that address.
  const address = { baseUrl: '' };
  const listening = Promise.withResolvers<void>();
  const sandbox = options.sandbox ? await startSandbox(sandboxOptions(config, logger)) : null;
  if (sandbox) closers.add(() => sandbox.close());
  const providers = connectProviders(providerOptions(config, sandbox));
  closers.add(() => Promise.all(Object.values(providers).map((provider) => provider.close())));
  const delivery = startDelivery(
    deliveryOptions(config, {
      ...core,
      storage,
      log,
      logger,
      metrics,
      telemetry,
      providers,
      address,
      listening: listening.promise,
    }),
  );
  closers.add(() => delivery.stop());
  observe(metrics, log, projector, delivery, door);

  const dialect = messagejsDialect({
    ...core,
    providers,
    receipts: delivery.receipts,
    clock: systemClock,
    config: dialectConfig(config, storage, () => address.baseUrl),
  });
  const { browserFile } = await buildSdk();
  const host = await createHttpHost({
    config,
    dialects: [dialect],
    health: async () => {
      const [lag] = await Promise.all([projector.lag(), core.pool.query('SELECT 1'), log.head()]);
      return {
        database: true,
        log: true,
        projector: { lagEvents: lag.events, lagSeconds: lag.seconds },
        sandboxUrl: sandbox?.url ?? null,
      };
    },
    metrics,
    logger,
    telemetry,
    sdkFile: browserFile,
    clock: systemClock,
  });
  // The door stays open behind it: deliveries under way are recorded after the last request was answered.
  closers.add(async () => {
    host.drain();
    await host.close();
  });
  const { port, url } = await host.listen();
  address.baseUrl = apiBaseUrl(config, port);
  listening.resolve();
  if (sandbox) await pointCallbacks(sandbox, `http://127.0.0.1:${port}`);

  return {
    url,
    port,
    clusterDir: storage.clusterDir,
    secretsFile: storage.secrets.file,
    sandboxUrl: sandbox?.url ?? null,
    failed: Promise.race([projector.done, delivery.done].map((part) => part.then(() => new Promise(() => {})))).catch(
      (error: unknown) => error,
    ),
    close: () => closers.close(),
  };
}

/** What commands and queries need: everything between the log and the dialects. */
async function openCore(
  config: Config,
  { storage, log, logger, metrics }: { storage: Storage; log: PostgresLog; logger: Logger; metrics: Metrics },
  closers: Closers,
) {
  const { url, secrets } = storage;
  const pool = openPool({ url, name: 'work', maxConnections: 8 });
  closers.add(() => pool.end());
  const db = readPool(url);
  closers.add(() => db.end());
  const feed = openTailFeed(log, logger);
  const projector = await startProjector({ url, feed, history: log, logger });
  closers.add(() => projector.stop());
  const freshness = createFreshness({ source: projector, head: () => log.head(), clock: systemClock });
  const door = new CommandDoor({
    log,
    clock: systemClock,
    onAcknowledged: (workspace, account, position) =>
      freshness.noteAcknowledged(workspace, { workspace, account }, position),
    onAccepted: counterOf((command) => metrics.acceptedCommands('messagejs', command)),
  });
  await door.start();
  closers.add(() => door.stop());

  // Of its own: it holds connections while things are appended, and limits are not to wait for that.
  const counters = openPool({ url, name: 'ids', maxConnections: 4 });
  closers.add(() => counters.end());
  const ids = new IdAllocator(counters, (workspace, kind) => highestId(db, kind === 'workspace' ? 0 : workspace, kind));
  const speller = new IdSpeller(secrets.idKey);
  const nameKey = secrets.idKey;
  const accounts = new AccountCommands({
    door,
    ids,
    passwords: new PasswordHasher(),
    nameKey,
    refreshLifeMs: config.auth.refreshLifeMs,
  });
  const sealer = new Sealer(secrets.encryptionKeys);
  const workspaces = new WorkspaceCommands({ door, ids, sealer, speller, nameKey });
  await workspaces.openSystemWorkspaces([
    { workspace: ACCOUNTS_WORKSPACE, name: 'accounts' },
    { workspace: MAIN_WORKSPACE, name: 'main' },
  ]);

  // Queries of today's shape, and rows up to where the log ended at this start: what quotas and counters are made from.
  await projector.ready;
  await reached(projector, await log.head());
  const quota = new Quota(pool, systemClock, (workspace, account, month) =>
    monthAccepted(db, { workspace, account }, Date.parse(`${month}-01T00:00:00Z`)),
  );
  if (storage.alone) await quota.settle();
  closers.add(() => quota.close());
  const limiter = new RateLimiter(pool, systemClock);
  const sweep = setInterval(() => void limiter.sweep().catch(() => {}), sweepIntervalMs).unref();
  closers.add(() => clearInterval(sweep));
  const dispatches = new DispatchCommands({
    door,
    quota,
    idKey: secrets.idKey,
    monthlyQuota: config.limits.quotaPerMonth,
    defaultTier: config.limits.defaultTier,
  });
  return { pool, db, feed, projector, freshness, door, speller, accounts, workspaces, limiter, dispatches };
}

async function reached(projector: Projector, position: bigint): Promise<void> {
  if (projector.reached() >= position) return;
  await new Promise<void>((resolve, reject) => {
    const unwatch = projector.watch(() => {
      if (projector.reached() < position) return;
      unwatch();
      resolve();
    });
    projector.done.catch(reject);
    if (projector.reached() >= position) {
      unwatch();
      resolve();
    }
  });
}

function sandboxOptions(config: Config, logger: Logger) {
  const { appSecret } = config.providers.whatsapp;
  const log = (text: string) => logger.warn({ part: 'sandbox' }, text);
  return appSecret === null ? { log } : { log, whatsappAppSecret: appSecret };
}

/** WhatsApp's callbacks go where the sandbox is told; Twilio's to the address that each message names. */
async function pointCallbacks(sandbox: Sandbox, callbackBaseUrl: string): Promise<void> {
  sandbox.behave({ callbackBaseUrl });
}

function providerOptions(config: Config, sandbox: Sandbox | null) {
  const { connections, whatsapp, telegram, twilio } = config.providers;
  return {
    whatsapp: { baseUrl: sandbox?.whatsappUrl ?? whatsapp.url, apiVersion: whatsapp.apiVersion, connections },
    telegram: { baseUrl: sandbox?.telegramUrl ?? telegram.url, connections },
    twilio: { baseUrl: sandbox?.twilioUrl ?? twilio.url, connections },
  };
}

type Core = Awaited<ReturnType<typeof openCore>>;

interface DeliveryParts extends Core {
  readonly storage: Storage;
  readonly log: PostgresLog;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly telemetry: Telemetry;
  readonly providers: ReturnType<typeof connectProviders>;
  readonly address: { readonly baseUrl: string };
  /** Resolves when `address` is known: nothing that names it leaves sooner. */
  readonly listening: Promise<void>;
}

function deliveryOptions(config: Config, parts: DeliveryParts): Parameters<typeof startDelivery>[0] {
  const { storage, log, logger, metrics, telemetry, providers, address, speller } = parts;
  const { dispatch, providers: pace } = config;
  const outcome = counterOf((name) => {
    const [type = '', how = ''] = name.split(' ');
    return metrics.dispatchOutcomes(type, how);
  });
  return {
    feed: parts.feed,
    read: parts.db,
    work: parts.pool,
    projected: parts.projector,
    projectorGroup,
    head: () => log.head(),
    erase: (streams) => log.erase(streams),
    commands: parts.dispatches,
    workspaces: parts.workspaces,
    door: parts.door,
    url: storage.url,
    providers,
    statusCallback: (id, workspace, connector) =>
      twilioCallback(address.baseUrl, speller, { dispatch: id, workspace, connector }),
    clock: systemClock,
    logger,
    sole: storage.alone,
    sendAfter: parts.listening,
    schedule: {
      retryOffsetsMs: dispatch.retryScheduleMs,
      jitter: 0.1,
      attemptTimeoutMs: dispatch.attemptTimeoutMs,
      maxThrottleMs: dispatch.maxThrottleMs,
      maxAgeMs: dispatch.maxAgeMs,
    },
    pace: {
      perConnector: {
        whatsapp: pace.whatsapp.ratePerSecond,
        telegram: pace.telegram.ratePerSecond,
        twilio: pace.twilio.ratePerSecond,
      },
      perTelegramChat: pace.telegram.chatRatePerSecond,
      overall: dispatch.ratePerSecond,
    },
    concurrencyPerConnector: dispatch.concurrencyPerConnector,
    concurrencyPerProvider: pace.connections,
    tracer: telemetry.tracer,
    onOutcome: (type, how) => outcome(`${type} ${how}`, 1),
  };
}

/** Counters by name, each made at its first use. */
function counterOf(make: (name: string) => (count?: number) => void): (name: string, count: number) => void {
  const counters = new Map<string, (count?: number) => void>();
  return (name, count) => {
    let counter = counters.get(name);
    if (!counter) {
      counter = make(name);
      counters.set(name, counter);
    }
    counter(count);
  };
}

function observe(
  metrics: Metrics,
  log: PostgresLog,
  projector: Projector,
  delivery: Delivery,
  door: CommandDoor,
): void {
  metrics.observeHead(() => log.head());
  metrics.observeGaps(() => log.gaps);
  metrics.observeCheckpoint(projectorGroup, async () => {
    const { events, seconds } = await projector.lag();
    return { position: projector.reached(), lagEvents: events, lagSeconds: seconds };
  });
  metrics.observeQueue('append', () => log.waitingCommits);
  metrics.observeQueue('dispatch_waiting', () => delivery.depths().waiting);
  metrics.observeQueue('dispatch_in_flight', () => delivery.depths().inFlight);
  metrics.observeQueue('dispatch_recording', () => delivery.depths().recording);
  metrics.observeQueue('state_cache', () => door.states.size);
}

function dialectConfig(config: Config, storage: Storage, baseUrl: () => string) {
  const { auth, limits, providers, http } = config;
  const { points, windowMs: durationMs, blockMs } = limits.auth;
  return {
    jwtSecret: storage.secrets.jwtSecret,
    jwtExpiresInMs: auth.tokenLifeMs,
    cookieName: auth.cookieName,
    production: config.production,
    allowedOrigins: http.allowedOrigins,
    apiBaseUrl: baseUrl,
    whatsappVerifyToken: providers.whatsapp.verifyToken,
    whatsappAppSecret: providers.whatsapp.appSecret,
    internalPingSecret: config.internalPingSecret,
    authRateLimit: { points, durationMs, blockMs },
    keyRateLimits: limits.keyPerHour,
    dashboardRateLimits: limits.dashboardPerMinute,
    defaultKeyRateLimit: limits.defaultKeyPerHour,
    batchLimitBytes: http.batchLimitBytes,
    batchLimitItems: http.batchLimitItems,
  };
}

/** What is to be stopped, in the reverse order of its start. */
class Closers {
  readonly #closers: (() => unknown)[] = [];

  add(close: () => unknown): void {
    this.#closers.push(close);
  }

  /** Stops everything; what fails to stop does not keep the rest from it. */
  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch {
        // The next one counts.
      }
    }
  }
}
