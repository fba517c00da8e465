import { randomUUID } from 'node:crypto';
import { MAIN_WORKSPACE, type ReceiptDoor } from '../commands/index.ts';
import type { providers as connectProviders } from '../delivery/connectors/index.ts';
import { ownMail } from '../delivery/email/index.ts';
import { chatapiDialect } from '../dialects/chatapi/index.ts';
import { companyDialect } from '../dialects/company/index.ts';
import type { Dialect } from '../dialects/index.ts';
import { messagejsDialect } from '../dialects/messagejs/index.ts';
import { type Gateway, openPresence } from '../gateway/index.ts';
import { systemClock } from '../platform/clock.ts';
import { type Config, ConfigError } from '../platform/config.ts';
import type { Core } from './core.ts';
import type { Outbound } from './outbound.ts';
import type { Storage } from './storage.ts';

/** What dialects need beside the core. */
export interface DialectParts {
  readonly config: Config;
  readonly storage: Storage;
  readonly providers: ReturnType<typeof connectProviders>;
  readonly outbound: Outbound;
  /** Null in a process that serves sockets alone. */
  readonly receipts: ReceiptDoor | null;
  /** Null in a process that serves no sockets. Not started yet. */
  readonly gateway: Gateway | null;
  /** The sandbox's mail catcher; null without a sandbox. */
  readonly catcherUrl: string | null;
  /** Where the outside reaches the API. */
  readonly baseUrl: () => string;
}

/** Every dialect that the API speaks; without requests those that have sockets. */
export function openDialects(core: Core, parts: DialectParts): Dialect[] {
  const { providers, outbound, receipts, gateway } = parts;
  const clock = systemClock;
  const company = companyDialect({
    ...core,
    clock,
    gateway,
    mail: companyMail(parts),
    servesRequests: receipts !== null,
    config: companyConfig(parts),
  });
  const chatapi = chatapiDialect({
    ...core,
    ...outbound,
    clock,
    gateway,
    presence: gateway ?? openPresence(core.pool),
    servesRequests: receipts !== null,
    config: chatapiConfig(parts.config),
  });
  if (receipts === null) return [chatapi, company];
  return [messagejsDialect({ ...core, providers, receipts, clock, config: messagejsConfig(parts) }), chatapi, company];
}

function chatapiConfig({ chatapi, email, rooms }: Config) {
  return { ...chatapi, smtpPorts: email.smtpPorts, inactiveAfterMs: rooms.inactiveAfterMs };
}

function companyConfig({ config, storage }: DialectParts) {
  const { company, http, production } = config;
  const { jwtSecret } = storage.secrets;
  return { ...company, workspace: MAIN_WORKSPACE, jwtSecret, allowedOrigins: http.allowedOrigins, production };
}

/** The server that mails generated passwords: the operator's, or else the sandbox's; null without one. */
function companyMail({ config, catcherUrl }: DialectParts) {
  const smtpUrl = config.company.smtpUrl ?? catcherUrl;
  if (smtpUrl === null) return null;
  try {
    return ownMail(smtpUrl, { newId: () => randomUUID().replaceAll('-', '') });
  } catch (error) {
    throw new ConfigError(`COMPANY_SMTP_URL is wrong: ${error instanceof Error ? error.message : error}`);
  }
}

function messagejsConfig({ config, storage, baseUrl }: DialectParts) {
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
