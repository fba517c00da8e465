/** What the fields of a notification say to the commands (sheet, section 10). */
import {
  emailAddressPattern,
  type NotificationChanges,
  type NotificationInput,
  type NotificationState,
  type OneOffProvider,
} from '../../commands/index.ts';
import { type FieldProblem, invalid } from './errors.ts';
import type { NotificationFields } from './notification-wire.ts';

const defaultMaxRetries = 3;

type Content = Omit<NotificationInput, 'type' | 'room' | 'content'>;

/** What the fields of a new notification say. */
export function contentOf(body: NotificationFields): Content {
  return {
    subject: body.subject ?? null,
    ...mailsOf(body, null),
    recipients: body.recipients ?? [],
    priority: body.priority ?? 'normal',
    scheduledFor: timeOf(body.scheduled_for) ?? null,
    provider: body.provider_config ? providerOf(body.provider_config) : null,
    maxRetries: body.max_retry_attempts ?? defaultMaxRetries,
    meta: body.meta ?? null,
  };
}

/** What the fields given change. Throws 422 for a provider by which nobody would send. */
export function changesOf(body: NotificationFields, state: NotificationState): NotificationChanges {
  const { subject, content, recipients, priority, max_retry_attempts: maxRetries, meta, provider_config } = body;
  const mails = mailsOf(body, state);
  const provider = provider_config && providerOf(provider_config);
  const problems = senderProblems(state.type, mails, provider);
  if (problems.length > 0) throw invalid(...problems);
  return {
    ...(subject !== undefined && { subject }),
    ...(content !== undefined && { content }),
    ...(mails.email !== state.email && { email: mails.email }),
    ...(mails.fallback !== state.fallback && { fallback: mails.fallback }),
    ...(recipients != null && { recipients }),
    ...(priority !== undefined && { priority }),
    ...(body.scheduled_for !== undefined && { scheduledFor: timeOf(body.scheduled_for) ?? null }),
    ...(maxRetries !== undefined && { maxRetries }),
    ...(meta !== undefined && { meta }),
    ...(provider !== undefined && { provider }),
  };
}

type Mails = Pick<NotificationInput, 'email' | 'fallback'>;
type FallbackFields = NonNullable<NotificationFields['email_fallback']>;

/** The mails that the fields describe; what is not given stays as it was. */
function mailsOf(body: NotificationFields, before: Mails | null): Mails {
  const known = before?.email;
  const { to_email: to = known?.to, from_email: from = known?.from, reply_to: replyTo = known?.replyTo } = body;
  const { cc = known?.cc, bcc = known?.bcc, email_fallback: given } = body;
  const named = [body.to_email, body.from_email, body.reply_to, body.cc, body.bcc].some((each) => each !== undefined);
  const email = to ? { to, from: from ?? null, replyTo: replyTo ?? null, cc: cc ?? [], bcc: bcc ?? [] } : null;
  return {
    email: named || before === null ? email : before.email,
    fallback: given === undefined ? (before?.fallback ?? null) : given && fallbackOf(given, body.from_email ?? null),
  };
}

function fallbackOf(given: FallbackFields, from: string | null): NonNullable<NotificationInput['fallback']> {
  return {
    enabled: given.enabled ?? true,
    to: given.to_email,
    subject: given.subject ?? null,
    content: given.content ?? null,
    from: given.from_email ?? from,
    replyTo: given.reply_to ?? null,
    cc: given.cc ?? [],
    bcc: given.bcc ?? [],
  };
}

/** The provider of one notification, and who sends by it unless the notification says. */
function providerOf(given: NonNullable<NotificationFields['provider_config']>): OneOffProvider {
  const { default_from_email: named, ...config } = given;
  const user = config.provider_type === 'smtp' && emailAddressPattern.test(config.username) ? config.username : null;
  return { config, from: named ?? user };
}

/** What is wrong where nobody is named as who sends by a provider of one notification. */
export function senderProblems(
  type: NotificationInput['type'],
  { email, fallback }: Mails,
  provider: OneOffProvider | null | undefined,
): readonly FieldProblem[] {
  const sender = type === 'email' ? email?.from : fallback?.from;
  if (!provider || provider.from !== null || sender != null) return [];
  return [{ field: 'from_email', message: 'Required with a provider_config that names no default_from_email' }];
}

/** Milliseconds of a time; without a zone it is UTC. */
function timeOf(text: string | null | undefined): number | null | undefined {
  if (text === null || text === undefined) return text;
  return Date.parse(/(?:[Zz]|[+-]\d{2}:?\d{2})$/.test(text) ? text : `${text}Z`);
}
