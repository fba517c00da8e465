/** Reads: how fresh they are (design promise 8), pages, order and filters of lists (sheet, section 5). */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MalformedPositionError, NotReachedError, PositionAheadError } from '../../readside/freshness.ts';
import type { Caller } from './credentials.ts';
import { invalidField, WireError } from './errors.ts';
import type { ChatApiOptions } from './options.ts';

const defaultSize = 20;
const maxSize = 100;
/** Rows that a page may lie behind: what Postgres counts in. */
const maxPage = 2_147_483_647;

type Freshness = ChatApiOptions['freshness'];

/** What `X-Parley-Position` asks for. Throws 400 for what is no position of the log. */
export async function positionAsked(freshness: Freshness, request: FastifyRequest): Promise<bigint | undefined> {
  const asked = request.headers['x-parley-position'];
  if (asked === undefined) return undefined;
  try {
    return await freshness.parsePosition(String(asked));
  } catch (error) {
    if (error instanceof MalformedPositionError || error instanceof PositionAheadError)
      throw new WireError('BAD_REQUEST', `X-Parley-Position: ${error.message}`);
    throw error;
  }
}

/** Waits for the rows to show what this node acknowledged in the caller's client. Marks a stale answer; throws 503. */
export async function waitForRows(freshness: Freshness, caller: Caller, reply: FastifyReply): Promise<void> {
  const { workspace, atLeast } = caller;
  try {
    const { stale } = await freshness.waitFor({ workspace, atLeast });
    if (stale) reply.header('x-parley-stale', 'true');
  } catch (error) {
    if (!(error instanceof NotReachedError)) throw error;
    throw new WireError('SERVICE_UNAVAILABLE', 'The position was not reached in time', {
      headers: { 'retry-after': String(error.retryAfterSeconds) },
    });
  }
}

/** A query of an address, each name once or more. */
export type Query = Readonly<Record<string, string | string[] | undefined>>;

/** The query of a request. */
export function queryOf(request: FastifyRequest): Query {
  return request.query as Query;
}

/** A parameter; undefined when it is not there. Throws 422 when it is there twice. */
export function queryText(query: Query, name: string): string | undefined {
  const value = query[name];
  if (Array.isArray(value)) throw invalidField(name, 'Given more than once');
  if (value !== undefined && (value.includes('\0') || !value.isWellFormed()))
    throw invalidField(name, 'Holds characters that cannot be stored');
  return value;
}

/** A whole number of the query. Throws 422 out of its bounds. */
export function queryNumber(
  query: Query,
  name: string,
  { min, max = maxPage, fallback }: { readonly min: number; readonly max?: number; readonly fallback: number },
): number {
  const value = queryText(query, name);
  if (value === undefined) return fallback;
  const number = /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= min && number <= max)) {
    const bounds = max === maxPage ? `${min} or more` : `from ${min} to ${max}`;
    throw invalidField(name, `Must be a whole number, ${bounds}`);
  }
  return number;
}

/** `true` or `false`. Throws 422. */
export function queryFlag(query: Query, name: string): boolean | undefined {
  const value = queryText(query, name);
  if (value === undefined) return undefined;
  if (value !== 'true' && value !== 'false') throw invalidField(name, 'Must be true or false');
  return value === 'true';
}

/** A page of a list, as rows count it. */
export interface AskedPage {
  readonly page: number;
  readonly size: number;
  readonly limit: number;
  readonly offset: number;
}

/** The page a query asks for. Throws 422. */
export function pageAsked(query: Query): AskedPage {
  const page = queryNumber(query, 'page', { min: 1, fallback: 1 });
  const size = queryNumber(query, 'size', { min: 1, max: maxSize, fallback: defaultSize });
  return { page, size, limit: size, offset: (page - 1) * size };
}

/** `pagination` as it is shown. */
export function paginationOf({ page, size }: Pick<AskedPage, 'page' | 'size'>, total: number) {
  const pages = Math.ceil(total / size);
  return { page, size, total, pages, has_next: page < pages, has_prev: page > 1 };
}

/** What a list is sorted by: the column of a word of the wire. Throws 422 for unknown words. */
export function sortAsked<T extends string>(
  query: Query,
  columns: Readonly<Record<string, T>>,
): { readonly sort: T | undefined; readonly order: 'asc' | 'desc' } {
  const word = queryText(query, 'sort');
  const order = queryText(query, 'order') ?? 'desc';
  const sort = word !== undefined && Object.hasOwn(columns, word) ? columns[word] : undefined;
  if (word !== undefined && sort === undefined)
    throw invalidField('sort', `Must be one of ${Object.keys(columns).join(', ')}`);
  if (order !== 'asc' && order !== 'desc') throw invalidField('order', 'Must be asc or desc');
  return { sort, order };
}

/** A date or a time (ISO 8601) in milliseconds; a bare date is the start or the end of that day, UTC. Throws 422. */
export function timeAsked(query: Query, name: 'start_date' | 'end_date'): number | undefined {
  const given = queryText(query, name);
  if (given === undefined) return undefined;
  // A plus that was not escaped comes in as a space.
  const match =
    /^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(?:[Zz]|([+ -]\d{2}:?\d{2}))?)?$/.exec(given);
  const [, date = '', clock, offset] = match ?? [];
  const day = Date.parse(`${date}T00:00:00Z`);
  const real = match !== null && !Number.isNaN(day) && new Date(day).toISOString().startsWith(date);
  if (real && clock === undefined) return name === 'start_date' ? day : day + 86_399_999;
  const zone = offset === undefined ? 'Z' : offset.replace(' ', '+').replace(/^(...)(\d\d)$/, '$1:$2');
  const time = real ? Date.parse(`${date}T${clock}${zone}`) : Number.NaN;
  if (Number.isNaN(time)) throw invalidField(name, 'Must be a date or a time of ISO 8601');
  return time;
}

/** The page of a list, for the document. */
export const pageQuery = z.object({
  page: z.int().min(1).optional().describe('Default 1'),
  size: z.int().min(1).max(maxSize).optional().describe(`Default ${defaultSize}`),
});

/** The page and order of a list, for the document. */
export function listQuery(columns: Readonly<Record<string, unknown>>) {
  return pageQuery.extend({
    sort: z.enum(Object.keys(columns)).optional(),
    order: z.enum(['asc', 'desc']).optional().describe('Default desc'),
  });
}

const moment = z.union([z.iso.date(), z.iso.datetime({ offset: true })]);
/** A range of times, for the document. */
export const rangeQuery = z.object({
  start_date: moment.optional().describe('A bare date is the start of that day, UTC'),
  end_date: moment.optional().describe('A bare date is the end of that day, UTC'),
});
