import type { findAccount } from '../../../projections/accounts/queries.ts';
import type { Inactivity } from '../../../projections/rooms/queries.ts';
import type {
  ChatAccountCommands,
  ClientCommands,
  EmailProviderCommands,
  EmailProviderDoor,
  MessageCommands,
  NotificationCommands,
  RateLimiter,
  RoomCommands,
  WebhookCommands,
  WebhookTestDoor,
} from '../../commands/index.ts';
import type { Gateway, Presence } from '../../gateway/index.ts';
import type { Clock } from '../../platform/clock.ts';
import type { IdSpeller } from '../../platform/ids.ts';
import type { Freshness } from '../../readside/freshness.ts';

/** Whatever runs the queries of projections: the read pool. */
export type Db = Parameters<typeof findAccount>[0];

/** The dialect's part of the configuration. Limits of 0 are off. */
export interface ChatApiConfig {
  /** `BACKEND_CORS_ORIGINS`: pages that may call with credentials. */
  readonly corsOrigins: readonly string[];
  /** Life of a scoped key from its issue, milliseconds; 0: without end. */
  readonly scopedKeyLifeMs: number;
  /** Registrations of clients per address, and logins of users per client, an hour. */
  readonly authPerHour: number;
  /** Requests of a key to `/messages*`, an hour. */
  readonly messagesPerHour: number;
  /** Requests of a key to `/notifications*`, an hour. */
  readonly notificationsPerHour: number;
  /** `max_members` of a room made without one. */
  readonly maxMembers: number;
  /** Characters of a message's content, as code points. */
  readonly maxContentCharacters: number;
  /** Sockets that a client may have open, in all processes. */
  readonly maxConnections: number;
  /** Frames that a socket may send, a minute. */
  readonly framesPerMinute: number;
  /** `SMTP_ALLOWED_PORTS`: of mail servers that a client names. */
  readonly smtpPorts: readonly number[];
  /** When a room without messages counts as inactive, by kind. */
  readonly inactiveAfterMs: Inactivity['inactiveAfterMs'];
}

/** What the dialect needs. */
export interface ChatApiOptions {
  readonly clients: ClientCommands;
  readonly people: ChatAccountCommands;
  readonly rooms: RoomCommands;
  readonly messages: MessageCommands;
  readonly notifications: NotificationCommands;
  readonly webhooks: WebhookCommands;
  readonly webhookTests: WebhookTestDoor;
  readonly emailProviders: EmailProviderCommands;
  readonly email: EmailProviderDoor;
  readonly limiter: RateLimiter;
  readonly db: Db;
  readonly freshness: Pick<Freshness, 'waitFor' | 'parsePosition'>;
  readonly speller: IdSpeller;
  readonly clock: Clock;
  readonly config: ChatApiConfig;
  /** Who has a socket, in any process. */
  readonly presence: Presence;
  /** Null in a process that serves no sockets. */
  readonly gateway: Pick<Gateway, 'sockets' | 'fresh' | 'ephemeral'> | null;
  /** False in a process that serves sockets alone. */
  readonly servesRequests: boolean;
}
