import { type EventData, event } from '../../schemas/index.ts';
import type { Aggregate } from './aggregate.ts';
import { given } from './changes.ts';
import { checkAll, isLongerThan } from './checks.ts';
import { DomainError } from './errors.ts';

/** How a notification is meant to leave. */
export type NotificationType = EventData<'NotificationAccepted'>['type'];

/** Where it stands (ChatAPI sheet, section 10). */
export type NotificationStatus = EventData<'NotificationErased'>['status'];

/** Why a notification for a room left by e-mail. */
export type FallbackReason = NonNullable<EventData<'NotificationSent'>['fallback']>;

/** What of a notification may be changed until it is begun. */
export type NotificationContent = Omit<
  EventData<'NotificationAccepted'>,
  'workspace' | 'notification' | 'room' | 'type'
>;

/** What is known of a notification: a dispatch that leaves by e-mail, to a room, or to URLs. */
export interface NotificationState extends NotificationContent {
  readonly status: NotificationStatus | 'none';
  readonly workspace: number;
  readonly notification: string;
  readonly room: number | null;
  readonly type: NotificationType;
  /** Attempts made in all. */
  readonly attempts: number;
  /** Rounds used up since it was accepted or a retry was asked for. */
  readonly used: number;
  /** Addresses or URLs that are still to be reached; null before the first round ended. */
  readonly open: readonly string[] | null;
  /** Set once it leaves by e-mail instead. */
  readonly leavesBy: FallbackReason | null;
  /** When the next round was put off to, null when none was. */
  readonly retryAt: number | null;
  /** Why it failed, or, while it is retried, why the latest round did. */
  readonly error: string | null;
  readonly acceptedAt: number;
  readonly changedAt: number;
  readonly sentAt: number | null;
  /** When it was accepted, or a retry was asked for. */
  readonly since: number;
}

/** When rounds of attempts are made (ChatAPI sheet, section 10). Times in milliseconds. */
export interface NotificationSchedule {
  /** The wait before each round after the first; beyond the last entry that one again. */
  readonly retryDelaysMs: readonly number[];
  /** Longest wait that a provider may ask for. */
  readonly maxThrottleMs: number;
  /** For how long it is tried, counted from when it was due, while providers ask to slow down. */
  readonly maxAgeMs: number;
}

/** The sheet's figures. */
export const defaultNotificationSchedule: NotificationSchedule = {
  retryDelaysMs: [30_000, 120_000, 300_000],
  maxThrottleMs: 900_000,
  maxAgeMs: 86_400_000,
};

/** How a round ended. */
export interface Round {
  readonly attempts: readonly Omit<EventData<'NotificationSent'>['attempts'][number], 'number'>[];
  readonly fallback: FallbackReason | null;
  /** It is shown in its room. */
  readonly shown: boolean;
  /** Addresses or URLs that did not take it. */
  readonly open: readonly string[];
  /** Why not all is done; null when it is. */
  readonly error: string | null;
  /** `again`: it may end better later. `later`: a provider asks to slow down, which uses up no round. */
  readonly next: 'again' | 'later' | 'never';
  /** How long a provider asks to wait; null when none does. */
  readonly retryAfterMs: number | null;
}

/** Commands of a notification. Times are milliseconds since the epoch. */
export type NotificationCommand =
  | ({ readonly command: 'AcceptNotification'; readonly now: number } & EventData<'NotificationAccepted'>)
  | ({ readonly command: 'ChangeNotification'; readonly now: number } & Omit<
      EventData<'NotificationChanged'>,
      keyof Ref
    >)
  /** Takes it up; nothing to do when it is taken up already. */
  | { readonly command: 'StartNotification'; readonly now: number }
  | {
      readonly command: 'RecordRound';
      /** Attempts made before the round: what is recorded twice is told by it. */
      readonly before: number;
      readonly round: Round;
      readonly now: number;
      readonly schedule: NotificationSchedule;
    }
  | { readonly command: 'CancelNotification' }
  /** Ends what is not over, whatever it waits for: cancelled when it was not begun, else failed. */
  | { readonly command: 'StopNotification'; readonly error: string }
  | { readonly command: 'RetryNotification' };

type Ref = { readonly workspace: number; readonly notification: string; readonly room: number | null };

/** Limits of one notification. */
export const notificationLimits = {
  /** Characters of a subject (ChatAPI sheet, section 10). */
  subjectCharacters: 255,
  /** Addresses of one mail: To, Cc and Bcc together. */
  addresses: 1_000,
  /** URLs. */
  recipients: 50,
  /** Of all addresses or URLs together: an event names them twice. */
  targetCharacters: 32_768,
} as const;

/** The rules of notifications (ChatAPI sheet, section 10). */
export const notification: Aggregate<NotificationState, NotificationCommand> = {
  initial: {
    status: 'none',
    workspace: 0,
    notification: '',
    room: null,
    type: 'email',
    subject: null,
    content: '',
    email: null,
    fallback: null,
    recipients: [],
    priority: 'normal',
    scheduledFor: null,
    provider: null,
    maxRetries: 0,
    meta: null,
    attempts: 0,
    used: 0,
    open: null,
    leavesBy: null,
    retryAt: null,
    error: null,
    acceptedAt: 0,
    changedAt: 0,
    sentAt: null,
    since: 0,
  },

  decide(state, command) {
    if (command.command === 'AcceptNotification') {
      if (state.status !== 'none') throw new DomainError('already-exists');
      const { command: _, now, ...data } = command;
      const { type, room, scheduledFor } = data;
      checkAll(
        () => checkNotification(data, type, room),
        () => checkTime(scheduledFor, now),
      );
      return [event('NotificationAccepted', data)];
    }
    if (state.status === 'none') throw new DomainError('not-found');
    const { status } = state;
    const ref: Ref = { workspace: state.workspace, notification: state.notification, room: state.room };
    switch (command.command) {
      case 'ChangeNotification': {
        const { command: _, now, ...changes } = command;
        if (status !== 'pending') throw wrongState(status, 'changed while it is pending');
        const wanted = given(changes);
        if (Object.keys(wanted).length === 0) return [];
        checkAll(
          () => checkNotification({ ...state, ...wanted }, state.type, state.room),
          () => checkTime(wanted.scheduledFor ?? null, now),
        );
        return [event('NotificationChanged', { ...ref, ...wanted })];
      }
      case 'StartNotification':
        if (dueAt(state) === null || (dueAt(state) as number) > command.now)
          throw wrongState(status, 'sent when it is due');
        return status === 'pending' ? [event('NotificationStarted', ref)] : [];
      case 'RecordRound':
        return decideRound(state, ref, command);
      case 'CancelNotification':
        if (status !== 'pending') throw wrongState(status, 'cancelled while it is pending');
        return [event('NotificationCancelled', ref)];
      case 'StopNotification':
        return decideStop(state, ref, command.error);
      case 'RetryNotification':
        if (status !== 'failed') throw wrongState(status, 'retried when it failed');
        return [event('NotificationRetried', ref)];
    }
  },

  evolve(before, happened) {
    const state = { ...before, changedAt: happened.at };
    switch (happened.type) {
      case 'NotificationAccepted':
        return { ...state, ...happened.data, status: 'pending', acceptedAt: happened.at, since: happened.at };
      case 'NotificationChanged':
        return { ...state, ...given(happened.data) };
      case 'NotificationStarted':
        return { ...state, status: 'processing' };
      case 'NotificationSent': {
        const { sentAt } = happened.data;
        const done = { ...afterRound(state, happened.data), open: [], retryAt: null, error: null, sentAt };
        return { ...done, status: 'sent' };
      }
      case 'NotificationDeferred': {
        const { open, used, retryAt, error } = happened.data;
        return { ...afterRound(state, happened.data), status: 'retrying', open, used, retryAt, error };
      }
      case 'NotificationFailed': {
        const { open, used, error } = happened.data;
        return { ...afterRound(state, happened.data), status: 'failed', open, used, retryAt: null, error };
      }
      case 'NotificationCancelled':
        return { ...state, status: 'cancelled', error: happened.data.error ?? null };
      case 'NotificationRetried': {
        const anew = { used: 0, scheduledFor: null, leavesBy: null, error: null, since: happened.at };
        return { ...state, ...anew, status: 'pending' };
      }
      default:
        return before;
    }
  },
};

/** When it may be taken up, milliseconds since the epoch; null when it is over. */
export function dueAt(state: NotificationState): number | null {
  switch (state.status) {
    case 'pending':
      return state.scheduledFor ?? state.since;
    case 'processing':
      return state.since;
    case 'retrying':
      return state.retryAt;
    default:
      return null;
  }
}

function decideRound(
  state: NotificationState,
  ref: Ref,
  { before, round, now, schedule }: Extract<NotificationCommand, { command: 'RecordRound' }>,
) {
  // Recorded again by who was not told that it stands, or by who lost its lease meanwhile.
  const isRepeat = state.attempts !== before || dueAt(state) === null || (dueAt(state) as number) > now;
  if (isRepeat || state.status === 'pending') return [];
  const { fallback, error } = round;
  const attempts = round.attempts.map((attempt, i) => ({ number: before + i + 1, ...attempt }));
  const open = [...round.open];
  const shown = round.shown && state.room !== null ? [shownIn(state, state.room)] : [];
  const { type } = state;
  const ending = { ...ref, attempts, fallback, type, attemptCount: before + attempts.length };
  if (error === null)
    return [...shown, event('NotificationSent', { ...ending, recipients: targets(state, fallback), sentAt: now })];
  const used = round.next === 'later' ? state.used : state.used + 1;
  const retryAt = retryTime(state, round, used, now, schedule);
  if (retryAt !== null)
    return [event('NotificationDeferred', { ...ref, attempts, fallback, open, used, retryAt, error })];
  return [event('NotificationFailed', { ...ending, recipients: targets(state, fallback), open, used, error })];
}

function decideStop(state: NotificationState, ref: Ref, error: string) {
  if (state.status === 'pending') return [event('NotificationCancelled', { ...ref, error })];
  if (dueAt(state) === null) return [];
  const { type, used, leavesBy, attempts: attemptCount } = state;
  const recipients = targets(state, leavesBy);
  const ending = { ...ref, attempts: [], fallback: null, type, attemptCount, recipients };
  return [event('NotificationFailed', { ...ending, open: [...(state.open ?? recipients)], used, error })];
}

/** When the next round is made; null when there is none. */
function retryTime(state: NotificationState, round: Round, used: number, now: number, schedule: NotificationSchedule) {
  if (round.next === 'never') return null;
  const waitMs = Math.max(
    delayMs(schedule, Math.max(1, used)),
    Math.min(round.retryAfterMs ?? 0, schedule.maxThrottleMs),
  );
  const at = Math.round(now + waitMs);
  if (round.next === 'later') return at - (state.scheduledFor ?? state.since) < schedule.maxAgeMs ? at : null;
  return used > state.maxRetries ? null : at;
}

/** The wait after `used` rounds. */
function delayMs({ retryDelaysMs }: NotificationSchedule, used: number): number {
  return retryDelaysMs[Math.min(used, retryDelaysMs.length) - 1] ?? 0;
}

/** Whom it was for, as those are told who hear of its end. */
function targets(state: NotificationState, fallback: FallbackReason | null): string[] {
  if (state.type === 'webhook') return [...state.recipients];
  const mail = mailOf(state);
  return (state.type === 'email' || fallback !== null || state.room === null) && mail
    ? [...mail.to, ...mail.cc, ...mail.bcc]
    : [];
}

/** The mail that it leaves as, when it leaves by e-mail; null where there is none. */
export function mailOf(state: NotificationContent & { readonly type: NotificationType }) {
  if (state.type === 'email') return state.email && { ...state.email, subject: state.subject, content: state.content };
  const { fallback } = state;
  if (!fallback?.enabled) return null;
  return { ...fallback, subject: fallback.subject ?? state.subject, content: fallback.content ?? state.content };
}

function shownIn({ workspace, notification: id, subject, content, priority, meta }: NotificationState, room: number) {
  return event('NotificationShown', { workspace, notification: id, room, subject, content, priority, meta });
}

function afterRound(
  state: NotificationState,
  { attempts, fallback }: Pick<Round, 'attempts' | 'fallback'>,
): NotificationState {
  return { ...state, attempts: state.attempts + attempts.length, leavesBy: fallback ?? state.leavesBy };
}

function wrongState(status: NotificationStatus, allowed: string): DomainError {
  return new DomainError('wrong-state', `The notification is ${status}: it can only be ${allowed}`, {
    details: { status },
  });
}

/** A value that is refused: `details` name the field, the text tells why. */
function invalid(field: string, message: string): DomainError {
  return new DomainError('value-invalid', message, { details: { field } });
}

function checkTime(scheduledFor: number | null, now: number): void {
  if (scheduledFor !== null && scheduledFor <= now) throw invalid('scheduled_for', 'must be in the future');
}

/** Judges what a notification is made of, but its time. Throws DomainError `value-invalid` for all that is wrong. */
export function checkNotification(
  content: Omit<NotificationContent, 'provider'>,
  type: NotificationType,
  room: number | null,
): void {
  const { subject, email, fallback, recipients } = content;
  const checks: Readonly<Record<NotificationType, readonly (() => void)[]>> = {
    email: [
      () => {
        if (subject === null || subject.trim() === '') throw invalid('subject', 'required for an email notification');
      },
      () => {
        if (email === null) throw invalid('to_email', 'required for an email notification');
        checkMail('to_email', email);
      },
    ],
    websocket: [() => checkReach(room, fallback, subject)],
    webhook: [() => checkRecipients(recipients)],
  };
  checkAll(
    () => {
      if (content.content.trim() === '') throw invalid('content', 'Content cannot be empty');
    },
    () => checkSubject('subject', subject),
    ...checks[type],
  );
}

function checkReach(room: number | null, fallback: NotificationContent['fallback'], subject: string | null): void {
  if (room === null && !fallback?.enabled) throw invalid('room_id', 'room_id or email_fallback is required');
  if (fallback === null) return;
  checkAll(
    () => checkMail('email_fallback.to_email', fallback),
    () => checkSubject('email_fallback.subject', fallback.subject),
    () => {
      if (fallback.enabled && (fallback.subject ?? subject ?? '').trim() === '')
        throw invalid('email_fallback.subject', 'an email needs a subject: here or on the notification');
    },
  );
}

function checkRecipients(recipients: readonly string[]): void {
  if (recipients.length === 0) throw invalid('recipients', 'required for a webhook notification');
  if (recipients.length > notificationLimits.recipients)
    throw invalid('recipients', `more than ${notificationLimits.recipients}`);
  checkLength('recipients', recipients);
  if (new Set(recipients).size < recipients.length) throw invalid('recipients', 'a URL is named twice');
}

function checkMail(field: string, { to, cc, bcc }: { to: string[]; cc: string[]; bcc: string[] }): void {
  if (to.length === 0) throw invalid(field, 'at least one address is needed');
  if (to.length + cc.length + bcc.length > notificationLimits.addresses)
    throw invalid(field, `more than ${notificationLimits.addresses} addresses`);
  checkLength(field, [...to, ...cc, ...bcc]);
}

function checkLength(field: string, targets: readonly string[]): void {
  const { targetCharacters } = notificationLimits;
  if (targets.reduce((sum, target) => sum + target.length, 0) > targetCharacters)
    throw invalid(field, `longer than ${targetCharacters} characters together`);
}

function checkSubject(field: string, subject: string | null): void {
  if (subject !== null && isLongerThan(subject, notificationLimits.subjectCharacters))
    throw invalid(field, `longer than ${notificationLimits.subjectCharacters} characters`);
}
