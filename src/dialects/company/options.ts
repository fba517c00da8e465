import type { findAccount } from '../../../projections/accounts/queries.ts';
import type { MailDoor } from '../../commands/email-providers.ts';
import type { ChatAccountCommands, FileCommands, MessageCommands, RoomCommands } from '../../commands/index.ts';
import type { Gateway } from '../../gateway/index.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Freshness } from '../../readside/freshness.ts';

/** Whatever runs the queries of projections: the read pool. */
export type Db = Parameters<typeof findAccount>[0];

/** The dialect's part of the configuration. */
export interface CompanyConfig {
  /** The one workspace that it speaks for. */
  readonly workspace: number;
  readonly jwtSecret: string;
  /** Life of a token, milliseconds. */
  readonly tokenLifeMs: number;
  /** `COMPANY_OPEN_USERS`: the list of users and the change of a password need no token. */
  readonly openUsers: boolean;
  /** `COMPANY_UPLOAD_LIMIT_BYTES`: the largest image. */
  readonly uploadLimitBytes: number;
  /** `ALLOWED_ORIGINS`. */
  readonly allowedOrigins: readonly string[];
  readonly production: boolean;
}

/** What the dialect needs. */
export interface CompanyOptions {
  readonly people: ChatAccountCommands;
  readonly files: FileCommands;
  readonly rooms: RoomCommands;
  readonly messages: MessageCommands;
  readonly db: Db;
  readonly freshness: Pick<Freshness, 'waitFor' | 'parsePosition'>;
  readonly clock: Clock;
  readonly config: CompanyConfig;
  /** Sends generated passwords; null: they are told in the answer alone. */
  readonly mail: MailDoor | null;
  /** Null in a process that serves no sockets. */
  readonly gateway: Pick<Gateway, 'sockets' | 'fresh'> | null;
  /** False in a process that serves sockets alone. */
  readonly servesRequests: boolean;
}
