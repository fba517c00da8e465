/**
 * What a tenant tells of its e-mail providers, and what dialects may ask of them: shapes and types only, so that no dialect
 * imports delivery. ChatAPI's sheet, section 11, is the contract; names are those of its wire, because a configuration is
 * sealed and opened as it was given.
 */

import { z } from 'zod';

export const emailProviderTypes = ['smtp', 'mailgun', 'sendgrid', 'postmark', 'ses'] as const;
export type EmailProviderType = (typeof emailProviderTypes)[number];

/** Ports that a tenant's SMTP server may have, unless `SMTP_ALLOWED_PORTS` says otherwise. */
export const defaultSmtpPorts: readonly number[] = [25, 465, 587, 2525];
/** Recipients of one message that a provider takes, unless told. */
const defaultMaxRecipients = 100;
/** Messages per second that a provider takes, unless told. */
const defaultRateLimitPerSecond = 10;

/** Longest address: 64 octets, the sign, 255 octets (RFC 5321, 4.5.3.1). */
const maxAddressCharacters = 320;
const maxNameCharacters = 255;
const maxSecretCharacters = 4_096;

/**
 * An address that can stand in an envelope and in a header without quoting: one `@`, no space, control character or any of
 * the marks that structure a list of addresses. Quoted local parts are not taken.
 */
export const emailAddressPattern =
  /^[^\s\u0000-\u001f\u007f-\u009f\u2028\u2029@<>()[\]\\,;:"]+@[^\s\u0000-\u001f\u007f-\u009f\u2028\u2029@<>()[\]\\,;:"]+$/;

/** Text that stays on its line: no control characters, no line separators. */
export const oneLinePattern = /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$/;

/** A DNS name: labels of letters, digits, hyphens and underscores. */
const dnsName =
  /^(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?$/;

// `abort`: one entry for a bad field, also where two rules of it are broken (sheet, section 3).
export const emailAddress = z
  .string()
  .max(maxAddressCharacters, { abort: true })
  .regex(emailAddressPattern, { error: 'must be an e-mail address' });

const oneLine = (min: number, max: number) =>
  z.string().min(min).max(max, { abort: true }).regex(oneLinePattern, { error: 'must be one line of text' });

/** What fits into a header: printable ASCII without spaces. */
const token = z
  .string()
  .max(maxSecretCharacters, { abort: true })
  .regex(/^[\x21-\x7e]+$/, { error: 'must be printable ASCII without spaces' });

const host = z.union([z.string().regex(dnsName), z.ipv4(), z.ipv6()], {
  error: 'must be a host name or an IP address',
});

/** An http(s) address without user, query and fragment. */
const baseUrl = z
  .string()
  .max(2_048, { abort: true })
  .refine(isBaseUrl, { error: 'must be an http(s) address without user, query and fragment' });

function isBaseUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username + url.password + url.search + url.hash === '';
}

const mailgunConfig = z.object({
  provider_type: z.literal('mailgun'),
  api_key: token,
  domain: z.string().regex(dnsName, { error: 'must be a domain name' }),
  /** Mailgun's address unless told: `https://api.mailgun.net/v3`. */
  base_url: baseUrl.optional(),
});

const sendgridConfig = z.object({ provider_type: z.literal('sendgrid'), api_key: token });

const postmarkConfig = z.object({ provider_type: z.literal('postmark'), server_token: token });

const sesConfig = z.object({
  provider_type: z.literal('ses'),
  aws_access_key_id: z.string().regex(/^\w{1,128}$/, { error: 'must be an access key id' }),
  aws_secret_access_key: token,
  region: z
    .string()
    .regex(/^(?=.{1,32}$)[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}$/, { error: 'must be a region such as us-east-1' })
    .default('us-east-1'),
});

function smtpConfig(ports: readonly number[]) {
  return z.object({
    provider_type: z.literal('smtp'),
    host,
    username: oneLine(1, maxSecretCharacters),
    password: oneLine(1, maxSecretCharacters),
    port: z
      .int()
      .default(587)
      .refine((port) => ports.includes(port), { error: `must be one of ${ports.join(', ')}` }),
    /** STARTTLS; without effect where `use_ssl` is on. */
    use_tls: z.boolean().default(true),
    /** TLS from the first byte. */
    use_ssl: z.boolean().default(false),
  });
}

/** The shape of `provider_config`: one of the five, told apart by `provider_type`. */
export function emailProviderConfigShape(smtpPorts: readonly number[] = defaultSmtpPorts) {
  return z.discriminatedUnion('provider_type', [
    smtpConfig(smtpPorts),
    mailgunConfig,
    sendgridConfig,
    postmarkConfig,
    sesConfig,
  ]);
}

/** The shape of one provider object, as `PUT /clients/email-providers` takes it. */
export function emailProviderShape(smtpPorts: readonly number[] = defaultSmtpPorts) {
  return z.object({
    provider_config: emailProviderConfigShape(smtpPorts),
    is_primary: z.boolean().default(false),
    is_bulk: z.boolean().default(true),
    default_from_email: emailAddress,
    default_from_name: oneLine(0, maxNameCharacters).nullish(),
    max_recipients: z.int().min(1).max(1_000).default(defaultMaxRecipients),
    rate_limit_per_second: z.number().min(0.01).max(1_000).default(defaultRateLimitPerSecond),
  });
}

/** A provider's configuration in clear, credentials included: in memory only (design, promise 10). */
export type EmailProviderConfig = z.output<ReturnType<typeof emailProviderConfigShape>>;
export type EmailProviderConfigOf<T extends EmailProviderType> = Extract<EmailProviderConfig, { provider_type: T }>;
/** One of a tenant's providers, checked, defaults filled in. */
export type EmailProvider = z.output<ReturnType<typeof emailProviderShape>>;

/** What may be shown of a provider: `GET /clients/email-providers`. */
export interface EmailProviderView {
  readonly provider_type: EmailProviderType;
  readonly is_primary: boolean;
  readonly is_bulk: boolean;
  readonly max_recipients: number;
  readonly rate_limit_per_second: number;
  readonly from_email: string;
  readonly from_name: string | null;
  readonly host?: string;
  readonly port?: number;
}

/** The view of a provider: built from what may be shown, so that a new secret field stays out of it by itself. */
export function emailProviderView(provider: EmailProvider): EmailProviderView {
  const config = provider.provider_config;
  return {
    provider_type: config.provider_type,
    is_primary: provider.is_primary,
    is_bulk: provider.is_bulk,
    max_recipients: provider.max_recipients,
    rate_limit_per_second: provider.rate_limit_per_second,
    from_email: provider.default_from_email,
    from_name: provider.default_from_name ?? null,
    ...(config.provider_type === 'smtp' ? { host: config.host, port: config.port } : {}),
  };
}

/** What a live check of a provider found. `error` is text of ours: no answer and no socket error of the target. */
export type EmailCheck = { readonly valid: true } | { readonly valid: false; readonly error: string };

/** The part of e-mail that a dialect needs; delivery implements it. */
export interface EmailProviderDoor {
  /** Asks the provider whether the configuration works, within 10 s; sends nothing and never throws. */
  check(config: EmailProviderConfig, senderAddress: string): Promise<EmailCheck>;
}

/** One mail of the server's own, outside any tenant's providers (Company's generated password). */
export interface PlainMail {
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

/** Sends the server's own mail: one attempt, never throws, keeps and logs nothing of the text. */
export interface MailDoor {
  /** True when a server took it. */
  mail(mail: PlainMail): Promise<boolean>;
}
