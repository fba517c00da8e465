/** How fresh answers are, on the wire (design promise 8): `X-Parley-Position` in and out, and `X-Parley-Stale`. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  type Freshness,
  type FreshnessOf,
  MalformedPositionError,
  NotReachedError,
  PositionAheadError,
} from '../readside/freshness.ts';

/** A position of the log. Throws what `refusal` makes of the reason why a text is none. */
export async function readPosition(
  freshness: Pick<Freshness, 'parsePosition'>,
  text: string,
  refusal: (reason: string) => Error,
): Promise<bigint> {
  try {
    return await freshness.parsePosition(text);
  } catch (error) {
    if (error instanceof MalformedPositionError || error instanceof PositionAheadError) throw refusal(error.message);
    throw error;
  }
}

/** What `X-Parley-Position` asks for, if anything. Throws as `readPosition` does. */
export async function positionAsked(
  freshness: Pick<Freshness, 'parsePosition'>,
  request: FastifyRequest,
  refusal: (reason: string) => Error,
): Promise<bigint | undefined> {
  const asked = request.headers['x-parley-position'];
  return asked === undefined ? undefined : readPosition(freshness, String(asked), refusal);
}

/** Waits for rows as `of` says. Marks a stale answer; throws `notReached` where a position asked for was not reached. */
export async function waitForRows(
  freshness: Pick<Freshness, 'waitFor'>,
  of: FreshnessOf,
  reply: FastifyReply,
  notReached: (retryAfterSeconds: number) => Error,
): Promise<void> {
  try {
    const { stale } = await freshness.waitFor(of);
    if (stale) reply.header('x-parley-stale', 'true');
  } catch (error) {
    throw error instanceof NotReachedError ? notReached(error.retryAfterSeconds) : error;
  }
}

/** Tells the position of what was written. */
export function tellPosition(reply: FastifyReply, position: bigint | null): void {
  if (position !== null) reply.header('x-parley-position', position.toString());
}
