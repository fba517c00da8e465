/** Reads: how fresh they are (design promise 8), pages, order and filters of lists (sheet, section 5). */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import * as fresh from '../freshness.ts';
import { moment, readTime } from '../times.ts';
import type { Caller } from './credentials.ts';
import { type FieldProblem, invalid, invalidField, WireError } from './errors.ts';
import type { ChatApiOptions } from './options.ts';

const defaultSize = 20;
const maxSize = 100;
/** Rows that a page may lie behind: what Postgres counts in. */
const maxPage = 2_147_483_647;

type Freshness = ChatApiOptions['freshness'];

/** What `X-Parley-Position` asks for. Throws 400 for what is no position of the log. */
export function positionAsked(freshness: Freshness, request: FastifyRequest): Promise<bigint | undefined> {
  const refusal = (reason: string) => new WireError('BAD_REQUEST', `X-Parley-Position: ${reason}`);
  return fresh.positionAsked(freshness, request, refusal);
}

/** A position that a body names. Throws 422 for what is no position of the log. */
export function positionOf(freshness: Freshness, field: string, text: string): Promise<bigint> {
  return fresh.readPosition(freshness, text, (reason) => invalidField(field, reason));
}

/** A share in percent with two decimals, half up; 0 of nothing (sheet, section 10). */
export function percentOf(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.floor((part * 20_000 + whole) / (2 * whole)) / 100;
}

/** Waits for the rows to show what this node acknowledged in the caller's client. Marks a stale answer; throws 503. */
export function waitForRows(freshness: Freshness, caller: Caller, reply: FastifyReply): Promise<void> {
  const { workspace, atLeast } = caller;
  return fresh.waitForRows(freshness, { workspace, atLeast }, reply, (retryAfterSeconds) => {
    const headers = { 'retry-after': String(retryAfterSeconds) };
    return new WireError('SERVICE_UNAVAILABLE', 'The position was not reached in time', { headers });
  });
}

/** A query of an address, each name once or more. */
export type Query = Readonly<Record<string, string | string[] | undefined>>;

/** The query of a request. */
export function queryOf(request: FastifyRequest): Query {
  return request.query as Query;
}

type Readers = Readonly<Record<string, () => unknown>>;
type Read<R extends Readers> = { readonly [K in keyof R]: ReturnType<R[K]> };

/** What each of the readers answers. Throws one 422 with every field that they refuse; other refusals at once. */
export function readAll<R extends Readers>(readers: R): Read<R> {
  const problems: FieldProblem[] = [];
  const answers: Record<string, unknown> = {};
  for (const [name, reader] of Object.entries(readers)) {
    try {
      answers[name] = reader();
    } catch (error) {
      if (!(error instanceof WireError) || error.errors === undefined) throw error;
      problems.push(...error.errors);
    }
  }
  if (problems.length > 0) throw invalid(...problems);
  return answers as Read<R>;
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
  const { page, size } = readAll({
    page: () => queryNumber(query, 'page', { min: 1, fallback: 1 }),
    size: () => queryNumber(query, 'size', { min: 1, max: maxSize, fallback: defaultSize }),
  });
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
  const word = () => wordAsked(query, 'sort', Object.keys(columns));
  const order = () => wordAsked(query, 'order', ['asc', 'desc']) ?? 'desc';
  const asked = readAll({ word, order });
  return { sort: asked.word === undefined ? undefined : columns[asked.word], order: asked.order };
}

/** One of some words. Throws 422 for any other. */
export function wordAsked<T extends string>(query: Query, name: string, words: readonly T[]): T | undefined {
  const given = queryText(query, name);
  const word = words.find((each) => each === given);
  if (given !== undefined && word === undefined) throw invalidField(name, `Must be one of ${words.join(', ')}`);
  return word;
}

/** The range of times that a query asks for, milliseconds; see `timeAsked`. Throws 422. */
export function rangeAsked(query: Query): { readonly fromMs?: number; readonly toMs?: number } {
  const { fromMs, toMs } = readAll({
    fromMs: () => timeAsked(query, 'start_date'),
    toMs: () => timeAsked(query, 'end_date'),
  });
  return { ...(fromMs !== undefined && { fromMs }), ...(toMs !== undefined && { toMs }) };
}

/** A date or a time (ISO 8601) in milliseconds; a bare date is the start or the end of that day, UTC. Throws 422. */
function timeAsked(query: Query, name: 'start_date' | 'end_date'): number | undefined {
  const given = queryText(query, name);
  if (given === undefined) return undefined;
  const time = readTime(given, name === 'start_date' ? 'start' : 'end');
  if (time === null) throw invalidField(name, 'Must be a date or a time of ISO 8601');
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

/** A range of times, for the document. */
export const rangeQuery = z.object({
  start_date: moment.optional().describe('A bare date is the start of that day, UTC'),
  end_date: moment.optional().describe('A bare date is the end of that day, UTC'),
});
