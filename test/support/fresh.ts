import type { Stack } from './stacks.ts';

/** How often a read is asked for until it does not call itself stale. */
const mostAsked = 4;

/**
 * Asks, and on set-ups whose rows come by Kafka asks again when the answer says of itself that it is stale (design promise 8): a
 * machine on which several servers and a broker start at once takes longer than a read waits. What does not say so is taken
 * at its word.
 */
export async function freshly(stack: Stack, ask: () => Promise<Response>): Promise<Response> {
  for (let asked = 1; ; asked++) {
    const response = await ask();
    const isStale = response.headers.get('x-parley-stale') === 'true';
    if (!isStale || stack === 'postgres+tail' || asked === mostAsked) return response;
    await response.body?.cancel();
  }
}
