/** Times as JSON dialects read and write them: ISO 8601, UTC. */
import { z } from 'zod';
import { iso } from '../platform/clock.ts';

/**
 * A date or a time of ISO 8601 in milliseconds, null for what is neither; without an offset it is UTC.
 * @param bareDate what a date alone is: the first or the last millisecond of that day, UTC
 */
export function readTime(text: string, bareDate: 'start' | 'end'): number | null {
  // A plus that was not escaped comes in as a space.
  const match =
    /^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(?:[Zz]|([+ -]\d{2}:?\d{2}))?)?$/.exec(text);
  const [, date = '', clock, offset] = match ?? [];
  const day = Date.parse(`${date}T00:00:00Z`);
  const isReal = match !== null && !Number.isNaN(day) && new Date(day).toISOString().startsWith(date);
  if (!isReal) return null;
  if (clock === undefined) return bareDate === 'start' ? day : day + 86_399_999;
  const zone = offset === undefined ? 'Z' : offset.replace(' ', '+').replace(/^(...)(\d\d)$/, '$1:$2');
  const time = Date.parse(`${date}T${clock}${zone}`);
  return Number.isNaN(time) ? null : time;
}

/** What `readTime` reads, for the document. */
export const moment = z.union([z.iso.date(), z.iso.datetime({ offset: true })]);

/** ISO 8601, or null for a time that has not come. */
export function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : iso(ms);
}
