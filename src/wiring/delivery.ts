import { type ConnectorType, streams } from '../commands/index.ts';
import { providers as connectProviders } from '../delivery/connectors/index.ts';
import {
  type DeliveryWork,
  endLeases,
  type Notifications,
  type ReceiptOutcome,
  startDeliveryWork,
  type Webhooks,
} from '../delivery/index.ts';
import { twilioCallback } from '../dialects/messagejs/index.ts';
import { systemClock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Telemetry } from '../platform/telemetry.ts';
import { projectorGroup } from '../readside/index.ts';
import type { Closers } from './closers.ts';
import type { Core, Ground } from './core.ts';
import { counterOfPair } from './counters.ts';
import type { OpenGround } from './ground.ts';
import { openNotifications, openWebhooks } from './outbound.ts';
import type { SandboxUrls } from './thread.ts';

/** The providers of connectors: the emulations where there is a sandbox. */
export function openProviders(
  config: Config,
  sandbox: SandboxUrls | null,
  closers: Closers,
): ReturnType<typeof connectProviders> {
  const { connections, whatsapp, telegram, twilio } = config.providers;
  const providers = connectProviders({
    whatsapp: { baseUrl: sandbox?.whatsappUrl ?? whatsapp.url, apiVersion: whatsapp.apiVersion, connections },
    telegram: { baseUrl: sandbox?.telegramUrl ?? telegram.url, connections },
    twilio: { baseUrl: sandbox?.twilioUrl ?? twilio.url, connections },
  });
  closers.add(() => Promise.all(Object.values(providers).map((provider) => provider.close())));
  return providers;
}

/** Counts what became of receipts. */
export function receiptCounter(metrics: Metrics) {
  const count = counterOfPair((type, outcome) => metrics.receiptOutcomes(type, outcome));
  return (type: ConnectorType, outcome: ReceiptOutcome, receipts = 1) => count(type, outcome, receipts);
}

/** What delivery needs beside the core. */
export interface DeliveryParts {
  readonly telemetry: Telemetry;
  readonly providers: ReturnType<typeof connectProviders>;
  /** Where e-mail goes in place of the providers; null without a sandbox. */
  readonly sandbox: SandboxUrls | null;
  /** Where the outside reaches the API. */
  readonly baseUrl: () => string;
  /** Resolves when `baseUrl` is known: nothing that names it leaves sooner. */
  readonly listening: Promise<void>;
}

/** Everything that leaves, running. */
export interface RunningDelivery extends DeliveryWork {
  readonly webhooks: Webhooks;
  readonly notifications: Notifications;
}

/** Starts what leaves: dispatches, webhooks, notifications, and the chores. It is one of the parts of the ground from then on. */
export async function openDelivery(
  { ground, parts: all }: OpenGround,
  core: Core,
  parts: DeliveryParts,
  closers: Closers,
): Promise<RunningDelivery> {
  if (ground.storage.alone) await endLeases(core.pool);
  const work = openDispatches(ground, core, parts);
  const webhooks = openWebhooks(ground, core, parts.listening);
  const notifications = openNotifications(ground, core, parts.sandbox);
  const done = Promise.all([work.done, webhooks.done, notifications.done]).then(() => {});
  done.catch(() => {});
  all.push(done);
  const stop = async () => {
    await Promise.all([work.stop(), webhooks.stop(), notifications.stop()]);
  };
  closers.add(stop);
  return { ...work, webhooks, notifications, done, stop };
}

function openDispatches(ground: Ground, core: Core, parts: DeliveryParts): DeliveryWork {
  const { config, storage, log, logger, metrics } = ground;
  const { telemetry, providers, baseUrl } = parts;
  const { dispatch, providers: pace } = config;
  const { speller } = core;
  const count = counterOfPair((type, outcome) => metrics.dispatchOutcomes(type, outcome));
  return startDeliveryWork({
    feed: ground.feed,
    read: core.db,
    work: core.pool,
    projected: ground.projected,
    projectorGroup,
    head: () => log.head(),
    erase: (streams) => log.erase(streams),
    commands: core.dispatchRecords,
    workspaces: core.workspaces,
    door: core.door,
    rooms: { rooms: core.rooms, inactiveAfterMs: config.rooms.inactiveAfterMs },
    url: storage.url,
    providers,
    statusCallback: (id, workspace, connector) =>
      twilioCallback(baseUrl(), speller, { dispatch: id, workspace, connector }),
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
    traceOf: async (id) => (await log.read(streams.dispatch(id))).events[0]?.meta.trace,
    onReceipt: receiptCounter(metrics),
    onOutcome: (type, outcome) => count(type, outcome, 1),
  });
}
