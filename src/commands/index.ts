/**
 * The one door for writes: authorise, load, decide, append, again on conflict (design section 2).
 *
 * Promises: a command that returns is durable; one that throws a DomainError other than `unavailable` wrote nothing;
 * `unavailable` leaves it open, and the same idempotency key later finds out. States are cached and kept true by this
 * node's appends and by its tail of the log; when that has been silent for a second, the log is asked.
 * Limits: caches are bounded, so is what waits for the log. Dialects and delivery come in here; nothing else writes.
 */

export type { AccountState, Tier } from '../domain/account.ts';
export { isLongerThan, type Problem, problemsIn, problemsOf } from '../domain/checks.ts';
export type { ConnectorState } from '../domain/connector.ts';
export type { DispatchState, DispatchStatus } from '../domain/dispatch.ts';
export { DomainError, type ErrorCode, errorCatalogue } from '../domain/errors.ts';
export { type Member, mayManage, memberOf } from '../domain/membership.ts';
export { canSee, judgePost, type MessageBody, type MessageState } from '../domain/message.ts';
export {
  checkNotification,
  defaultNotificationSchedule,
  dueAt,
  type FallbackReason,
  mailOf,
  type NotificationContent,
  type NotificationSchedule,
  type NotificationState,
  type NotificationStatus,
  type NotificationType,
  notificationLimits,
  type Round,
} from '../domain/notification.ts';
export type { Profile, ProfileChanges } from '../domain/profile.ts';
export { autoInactiveSince, defaultInactiveAfterMs, type InactiveAfterMs, type RoomState } from '../domain/room.ts';
export type { TemplateState } from '../domain/template.ts';
export { afterAttempt, type Failures, maxFailures, type WebhookState, webhookLimits } from '../domain/webhook.ts';
export type { WorkspaceState } from '../domain/workspace.ts';
export { AccountCommands, type OpenedAccount, type OpenSession } from './accounts.ts';
export { type HighestId, IdAllocator, type IdKind, idKinds } from './allocator.ts';
export {
  type AuthenticatedSession,
  type AuthenticatedUser,
  ChatAccountCommands,
  type CreatedUser,
  type UserChanges,
  type UserInput,
} from './chat-accounts.ts';
export { type AuthenticatedMaster, ClientCommands, type IssuedMasterKey } from './clients.ts';
export { type DispatchRecord, DispatchRecords, type KnownDispatch } from './dispatch-records.ts';
export { type AcceptedSend, DispatchCommands, type SendRequest, type SendResult } from './dispatches.ts';
export { type Actor, ClaimTakenError, CommandDoor } from './door.ts';
export { type ChangedProviders, EmailProviderCommands } from './email-provider-commands.ts';
export * from './email-providers.ts';
export {
  type ErasedDispatch,
  type ErasedEvent,
  type ErasedMessage,
  ErasureCommands,
  erasedMessageOf,
  erasedStreams,
  maxErasedDispatches,
  maxErasedMessages,
  messagesErased,
} from './erasures.ts';
export { FileCommands, type ImageKind, type ImageName, imageKindOf, imageTypes, type StoredFile } from './files.ts';
export { Idempotency, type Keyed } from './idempotency.ts';
export { type RateLimit, RateLimiter, type RateTaken } from './limits.ts';
export { type KnownMessage, MessageCommands, type PostedMessage, type PostInput } from './messages.ts';
export { commandMigrations } from './migrations.ts';
export {
  type AcceptedNotification,
  type NotificationChanges,
  NotificationCommands,
  type NotificationInput,
  type OneOffProvider,
} from './notifications.ts';
export * from './providers.ts';
export { type MonthCount, Quota } from './quota.ts';
export {
  type ChangedRoom,
  type CreatedRoom,
  type LeaveOptions,
  type MemberChanges,
  type NewMember,
  type RoomChanges,
  RoomCommands,
  type RoomInput,
} from './rooms.ts';
export { ACCOUNTS_WORKSPACE, MAIN_WORKSPACE, SERVICE_ACCOUNT, streams } from './streams.ts';
export {
  type AttemptsRecord,
  type CreatedWebhook,
  type CreateWebhookOptions,
  type ReplayInput,
  type WebhookChanges,
  WebhookCommands,
  type WebhookInput,
  webhookProblems,
} from './webhooks.ts';
export { type AuthenticatedKey, type Changed, type IssuedKey, WorkspaceCommands } from './workspaces.ts';
