import { type EventData, type EventType, notificationPriorities } from '../../schemas/index.ts';
import type { RecordedEvent } from '../projection.ts';

type Accepted = EventData<'NotificationAccepted'>;

/** Where a notification stands. */
export type NotificationStatus = EventData<'NotificationErased'>['status'];

/** One attempt, as events have it. */
export type NotificationAttempt = EventData<'NotificationSent'>['attempts'][number];

/** The events that rows are made from. */
export type NotificationEvent = RecordedEvent & { readonly type: Extract<EventType, `Notification${string}`> };

/** A row of `notifications`. Times are milliseconds since the epoch. */
export interface NotificationRow {
  readonly notification: string;
  readonly workspace: number;
  readonly room: number | null;
  readonly type: Accepted['type'];
  readonly status: NotificationStatus;
  readonly priority: Accepted['priority'];
  readonly urgency: number;
  readonly leaves_by: EventData<'NotificationSent'>['fallback'];
  readonly due: number | null;
  readonly shown_position: string | null;
  readonly shown_at: number | null;
  readonly created_at: number;
  readonly updated_at: number;
  readonly sent_at: number | null;
  readonly scheduled_for: number | null;
  readonly used: number;
  readonly max_retries: number;
  readonly erased: boolean;
  readonly subject: string | null;
  readonly content: string | null;
  readonly email: Accepted['email'];
  readonly fallback: Accepted['fallback'];
  readonly recipients: readonly string[] | null;
  readonly provider_type: string | null;
  readonly meta: Readonly<Record<string, unknown>> | null;
  readonly error: string | null;
  readonly attempts: readonly NotificationAttempt[] | null;
}

/** The row after an event, by the domain's rules; null when it stays as it is. A tombstone never changes. */
export function evolve(row: NotificationRow | null, event: NotificationEvent): NotificationRow | null {
  if (row?.erased) return null;
  if (event.type === 'NotificationErased') return tombstone(event.data);
  if (event.type === 'NotificationAccepted') return row ? null : accepted(event.data, event.at);
  // Without a row its beginning was blanked before it was read: its event "erased" makes the row.
  if (!row) return null;
  const next = { ...row, updated_at: event.at };
  switch (event.type) {
    case 'NotificationChanged':
      return changed(next, event.data);
    case 'NotificationStarted':
      return { ...next, status: 'processing', due: event.at };
    case 'NotificationShown':
      return { ...next, shown_position: String(event.position), shown_at: event.at };
    case 'NotificationSent':
      return { ...afterRound(next, event.data), status: 'sent', due: null, sent_at: event.data.sentAt, error: null };
    case 'NotificationDeferred': {
      const { retryAt, used, error } = event.data;
      return { ...afterRound(next, event.data), status: 'retrying', due: retryAt, used, error };
    }
    case 'NotificationFailed': {
      const { used, error } = event.data;
      return { ...afterRound(next, event.data), status: 'failed', due: null, used, error };
    }
    case 'NotificationCancelled':
      return { ...next, status: 'cancelled', due: null, error: event.data.error ?? null };
    case 'NotificationRetried':
      return { ...next, status: 'pending', due: event.at, used: 0, scheduled_for: null, leaves_by: null, error: null };
  }
}

function urgencyOf(priority: NotificationRow['priority']): number {
  return notificationPriorities.indexOf(priority);
}

function accepted(data: Accepted, at: number): NotificationRow {
  return {
    notification: data.notification,
    workspace: data.workspace,
    room: data.room,
    type: data.type,
    status: 'pending',
    priority: data.priority,
    urgency: urgencyOf(data.priority),
    leaves_by: null,
    due: data.scheduledFor ?? at,
    shown_position: null,
    shown_at: null,
    created_at: at,
    updated_at: at,
    sent_at: null,
    scheduled_for: data.scheduledFor,
    used: 0,
    max_retries: data.maxRetries,
    erased: false,
    subject: data.subject,
    content: data.content,
    email: data.email,
    fallback: data.fallback,
    recipients: data.recipients,
    provider_type: data.provider?.type ?? null,
    meta: data.meta,
    error: null,
    attempts: [],
  };
}

function changed(row: NotificationRow, data: EventData<'NotificationChanged'>): NotificationRow {
  const { subject = row.subject, content = row.content, email = row.email, fallback = row.fallback } = data;
  const { recipients = row.recipients, priority = row.priority, scheduledFor = row.scheduled_for } = data;
  const { maxRetries = row.max_retries, meta = row.meta, provider } = data;
  return {
    ...row,
    subject,
    content,
    email,
    fallback,
    recipients,
    priority,
    urgency: urgencyOf(priority),
    scheduled_for: scheduledFor,
    due: scheduledFor ?? row.created_at,
    max_retries: maxRetries,
    meta,
    provider_type: provider === undefined ? row.provider_type : (provider?.type ?? null),
  };
}

function afterRound(
  row: NotificationRow,
  { attempts, fallback }: Pick<EventData<'NotificationSent'>, 'attempts' | 'fallback'>,
): NotificationRow {
  return { ...row, attempts: [...(row.attempts ?? []), ...attempts], leaves_by: fallback ?? row.leaves_by };
}

/** What stays of an erased notification: what roll-ups need, as its event "erased" says it, whatever the row said. */
function tombstone(data: EventData<'NotificationErased'>): NotificationRow {
  return {
    notification: data.notification,
    workspace: data.workspace,
    room: data.room,
    type: data.type,
    status: data.status,
    priority: data.priority,
    urgency: urgencyOf(data.priority),
    leaves_by: data.fallback,
    due: null,
    shown_position: null,
    shown_at: null,
    created_at: data.createdAt,
    updated_at: data.createdAt,
    sent_at: null,
    scheduled_for: null,
    used: 0,
    max_retries: 0,
    erased: true,
    subject: null,
    content: null,
    email: null,
    fallback: null,
    recipients: null,
    provider_type: null,
    meta: null,
    error: null,
    attempts: null,
  };
}
