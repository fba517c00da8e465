/** What leaves for targets that tenants name: the guard, e-mail, webhooks. */

import { webhookByUrl } from '../../projections/webhooks/queries.ts';
import { defaultNotificationSchedule } from '../commands/index.ts';
import { type Email, email } from '../delivery/email/index.ts';
import {
  type Notifications,
  OwnPoster,
  postingThread,
  startNotifications,
  startWebhooks,
  type Webhooks,
  webhookSchedule,
  webhookTests,
} from '../delivery/index.ts';
import { notificationPosts, Spelling, webhookEvents } from '../dialects/chatapi/index.ts';
import { openPresence } from '../gateway/index.ts';
import { systemClock } from '../platform/clock.ts';
import { type Config, ConfigError } from '../platform/config.ts';
import { type OutboundGuard, outboundGuard } from '../platform/outbound-guard.ts';
import { projectorGroup } from '../readside/index.ts';
import type { Core, Ground } from './core.ts';
import { counterOf, counterOfPair } from './counters.ts';
import type { SandboxUrls } from './thread.ts';

/** The guard of every target that a tenant names. Throws ConfigError. */
export function openGuard({ outbound }: Pick<Config, 'outbound'>): OutboundGuard {
  const { allowCidrs, proxy } = outbound;
  try {
    return outboundGuard({ allowCidrs, ...(proxy !== null && { proxy }) });
  } catch {
    throw new ConfigError('OUTBOUND_ALLOW_CIDRS or OUTBOUND_PROXY is wrong');
  }
}

/** What dialects, and notifications, ask to leave at once. */
export interface Outbound {
  readonly email: Email;
  readonly webhookTests: ReturnType<typeof webhookTests>;
  close(): Promise<void>;
}

/** Makes it; nothing is connected to before the first call. E-mail goes to the emulations where there is a sandbox. */
export function openOutbound(config: Config, core: Core, sandbox: SandboxUrls | null): Outbound {
  const { guard, webhooks: commands } = core;
  const mail = openEmail(config, guard, sandbox);
  const { attemptTimeoutMs } = config.webhooks;
  const tests = webhookTests({ guard, commands, dialect: told(config, core), clock: systemClock, attemptTimeoutMs });
  return {
    email: mail,
    webhookTests: tests,
    async close() {
      await Promise.all([mail.close(), tests.close()]);
    },
  };
}

function openEmail({ email: own, providers }: Config, guard: OutboundGuard, sandbox: SandboxUrls | null): Email {
  const urls = sandbox ?? own;
  return email({
    guard,
    smtpPorts: own.smtpPorts,
    connections: providers.connections,
    ...(urls.mailgunUrl !== null && { mailgunUrl: urls.mailgunUrl }),
    ...(urls.sendgridUrl !== null && { sendgridUrl: urls.sendgridUrl }),
    ...(urls.postmarkUrl !== null && { postmarkUrl: urls.postmarkUrl }),
    ...(urls.sesUrl !== null && { sesUrl: urls.sesUrl }),
  });
}

/** Webhooks are told of in the words of ChatAPI. */
function told({ rooms }: Config, { db, speller }: Core) {
  return webhookEvents({ db, speller, clock: systemClock, config: { inactiveAfterMs: rooms.inactiveAfterMs } });
}

/** Starts the delivery of webhooks. */
export function openWebhooks(ground: Ground, core: Core, sendAfter: Promise<unknown>): Webhooks {
  const { config, storage, feed, log, logger, metrics, projected } = ground;
  const { retryDelaysMs, attemptTimeoutMs, concurrency, concurrencyPerWebhook } = config.webhooks;
  const count = counterOf((outcome) => metrics.webhookOutcomes(outcome));
  return startWebhooks({
    feed,
    history: log,
    readEvent: async (stream, revision) => (await log.read(stream, revision)).events[0] ?? null,
    read: core.db,
    work: core.pool,
    projected,
    commands: core.webhooks,
    dialect: told(config, core),
    poster: (attemptTimeoutMs) =>
      config.backgroundThread
        ? postingThread({ ...config.outbound, attemptTimeoutMs })
        : new OwnPoster({ guard: core.guard, attemptTimeoutMs }),
    clock: systemClock,
    logger,
    sole: storage.alone,
    sendAfter,
    schedule: webhookSchedule(retryDelaysMs, attemptTimeoutMs),
    concurrency,
    concurrencyPerWebhook,
    onOutcome: (outcome) => count(outcome, 1),
  });
}

/** Starts the delivery of notifications. E-mail goes to the emulations where there is a sandbox. */
export function openNotifications(ground: Ground, core: Core, sandbox: SandboxUrls | null): Notifications {
  const { config, feed, log, logger, metrics, projected } = ground;
  const { db, guard, webhooks, rooms, emailProviders } = core;
  const mail = openEmail(config, guard, sandbox);
  const presence = openPresence(core.pool);
  const count = counterOfPair((channel, outcome) => metrics.notificationOutcomes(channel, outcome));
  const running = startNotifications({
    feed,
    read: db,
    work: core.pool,
    projected,
    projectorGroup,
    head: () => log.head(),
    commands: core.notifications,
    email: mail,
    providersOf: (workspace) => emailProviders.providersOf(workspace),
    roomOf: (workspace, room) => rooms.stateOf(workspace, room),
    online: (workspace, accounts) => presence.online(workspace, accounts),
    async secretOf(workspace, url) {
      const number = await webhookByUrl(db, workspace, url);
      return number === null ? null : webhooks.openSecret(await webhooks.webhook(workspace, number));
    },
    dialect: notificationPosts(new Spelling(core.speller)),
    guard,
    clock: systemClock,
    logger,
    schedule: { ...defaultNotificationSchedule, retryDelaysMs: config.notifications.retryDelaysMs },
    onOutcome: (channel, outcome) => count(channel, outcome, 1),
  });
  return {
    ...running,
    depths: () => running.depths(),
    async stop() {
      await running.stop();
      await mail.close();
    },
  };
}
