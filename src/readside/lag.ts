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
/** Where the first alone is looked for: the next pages are read when all of these were erased. */
const firstPageEvents = 10;

/**
 * Tells how far a group is behind, whatever process does its work. Where its partitions stand at one place the log counts what
 * follows. Otherwise some of that is done, and the events have to be read: `maxEvents` at most (10,000 unless told).
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
  const isEven = checkpoint.largest === position;
  const counting = isEven ? history.count(position, head, maxEvents) : null;
  let events = 0;
  let oldest: number | null = null;
  let looked = 0;
  for (let from = position; from < head && looked < maxEvents; ) {
    const most = isEven && from === position ? firstPageEvents : pageEvents;
    const page = await history.page(from, Math.min(most, maxEvents - looked));
    for (const event of page.events) {
      if (event.position > head || checkpoint.done(event) === event) continue;
      oldest ??= event.at;
      events++;
    }
    looked += page.events.length;
    from = page.position;
    if (page.atHead || (isEven && oldest !== null)) break;
  }
  const seconds = oldest === null ? 0 : Math.max(0, (Date.now() - oldest) / 1_000);
  return { position, events: counting ? await counting : events, seconds };
}
