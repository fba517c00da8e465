/** What every dialect has to tell apart in errors before it says them in its own words. */
import type { FastifyReply } from 'fastify';
import { DomainError } from '../commands/index.ts';
import { isConnectionTrouble } from '../platform/postgres.ts';

/** True when storage is away: the same request can be tried again. */
export function isStorageAway(error: unknown): boolean {
  // The log's own word for it; dialects know no log.
  return (error instanceof Error && error.name === 'LogUnavailableError') || isConnectionTrouble(error);
}

/** The status of one of Fastify's own refusals of what a client sent (400 to 499), null for any other error. */
export function clientFault(error: unknown): number | null {
  if (!(error instanceof Error)) return null;
  const { statusCode } = error as { statusCode?: unknown };
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode <= 499 ? statusCode : null;
}

/** `Retry-After` for a time in milliseconds since the epoch: whole seconds from now, one at least. */
export function secondsUntil(at: number, now: number): string {
  return String(Math.max(1, Math.ceil((at - now) / 1_000)));
}

/** `work`'s answer; where it finds nothing, what `refusal` makes. */
export async function whereFound<T>(work: Promise<T>, refusal: () => Error): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof DomainError && error.code === 'not-found' ? refusal() : error;
  }
}

/** Answers with a refusal, as JSON whatever the schemas of its route say. */
export function sendRefusal(
  reply: FastifyReply,
  { status, headers }: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
  body: object,
): FastifyReply {
  for (const [name, value] of Object.entries(headers)) reply.header(name, value);
  return reply.code(status).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
}
