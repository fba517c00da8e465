/** How often a read is asked for until it does not call itself stale. */
const mostAsked = 4;

/**
 * Asks, and asks again while the answer says of itself that it is stale (design promise 8): a machine that is busy, or on which
 * several servers and a broker start at once, takes longer than a read waits. What does not say so is taken at its word.
 */
export async function freshly(ask: () => Promise<Response>): Promise<Response> {
  for (let asked = 1; ; asked++) {
    const response = await ask();
    if (response.headers.get('x-parley-stale') !== 'true' || asked === mostAsked) return response;
    await response.body?.cancel();
  }
}
