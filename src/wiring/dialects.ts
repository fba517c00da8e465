import type { ReceiptDoor } from '../commands/index.ts';
import type { providers as connectProviders } from '../delivery/connectors/index.ts';
import { chatapiDialect } from '../dialects/chatapi/index.ts';
import type { Dialect } from '../dialects/index.ts';
import { messagejsDialect } from '../dialects/messagejs/index.ts';
import { systemClock } from '../platform/clock.ts';
import type { Config } from '../platform/config.ts';
import type { Core } from './core.ts';
import type { Storage } from './storage.ts';

/** What dialects need beside the core. */
export interface DialectParts {
  readonly config: Config;
  readonly storage: Storage;
  readonly providers: ReturnType<typeof connectProviders>;
  readonly receipts: ReceiptDoor;
  /** Where the outside reaches the API. */
  readonly baseUrl: () => string;
}

/** Every dialect that the API speaks. */
export function openDialects(core: Core, parts: DialectParts): Dialect[] {
  const { providers, receipts } = parts;
  const clock = systemClock;
  return [
    messagejsDialect({ ...core, providers, receipts, clock, config: messagejsConfig(parts) }),
    chatapiDialect({ ...core, clock, config: chatapiConfig(parts.config) }),
  ];
}

function chatapiConfig({ chatapi, rooms }: Config) {
  return { ...chatapi, inactiveAfterMs: rooms.inactiveAfterMs };
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
