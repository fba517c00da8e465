import type pg from 'pg';
import { readGroup } from '../feed/checkpoint.ts';
import type { History } from '../feed/feed.ts';

/** How far a consumer group is behind the log. */
export interface GroupLag {
  /** Everything up to here is done. */
  readonly position: bigint;
  /** Events that are not done, counted up to a bound. */
  readonly events: number;
  /** Age of the first event that is not done, in seconds; 0 when there is none. */
  readonly seconds: number;
}

const pageEvents = 1_000;

/**
 * Tells how far a group is behind, whatever process does its work. Events are counted in the log, up to `maxEvents` (10,000
 * unless told) and as many looked through: positions may be byte offsets, and say nothing about how many lie between.
 */
export async function groupLag(
  pool: Pick<pg.Pool, 'query'>,
  history: History,
  group: string,
  options: { readonly maxEvents?: number } = {},
): Promise<GroupLag> {
  const { maxEvents = 10_000 } = options;
  const [checkpoint, head] = await Promise.all([readGroup(pool, group), history.head()]);
  const position = checkpoint.smallest;
  let events = 0;
  let oldest: number | null = null;
  let looked = 0;
  for (let from = position; from < head && looked < maxEvents; ) {
    const page = await history.page(from, Math.min(pageEvents, maxEvents - looked));
    for (const event of page.events) {
      if (event.position > head || checkpoint.done(event) === event) continue;
      oldest ??= event.at;
      events++;
    }
    looked += page.events.length;
    from = page.position;
    if (page.atHead) break;
  }
  return { position, events, seconds: oldest === null ? 0 : Math.max(0, (Date.now() - oldest) / 1_000) };
}
