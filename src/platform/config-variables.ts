/**
 * The environment variables, each with its default and meaning: nothing else says them (`config.ts` reads them, and makes the
 * README's table).
 */
import { z } from 'zod';
import {
  address,
  bindings,
  choice,
  databaseAddress,
  decimal,
  delays,
  duration,
  hosts,
  integer,
  key,
  keys,
  networks,
  origins,
  ports,
  schedule,
  text,
} from './config-values.ts';

/** What `@eventstore/db-client` takes in a connection string. */
const eventStoreOptions = [
  'connectionName',
  'defaultDeadline',
  'discoveryInterval',
  'dnsDiscover',
  'gossipTimeout',
  'keepAliveInterval',
  'keepAliveTimeout',
  'maxDiscoverAttempts',
  'nodePreference',
  'throwOnAppendFailure',
  'tls',
  'tlsCAFile',
  'tlsVerifyCert',
  'userCertFile',
  'userKeyFile',
];

/** All variables that are read. Order and words are those of the README's table. */
export const environment = z.object({
  PORT: integer(8000, { max: 65_535 }, { meaning: 'Port of the HTTP server; 0 takes any free one' }),
  HOST: text(
    '0.0.0.0',
    { pattern: /^[A-Za-z0-9_.:-]{1,255}$/, expects: 'a host name or an IP address' },
    { meaning: 'Address that the HTTP server listens on' },
  ),
  API_BASE_URL: address(null, ['http:', 'https:'], {
    meaning: 'Where the outside reaches this server: the base of the addresses given to providers',
    defaultText: 'http://localhost:<PORT>',
  }),
  NODE_ENV: text(
    'development',
    { pattern: /^[\w-]{1,50}$/, expects: 'a word' },
    { meaning: '`production` makes cookies `Secure`, and an empty `ALLOWED_ORIGINS` allow nobody' },
  ),
  ALLOWED_ORIGINS: origins({
    meaning:
      'Web origins whose pages may call the API, comma-separated, `*` for all; empty: all, none in production. ' +
      'Sending with an API key is open to every origin',
  }),
  TRUSTED_PROXIES: networks('words', {
    meaning:
      'Proxies whose `X-Forwarded-For` tells the address of the client: IP addresses, networks, `loopback`, ' +
      '`linklocal`, `uniquelocal`, comma-separated; empty: none',
  }),
  BODY_LIMIT_BYTES: integer(262_144, { min: 1_024 }, { unit: 'bytes', meaning: 'Largest body of a request' }),
  BATCH_LIMIT_BYTES: integer(4_194_304, { min: 1_024 }, { unit: 'bytes', meaning: 'Largest body of a batch of sends' }),
  BATCH_LIMIT_ITEMS: integer(1_000, { min: 1, max: 10_000 }, { meaning: 'Sends in one batch' }),
  REQUEST_TIMEOUT: duration(
    '30s',
    { min: 1_000, max: 3_600_000 },
    { meaning: 'Time a client may take to send a whole request' },
  ),
  BACKGROUND_THREAD: choice('on', ['on', 'off'], {
    meaning:
      '`on`: a process that serves requests runs its relay, projector and delivery in a thread of their own, and webhooks ' +
      'are posted in another; `off`: all in one, for a machine of one core',
  }),
  SHUTDOWN_TIMEOUT: duration('10s', { max: 600_000 }, { meaning: 'Time that requests under way get at a stop' }),

  PARLEY_DATA: text(
    './.parley',
    { pattern: /^[^\0]+$/, expects: 'a path' },
    { meaning: 'Directory of the data and the secrets that were made at the first start' },
  ),
  DATABASE_URL: databaseAddress({
    meaning:
      'Postgres 17 or newer to use; empty: our own, with its data in `PARLEY_DATA`. ' +
      'With it `JWT_SECRET`, `ENCRYPTION_KEY` and `ID_KEY` are required',
    secret: true,
  }),

  EVENTSTOREDB_URL: text(
    null,
    {
      // The driver prints the whole of what it does not know.
      pattern: new RegExp(
        `^esdb(\\+discover)?://[^\\s?]+(\\?((${eventStoreOptions.join('|')})=[^\\s&]*(&|$))*)?$`,
        'i',
      ),
      expects: 'a connection string that begins with esdb:// or esdb+discover://, with options of the driver',
    },
    { meaning: 'EventStoreDB as the log; empty: the log is in Postgres', secret: true },
  ),
  EVENTSTOREDB_NAMESPACE: text(
    'parley',
    { pattern: /^[a-z0-9_]{1,50}$/, expects: 'letters a-z, digits and _' },
    { meaning: 'First part of the names of its streams, so that several logs can live on one server' },
  ),
  EVENTSTOREDB_SCAVENGE_INTERVAL: duration(
    '24h',
    {},
    { meaning: 'How often each of its nodes is told to scavenge what was erased; 0 = off' },
  ),
  KAFKA_BROKERS: hosts({
    meaning: 'Kafka as the feed: `host:port` of some brokers, comma-separated; empty: consumers read the log itself',
  }),
  KAFKA_TOPIC: text(
    'parley-events',
    { pattern: /^[A-Za-z0-9._-]{1,200}$/, expects: 'the name of a topic' },
    { meaning: 'Name of the topic; the number of its partitions is appended' },
  ),
  KAFKA_PARTITIONS: integer(
    8,
    { min: 1, max: 1_000 },
    { meaning: 'Partitions of the topic; another number is another topic' },
  ),
  KAFKA_RETENTION: duration('24h', { min: 60_000 }, { meaning: 'For how long the topic keeps an event at least' }),

  JWT_SECRET: text(
    null,
    { pattern: /^.{32,}$/s, expects: 'at least 32 characters (openssl rand -hex 32 makes some)' },
    {
      meaning: 'Signs the tokens of logged-in users; a new one ends all sessions',
      secret: true,
      defaultText: 'made once',
    },
  ),
  ENCRYPTION_KEY: keys({
    meaning:
      'Seals stored credentials: 32 bytes in hexadecimal or base64. Several, comma-separated: the first seals, ' +
      'the others still open what they sealed',
    defaultText: 'made once',
  }),
  ID_KEY: key({
    meaning: 'Spells all ids: 32 bytes in hexadecimal or base64. Never changes while the data lives',
    defaultText: 'made once',
  }),
  INTERNAL_PING_SECRET: text(
    null,
    { pattern: /^.+$/s, expects: 'any text' },
    { meaning: 'Secret of `GET /api/v1/internal/ping`; empty: every secret is refused', secret: true },
  ),

  JWT_EXPIRES_IN: duration('7d', { min: 1_000 }, { meaning: 'Life of a token, and of its cookie' }),
  REFRESH_EXPIRES_IN: duration('30d', { min: 1_000 }, { meaning: 'Life of a refresh token' }),
  AUTH_COOKIE_NAME: text(
    'authToken',
    { pattern: /^[\w!#$%&'*+.^`|~-]{1,100}$/, expects: 'the name of a cookie' },
    { meaning: 'Cookie that carries the token' },
  ),
  AUTH_RATE_LIMIT_POINTS: integer(
    5,
    {},
    { meaning: 'Registrations and logins of one client address in a window; 0 = off' },
  ),
  AUTH_RATE_LIMIT_DURATION: duration('900', { min: 1_000 }, { meaning: 'That window' }),
  AUTH_RATE_LIMIT_BLOCK_DURATION: duration('900', {}, { meaning: 'How long an address above that limit is refused' }),

  DEFAULT_TIER: choice('free', ['free', 'pro', 'enterprise'], { meaning: 'Tier of new users' }),
  DEFAULT_RATE_LIMIT: integer(
    1_000,
    { min: 1 },
    { unit: 'messages/hour', meaning: 'Limit of an API key made without one' },
  ),
  KEY_RATE_LIMIT_FREE: integer(
    1_000,
    {},
    { unit: 'messages/hour', meaning: 'Most an API key may send, tier free; 0 = off' },
  ),
  KEY_RATE_LIMIT_PRO: integer(10_000, {}, { unit: 'messages/hour', meaning: 'The same, tier pro; 0 = off' }),
  KEY_RATE_LIMIT_ENTERPRISE: integer(
    0,
    {},
    { unit: 'messages/hour', meaning: "The same, tier enterprise; 0 = off: the key's own limit alone counts" },
  ),
  DASHBOARD_RATE_LIMIT_FREE: integer(
    100,
    {},
    { unit: 'requests/minute', meaning: 'Requests of a user, tier free; 0 = off' },
  ),
  DASHBOARD_RATE_LIMIT_PRO: integer(500, {}, { unit: 'requests/minute', meaning: 'The same, tier pro; 0 = off' }),
  DASHBOARD_RATE_LIMIT_ENTERPRISE: integer(
    500,
    {},
    { unit: 'requests/minute', meaning: 'The same, tier enterprise; 0 = off' },
  ),
  QUOTA_FREE: integer(1_000, {}, { unit: 'messages/month', meaning: 'Messages of a user, tier free; 0 = off' }),
  QUOTA_PRO: integer(10_000, {}, { unit: 'messages/month', meaning: 'The same, tier pro; 0 = off' }),
  QUOTA_ENTERPRISE: integer(0, {}, { unit: 'messages/month', meaning: 'The same, tier enterprise; 0 = off' }),

  DIALECT_HOSTS: bindings({
    meaning:
      'Hosts (`name`, `name:port` or `:port` of the `Host` header) whose requests are for one dialect where two meet, ' +
      'comma-separated: `chat.example.com=chatapi,:8001=messagejs`',
  }),
  BACKEND_CORS_ORIGINS: origins({
    meaning: 'Web origins whose pages may call ChatAPI with credentials, comma-separated; any other may without',
  }),
  SCOPED_KEY_EXPIRES_IN: duration('7d', {}, { meaning: "Life of a ChatAPI user's scoped key; 0 = without end" }),
  CHATAPI_AUTH_RATE_LIMIT: integer(
    100,
    {},
    { unit: 'requests/hour', meaning: 'Registrations of clients per address, logins of users per client; 0 = off' },
  ),
  CHATAPI_MESSAGE_RATE_LIMIT: integer(
    1_000,
    {},
    { unit: 'requests/hour', meaning: 'Requests of a ChatAPI key to `/messages*`; 0 = off' },
  ),
  CHATAPI_NOTIFICATION_RATE_LIMIT: integer(
    500,
    {},
    { unit: 'requests/hour', meaning: 'Requests of a ChatAPI key to `/notifications*`; 0 = off' },
  ),
  CHATAPI_MAX_MEMBERS: integer(
    100,
    {},
    { meaning: '`max_members` of a ChatAPI room made without one; 0 = off: without limit' },
  ),
  CHATAPI_MAX_CONTENT: integer(
    10_000,
    {},
    { unit: 'characters', meaning: 'Longest content of a ChatAPI message; 0 = off' },
  ),
  CHATAPI_MAX_CONNECTIONS: integer(
    10,
    {},
    { meaning: 'WebSockets that a ChatAPI client may have open, in all processes; 0 = off' },
  ),
  CHATAPI_FRAME_RATE_LIMIT: integer(
    100,
    {},
    { unit: 'frames/minute', meaning: 'Frames that a WebSocket of ChatAPI may send; 0 = off' },
  ),
  ROOM_INACTIVE_AFTER_DIRECT: duration(
    '90d',
    {},
    { meaning: 'Time without a message after which a direct room counts as inactive; 0 = off' },
  ),
  ROOM_INACTIVE_AFTER_GROUP: duration('30d', {}, { meaning: 'The same, for a group; 0 = off' }),
  ROOM_INACTIVE_AFTER_CHANNEL: duration('180d', {}, { meaning: 'The same, for a channel; 0 = off' }),
  ROOM_INACTIVE_AFTER_SUPPORT: duration('7d', {}, { meaning: 'The same, for a support room; 0 = off' }),

  WHATSAPP_API_URL: address('https://graph.facebook.com', ['http:', 'https:'], { meaning: 'The WhatsApp Cloud API' }),
  WHATSAPP_API_VERSION: text(
    'v19.0',
    { pattern: /^[A-Za-z0-9_.-]{1,20}$/, expects: 'a version such as v19.0' },
    { meaning: 'Its version' },
  ),
  WHATSAPP_APP_SECRET: text(
    null,
    { pattern: /^.+$/s, expects: 'any text' },
    { meaning: 'Checks the signature of WhatsApp callbacks; empty: they are not checked', secret: true },
  ),
  WHATSAPP_VERIFY_TOKEN: text(
    null,
    { pattern: /^.+$/s, expects: 'any text' },
    { meaning: 'Token of the verification of the WhatsApp callback; empty: it is always refused', secret: true },
  ),
  TELEGRAM_API_URL: address('https://api.telegram.org/bot', ['http:', 'https:'], {
    meaning: 'The Telegram Bot API; the token is appended directly',
  }),
  TWILIO_API_URL: address('https://api.twilio.com', ['http:', 'https:'], { meaning: 'The Twilio API' }),
  WHATSAPP_RATE_PER_SECOND: decimal(80, { unit: 'messages/s', meaning: 'Pace of a WhatsApp connector; 0 = off' }),
  TELEGRAM_RATE_PER_SECOND: decimal(30, { unit: 'messages/s', meaning: 'Pace of a Telegram connector; 0 = off' }),
  TELEGRAM_CHAT_RATE_PER_SECOND: decimal(1, { unit: 'messages/s', meaning: 'Pace to one Telegram chat; 0 = off' }),
  TWILIO_RATE_PER_SECOND: decimal(10, { unit: 'messages/s', meaning: 'Pace of a Twilio connector; 0 = off' }),

  DISPATCH_RETRY_SCHEDULE: schedule('0,5,15', {
    meaning: 'When the attempts of a dispatch are made, counted from the first, each +-10 %',
  }),
  DISPATCH_ATTEMPT_TIMEOUT: duration('10s', { min: 100, max: 600_000 }, { meaning: 'Time-out of one attempt' }),
  DISPATCH_MAX_AGE: duration('24h', { min: 1_000 }, { meaning: 'Age at which a dispatch that did not leave fails' }),
  DISPATCH_MAX_THROTTLE: duration('900', { min: 1_000 }, { meaning: 'Longest wait that a provider may ask for' }),
  DISPATCH_CONCURRENCY: integer(
    32,
    { min: 1, max: 10_000 },
    { meaning: 'Dispatches of one connector under way at once' },
  ),
  PROVIDER_CONNECTIONS: integer(64, { min: 1, max: 10_000 }, { meaning: 'Connections to one provider at once' }),
  DISPATCH_RATE_LIMIT: decimal(0, { unit: 'messages/s', meaning: 'Pace of all dispatches together; 0 = off' }),

  WEBHOOK_RETRY_SCHEDULE: delays('30s,2m,8m,32m', {
    meaning:
      'Waits between the attempts of a webhook delivery: as many attempts as waits, and one. The first is also the time in ' +
      'which `failure_count` rises by one at most',
  }),
  WEBHOOK_TIMEOUT: duration('30s', { min: 100, max: 600_000 }, { meaning: 'Time-out of one attempt at a webhook' }),
  WEBHOOK_CONCURRENCY: integer(256, { min: 1, max: 10_000 }, { meaning: 'Attempts at webhooks under way at once' }),
  WEBHOOK_CONCURRENCY_PER_ENDPOINT: integer(32, { min: 1, max: 10_000 }, { meaning: 'The same, at one endpoint' }),
  NOTIFICATION_RETRY_SCHEDULE: delays('30s,2m,5m', { meaning: 'Waits between the attempts of a notification' }),
  OUTBOUND_ALLOW_CIDRS: networks('cidrs', {
    meaning: 'Networks, not public, that addresses named by tenants may lead to, comma-separated; empty: none',
  }),
  OUTBOUND_PROXY: text(
    null,
    { pattern: /^https?:\/\/[^\s/]+\/?$/, expects: 'an address that begins with http:// or https://' },
    {
      meaning:
        'Forward proxy for addresses named by tenants, `http://user:password@host:port`; empty: none. `HTTP_PROXY` and its ' +
        'like are not read',
      secret: true,
    },
  ),
  SMTP_ALLOWED_PORTS: ports([25, 465, 587, 2525], {
    meaning: 'Ports that a mail server named by a tenant may have, comma-separated',
  }),
  MAILGUN_API_URL: address(null, ['http:', 'https:'], {
    meaning: "The Mailgun API, where a tenant's provider names none; empty: `https://api.mailgun.net/v3`",
  }),
  SENDGRID_API_URL: address(null, ['http:', 'https:'], {
    meaning: 'The SendGrid API; empty: `https://api.sendgrid.com`',
  }),
  POSTMARK_API_URL: address(null, ['http:', 'https:'], {
    meaning: 'The Postmark API; empty: `https://api.postmarkapp.com`',
  }),
  SES_API_URL: address(null, ['http:', 'https:'], {
    meaning: "The Amazon SES API; empty: that of each provider's region",
  }),

  COMPANY_TOKEN_LIFE: duration('28d', { min: 1_000 }, { meaning: 'Life of a token of the Company API' }),
  COMPANY_OPEN_USERS: choice('false', ['false', 'true'], {
    meaning:
      "`true`: the list of users, and the change of anybody's password, need no token, as in the original Company API",
  }),
  COMPANY_SMTP_URL: text(
    null,
    { pattern: /^smtps?:\/\/[^\s/]+\S*$/, expects: 'an address that begins with smtp:// or smtps://' },
    {
      meaning:
        'Mail server that takes generated passwords of the Company API, `smtp://user:password@host:port`; empty: none',
      secret: true,
    },
  ),
  COMPANY_UPLOAD_LIMIT_BYTES: integer(
    2_097_152,
    { min: 1_024, max: 16_777_216 },
    { unit: 'bytes', meaning: 'Largest image that a user of the Company API may upload' },
  ),

  LOG_LEVEL: choice('info', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    meaning: 'Least weight of a log line; `debug` has a line for every request',
  }),
});

/** The values of all variables. */
export type Environment = z.infer<typeof environment>;
