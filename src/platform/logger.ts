/**
 * Log lines: JSON on standard error (what people read at a start is printed by `main.ts`, on standard output).
 *
 * Promises: no secret in a line. Values under the name of a secret are left out whatever their depth, in errors too, and
 * texts are searched for what looks like one: credentials in URLs (Telegram's bot token in a path, query strings, user
 * and password), `Bearer` and `Basic` credentials, API keys, refresh tokens, JWTs. Limits: objects deeper than 8 and lists
 * longer than 100 are cut off.
 */
import { type DestinationStream, destination, type Logger as PinoLogger, pino, stdSerializers } from 'pino';

/** What rooms are given to log with. */
export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'isLevelEnabled'>;

/** How lines are written. */
export interface LoggerOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  /** Where lines go; standard error unless told. */
  readonly destination?: DestinationStream;
}

const withheld = '[redacted]';
const maxDepth = 8;
const maxElements = 100;

/** Makes a logger. Lines are written before a call returns: what a crash says last is not lost. */
export function createLogger({
  level,
  destination: target = destination({ fd: 2, sync: true }),
}: LoggerOptions): Logger {
  const options = {
    level,
    base: { pid: process.pid },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (line: Record<string, unknown>) => redact(line) as Record<string, unknown>,
    },
  };
  return pino(options, { write: (line) => target.write(redactText(line)) });
}

/** Names whose values are secrets, after dashes and underscores are taken out. */
const secretName =
  /(?:authorization|cookies?|passwords?|passwd|credentials?|secrets?|tokens?|keys?|signature|connectionstring)$/i;

function isSecretName(name: string): boolean {
  return secretName.test(name.replace(/[-_]/g, ''));
}

/** A copy without the values of secrets. Errors become plain objects. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= maxDepth) return '[deeper]';
  if (Array.isArray(value)) return value.slice(0, maxElements).map((element) => redact(element, depth + 1));
  if (value instanceof Date) return value;
  if (Buffer.isBuffer(value)) return `[${value.length} bytes]`;
  const plain = value instanceof Error ? { ...stdSerializers.err(value) } : value;
  const entries = Object.entries(plain).filter(([name]) => name !== 'raw' || !(value instanceof Error));
  return Object.fromEntries(
    entries.map(([name, each]) => [name, isSecretName(name) && each != null ? withheld : redact(each, depth + 1)]),
  );
}

/** What looks like a secret in any text, and what stands in its place. No replacement changes a quote or a backslash. */
const secretTexts: readonly (readonly [RegExp, string])[] = [
  [/(\/bot)[^/\s"'\\?#]*?(?::|%3A)[^/\s"'\\?#]*/gi, `$1${withheld}`],
  [/\b\d{6,}:[A-Za-z0-9_-]{30,}/g, withheld],
  [/([?&][\w.%-]*(?:token|secret|password|key|signature|credentials?)[\w.%-]*=)[^&\s"'\\#]*/gi, `$1${withheld}`],
  [/(:\/\/)[^/\s"'\\@]*:[^/\s"'\\@]*@/g, `$1${withheld}@`],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=:-]{8,}/gi, `$1 ${withheld}`],
  [/\bpk_(live|test)_[0-9A-Za-z]+(?:_sk_[0-9A-Za-z]+)?/g, `pk_$1_${withheld}`],
  [/\brefresh_[0-9A-Za-z_.-]{8,}/g, `refresh_${withheld}`],
  [/\beyJ[\w-]{5,}\.[\w-]+\.[\w-]+/g, withheld],
];

/** A text without what looks like a secret. */
export function redactText(text: string): string {
  return secretTexts.reduce((current, [pattern, replacement]) => current.replace(pattern, replacement), text);
}
