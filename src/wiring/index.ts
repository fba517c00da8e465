/**
 * The wiring: which room gets what. With the commands beside the server, the one place that knows every room.
 *
 * `startParley` starts what a process's roles ask for, in the order that the rooms need each other, and stops it in the
 * reverse one: no new requests, those under way answered, deliveries under way recorded, then the log, Postgres last.
 * Every process answers `/health/*` and `/metrics`, whatever its roles.
 */
import { openReceipts } from '../delivery/index.ts';
import { createHttpHost, type Dialect } from '../dialects/index.ts';
import type { Gateway } from '../gateway/index.ts';
import { systemClock } from '../platform/clock.ts';
import { apiBaseUrl, type Config, ConfigError } from '../platform/config.ts';
import { createLogger, type Logger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { withFigures } from '../platform/metrics-text.ts';
import { startTelemetry } from '../platform/telemetry.ts';
import { groupLag, projectorGroup } from '../readside/index.ts';
import { type Sandbox, type SandboxAddress, sandboxAddresses, startSandbox, usualSmtpPort } from '../sandbox/index.ts';
import { buildSdk } from '../sdk/build.ts';
import { Closers } from './closers.ts';
import { openCore } from './core.ts';
import { openDelivery, openProviders, receiptCounter } from './delivery.ts';
import { openDialects } from './dialects.ts';
import { openGateway } from './gateway.ts';
import { openGround } from './ground.ts';
import { observeGroup, observeWork } from './observe.ts';
import { openOutbound } from './outbound.ts';
import { roles as allRoles, inBackground, isWhole, type Role } from './roles.ts';
import { openServerStorage, type Storage } from './storage.ts';
import { sandboxUrls, startThread, type ThreadData } from './thread.ts';

/** How `startParley` runs. */
export interface StartOptions {
  /** Runs the emulations of the providers in this process and sends through them. */
  readonly sandbox: boolean;
  /** What this process does; everything unless told. */
  readonly roles?: ReadonlySet<Role>;
  /** Ends a start that still waits for rows. */
  readonly signal?: AbortSignal;
  /** For the standard `OTEL_*` variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A running Parley. */
export interface Parley {
  readonly url: string;
  readonly port: number;
  readonly roles: ReadonlySet<Role>;
  /** Where the embedded Postgres keeps its files; null with DATABASE_URL. */
  readonly clusterDir: string | null;
  /** The file of the secrets that were made at the first start; null when the environment gives all of them. */
  readonly secretsFile: string | null;
  readonly sandboxUrl: string | null;
  /** What the sandbox emulates, and where; none without one. */
  readonly sandboxAddresses: readonly SandboxAddress[];
  /** Resolves with what went wrong when a part of it cannot go on. */
  readonly failed: Promise<unknown>;
  /** Sends all sockets away, each told where to go on and a delay of its own, and takes them in again. */
  drainSockets(): Promise<void>;
  close(): Promise<void>;
}

/** Starts Parley. Rejects with what is wrong, in one line for people; nothing is left running then. */
export async function startParley(config: Config, options: StartOptions): Promise<Parley> {
  const roles = options.roles ?? new Set(allRoles);
  if (!isWhole(roles)) refusePart(config, options, roles);
  const closers = new Closers();
  try {
    return await wire(config, roles, options, closers);
  } catch (error) {
    await closers.close();
    throw error;
  }
}

/** What a process with some of the roles needs, and one with all of them does not. */
function refusePart(config: Config, options: StartOptions, roles: ReadonlySet<Role>): void {
  if (config.storage.databaseUrl === null)
    throw new ConfigError('--roles needs DATABASE_URL: a Postgres of our own is for one process that does everything');
  if (options.sandbox) throw new ConfigError('--sandbox is for one process that does everything: run `parley sandbox`');
  if (roles.has('delivery') && !roles.has('api') && config.http.apiBaseUrl === null)
    throw new ConfigError('API_BASE_URL is not set: a process that delivers has to tell providers where the API is');
}

async function wire(
  config: Config,
  roles: ReadonlySet<Role>,
  options: StartOptions,
  closers: Closers,
): Promise<Parley> {
  const logger = createLogger({ level: config.log.level });
  for (const warning of config.warnings) logger.warn(warning);
  const telemetry = await startTelemetry(options.env, (line) => logger.warn(line));
  closers.add(() => telemetry.stop());
  const metrics = createMetrics();
  closers.add(() => metrics.close());
  const storage = await openServerStorage(config, logger);
  closers.add(() => storage.close());
  const sandbox = options.sandbox ? await startSandbox(sandboxOptions(config, logger)) : null;
  if (sandbox) closers.add(() => sandbox.close());

  const away = config.backgroundThread ? inBackground(roles) : new Set<Role>();
  const thread = away.size > 0 ? startThread(threadData(config, storage, away, sandbox, options)) : null;
  if (thread) closers.add(() => thread.stop());
  const base = { config, storage, logger, metrics, telemetry };
  const here = roles.difference(away);
  const elsewhere = thread && away.has('projector') ? thread.projected : null;
  const opened = await openGround(base, { roles: here, elsewhere, peer: thread?.peer }, closers);
  const { ground, open, parts } = opened;
  if (thread) parts.push(thread.done);
  const { log, projected, projector } = ground;
  const core = await openCore(ground, closers, { isSecond: false, ...(options.signal && { signal: options.signal }) });

  // Our own address is only known when we listen, and what listens hands out that address.
  const address = { baseUrl: '' };
  const baseUrl = () => address.baseUrl;
  const listening = Promise.withResolvers<void>();
  const providers = openProviders(config, sandbox, closers);
  const outbound = openOutbound(config, core, sandbox);
  closers.add(() => outbound.close());
  const leaving = { telemetry, providers, sandbox, baseUrl, listening: listening.promise };
  const delivery = here.has('delivery') ? await openDelivery(opened, core, leaving, closers) : null;
  metrics.observeHead(() => log.head());
  observeWork(ground, open, core, delivery);
  if (!roles.has('projector')) observeGroup(projectorGroup, ground, open, core);

  const gateway = roles.has('gateway') ? openGateway(ground, core) : null;
  const spoken = { config, storage, providers, outbound, gateway, catcherUrl: sandbox?.smtpUrl ?? null, baseUrl };
  let dialects: Dialect[] = [];
  if (roles.has('api')) {
    const { db: read, dispatchRecords: commands, workspaces } = core;
    const head = () => log.head();
    const onReceipt = receiptCounter(metrics);
    const receipts = openReceipts({ read, commands, workspaces, projected, head, clock: systemClock, onReceipt });
    closers.add(() => receipts.stop());
    dialects = openDialects(core, { ...spoken, receipts });
  } else if (gateway) {
    dialects = openDialects(core, { ...spoken, receipts: null });
  }
  const stopGateway = gateway ? await startGateway(gateway, closers) : async () => {};
  if (gateway) parts.push(gateway.done);
  const host = await createHttpHost({
    config,
    dialects,
    health: async () => {
      const behind = projector?.lag() ?? groupLag(core.pool, log, projectorGroup);
      const [lag] = await Promise.all([behind, core.pool.query('SELECT 1'), log.head()]);
      return {
        database: true,
        log: true,
        projector: { lagEvents: lag.events, lagSeconds: lag.seconds },
        sandboxUrl: sandbox?.url ?? null,
      };
    },
    metrics: thread
      ? { ...metrics, read: async () => withFigures(await metrics.read(), await thread.figures()) }
      : metrics,
    logger,
    telemetry,
    sdkFiles: roles.has('api') ? (await buildSdk()).browserFiles : {},
    clock: systemClock,
  });
  // The door stays open behind it: deliveries under way are recorded after the last request was answered. Sockets are told
  // where to go on before the server closes them without a word.
  closers.add(async () => {
    host.drain();
    await stopGateway();
    await host.close();
  });
  const { port, url: ownUrl } = await host.listen();
  address.baseUrl = apiBaseUrl(config, port);
  listening.resolve();
  thread?.listening(address.baseUrl);
  // WhatsApp's callbacks go where the sandbox is told; Twilio's to the address that each message names.
  sandbox?.behave({ callbackBaseUrl: `http://127.0.0.1:${port}` });

  return {
    url: ownUrl,
    port,
    roles,
    clusterDir: storage.clusterDir,
    secretsFile: storage.secrets.file,
    sandboxUrl: sandbox?.url ?? null,
    sandboxAddresses: sandbox ? sandboxAddresses(sandbox) : [],
    failed: Promise.race(parts.map((part) => part.then(() => new Promise(() => {})))).catch((error: unknown) => error),
    drainSockets: async () => gateway?.drain(),
    close: () => closers.close(),
  };
}

/** Starts the gateway. What it answers stops it, once, however often it is called. */
async function startGateway(gateway: Gateway, closers: Closers): Promise<() => Promise<void>> {
  let stopped: Promise<void> | null = null;
  const stop = () => {
    stopped ??= gateway.stop();
    return stopped;
  };
  const starting = gateway.start();
  closers.add(stop);
  await starting;
  return stop;
}

/** What the thread is started with. */
function threadData(
  config: Config,
  storage: Storage,
  roles: ReadonlySet<Role>,
  sandbox: Sandbox | null,
  { env }: StartOptions,
): ThreadData {
  const { url, clusterDir, alone, secrets } = storage;
  return {
    config,
    storage: { url, clusterDir, alone, secrets },
    roles,
    sandbox: sandbox && sandboxUrls(sandbox),
    env: { ...env },
  };
}

function sandboxOptions(config: Config, logger: Logger): Parameters<typeof startSandbox>[0] {
  const { appSecret } = config.providers.whatsapp;
  const log = (text: string) => logger.warn({ part: 'sandbox' }, text);
  const port = { smtpPort: usualSmtpPort, orAnySmtpPort: true };
  return { ...port, log, ...(appSecret !== null && { whatsappAppSecret: appSecret }) };
}
