/** What goes over the wire of e-mail providers, notifications and webhooks; see `public-shapes.d.ts`. */
import type { Meta, Moment, Range, SortedQuery, Tombstone } from './public-shapes.d.ts';

// E-mail providers.

/** A service that mails are sent by, with its credentials. */
export type EmailProviderConfig =
  | {
      provider_type: 'smtp';
      host: string;
      username: string;
      password: string;
      /** Default 587. */
      port?: number | undefined;
      /** Default true. */
      use_tls?: boolean | undefined;
      use_ssl?: boolean | undefined;
    }
  | { provider_type: 'mailgun'; api_key: string; domain: string; base_url?: string | undefined }
  | { provider_type: 'sendgrid'; api_key: string }
  | { provider_type: 'postmark'; server_token: string }
  | {
      provider_type: 'ses';
      aws_access_key_id: string;
      aws_secret_access_key: string;
      /** Default `us-east-1`. */
      region?: string | undefined;
    };

export type EmailProviderType = EmailProviderConfig['provider_type'];

export interface EmailProvider {
  provider_config: EmailProviderConfig;
  /** For mails to one address. Default false. */
  is_primary?: boolean | undefined;
  /** For mails to several. Default true. */
  is_bulk?: boolean | undefined;
  default_from_email: string;
  default_from_name?: string | null | undefined;
  /** Of one mail. Default 100. */
  max_recipients?: number | undefined;
  /** Default 10. */
  rate_limit_per_second?: number | undefined;
}

/** A provider without its secrets. */
export interface EmailProviderShown {
  provider_type: EmailProviderType;
  is_primary: boolean;
  is_bulk: boolean;
  max_recipients: number;
  rate_limit_per_second: number;
  from_email: string;
  from_name: string | null;
  host?: string;
  port?: number;
}

export interface EmailProviders {
  provider_configs: EmailProviderShown[];
  total_count: number;
}

export interface EmailProvidersStored {
  message: string;
  provider_count: number;
}

export interface EmailValidation {
  validation_results: Partial<
    Record<EmailProviderType, { valid: true; provider: string } | { valid: false; error: string }>
  >;
  all_valid: boolean;
}

// Notifications.

export type NotificationType = 'email' | 'websocket' | 'webhook';
export type NotificationStatus = 'pending' | 'processing' | 'retrying' | 'sent' | 'failed' | 'cancelled';
export type Priority = 'low' | 'normal' | 'high' | 'urgent';

/** For a notification to a room: what is mailed when nobody there is connected. */
export interface NewEmailFallback {
  /** Default true. */
  enabled?: boolean | undefined;
  to_email: string | string[];
  /** Default: the notification's. */
  subject?: string | null | undefined;
  /** Default: the notification's. */
  content?: string | null | undefined;
  from_email?: string | null | undefined;
  reply_to?: string | null | undefined;
  cc?: string[] | null | undefined;
  bcc?: string[] | null | undefined;
}

/** What can be changed while it is pending. */
export interface NotificationChanges {
  /** Required for email. */
  subject?: string | null | undefined;
  content?: string | undefined;
  /** Required for email. */
  to_email?: string | string[] | null | undefined;
  from_email?: string | null | undefined;
  reply_to?: string | null | undefined;
  cc?: string[] | null | undefined;
  bcc?: string[] | null | undefined;
  email_fallback?: NewEmailFallback | null | undefined;
  /** For webhook: URLs. */
  recipients?: string[] | null | undefined;
  /** Default `normal`. */
  priority?: Priority | undefined;
  /** In the future. */
  scheduled_for?: Moment | null | undefined;
  /** For this one notification, instead of the client's providers. */
  provider_config?: (EmailProviderConfig & { default_from_email?: string | null | undefined }) | null | undefined;
  /** 0 to 10, default 3. */
  max_retry_attempts?: number | undefined;
  meta?: Meta | null | undefined;
}

export interface NewNotification extends NotificationChanges {
  type: NotificationType;
  content: string;
  /** For websocket. */
  room_id?: string | null | undefined;
}

export interface MailShown {
  to_email: string | string[] | null;
  from_email: string | null;
  reply_to: string | null;
  cc: string[];
  bcc: string[];
}

export interface Notification extends MailShown {
  id: string;
  client_id: string;
  type: NotificationType;
  status: NotificationStatus;
  subject: string | null;
  content: string;
  room_id: string | null;
  email_fallback: (MailShown & { enabled: boolean; subject: string | null; content: string | null }) | null;
  recipients: string[] | null;
  priority: Priority;
  scheduled_for: string | null;
  provider_config: { provider_type: EmailProviderType } | null;
  max_retry_attempts: number;
  retry_count: number;
  /** `fallback_reason` where it left by its fallback. */
  meta: Meta | null;
  sent_at: string | null;
  error_message: string | null;
  created_at: string;
  updated_at: string;
}

export interface DeliveryAttempt {
  attempt_number: number;
  status: 'success' | 'failed';
  provider_name: string;
  provider_message_id: string | null;
  attempted_at: string;
  response_time_ms: number;
  error_message: string | null;
  /** The URL, of a webhook. */
  target: string | null;
}

export interface NotificationWithAttempts extends Notification {
  delivery_attempts: DeliveryAttempt[];
}

export interface NotificationQuery
  extends SortedQuery<'created_at' | 'updated_at' | 'scheduled_for' | 'sent_at' | 'priority' | 'status'>,
    Range {
  status?: NotificationStatus | undefined;
  type?: NotificationType | undefined;
  priority?: Priority | undefined;
  room_id?: string | undefined;
}

export interface NotificationAnalyticsQuery extends Range {
  type?: NotificationType | undefined;
  room_id?: string | undefined;
}

/** Rates are percent. */
export interface NotificationAnalytics {
  total_notifications: number;
  successful_deliveries: number;
  failed_deliveries: number;
  /** Of those that are over. */
  success_rate: number;
  by_status: Record<string, number>;
  by_type: Record<string, number>;
  by_channel: Record<string, { total: number; successful: number; failed: number; success_rate: number }>;
  /** Of all. */
  delivery_rate: number;
  /** Of those that used their e-mail fallback. */
  fallback_usage: number;
}

// Webhooks.

export type WebhookEvent =
  | 'message.created'
  | 'message.updated'
  | 'message.deleted'
  | 'message.restored'
  | 'room.created'
  | 'room.updated'
  | 'room.deleted'
  | 'room.joined'
  | 'room.left'
  | 'client.updated'
  | 'notification.sent'
  | 'notification.failed'
  | 'notification.delivered'
  | 'notification.read';

export interface NewWebhook {
  /** http or https, and public. */
  url: string;
  events: WebhookEvent[];
  /** Default: one is generated. */
  secret?: string | null | undefined;
  custom_headers?: Record<string, string> | null | undefined;
  /** Only events of these rooms, and those of none. */
  room_filters?: string[] | null | undefined;
  meta?: Meta | null | undefined;
}

export interface WebhookChanges {
  url?: string | undefined;
  events?: WebhookEvent[] | undefined;
  secret?: string | undefined;
  /** All of them; `********` keeps the value of one. */
  custom_headers?: Record<string, string> | null | undefined;
  room_filters?: string[] | null | undefined;
  meta?: Meta | null | undefined;
  is_active?: boolean | undefined;
}

export interface Webhook {
  id: string;
  client_id: string;
  url: string;
  events: WebhookEvent[];
  is_active: boolean;
  /** Their values read `********`. */
  custom_headers: Record<string, string>;
  room_filters: string[];
  meta: Meta | null;
  last_delivery_at: string | null;
  failure_count: number;
  created_at: string;
  updated_at: string;
}

export interface WebhookCreated extends Omit<Webhook, 'created_at' | 'updated_at'>, Tombstone {
  /** Null of one that was deleted since. */
  created_at: string | null;
  updated_at: string | null;
  /** Shown to this request and its repetitions, by their idempotency key, alone. */
  secret: string;
}

export interface WebhookQuery extends SortedQuery {
  is_active?: boolean | undefined;
  /** Those that ask for it. */
  event?: WebhookEvent | undefined;
}

export interface WebhookTested {
  success: boolean;
  status_code: number | null;
  error: string | null;
  response_time_ms: number;
}

export interface WebhookAnalytics {
  webhook_id: string;
  /** Attempts. */
  total_deliveries: number;
  successful_deliveries: number;
  failed_deliveries: number;
  /** Percent. */
  success_rate: number;
  dead_letters: number;
  failure_count: number;
  last_delivery_at: string | null;
}

/** A delivery that used up its attempts. */
export interface DeadLetter {
  delivery_id: string;
  event: string;
  position: string;
  attempts: number;
  status_code: number | null;
  error: string;
  last_attempt_at: string;
}

export interface Redriven {
  webhook_id: string;
  delivery_id: string;
}

/** What to post once more: everything after a position, or since a time; `until` ends it. */
export type ReplayRequest =
  | { from_position: string | number; until?: Moment | undefined }
  | { since: Moment; until?: Moment | undefined };

export interface ReplayAccepted {
  webhook_id: string;
  replay: number;
  from_position: string | null;
  since: string | null;
  until: string | null;
}
