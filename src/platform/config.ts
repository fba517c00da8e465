/**
 * Configuration: environment variables, validated at start by one zod schema. Every variable stands once, in
 * `config-variables.ts`, with its default and meaning; the README's table is made from it (`config-table.ts`).
 *
 * Promises: a wrong value is a ConfigError of one line that names the variable, its value (never a secret's) and what is
 * expected; an empty value counts as none; durations are milliseconds from here on; a limit of 0 is off.
 */
import { variables } from './config-values.ts';
import { type Environment, environment } from './config-variables.ts';

/** A figure for each tier. */
export type PerTier = Readonly<Record<'free' | 'pro' | 'enterprise', number>>;

/** The configuration, checked. Durations in milliseconds; limits of 0 are off. */
export type Config = ReturnType<typeof nested>;

/** A variable is wrong or missing; the message is one line that says which, and what is expected. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

/** Variables of ours that others read: the tests. */
const otherVariables = /^PARLEY_TEST_/;

/**
 * Reads the configuration.
 *
 * @param env environment variables; names that are not ours are left alone, but for those that begin with `PARLEY_`, which
 *   are named in `warnings`
 * @throws ConfigError when a variable is wrong, or a required one is missing
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const names = Object.keys(environment.shape);
  const parsed = environment.safeParse(Object.fromEntries(names.map((name) => [name, env[name]])));
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => problem(String(issue.path[0]), env, issue.message));
    throw new ConfigError(problems.join('; '));
  }
  const { data } = parsed;
  if (data.DATABASE_URL !== null) {
    const required = ['JWT_SECRET', 'ENCRYPTION_KEY', 'ID_KEY'] as const;
    const missing = required.filter((name) => data[name] === null);
    if (missing.length > 0) {
      const verb = missing.length === 1 ? 'is' : 'are';
      throw new ConfigError(
        `${missing.join(', ')} ${verb} not set: with DATABASE_URL each is required, the same in every process ` +
          '(openssl rand -hex 32 makes one)',
      );
    }
  }
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith('PARLEY_') && !names.includes(name) && !otherVariables.test(name),
  );
  const warnings = unknown.map((name) => `${name} is not a variable of Parley's and has no effect`);
  if (!['production', 'development', 'test'].includes(data.NODE_ENV))
    warnings.push(`NODE_ENV is ${data.NODE_ENV}, which counts as development: only "production" is production`);
  return nested(data, warnings);
}

function problem(name: string, env: Readonly<Record<string, string | undefined>>, message: string): string {
  const schema = environment.shape[name as keyof typeof environment.shape];
  if (variables.get(schema)?.secret) return `${name} is wrong: ${message}`;
  const given = JSON.stringify(env[name]?.trim() ?? '');
  return `${name} is ${given.length > 100 ? `${given.slice(0, 99)}..."` : given}: ${message}`;
}

function nested(env: Environment, warnings: readonly string[]) {
  return {
    production: env.NODE_ENV === 'production',
    backgroundThread: env.BACKGROUND_THREAD === 'on',
    http: {
      port: env.PORT,
      host: env.HOST,
      /** Without a slash at its end; `null`: `http://localhost:` and the port that is listened on (`apiBaseUrl`). */
      apiBaseUrl: env.API_BASE_URL,
      allowedOrigins: env.ALLOWED_ORIGINS,
      trustedProxies: env.TRUSTED_PROXIES,
      bodyLimitBytes: env.BODY_LIMIT_BYTES,
      batchLimitBytes: env.BATCH_LIMIT_BYTES,
      batchLimitItems: env.BATCH_LIMIT_ITEMS,
      requestTimeoutMs: env.REQUEST_TIMEOUT,
      shutdownTimeoutMs: env.SHUTDOWN_TIMEOUT,
    },
    storage: {
      dataDir: env.PARLEY_DATA,
      /** `null`: the embedded Postgres. */
      databaseUrl: env.DATABASE_URL,
    },
    eventStore: {
      /** `null`: the log is in Postgres. */
      url: env.EVENTSTOREDB_URL,
      namespace: env.EVENTSTOREDB_NAMESPACE,
      /** 0: never. */
      scavengeIntervalMs: env.EVENTSTOREDB_SCAVENGE_INTERVAL,
    },
    kafka: {
      /** None: consumers read the log itself. */
      brokers: env.KAFKA_BROKERS,
      topic: env.KAFKA_TOPIC,
      partitions: env.KAFKA_PARTITIONS,
      retentionMs: env.KAFKA_RETENTION,
    },
    /** Those that the environment gives; `secrets.ts` makes the others. */
    secrets: {
      jwtSecret: env.JWT_SECRET,
      /** The first seals, all open. */
      encryptionKeys: env.ENCRYPTION_KEY,
      idKey: env.ID_KEY,
    },
    internalPingSecret: env.INTERNAL_PING_SECRET,
    auth: {
      tokenLifeMs: env.JWT_EXPIRES_IN,
      refreshLifeMs: env.REFRESH_EXPIRES_IN,
      cookieName: env.AUTH_COOKIE_NAME,
    },
    limits: {
      defaultTier: env.DEFAULT_TIER,
      defaultKeyPerHour: env.DEFAULT_RATE_LIMIT,
      keyPerHour: perTier(env.KEY_RATE_LIMIT_FREE, env.KEY_RATE_LIMIT_PRO, env.KEY_RATE_LIMIT_ENTERPRISE),
      dashboardPerMinute: perTier(
        env.DASHBOARD_RATE_LIMIT_FREE,
        env.DASHBOARD_RATE_LIMIT_PRO,
        env.DASHBOARD_RATE_LIMIT_ENTERPRISE,
      ),
      auth: {
        points: env.AUTH_RATE_LIMIT_POINTS,
        windowMs: env.AUTH_RATE_LIMIT_DURATION,
        blockMs: env.AUTH_RATE_LIMIT_BLOCK_DURATION,
      },
      quotaPerMonth: perTier(env.QUOTA_FREE, env.QUOTA_PRO, env.QUOTA_ENTERPRISE),
    },
    providers: {
      connections: env.PROVIDER_CONNECTIONS,
      whatsapp: {
        url: env.WHATSAPP_API_URL,
        apiVersion: env.WHATSAPP_API_VERSION,
        appSecret: env.WHATSAPP_APP_SECRET,
        verifyToken: env.WHATSAPP_VERIFY_TOKEN,
        ratePerSecond: env.WHATSAPP_RATE_PER_SECOND,
      },
      telegram: {
        url: env.TELEGRAM_API_URL,
        ratePerSecond: env.TELEGRAM_RATE_PER_SECOND,
        chatRatePerSecond: env.TELEGRAM_CHAT_RATE_PER_SECOND,
      },
      twilio: { url: env.TWILIO_API_URL, ratePerSecond: env.TWILIO_RATE_PER_SECOND },
    },
    dispatch: {
      retryScheduleMs: env.DISPATCH_RETRY_SCHEDULE,
      attemptTimeoutMs: env.DISPATCH_ATTEMPT_TIMEOUT,
      maxAgeMs: env.DISPATCH_MAX_AGE,
      maxThrottleMs: env.DISPATCH_MAX_THROTTLE,
      concurrencyPerConnector: env.DISPATCH_CONCURRENCY,
      ratePerSecond: env.DISPATCH_RATE_LIMIT,
    },
    collisions: {
      /** Names of dialects by what stands in `Host`. */
      hosts: env.DIALECT_HOSTS,
      cookieName: env.AUTH_COOKIE_NAME,
    },
    chatapi: {
      corsOrigins: env.BACKEND_CORS_ORIGINS,
      /** 0: without end. */
      scopedKeyLifeMs: env.SCOPED_KEY_EXPIRES_IN,
      authPerHour: env.CHATAPI_AUTH_RATE_LIMIT,
      messagesPerHour: env.CHATAPI_MESSAGE_RATE_LIMIT,
      notificationsPerHour: env.CHATAPI_NOTIFICATION_RATE_LIMIT,
      maxMembers: env.CHATAPI_MAX_MEMBERS,
      maxContentCharacters: env.CHATAPI_MAX_CONTENT,
      maxConnections: env.CHATAPI_MAX_CONNECTIONS,
      framesPerMinute: env.CHATAPI_FRAME_RATE_LIMIT,
    },
    rooms: {
      /** 0: never. */
      inactiveAfterMs: {
        private: env.ROOM_INACTIVE_AFTER_DIRECT,
        group: env.ROOM_INACTIVE_AFTER_GROUP,
        channel: env.ROOM_INACTIVE_AFTER_CHANNEL,
        support: env.ROOM_INACTIVE_AFTER_SUPPORT,
      },
    },
    company: {
      tokenLifeMs: env.COMPANY_TOKEN_LIFE,
      openUsers: env.COMPANY_OPEN_USERS === 'true',
      /** `null`: generated passwords are told in the answer alone. */
      smtpUrl: env.COMPANY_SMTP_URL,
      uploadLimitBytes: env.COMPANY_UPLOAD_LIMIT_BYTES,
    },
    webhooks: {
      retryDelaysMs: env.WEBHOOK_RETRY_SCHEDULE,
      attemptTimeoutMs: env.WEBHOOK_TIMEOUT,
      concurrency: env.WEBHOOK_CONCURRENCY,
      concurrencyPerWebhook: env.WEBHOOK_CONCURRENCY_PER_ENDPOINT,
    },
    notifications: { retryDelaysMs: env.NOTIFICATION_RETRY_SCHEDULE },
    outbound: {
      allowCidrs: env.OUTBOUND_ALLOW_CIDRS,
      /** `null`: none. */
      proxy: env.OUTBOUND_PROXY,
    },
    /** Base addresses that are `null` are the provider's own. */
    email: {
      smtpPorts: env.SMTP_ALLOWED_PORTS,
      mailgunUrl: env.MAILGUN_API_URL,
      sendgridUrl: env.SENDGRID_API_URL,
      postmarkUrl: env.POSTMARK_API_URL,
      sesUrl: env.SES_API_URL,
    },
    log: { level: env.LOG_LEVEL },
    /** Lines for the log: variables that look like ours and are not. */
    warnings,
  };
}

function perTier(free: number, pro: number, enterprise: number): PerTier {
  return { free, pro, enterprise };
}

/** Where the outside reaches the server that listens on `port`, without a slash at the end. */
export function apiBaseUrl(config: Config, port: number = config.http.port): string {
  return config.http.apiBaseUrl ?? `http://localhost:${port}`;
}

const otelRow =
  "| `OTEL_*` | | | OpenTelemetry's own: traces are exported (OTLP, HTTP with JSON) when `OTEL_EXPORTER_OTLP_ENDPOINT` is set |";

/** The table of all variables, Markdown. */
export function configTable(): string {
  const rows = Object.entries(environment.shape).map(([name, schema]) => {
    const about = variables.get(schema);
    if (!about) throw new TypeError(`${name} is not described`);
    const fallback = about.fallback === '' ? '' : `\`${about.fallback}\``;
    return `| \`${name}\` | ${fallback} | ${about.unit ?? ''} | ${about.meaning.replaceAll('|', '\\|')} |`;
  });
  return ['| Variable | Default | Unit | Meaning |', '|---|---|---|---|', ...rows, otelRow].join('\n');
}
