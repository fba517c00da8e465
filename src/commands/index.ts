/**
 * The one door for writes: authorise, load, decide, append, again on conflict (design section 2).
 *
 * Promises: a command that returns is durable; one that throws a DomainError other than `unavailable` wrote nothing;
 * `unavailable` leaves it open, and the same idempotency key later finds out. States are cached and kept true by this
 * node's appends and by its tail of the log; when that has been silent for a second, the log is asked.
 * Limits: caches are bounded, so is what waits for the log. Dialects and delivery come in here; nothing else writes.
 */

export type { AccountState, Tier } from '../domain/account.ts';
export type { ConnectorState } from '../domain/connector.ts';
export type { DispatchState, DispatchStatus } from '../domain/dispatch.ts';
export { DomainError, type ErrorCode, errorCatalogue } from '../domain/errors.ts';
export type { TemplateState } from '../domain/template.ts';
export type { WorkspaceState } from '../domain/workspace.ts';
export { AccountCommands, type OpenedAccount, type OpenSession } from './accounts.ts';
export { type HighestId, IdAllocator, type IdKind, idKinds } from './allocator.ts';
export {
  type AcceptedSend,
  DispatchCommands,
  type DispatchRecord,
  type KnownDispatch,
  type SendRequest,
  type SendResult,
} from './dispatches.ts';
export { type Actor, ClaimTakenError, CommandDoor } from './door.ts';
export {
  type ErasedDispatch,
  type ErasedEvent,
  ErasureCommands,
  erasedStreams,
  maxErasedDispatches,
} from './erasures.ts';
export { type RateLimit, RateLimiter, type RateTaken } from './limits.ts';
export { commandMigrations } from './migrations.ts';
export * from './providers.ts';
export { type MonthCount, Quota } from './quota.ts';
export { ACCOUNTS_WORKSPACE, MAIN_WORKSPACE, SERVICE_ACCOUNT, streams } from './streams.ts';
export { type AuthenticatedKey, type Changed, type IssuedKey, WorkspaceCommands } from './workspaces.ts';
