/** Reads: how fresh they are (design promise 8), pages of lists, and what queries of the address say. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ACCOUNTS_WORKSPACE } from '../../commands/index.ts';
import type { Freshness, FreshnessOf } from '../../readside/freshness.ts';
import * as fresh from '../freshness.ts';
import { moment, readTime } from '../times.ts';
import type { DashboardUser } from './credentials.ts';
import { invalidField, WireError } from './errors.ts';

const defaultLimit = 50;
const maxLimit = 100;

/** What `X-Parley-Position` asks for. Throws `INVALID_INPUT` for what is no position of the log. */
export function positionAsked(
  freshness: Pick<Freshness, 'parsePosition'>,
  request: FastifyRequest,
): Promise<bigint | undefined> {
  return fresh.positionAsked(freshness, request, (reason) => invalidField('X-Parley-Position', reason));
}

/** Waits until rows show what they have to: of the user, and of the workspace that is read. Marks a stale answer. */
export function waitForRows(
  freshness: Pick<Freshness, 'waitFor'>,
  user: DashboardUser,
  reply: FastifyReply,
  workspace?: number,
): Promise<void> {
  const { account, atLeast } = user;
  const of = { account: { workspace: ACCOUNTS_WORKSPACE, account }, atLeast };
  return waitFor(freshness, workspace === undefined ? of : { ...of, workspace }, reply);
}

/** Waits for rows as `of` says. Marks a stale answer; throws `SERVICE_UNAVAILABLE` for a position not reached. */
export function waitFor(freshness: Pick<Freshness, 'waitFor'>, of: FreshnessOf, reply: FastifyReply): Promise<void> {
  return fresh.waitForRows(freshness, of, reply, (retryAfterSeconds) => {
    const headers = { 'retry-after': String(retryAfterSeconds) };
    return new WireError('SERVICE_UNAVAILABLE', 'The position was not reached in time', { headers });
  });
}

/** A query of an address, each name once or more. */
export type Query = Readonly<Record<string, string | string[] | undefined>>;

/** A parameter; undefined when it is not there. Throws `INVALID_INPUT` when it is there twice. */
export function queryText(query: Query, name: string): string | undefined {
  const value = query[name];
  if (Array.isArray(value)) throw invalidField(name, 'is given more than once');
  return value;
}

/** A parameter that has to be there. Throws `MISSING_REQUIRED_FIELD`. */
export function requiredText(query: Query, name: string): string {
  const value = queryText(query, name);
  if (value === undefined || value === '') throw invalidField(name, 'is required', 'MISSING_REQUIRED_FIELD');
  return value;
}

function wholeNumber(query: Query, name: string, min: number): number | undefined {
  const value = queryText(query, name);
  if (value === undefined) return undefined;
  if (!/^\d{1,15}$/.test(value) || Number(value) < min) throw invalidField(name, `is not a number of ${min} or more`);
  return Number(value);
}

/** A page of a list. */
export interface AskedPage {
  readonly limit: number;
  readonly offset: number;
}

/** The page a query asks for, with the bounds of the sheet's section 10; null when it asks for none. */
export function pageAsked(query: Query): AskedPage | null {
  const limit = wholeNumber(query, 'limit', 1);
  const offset = wholeNumber(query, 'offset', 0);
  if (limit === undefined && offset === undefined) return null;
  return { limit: Math.min(limit ?? defaultLimit, maxLimit), offset: offset ?? 0 };
}

/** The page a query asks for, or the first. */
export function pageOrFirst(query: Query): AskedPage {
  return pageAsked(query) ?? { limit: defaultLimit, offset: 0 };
}

/** `pagination` as it is shown. */
export function paginationOf({ limit, offset }: AskedPage, returned: number, total: number) {
  return { limit, offset, total, hasMore: offset + returned < total };
}

/** A list under its name, with `pagination` when a page was asked for (sheet, section 5). */
export function listAnswer<N extends string, V, T>(
  name: N,
  { items, total }: { readonly items: readonly V[]; readonly total: number },
  page: AskedPage | null,
  render: (view: V) => T,
) {
  const list = { [name]: items.map(render) };
  return page === null ? list : { ...list, pagination: paginationOf(page, items.length, total) };
}

/** A date or a time (ISO 8601) in milliseconds; a bare date is the start or the end of that day, UTC. */
export function timeAsked(query: Query, name: 'from' | 'to'): number | undefined {
  const given = queryText(query, name);
  if (given === undefined) return undefined;
  const time = readTime(given, name === 'from' ? 'start' : 'end');
  if (time === null) throw invalidField(name, 'is not a date or time of ISO 8601');
  return time;
}

/** The query of a list, for the document. */
export const pageQuery = z.object({
  limit: z.int().min(1).optional().describe(`More than ${maxLimit} counts as ${maxLimit}`),
  offset: z.int().min(0).optional().describe('How many to pass over'),
});
/** A range of times, for the document. */
export const rangeQuery = z.object({
  from: moment.optional().describe('ISO 8601; a bare date is the start of that day, UTC'),
  to: moment.optional().describe('ISO 8601; a bare date is the end of that day, UTC'),
});
