/**
 * `Idempotency-Key` (sheet, section 9; design promise 4): of sends, and of what the dashboard creates. A create's key is its
 * user's, per route and project, and lives as long as what it made, a day at least; a repeat is answered with that as it is now.
 */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Keyed } from '../../commands/index.ts';
import { invalidField } from './errors.ts';
import { headerText } from './routes.ts';

const maxKeyUnits = 255;

/** The header, as the document has it. */
export const keyedHeaders = z.object({
  'idempotency-key': z
    .string()
    .optional()
    .describe('1 to 255 characters: the same request can be sent again, takes effect once and is answered the same'),
});

/** The key of a request: the same text as in a batch's JSON. Throws `INVALID_INPUT`. */
export function idempotencyKey({ headers }: Pick<FastifyRequest, 'headers'>): string | undefined {
  const given = headers['idempotency-key'];
  return given === undefined ? undefined : checkedKey(headerText(given), 'Idempotency-Key');
}

/** An idempotency key. Throws `INVALID_INPUT`. */
export function checkedKey(key: unknown, name: string): string {
  if (typeof key !== 'string' || key.length === 0 || key.length > maxKeyUnits || !key.isWellFormed())
    throw invalidField(name, `is not a text of 1 to ${maxKeyUnits} characters`);
  return key;
}

/** The key of a create, with the route that it came to. Throws `INVALID_INPUT`. */
export function keyedBy(request: FastifyRequest, route: string): Keyed | undefined {
  const key = idempotencyKey(request);
  return key === undefined ? undefined : { key, route };
}
