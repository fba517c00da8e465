/**
 * `Idempotency-Key` (sheet, section 9): of sends, and of what the dashboard creates. A create's key is its user's, per route and
 * project, and lives as long as what it made, a day at least; a repeat is answered with that as it is now.
 */
import type { FastifyRequest } from 'fastify';
import type { Keyed } from '../../commands/index.ts';
import { isKey, keyOfRequest, maxKeyUnits, keyedBy as readKeyed } from '../keyed.ts';
import { invalidField, type WireError } from './errors.ts';

export { keyedHeaders } from '../keyed.ts';

const malformed = (name: string): WireError => invalidField(name, `is not a text of 1 to ${maxKeyUnits} characters`);
const malformedHeader = () => malformed('Idempotency-Key');

/** The key of a request: the same text as in a batch's JSON. Throws `INVALID_INPUT`. */
export function idempotencyKey(request: FastifyRequest): string | undefined {
  return keyOfRequest(request, malformedHeader);
}

/** A key in a body. Throws `INVALID_INPUT`. */
export function checkedKey(key: unknown, name: string): string {
  if (!isKey(key)) throw malformed(name);
  return key;
}

/** The key of a create, with the route that it came to. Throws `INVALID_INPUT`. */
export function keyedBy(request: FastifyRequest, route: string): Keyed | undefined {
  return readKeyed(request, route, malformedHeader);
}
