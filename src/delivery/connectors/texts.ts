/**
 * Reading what providers say. It is foreign text: it may be of any length, hold what the database cannot store,
 * or quote a credential; nothing of it goes further before it went through here.
 */

import { createHash, timingSafeEqual } from 'node:crypto';

/** Longest text of a provider that is kept, in characters. */
export const MAX_TEXT_CHARACTERS = 1_000;

/** Longest id of a provider that is believed, in characters. */
const MAX_ID_CHARACTERS = 256;

/** Longest wait that a provider's hint can ask for: the limit of a dispatch's age (sheet, section 12). */
const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

/** A secret shorter than this is found in any text by accident, and hides nothing. */
const MIN_SECRET_CHARACTERS = 4;

/** True for a JSON object (not an array, not null). */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The JSON in `bytes`; undefined when there is none. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** `value` when it is a text with something in it. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

/** `value` when it is a finite number, or a text that spells a whole one. */
export function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  return typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : undefined;
}

/** Text fit to be stored and shown: whole characters, no control characters, bounded, trimmed. */
export function cleanText(text: string): string {
  return text
    .slice(0, MAX_TEXT_CHARACTERS)
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .trim();
}

/** A provider's id as text; undefined when it is none that can be kept. */
export function cleanId(value: unknown): string | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : undefined;
  if (typeof value !== 'string' || value === '' || value.length > MAX_ID_CHARACTERS) return undefined;
  return /[\u0000-\u001f\u007f]/.test(value) || !value.isWellFormed() ? undefined : value;
}

/** `text` with every occurrence of a secret blacked out (Meta, for one, quotes malformed access tokens in its errors). */
export function redact(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret.length >= MIN_SECRET_CHARACTERS) clean = clean.replaceAll(secret, '[redacted]');
  }
  return clean;
}

/**
 * What the `Retry-After` header asks for (RFC 9110, 10.2.3: seconds or a date), in milliseconds from now; null without
 * one. A date is taken against the answer's own `Date` where it has one, so that clocks that differ do not matter.
 */
export function retryAfterMs(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  nowMs: number,
): number | null {
  const value = headers['retry-after'];
  if (typeof value !== 'string') return null;
  if (/^\s*\d{1,9}\s*$/.test(value)) return boundWait(Number(value) * 1_000);
  const until = httpDate(value);
  if (until === null) return null;
  const { date } = headers;
  return boundWait(until - ((typeof date === 'string' ? httpDate(date) : null) ?? nowMs));
}

/** A wait within sensible bounds. */
export function boundWait(waitMs: number): number {
  return Math.min(Math.max(0, Math.ceil(waitMs)), MAX_RETRY_AFTER_MS);
}

/** The three forms of RFC 9110, 5.6.7 all begin with a day's name; `Date.parse` alone would take any number for a year. */
function httpDate(text: string): number | null {
  if (!/^\s*(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s/.test(text)) return null;
  const ms = Date.parse(/GMT|UTC/.test(text) ? text : `${text} GMT`);
  return Number.isNaN(ms) ? null : ms;
}

/** Compares in a time that does not depend on where, or whether by length, the two differ. */
export function sameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** The one value of a header; undefined when absent or repeated. */
export function headerOf(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  name: string,
): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}
