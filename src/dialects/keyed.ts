/** `Idempotency-Key`, as every dialect takes it (design promise 4). */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Keyed } from '../commands/index.ts';
import { headerText } from './routes.ts';

/** UTF-16 units of a key at most. */
export const maxKeyUnits = 255;

/** The header, as documents have it. */
export const keyedHeaders = z.object({
  'idempotency-key': z
    .string()
    .optional()
    .describe('1 to 255 characters: the same request can be sent again, takes effect once and is answered the same'),
});

/** Whether something can be a key. */
export function isKey(given: unknown): given is string {
  return typeof given === 'string' && given.length > 0 && given.length <= maxKeyUnits && given.isWellFormed();
}

/** The key of a request. Throws what `malformed` makes for one that is none. */
export function keyOfRequest({ headers }: FastifyRequest, malformed: () => Error): string | undefined {
  const given = headers['idempotency-key'];
  if (given === undefined) return undefined;
  const key = headerText(given);
  if (!isKey(key)) throw malformed();
  return key;
}

/** The same, with the route that it came to. */
export function keyedBy(request: FastifyRequest, route: string, malformed: () => Error): Keyed | undefined {
  const key = keyOfRequest(request, malformed);
  return key === undefined ? undefined : { key, route };
}
