/**
 * How the text of an environment variable becomes a value: one function per kind, each a zod schema that takes the text or
 * nothing. What a variable means stands in the registry `variables`, from which the table of the README is made.
 * A text that is not understood is an issue whose message says what is expected, and never repeats the text.
 */
import { isIP } from 'node:net';
import { z } from 'zod';

/** What people are told about a variable. */
export interface Variable {
  /** One line. */
  readonly meaning: string;
  /** Text of the default where the value itself does not say it. */
  readonly defaultText?: string;
  readonly unit?: string;
  /** Never shown: neither the value nor a part of it. */
  readonly secret?: boolean;
}

/** What is known about each variable, by its schema. */
export const variables = z.registry<Variable & { readonly fallback: string }>();

/** The schema of one variable: an empty text counts as none. */
export type VariableSchema<T> = z.ZodType<T, string | undefined>;

interface Kind<T> {
  /** Ends the sentence "expected ...". */
  readonly expects: string;
  /** `undefined` for a text that is not understood. */
  read(text: string): T | undefined;
}

function variable<T, D extends T | null>(kind: Kind<T>, fallback: D, about: Variable): VariableSchema<T | D> {
  const schema = z
    .string()
    .optional()
    .transform((text, context): T | D => {
      const given = text?.trim() ?? '';
      if (given === '') return fallback;
      const value = kind.read(given);
      if (value !== undefined) return value;
      context.addIssue({ code: 'custom', message: `expected ${kind.expects}` });
      return z.NEVER;
    });
  return schema.register(variables, { ...about, fallback: about.defaultText ?? textOf(fallback) });
}

function textOf(value: unknown): string {
  if (value === null) return '';
  return Array.isArray(value) ? value.join(',') : String(value);
}

/** Where a number has to lie, ends included. */
interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

const largest = 2_147_483_647;

/** A whole number. */
export function integer(fallback: number, { min = 0, max = largest }: Bounds, about: Variable): VariableSchema<number> {
  const expects = max === largest ? `a whole number, ${min} or more` : `a whole number from ${min} to ${max}`;
  const read = (text: string) => within(/^\d{1,15}$/.test(text) ? Number(text) : Number.NaN, min, max);
  return variable({ expects, read }, fallback, about);
}

/** A number that may have a fraction, 0 or more. */
export function decimal(fallback: number, about: Variable): VariableSchema<number> {
  const read = (text: string) => within(/^\d{1,10}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN, 0, largest);
  return variable({ expects: 'a number, 0 or more', read }, fallback, about);
}

const unitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** A duration in milliseconds: seconds, or a number with its unit (`500ms`, `10s`, `15m`, `24h`, `7d`, `2w`). */
export function duration(
  fallback: string,
  { min = 0, max = 10 * 365 * 86_400_000 }: Bounds,
  about: Variable,
): VariableSchema<number> {
  const read = (text: string) => within(durationMs(text), min, max);
  const value = read(fallback);
  if (value === undefined) throw new TypeError(`${fallback} is no duration within its bounds`);
  const expects = `seconds or a duration such as 10s, 15m, 24h or 7d, ${shortDuration(min)} to ${shortDuration(max)}`;
  return variable({ expects, read }, value, { unit: 'seconds, or with s, m, h, d', ...about, defaultText: fallback });
}

/** Durations from some start, in milliseconds, each as `duration` takes it, in an order that does not fall. */
export function schedule(fallback: string, about: Variable): VariableSchema<readonly number[]> {
  const read = (text: string) => {
    const times = text.split(',').map((part) => within(durationMs(part.trim()), 0, unitsMs.d as number));
    const rises = times.every((time, i) => time !== undefined && time >= (times[i - 1] ?? 0));
    return rises && times.length <= 20 ? (times as number[]) : undefined;
  };
  const value = read(fallback);
  if (value === undefined) throw new TypeError(`${fallback} is no schedule`);
  const expects = 'a comma list of 1 to 20 times in seconds that rise, such as 0,5,15';
  return variable({ expects, read }, value, { unit: 'seconds', ...about, defaultText: fallback });
}

/** Waits one after another, in milliseconds, each as `duration` takes it. */
export function delays(fallback: string, about: Variable): VariableSchema<readonly number[]> {
  const read = (text: string) => {
    const times = text.split(',').map((part) => within(durationMs(part.trim()), 1, 7 * (unitsMs.d as number)));
    return times.length <= 20 && times.every((time) => time !== undefined) ? times : undefined;
  };
  const value = read(fallback);
  if (value === undefined) throw new TypeError(`${fallback} are no waits`);
  const expects = 'a comma list of 1 to 20 waits such as 30s,2m,8m';
  return variable({ expects, read }, value, { unit: 'seconds, or with s, m, h, d', ...about, defaultText: fallback });
}

function durationMs(text: string): number {
  const match = /^(\d{1,10}(?:\.\d{1,3})?)\s?(ms|s|m|h|d|w)?$/.exec(text);
  return match ? Math.round(Number(match[1]) * (unitsMs[match[2] ?? 's'] as number)) : Number.NaN;
}

function shortDuration(ms: number): string {
  const [unit, size] = Object.entries(unitsMs).findLast(([, each]) => ms >= each && ms % each === 0) ?? ['s', 1_000];
  return `${ms / size}${unit}`;
}

function within(value: number, min: number, max: number): number | undefined {
  return value >= min && value <= max ? value : undefined;
}

/** One of some words. */
export function choice<const T extends string>(fallback: T, words: readonly T[], about: Variable): VariableSchema<T> {
  const read = (text: string) => words.find((word) => word === text.toLowerCase());
  return variable({ expects: `one of ${words.join(', ')}`, read }, fallback, about);
}

/** Any text that matches. */
export function text<D extends string | null>(
  fallback: D,
  { pattern, expects }: { pattern: RegExp; expects: string },
  about: Variable,
): VariableSchema<string | D> {
  return variable<string, D>({ expects, read: (given) => (pattern.test(given) ? given : undefined) }, fallback, about);
}

/** An address of one of some schemes (`http:`), without user, query, fragment and the slash at its end. */
export function address<D extends string | null>(
  fallback: D,
  schemes: readonly string[],
  about: Variable,
): VariableSchema<string | D> {
  const expects = `an address that begins with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`;
  const read = (given: string) => {
    const url = URL.canParse(given) ? new URL(given) : null;
    const plain = url !== null && schemes.includes(url.protocol) && url.hostname !== '' && !/[?#@]/.test(given);
    return plain ? given.replace(/\/+$/, '') : undefined;
  };
  return variable<string, D>({ expects, read }, fallback, about);
}

/** An address of a database: as it is, query included. */
export function databaseAddress(about: Variable): VariableSchema<string | null> {
  const read = (given: string) => {
    const url = URL.canParse(given) ? new URL(given) : null;
    return url !== null && /^postgres(ql)?:$/.test(url.protocol) ? given : undefined;
  };
  return variable<string, null>(
    { expects: 'an address such as postgres://user:password@host:5432/database', read },
    null,
    about,
  );
}

/** A comma list; none is the empty list. `read` gives `undefined` for an element that is not understood. */
function list<T>(expects: string, read: (element: string) => T | undefined, about: Variable) {
  const readAll = (given: string) => {
    const elements = given
      .split(',')
      .map((element) => element.trim())
      .filter((element) => element !== '')
      .map(read);
    return elements.every((element) => element !== undefined) ? (elements as T[]) : undefined;
  };
  return variable<readonly T[], readonly T[]>({ expects, read: readAll }, [], about);
}

/** Web origins as browsers spell them (`https://example.com`, port only where it is not the scheme's), or `*`. */
export function origins(about: Variable): VariableSchema<readonly string[]> {
  const read = (element: string) => {
    if (element === '*') return element;
    const url = URL.canParse(element) ? new URL(element) : null;
    const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/' && !/[?#@]/.test(element);
    return isOrigin ? url.origin : undefined;
  };
  return list('a comma list of origins such as https://example.com, or *', read, about);
}

/** `host:port`, several. */
export function hosts(about: Variable): VariableSchema<readonly string[]> {
  const read = (element: string) => {
    const [, port] = /^[A-Za-z0-9_.-]{1,255}:(\d{1,5})$/.exec(element) ?? [];
    return port !== undefined && within(Number(port), 1, 65_535) !== undefined ? element : undefined;
  };
  return list('a comma list of host:port', read, about);
}

/** Numbers of ports, one at least. */
export function ports(fallback: readonly number[], about: Variable): VariableSchema<readonly number[]> {
  const read = (given: string) => {
    const all = given
      .split(',')
      .map((part) => (/^ *\d{1,5} *$/.test(part) ? within(Number(part), 1, 65_535) : undefined));
    return all.every((port) => port !== undefined) ? all : undefined;
  };
  const expects = 'a comma list of ports from 1 to 65535';
  return variable<readonly number[], readonly number[]>({ expects, read }, fallback, about);
}

/** `host=dialect`, several, by host without case: a name, `name:port` or `:port`. */
export function bindings(about: Variable): VariableSchema<ReadonlyMap<string, string>> {
  const read = (given: string) => {
    const pairs = given.split(',').map((part) => {
      const [, host = '', dialect = ''] =
        /^([A-Za-z0-9_.-]{0,255}(?::\d{1,5})?)=(messagejs|chatapi)$/.exec(part.trim()) ?? [];
      return [host.toLowerCase(), dialect] as const;
    });
    return pairs.every(([host]) => host !== '') ? new Map(pairs) : undefined;
  };
  const expects = 'a comma list of host=dialect, the dialects messagejs and chatapi';
  return variable<ReadonlyMap<string, string>, ReadonlyMap<string, string>>({ expects, read }, new Map(), {
    ...about,
    defaultText: '',
  });
}

const proxyWords = ['loopback', 'linklocal', 'uniquelocal'];

/** IP addresses and networks; with `words`, also the names of well-known networks. */
export function networks(words: 'words' | 'cidrs', about: Variable): VariableSchema<readonly string[]> {
  const known = words === 'words' ? proxyWords : [];
  const read = (element: string) => (known.includes(element) || isNetwork(element) ? element : undefined);
  const also = words === 'words' ? `, or ${proxyWords.join(', ')}` : '';
  return list(`a comma list of IP addresses and networks such as 10.0.0.0/8${also}`, read, about);
}

function isNetwork(given: string): boolean {
  const [ip = '', prefix, ...rest] = given.split('/');
  const version = isIP(ip);
  if (version === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

const keyForm = '32 bytes as 64 hexadecimal digits or as base64 (openssl rand -hex 32 makes one)';

/** A key of 32 bytes. Always a secret. */
export function key(about: Variable): VariableSchema<Buffer | null> {
  return variable<Buffer, null>({ expects: keyForm, read: keyOf }, null, { ...about, secret: true });
}

/** Keys of 32 bytes, at least one when the variable is set. Always secrets. */
export function keys(about: Variable): VariableSchema<readonly Buffer[] | null> {
  const read = (given: string) => {
    const all = given.split(',').map((element) => keyOf(element.trim()));
    return all.every((each) => each !== undefined) ? (all as Buffer[]) : undefined;
  };
  return variable<readonly Buffer[], null>({ expects: `a comma list of keys, each ${keyForm}`, read }, null, {
    ...about,
    secret: true,
  });
}

/** The 32 bytes that a text spells in hexadecimal or base64; `undefined` for any other text. */
export function keyOf(given: string): Buffer | undefined {
  if (/^[0-9a-f]{64}$/i.test(given)) return Buffer.from(given, 'hex');
  return /^[A-Za-z0-9+/_-]{43}=?$/.test(given) ? Buffer.from(given, 'base64') : undefined;
}
