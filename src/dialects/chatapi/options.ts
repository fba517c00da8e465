import type { findAccount } from '../../../projections/accounts/queries.ts';
import type { Inactivity } from '../../../projections/rooms/queries.ts';
import type {
  ChatAccountCommands,
  ClientCommands,
  MessageCommands,
  RateLimiter,
  RoomCommands,
} from '../../commands/index.ts';
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
  /** `max_members` of a room made without one. */
  readonly maxMembers: number;
  /** UTF-16 units of a message's content. */
  readonly maxContentUnits: number;
  /** When a room without messages counts as inactive, by kind. */
  readonly inactiveAfterMs: Inactivity['inactiveAfterMs'];
}

/** What the dialect needs. */
export interface ChatApiOptions {
  readonly clients: ClientCommands;
  readonly people: ChatAccountCommands;
  readonly rooms: RoomCommands;
  readonly messages: MessageCommands;
  readonly limiter: RateLimiter;
  readonly db: Db;
  readonly freshness: Pick<Freshness, 'waitFor' | 'parsePosition'>;
  readonly speller: IdSpeller;
  readonly clock: Clock;
  readonly config: ChatApiConfig;
}
