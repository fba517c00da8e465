import type { findAccount } from '../../../projections/accounts/queries.ts';
import type {
  AccountCommands,
  ConnectorType,
  DispatchCommands,
  DispatchRecords,
  ProviderDoor,
  RateLimiter,
  ReceiptDoor,
  Tier,
  WorkspaceCommands,
} from '../../commands/index.ts';
import type { Clock } from '../../platform/clock.ts';
import type { IdSpeller } from '../../platform/ids.ts';
import type { Freshness } from '../../readside/freshness.ts';

/** Whatever runs the queries of projections: the read pool. */
export type Db = Parameters<typeof findAccount>[0];

/** The dialect's part of the configuration. Limits of 0 are off. */
export interface MessageJsConfig {
  readonly jwtSecret: string;
  /** Life of a JWT and of its cookie. */
  readonly jwtExpiresInMs: number;
  readonly cookieName: string;
  /** Cookies are `Secure`. */
  readonly production: boolean;
  /** `ALLOWED_ORIGINS`, for pages that use the dashboard routes. */
  readonly allowedOrigins: readonly string[];
  /** Where providers reach us, without a slash at its end; a function where the port is known only once we listen. */
  readonly apiBaseUrl: string | (() => string);
  /** Null: the verification of the WhatsApp callback is always refused. */
  readonly whatsappVerifyToken: string | null;
  /** Null: signatures of WhatsApp callbacks are not checked. */
  readonly whatsappAppSecret: string | null;
  /** Null: `GET /api/v1/internal/ping` refuses every secret. */
  readonly internalPingSecret: string | null;
  /** Registrations and logins per client address. */
  readonly authRateLimit: { readonly points: number; readonly durationMs: number; readonly blockMs: number };
  /** Messages an hour that a key may send at most, whatever its own limit says. */
  readonly keyRateLimits: Readonly<Record<Tier, number>>;
  /** Dashboard requests a minute, per user. */
  readonly dashboardRateLimits: Readonly<Record<Tier, number>>;
  /** `rateLimit` of a key made without one, messages an hour. */
  readonly defaultKeyRateLimit: number;
  readonly batchLimitBytes: number;
  readonly batchLimitItems: number;
}

/** What the dialect needs. */
export interface MessageJsOptions {
  readonly accounts: AccountCommands;
  readonly workspaces: WorkspaceCommands;
  readonly dispatches: DispatchCommands;
  readonly dispatchRecords: Pick<DispatchRecords, 'dispatch'>;
  readonly limiter: RateLimiter;
  readonly providers: Readonly<Record<ConnectorType, ProviderDoor>>;
  readonly receipts: ReceiptDoor;
  readonly db: Db;
  readonly freshness: Pick<Freshness, 'waitFor' | 'parsePosition'>;
  readonly speller: IdSpeller;
  readonly clock: Clock;
  readonly config: MessageJsConfig;
}

/** The base of our own addresses, now. */
export function baseUrlOf({ apiBaseUrl }: MessageJsConfig): string {
  return typeof apiBaseUrl === 'string' ? apiBaseUrl : apiBaseUrl();
}
